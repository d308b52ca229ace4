"""Chapter 6's judges: each with made-up evidence that passes and that fails."""

import pytest

from mamlkit.audit.claims import ledger, verdict
from mamlkit.audit.judging import record
from mamlkit.audit.variants import JUDGES, by_alpha
from tests.audit.made_up_variants import (
    GOOD,
    alpha,
    classes,
    costs,
    evidence,
    parts,
    reptile,
    searched,
    waves,
)

PASSES = {
    "S206": evidence(),
    "S207": evidence(reptile=reptile(97.5)),
    "S209": evidence(parts=parts(2.0)),
    "S210": evidence(costs=costs(0.0)),
    "S219": evidence(classes=classes(-1.0)),
    "X061": evidence(waves=waves(-0.4)),
    "X062": evidence(alpha=alpha(1.0, 1.5)),
    "X063": evidence(searched=searched(-0.4)),
}
FAILS = {
    ("S206", "no query split"): evidence(identities=GOOD | {"another query": 0.1}),
    ("S206", "no second order"): evidence(identities=GOOD | {"extra operations": 0.5}),
    ("S206", "the update"): evidence(identities=GOOD | {"printed update": 0.1}),
    ("S207", "97.68"): evidence(reptile=reptile(90.0)),
    ("S207", "simpler"): evidence(
        reptile=reptile(97.5), identities=GOOD | {"lines more": 9}
    ),
    ("S207", "the authors' Adam"): evidence(reptile=reptile(97.5, moments="anew")),
    ("S209", "higher"): evidence(parts=parts(0.0)),
    ("S209", "no more failures"): evidence(parts=parts(2.0, broken=1)),
    ("S210", "flat memory"): evidence(costs=costs(1.0)),
    ("S210", "same gradient"): evidence(
        costs=costs(0.0), identities=GOOD | {"implicit after 100": 0.1}
    ),
    ("S219", "Omniglot"): evidence(classes=classes(1.0)),
    ("S219", "glyphs"): evidence(classes=classes(1.0)),
    ("X061", "K=5"): evidence(waves=waves(0.4)),
    ("X061", "K=10"): evidence(waves=waves(0.4)),
    ("X062", "less than half"): evidence(alpha=alpha(1.0, 3.0)),
    ("X063", "another is better"): evidence(searched=searched(0.4)),
}  # fmt: skip


@pytest.mark.parametrize("claim", PASSES)
def test_a_claim_that_holds_passes_all_checks_of_the_ledger(claim):
    found = JUDGES[claim](PASSES[claim])
    assert {*found.checks} == {*ledger()[claim]["checks"]}
    assert all(found.checks.values()), found.checks


@pytest.mark.parametrize(("claim", "check"), FAILS)
def test_a_claim_that_does_not_hold_fails_its_check(claim, check):
    assert not JUDGES[claim](FAILS[claim, check]).checks[check]


def test_the_list_of_tricks_is_a_document():
    found = JUDGES["S208"](evidence())
    assert {*found.checks} == {*ledger()["S208"]["checks"]}
    assert found.checks["per-step learning rates"] and not found.checks["gradient clipping"]


@pytest.mark.parametrize("claim", ["S207", "S209", "S210", "S219", "X061", "X062", "X063"])
def test_what_is_not_banked_is_not_judged(claim):
    assert JUDGES[claim](evidence()) is None


def test_a_short_run_of_reptile_can_support_and_not_refute():
    assert JUDGES["S207"](evidence(reptile=reptile(90.0, 200))) is None
    assert JUDGES["S207"](evidence(reptile=reptile(97.0, 200))).checks["97.68"]


def test_a_run_of_reptile_whose_adam_forgets_refutes_nothing():
    found = JUDGES["S207"](evidence(reptile=reptile(90.0, moments="anew")))
    assert verdict(ledger()["S207"], found.checks, seeds=1) == "not tested"
    kept = JUDGES["S207"](evidence(reptile=reptile(90.0)))
    assert verdict(ledger()["S207"], kept.checks, seeds=1) == "partial"


def test_a_training_that_failed_counts_as_infinitely_sensitive():
    found = evidence(alpha=alpha(1.0, 1.5, failing=True))
    assert by_alpha(found, "meta_sgd")[0][8.0] == float("inf")
    assert not JUDGES["X062"](found).checks["less than half"]


def test_mamlpp_is_judged_where_it_was_trained_longest():
    short, long = parts(-1.0, iterations=240, tasks=2), parts(2.0, iterations=2_000, tasks=4)
    ends = {k: r for k, r in long.items() if k.split("-")[0] in ("none", "cosine")}
    found = JUDGES["S209"](evidence(parts=short, longer=ends))
    assert found.checks["higher"] and found.here["all parts minus none"].value == pytest.approx(2)
    assert verdict(ledger()["S209"], found.checks, seeds=3) == "partial"
    assert not JUDGES["S209"](evidence(parts=parts(0.0), longer=ends)).checks["higher"]
    two = {k: r for k, r in ends.items() if not k.endswith("2")}
    assert not JUDGES["S209"](evidence(parts=short, longer=two)).checks["higher"]


@pytest.mark.parametrize(
    ("claim", "given", "check"),
    [
        ("S209", dict(parts=parts(0.0, iterations=240, tasks=2)), "the paper's budget"),
        ("S219", dict(classes=classes(1.0, iterations=200)), "the paper's budget"),
        ("X062", dict(alpha=alpha(1.0, 3.0, iterations=1_000)), "networks that have learned"),
    ],
)
def test_a_smaller_budget_refutes_nothing(claim, given, check):
    found, entry = JUDGES[claim](evidence(**given)), ledger()[claim]
    assert entry["enough"] == check and not found.checks[check]
    assert verdict(entry, found.checks, seeds=3) == "not tested"


@pytest.mark.parametrize(
    ("claim", "good"),
    [("X061", waves(-0.4)), ("X062", alpha(1.0, 1.5)), ("X063", searched(-0.4))],
)
def test_a_question_of_ours_has_an_answer(claim, good):
    bad = {"X061": waves(0.4), "X062": alpha(1.0, 3.0), "X063": searched(0.4)}[claim]
    name = {"X061": "waves", "X062": "alpha", "X063": "searched"}[claim]
    for answer, made in zip(ledger()[claim]["answers"], (good, bad), strict=True):
        kept = record(claim, JUDGES[claim](evidence(**{name: made})), "a commit")
        assert kept["answer"] == answer and not kept["why"].startswith(answer)


def test_what_alpha_costs_is_halved_in_logarithms():
    """No ratio is below 1, and half of one that is below 2 could not be reached."""
    for ratio, halved in ((1.99, True), (2.01, False)):  # MAML's is 4
        found = JUDGES["X062"](evidence(alpha=alpha(1.0, ratio)))
        assert found.checks["less than half"] == halved

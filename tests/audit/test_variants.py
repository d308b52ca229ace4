"""Chapter 6's judges: each with made-up evidence that passes and that fails."""

import pytest
import torch

from mamlkit.audit.claims import ledger, verdict
from mamlkit.audit.variants import JUDGES, Evidence, by_alpha
from mamlkit.audit.variants_evidence import identities, lines, straight
from mamlkit.audit.variants_tables import clipped, middle
from mamlkit.bank.experiment import Result
from mamlkit.studies.variants_classes import CLASSES
from mamlkit.studies.variants_images import PARTS
from mamlkit.variants.fomaml import fomaml

GOOD = {
    "printed update": 0.0, "another query": 0.0, "one step": 0.0, "two steps": 1e-15,
    "extra operations": 0.0, "lines more": 2, "implicit after 1": 0.3, "implicit after 10": 0.01,
    "implicit after 100": 1e-14,
}  # fmt: skip


def result(setting, measured, made=None):
    setting = dict(seed=0, tasks=2, iterations=10_000, tests=4, beta=0.001, alpha=0.01) | setting
    measured = {k: torch.as_tensor(v) for k, v in measured.items()}
    measured["made"] = torch.tensor(setting["iterations"] if made is None else made)
    return Result({}, measured, {"setting": setting})


def waves(gap):
    """Meta-SGD's error is MAML's plus `gap`."""
    found = {}
    for seed in range(5):
        for method, error in (("maml", 1.0), ("meta_sgd", 1.0 + gap + 0.01 * seed)):
            curve = torch.full((2, 11), error)
            setting = dict(method=method, seed=seed, shots=10)
            found[f"{method}-{seed}"] = result(setting, {f"K={k}": curve for k in (5, 10, 20)})
    return found


def costs(imaml_slope):
    slopes = {"maml": 4.0, "fomaml": 0.4, "imaml": imaml_slope}
    lengths = [1, 2, 5]
    return {
        f"{m}-0": result(
            dict(method=m, lengths=lengths),
            {"MiB": [7 + slope * k for k in lengths], "ms": [1.0 * k for k in lengths]},
        )
        for m, slope in slopes.items()
    }


def alpha(best, worst, failing=False, iterations=10_000):
    found = {}
    for method, error in (("maml", 4.0), ("meta_sgd", worst)):
        for times, value in ((0.125, error), (1.0, best), (8.0, error)):
            for seed in (0, 1):
                setting = dict(method=method, seed=seed, steps=1, alpha=0.01 * times, shots=10)
                setting |= dict(iterations=iterations)
                made = 3 if failing and method == "meta_sgd" and times == 8 else None
                curve = torch.full((2, 11), value)
                found[f"{method}-{times}-{seed}"] = result(setting, {"error": curve}, made)
    return found


def parts(gain, broken=0, iterations=60_000, tasks=16):
    found = {}
    for i, part in enumerate(PARTS):
        for seed in range(3):
            right = torch.full((4, 6), 90.0 + seed + (gain * i / 5))
            setting = dict(method="mamlpp", parts=part, seed=seed, iterations=iterations)
            setting |= dict(tasks=tasks, test=5, steps=5, queries=5, images="omniglot")
            made = 1 if part == "cosine" and seed < broken else None
            found[f"{part}-{seed}"] = result(setting, {"right": right}, made)
    return found


def classes(slope, iterations=60_000):
    found = {}
    for kind, numbers in CLASSES.items():
        for i, n in enumerate(numbers):
            for seed in range(3):
                common = dict(images=kind, classes=n, seed=seed, iterations=iterations, queries=15)
                common |= dict(tasks=32)
                maml = torch.full((4,), 90.0 + slope * i + 0.01 * seed * i)
                plain = {k: torch.full((4,), 80.0) for k in ("means", "head")}
                name = f"{kind}-{n}-{seed}"
                found[f"maml-{name}"] = result(common | dict(method="maml"), {"maml": maml})
                batches = common | dict(method="pretrained", batch=64)
                found[f"pretrained-{name}"] = result(batches, plain)
    return found


def reptile(reached, iterations=100_000):
    setting = dict(method="reptile", iterations=iterations, images="omniglot")
    return {"reptile-0": result(setting, {"right": torch.full((4, 51), reached)})}


def evidence(**given):
    empty = dict.fromkeys(("waves", "costs", "alpha", "parts", "reptile", "classes"), {})
    return Evidence(**empty | {"identities": GOOD} | given)


PASSES = {
    "S206": evidence(),
    "S207": evidence(reptile=reptile(97.5)),
    "S209": evidence(parts=parts(2.0)),
    "S210": evidence(costs=costs(0.0)),
    "S219": evidence(classes=classes(-1.0)),
    "X061": evidence(waves=waves(-0.4)),
    "X062": evidence(alpha=alpha(1.0, 1.5)),
}
FAILS = {
    ("S206", "no query split"): evidence(identities=GOOD | {"another query": 0.1}),
    ("S206", "no second order"): evidence(identities=GOOD | {"extra operations": 0.5}),
    ("S206", "the update"): evidence(identities=GOOD | {"printed update": 0.1}),
    ("S207", "97.68"): evidence(reptile=reptile(90.0)),
    ("S207", "simpler"): evidence(
        reptile=reptile(97.5), identities=GOOD | {"lines more": 9}
    ),
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


@pytest.mark.parametrize("claim", ["S207", "S209", "S210", "S219", "X061", "X062"])
def test_what_is_not_banked_is_not_judged(claim):
    assert JUDGES[claim](evidence()) is None


def test_a_short_run_of_reptile_can_support_and_not_refute():
    assert JUDGES["S207"](evidence(reptile=reptile(90.0, 200))) is None
    assert JUDGES["S207"](evidence(reptile=reptile(97.0, 200))).checks["97.68"]


def test_a_training_that_failed_counts_as_infinitely_sensitive():
    found = evidence(alpha=alpha(1.0, 1.5, failing=True))
    assert by_alpha(found, "meta_sgd")[0][8.0] == float("inf")
    assert not JUDGES["X062"](found).checks["less than half"]


def test_the_identities_hold_today():
    found = identities()
    assert max(found["printed update"], found["one step"], found["two steps"]) < 1e-12
    assert found["another query"] == 0 and abs(found["extra operations"]) < 0.01
    assert found["implicit after 100"] < 1e-10 < found["implicit after 10"]


def test_a_line_is_fitted():
    assert straight([1, 2, 3], [3.0, 5.0, 7.0]) == pytest.approx((2.0, 1.0))
    assert straight([1, 2, 3], [4.0, 4.0, 4.0]) == (0.0, 1.0)


def test_lines_of_code_are_counted_without_words():
    assert lines(fomaml) == 4
    assert middle([3.0, 1.0, 2.0]) == 2.0 and clipped({"a": [1e6, 1.0]}) == {"a": [20.0, 1.0]}


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
    assert verdict(entry, found.checks, profile="paper", seeds=3) == "not tested"


@pytest.mark.parametrize(("claim", "good"), [("X061", waves(-0.4)), ("X062", alpha(1.0, 1.5))])
def test_a_question_of_ours_has_an_answer(claim, good):
    bad = {"X061": waves(0.4), "X062": alpha(1.0, 3.0)}[claim]
    name = {"X061": "waves", "X062": "alpha"}[claim]
    assert JUDGES[claim](evidence(**{name: good})).why.startswith("yes: ")
    assert JUDGES[claim](evidence(**{name: bad})).why.startswith("no: ")

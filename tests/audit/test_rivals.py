"""Judges of section 4's other ways to learn: yes to made-up results that pass, no to ones that
fail."""

import pytest
import torch

from mamlkit.audit import rivals as judges
from mamlkit.audit.claims import ledger, verdict
from mamlkit.audit.judging import record
from tests.audit.made_up import SEEDS, falling, method, summary


def ending(error, steps=11):
    """Runs whose median falls to `error` in the last step."""
    first, second = 4.5, (4.5 + error) / 2
    path = [first, error] if steps == 2 else falling(first, second, error)
    return method(*(summary(f"K={k}", path) for k in (5, 10, 20)))


def evidence(rival, **others):
    return {"maml": ending(0.18)} | {name: ending(x) for name, x in others.items()} | rival


def decided(claim, finding):
    checks = finding.checks
    assert verdict(ledger()[claim], checks, seeds=len(list(finding.seeds))) == "answered"
    answer = record(claim, finding, "0000000000")["answer"]
    said = ledger()[claim]["answers"][not all(checks.values())]
    assert answer == said or (claim == "X030" and answer == f"{said}, with 1.1% of MAML's waves")
    return [*checks.values()]


@pytest.mark.parametrize(
    ("claim", "name", "steps"), [("X030", "learned-optimizer", 11), ("X031", "hypernetwork", 2)]
)
def test_a_rival_must_be_below_maml_in_every_seed(claim, name, steps):
    judge = judges.JUDGES[claim]
    better, worse = (judge(evidence({name: ending(x, steps)})) for x in (0.1, 0.4))
    assert decided(claim, better) == [True, True] and decided(claim, worse) == [False, False]
    mixed = ending(0.1, steps)
    mixed.tests["K=10 median"][SEEDS - 1, -1] = 0.5
    assert decided(claim, judge(evidence({name: mixed}))) == [True, False]
    assert "0.40 against MAML's 0.18 (K = 5)" in worse.why
    assert judge({"maml": ending(0.18)}) is None


@pytest.mark.parametrize(
    ("scaled", "plain", "expected"),
    [
        (0.2, 3.0, [True, True]),
        (1.5, 3.0, [True, False]),
        (3.1, 3.0, [False, False]),
        (0.2, 0.1, [False, True]),
    ],
)
def test_a_scaled_start_must_help_and_be_as_good_as_maml(scaled, plain, expected):
    found = judges.x032(evidence({"data-dependent": ending(scaled)}, **{"random-tuned": plain}))
    assert decided("X032", found) == expected
    assert f"error is {scaled:.1f}" in found.why


def test_another_number_of_seeds_is_not_compared():
    few = ending(0.1)._replace(seeds=[0])
    assert judges.x030(evidence({"learned-optimizer": few})) is None


def test_what_diverged_is_told():
    rival = ending(0.1)
    rival.tests["K=10 lost"] = torch.full((SEEDS, 11), 50)
    found = judges.x031(evidence({"hypernetwork": rival}))
    assert found.here["diverged, K=10"].value == pytest.approx(0.005)

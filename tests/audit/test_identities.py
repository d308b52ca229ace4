import pytest

from mamlkit.audit import identities as judges
from mamlkit.audit.claims import ledger, verdict


@pytest.fixture(scope="module")
def found():
    return {"identities": judges.measured()}


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=1)


EXPECTED = {
    "C005": "reproduced",
    "C012": "reproduced",
    "C014": "reproduced",
    "C015": "reproduced",
    "C017": "partial",
    "C019": "reproduced",
    "S111": "reproduced",
    "S113": "reproduced",
    "S201": "partial",
    "S202": "reproduced",
    "S203": "reproduced",
    "S204": "reproduced",
}


def test_every_equation_gives_its_verdict(found):
    assert {c: decided(c, judge(found)) for c, judge in judges.JUDGES.items()} == EXPECTED


@pytest.mark.parametrize(
    "claim, name, wrong",
    [
        ("C012", "looped", 1e-3),
        ("C012", "theta unchanged", False),
        ("C014", "five factors", 1e-3),
        ("C015", "product", 1e-3),
        ("C019", "K times", 1e-3),
        ("C005", "nothing added", False),
        ("S201", "one factor", 1e-3),
        ("S204", "not MAML", 1e-3),
        ("S113", "sum", {1e-30: 1e-2, 1e-8: 0.1}),
    ],
)
def test_a_wrong_number_fails(found, claim, name, wrong):
    other = {"identities": found["identities"] | {name: wrong}}
    assert decided(claim, judges.JUDGES[claim](other)) != EXPECTED[claim]
    assert not all(judges.JUDGES[claim](other).checks.values())


def test_another_count_fails(found):
    counts = found["identities"]["counts"] | {"no-conv": 247_110}
    other = {"identities": found["identities"] | {"counts": counts}}
    assert judges.s111(other).checks == {"counts": False}
    assert judges.s111({}) is None

"""Claims that hang on other claims: they hold where those do, and only there."""

import pytest

from mamlkit.audit.claims import ledger, verdict
from mamlkit.audit.derived import JUDGES, THREE


def records(**other):
    """Three claims are reproduced, but for those that are given another verdict."""
    provenance = dict(seeds=[0, 1], trained={"sinusoid": {}})
    return {
        claim: dict(verdict=other.get(claim, "reproduced"), provenance=provenance)
        for claim in THREE.values()
    }


@pytest.mark.parametrize("claim", JUDGES)
def test_all_three_must_be_reproduced(claim):
    entry, judged = ledger()[claim], JUDGES[claim]
    found = judged(records())
    assert found.checks.keys() == entry["checks"].keys() and all(found.checks.values())
    assert verdict(entry, found.checks, seeds=len(found.seeds)) == "reproduced"
    for name, decisive in THREE.items():
        found = judged(records(**{decisive: "partial"}))
        assert [n for n, passed in found.checks.items() if not passed] == [name]
        assert f"{name} ({decisive}) is partial" in found.why
        assert verdict(entry, found.checks, seeds=len(found.seeds)) == "partial"


@pytest.mark.parametrize("claim", JUDGES)
def test_without_one_of_them_nothing_is_found(claim):
    for decisive in THREE.values():
        kept = records()
        del kept[decisive]
        assert JUDGES[claim](kept) is None

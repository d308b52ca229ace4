"""The profile chooses a budget, and nothing else chooses it."""

import pytest

from mamlkit.bank.budget import PROFILES, budget


@pytest.mark.parametrize(
    ("profile", "expected"), [("smoke", 3), ("quick", (4, "x")), ("paper", None)]
)
def test_a_profile_has_its_own_budget(profile, expected):
    assert budget(profile, smoke=3, quick=(4, "x"), paper=None) == expected


@pytest.mark.parametrize("profile", ["", "Paper", "full", None, "smoke "])
def test_an_unknown_profile_is_refused_with_the_list_of_those_allowed(profile):
    with pytest.raises(ValueError) as refusal:
        budget(profile, smoke=1, quick=2, paper=3)
    assert str(profile) in str(refusal.value) and all(p in str(refusal.value) for p in PROFILES)


@pytest.mark.parametrize("left_out", PROFILES)
def test_no_budget_may_be_left_out(left_out):
    with pytest.raises(TypeError, match=left_out):
        budget("quick", **{p: 1 for p in PROFILES if p != left_out})

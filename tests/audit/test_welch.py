"""Two methods over seeds: against SciPy's test, and with too few seeds."""

import pytest
import torch
from scipy import stats

from mamlkit.audit.welch import difference, lower

MINE, THEIRS = torch.tensor([3.0, 5.0, 4.0, 9.0]), torch.tensor([1.0, 2.5, 2.0])


def test_the_interval_and_the_p_value_are_welchs():
    theirs = stats.ttest_ind(MINE.numpy(), THEIRS.numpy(), equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    found = difference(MINE, THEIRS)
    assert found.value == pytest.approx(5.25 - 5.5 / 3)
    assert (found.low, found.high) == pytest.approx((low, high))
    one_sided = stats.ttest_ind(MINE.numpy(), THEIRS.numpy(), equal_var=False, alternative="less")
    assert lower(MINE, THEIRS) == pytest.approx(one_sided.pvalue)
    assert lower(THEIRS, MINE) == pytest.approx(1 - one_sided.pvalue)


def test_two_seeds_give_no_interval():
    found = difference(MINE, THEIRS[:2])
    assert found.value == pytest.approx(3.5) and found.low != found.low and found.high != found.high
    assert lower(MINE[:1], THEIRS) != lower(MINE[:1], THEIRS)

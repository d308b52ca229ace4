"""Two methods compared over seeds: what each one's own trainings differ by counts (Welch 1947)."""

from math import nan

from torch import Tensor

from mamlkit.audit.intervals import Interval

LEAST = 3  # seeds of each: two give no interval that says anything


def difference(mine: Tensor, theirs: Tensor) -> Interval:
    """The difference of two means over seeds, mine minus theirs, and its 95 % interval.

    One number a seed. The interval is NaN with fewer than three seeds of one.
    """
    from scipy import stats

    gap, error, freedom = _compared(mine, theirs)
    half = float(stats.t.ppf(0.975, freedom)) * error
    return Interval(gap, gap - half, gap + half)


def lower(mine: Tensor, theirs: Tensor) -> float:
    """The one-sided p-value that the mean of `mine` over seeds is the lower one, NaN with fewer
    than three seeds of one."""
    from scipy import stats

    gap, error, freedom = _compared(mine, theirs)
    return float(stats.t.cdf(gap / error, freedom))


def _compared(mine: Tensor, theirs: Tensor) -> tuple[float, float, float]:
    """The difference of the means, its standard error, and its degrees of freedom."""
    mine, theirs = mine.double(), theirs.double()
    gap = (mine.mean() - theirs.mean()).item()
    if min(len(mine), len(theirs)) < LEAST:
        return gap, nan, nan
    parts = [(s.var().item() / len(s), len(s) - 1) for s in (mine, theirs)]
    square = sum(v for v, _ in parts)
    return gap, square**0.5, square**2 / sum(v**2 / n for v, n in parts)

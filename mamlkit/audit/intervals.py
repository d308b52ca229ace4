"""How sure a number is: intervals over tasks and seeds, and tests that can fail."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor


class Interval(NamedTuple):
    """A value and its interval: of 95 %, where nothing else is said."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(values: Tensor, generator: Generator, *, draws: int = 2000) -> Interval:
    """Mean of `values` (seeds, tasks) and its two-level bootstrap interval: seeds and tasks are
    both drawn anew.

    Column t is the same task for every seed. With one seed the interval covers tasks only. Needs
    finite values.
    """
    if values.ndim != 2:
        raise ValueError(
            f"bootstrap needs values of shape (seeds, tasks), got {tuple(values.shape)}"
        )
    values = values.double().cpu()

    def weights(n):
        picks = torch.randint(n, (draws, n), generator=generator)
        return (
            torch.zeros(draws, n, dtype=torch.double).scatter_add_(
                1, picks, torch.ones_like(picks, dtype=torch.double)
            )
            / n
        )

    means = ((weights(values.shape[0]) @ values) * weights(values.shape[1])).sum(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return Interval(values.mean().item(), low, high)


def over_seeds(values: Tensor | Sequence[float]) -> Interval:
    """Mean over seeds and Student's t interval; fewer than three seeds have none (low and high are
    NaN)."""
    from scipy import stats

    values = torch.as_tensor(values, dtype=torch.double)
    mean = values.mean().item()
    if len(values) < 3:
        return Interval(mean, float("nan"), float("nan"))
    half = stats.t.ppf(0.975, len(values) - 1) * values.std().item() / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)


def equivalence(differences: Tensor) -> Interval:
    """Mean of paired `differences` (seeds, tasks) and its 90 % interval over seeds; with one seed,
    over tasks.

    Two one-sided tests at 5 % hold the mean equivalent to 0 within a margin when this interval lies
    inside it (Schuirmann 1987). With one seed it says nothing about another training. Raises
    ValueError for another shape.
    """
    from scipy import stats

    if differences.ndim != 2 or max(differences.shape) < 2:
        raise ValueError(
            "equivalence needs differences of shape (seeds, tasks), two or more of one, got"
            f" {tuple(differences.shape)}"
        )
    values = differences.double().cpu()
    values = values.mean(1) if len(values) > 1 else values[0]
    mean, half = (
        values.mean().item(),
        stats.t.ppf(0.95, len(values) - 1) * values.std().item() / len(values) ** 0.5,
    )
    return Interval(mean, mean - half, mean + half)


def fraction(hits: Tensor) -> Interval:
    """The share of True in `hits`, with its Clopper-Pearson interval."""
    from scipy import stats

    found = stats.binomtest(int(hits.sum()), hits.numel()).proportion_ci(0.95, method="exact")
    return Interval(hits.double().mean().item(), found.low, found.high)


def paired(differences: Tensor) -> tuple[float, float]:
    """Mean of paired differences over tasks (tasks,), and the two-sided p-value of Student's test
    that it is 0."""
    from scipy import stats

    test: Any = stats.ttest_1samp  # its result has a pvalue, which the stub does not know
    return differences.mean().item(), float(test(differences.double().cpu().numpy(), 0.0).pvalue)


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that stay valid when several tests are made at once."""
    order = sorted(range(len(pvalues)), key=pvalues.__getitem__)
    corrected, largest = [0.0] * len(pvalues), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(pvalues) - rank) * pvalues[i]))
        corrected[i] = largest
    return corrected

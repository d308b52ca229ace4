"""Evidence as it would be, had the networks done this or that."""

import torch

from mamlkit.audit.sinusoid_evidence import Method

SEEDS = 5


def summary(name, mean, *, median=None, lost=0, tasks=10_000, error=0.001):
    """A test's summary: the same means (steps + 1) in each of five seeds, but for a little."""
    mean = torch.tensor(mean).double()
    rows = torch.stack([mean * (1 + 0.001 * s) for s in range(SEEDS)])
    middle = rows if median is None else torch.tensor(median).double().expand(SEEDS, -1)
    gone = torch.full((SEEDS, len(mean)), lost)
    return {
        f"{name} mean": rows,
        f"{name} median": middle,
        f"{name} lost": gone,
        f"{name} tasks": torch.full((SEEDS,), tasks),
        f"{name} change": rows.diff(dim=1),
        f"{name} change error": torch.full((SEEDS, len(mean) - 1), error),
        f"{name} better": torch.full((SEEDS, len(mean)), 0.9),
        f"{name} start": rows[:, 0],
    }


def method(*summaries, params=(), **tests):
    found = {}
    for part in summaries:
        found |= part
    tests = {name.replace("__", " "): value for name, value in tests.items()}
    return Method(found | tests, list(params), [*range(SEEDS)])


def falling(*ends):
    """Eleven means: the first, the second, and a straight line to the last."""
    first, second, last = ends
    return [first, *torch.linspace(second, last, 10).tolist()]

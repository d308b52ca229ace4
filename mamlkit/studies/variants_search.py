"""Chapter 6 on waves, each variant at a step size, a number of steps and a strength that were
searched: as many candidates for each, each trained as long, chosen on validation waves."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mamlkit.bank.experiment import Experiment, Result
from mamlkit.studies.variant_methods import VARIANTS, Setting
from mamlkit.studies.variants_waves import (
    COMMON,
    SIZES,
    begin,
    cost,
    errors,
    measure,
    steps,
    summed,
)
from mamlkit.train import Step
from mamlkit.trees import Params

VALIDATION = 20_000  # the seed that draws the waves by which a candidate is chosen
TRIED = 1_000  # the seed of a candidate's training, which no result has
SHORTER = {  # a candidate's training
    "smoke": dict(iterations=4, tests=20),
    "quick": dict(iterations=150, tests=100),
    "paper": dict(iterations=3_000, tests=500),
}


def grid(alphas, steps, **more) -> tuple[dict, ...]:
    """Each step size with each number of steps."""
    return tuple(dict(alpha=alpha, steps=k, **more) for k in steps for alpha in alphas)


# Eight for each. Reptile learns nothing from one step; iMAML's steps have to arrive somewhere; the
# step of CAVIA's context is about 1 in its paper.
CANDIDATES: dict[str, tuple[dict, ...]] = dict.fromkeys(
    VARIANTS, grid((0.003, 0.01, 0.03, 0.1), (1, 5))
) | {
    "reptile": grid((0.003, 0.01, 0.03, 0.1), (5, 10)),
    "imaml": sum((grid((0.01, 0.03), (16,), strength=s) for s in (0.2, 0.5, 2.0, 8.0)), ()),
    "cavia": grid((0.1, 0.3, 1.0, 3.0), (1, 5)),
}

# The `best` of the search's banked results. test: the steps that were best after the training.
CHOSEN: dict[str, dict] = {
    "maml": dict(alpha=0.03, steps=1, test=10),
    "fomaml": dict(alpha=0.03, steps=5, test=10),
    "reptile": dict(alpha=0.01, steps=10, test=10),
    "meta_sgd": dict(alpha=0.003, steps=1, test=3),
    "mamlpp": dict(alpha=0.1, steps=5, test=10),
    "imaml": dict(alpha=0.01, steps=16, strength=8.0, test=9),
    "anil": dict(alpha=0.1, steps=5, test=10),
    "cavia": dict(alpha=0.1, steps=1, test=10),
}


def candidates(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """Every candidate of every variant, each trained once, whatever `seeds` says."""
    return {
        f"{method}-{number}": dict(method=method, seed=TRIED, **candidate, **COMMON)
        | SHORTER[budget]
        for method, tried in CANDIDATES.items()
        for number, candidate in enumerate(tried[: 1 if budget == "smoke" else None])
    }


def on_validation(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """No parameters; "made", how many iterations there were, and the `summed` "validation" error
    from ten points."""
    found = summed(errors(setting, step.meta, 10, VALIDATION))
    return {}, {"made": torch.tensor(step.iteration), "validation": found}


def best(results: Mapping[str, Result]) -> dict[str, dict]:
    """For each variant the best of its candidates, by the median validation wave's error after
    the best number of steps, one to ten, which is "test". One whose training failed is none.

    results: what is kept of the search, by cell.
    """
    found: dict[str, tuple[float, dict]] = {}
    for result in results.values():
        s = result.setting
        error, step = result.measured["validation"][0, 1:].min(0)
        if result.measured["made"] < s["iterations"]:
            continue
        if s["method"] not in found or error < found[s["method"]][0]:
            own = {k: s[k] for k in ("alpha", "steps", "strength") if k in s}
            found[s["method"]] = error.item(), own | dict(test=int(step) + 1)
    return {method: own for method, (_, own) in found.items()}


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """All eight variants, each with what was chosen for it."""
    return {
        f"{method}-{seed}": dict(method=method, seed=seed, **CHOSEN[method], **COMMON)
        | SIZES[budget]
        for seed in range(seeds or {"smoke": 1, "quick": 1, "paper": 5}[budget])
        for method in VARIANTS
    }


SEARCH = Experiment("variants-search", candidates, steps, on_validation, begin, cost)
SEARCHED = Experiment("variants-searched", cells, steps, measure, begin, cost)

"""Appendix C.1: regressors of single waves, and the average of their parameters."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mamlkit.bank.budget import budget
from mamlkit.bank.experiment import Device, Setting
from mamlkit.baselines.averaging import Average, average, l2, none, to_mean
from mamlkit.baselines.pretrain import pretrain
from mamlkit.families.sinusoid import same_wave, sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.optimizer import adam
from mamlkit.studies.sinusoid_measures import GRID, summary
from mamlkit.studies.sinusoid_methods import NET, STEPS, errors, waves
from mamlkit.train import Step

PENALTIES = {"l2": l2, "to-mean": to_mean}
# The largest weight of three (l2: 1e-3, 3e-4, 1e-4; to the mean: 1e-2, 1e-3, 1e-4) with which the
# median of 50 regressors still gets below an error of 0.02, the one that the appendix names.
WEIGHTS = {"none": 0.0, "l2": 0.001, "to-mean": 0.001, "same-start": 0.0}
FIRST = 50  # updates of one small group, by which a result is known


def cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """500 regressors as in the appendix; the number of updates and Adam's step are ours. In the
    form "same-start", ours too, all have the same initial weights."""
    models, at_once, iterations = budget(
        profile, smoke=(4, 2, 5), quick=(50, 50, 1_000), paper=(500, 50, 2_500)
    )
    how = dict(models=models, at_once=at_once, iterations=iterations, beta=0.003)
    number = min(3, seeds or budget(profile, smoke=1, quick=1, paper=3))
    tests = dict(test_tasks=budget(profile, smoke=20, quick=500, paper=10_000))
    return {
        f"{form}-{seed}": dict(method=form, seed=seed, weight=weight, **how, **tests)
        for form, weight in WEIGHTS.items()
        for seed in range(number)
    }


def averages(
    setting: Setting, compiled: bool | None = None, device: Device = "cpu"
) -> Iterator[Average]:
    """The average of each group of regressors that a setting names, one after another."""
    same = lambda generator: NET.init(seeded(77, device))
    weight = setting["weight"]
    return average(
        same if setting["method"] == "same-start" else NET.init,
        mse(NET.forward),
        sinusoid(shots=1, queries=50),
        same_wave,
        adam(setting["beta"]),
        penalty=PENALTIES[setting["method"]](weight) if weight else none,
        generator=seeded(setting["seed"], device),
        models=setting["models"],
        at_once=setting["at_once"],
        iterations=setting["iterations"],
        compiled=setting["iterations"] >= 2_000 if compiled is None else compiled,
    )


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """A Step after each group of regressors; an interrupted run begins anew. A step's losses are
    the regressors' own errors."""
    generator = seeded(setting["seed"], device).get_state()
    for mean in averages(setting, device=device):
        yield Step(len(mean.losses), mean.params, {}, generator, mean.losses)
        if until and len(mean.losses) >= until:
            return


def begin(setting: Setting) -> Tensor:
    """The errors of a small group after a few updates."""
    small = dict(setting, models=4, at_once=2, iterations=min(FIRST, setting["iterations"]))
    return [*averages(small, compiled=False)][-1].losses


def measure(setting: Setting, step: Step):
    """The average's errors on the test waves at K = 5, fine-tuned with each step size, and which of
    them validation waves prefer."""
    n, found, tuning = setting["test_tasks"], {"individual": step.losses}, []
    validation, tests = waves(5, max(20, n // 10), 20_000), waves(5, n)
    for alpha in GRID:
        learner = pretrain(mse(NET.forward), alpha=alpha, steps=STEPS)
        tuning.append(errors(learner, step.meta, validation)[:, -1].double().mean())
        found |= summary(f"alpha {alpha:g}", errors(learner, step.meta, tests))
    return step.meta, found | {"tuning": torch.stack(tuning)}


def cost(setting: Setting) -> float:
    """Seconds of one core."""
    return setting["models"] * setting["iterations"] / 20_000 + 60

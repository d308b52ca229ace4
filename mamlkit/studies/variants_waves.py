"""Chapter 6 on sine waves: eight variants at equal iterations, and how much hangs on alpha."""

from collections.abc import Iterator
from functools import cache, partial

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.bank.experiment import Device, Experiment, first_losses, last
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import Learner
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import Net, mlp, with_context
from mamlkit.studies.variant_methods import (
    VARIANTS,
    Setting,
    before,
    falling,
    known,
    pooled,
    variant,
    while_finite,
)
from mamlkit.task import Family, Task, sample
from mamlkit.train import Step, train
from mamlkit.trees import Params

BLOCK = 100  # meta-updates between two Steps: part of what a seed means, see `train`
SHOTS = (5, 10, 20)  # at test
LONGEST = 10  # inner steps at test
LIMIT = 100.0  # a squared error above it has diverged: a wave's own mean square is at most 12.5
TEST = 10_000  # the seed that draws the test waves
LARGER = 10.0  # times the weights, in `begin`
WORST = 1e6  # what an error that is not finite counts as
PLAIN = mlp(1, 40, 40, 1)  # section 5.1's
TOLD = with_context(PLAIN, 5, shift="layer0.bias")  # CAVIA's regressor: five context numbers
# steps in training and step size. The steps are each paper's kind; 0.01 is section 5.1's for all
# but CAVIA's context, whose paper has 1. Nothing was tuned.
INNER = {
    "maml": (1, 0.01), "fomaml": (1, 0.01), "reptile": (10, 0.01), "meta_sgd": (1, 0.01),
    "mamlpp": (5, 0.01), "imaml": (16, 0.01), "anil": (1, 0.01), "cavia": (1, 1.0),
}  # fmt: skip
COMMON = dict(shots=10, queries=10, tasks=25, beta=0.001)  # section 5.1's, its meta step annealed
TIMES = (0.125, 0.5, 1.0, 2.0, 8.0)  # alphas in training over 0.01
COMPARED = ("maml", "meta_sgd")  # one alpha, and one for every number
SIZES = {
    "smoke": dict(iterations=4, tests=20),
    "quick": dict(iterations=150, tests=100),
    "paper": dict(iterations=10_000, tests=2_000),
}
# seconds of one core for 1,000 meta-updates, compiled
SECONDS = {"reptile": 9, "mamlpp": 12, "imaml": 22, "meta_sgd": 4}


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """All eight variants, each with its steps and step size."""
    return {
        f"{method}-{seed}": setting_of(method, seed) | SIZES[budget]
        for seed in range(seeds or {"smoke": 1, "quick": 1, "paper": 5}[budget])
        for method in VARIANTS
    }


def setting_of(method: str, seed: int) -> dict:
    """A variant's setting, but for its budget; one that is new has section 5.1's step."""
    steps, alpha = INNER.get(known(method), INNER["maml"])
    return dict(method=method, seed=seed, steps=steps, alpha=alpha, **COMMON)


def alpha_cells(iterations: int, budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """MAML and Meta-SGD from alpha times 1/8 to 8 with one step, and from alpha with five."""
    size = SIZES[budget] | (dict(iterations=iterations) if budget == "paper" else {})
    times = TIMES if budget == "paper" else (0.125, 1.0, 8.0)
    inner = [(m * 0.01, 1) for m in times] + [(0.01, 5)] * (budget == "paper")
    return {
        f"{method}-alpha-{alpha:g}-steps-{steps}-{seed}": setting_of(method, seed)
        | dict(alpha=alpha, steps=steps, **size)
        for seed in range(seeds or (2 if budget == "paper" else 1))
        for alpha, steps in inner
        for method in COMPARED
    }


def net_of(method: str) -> Net:
    """The regressor; CAVIA's is told the task by a context."""
    return TOLD if method == "cavia" else PLAIN


def learner_of(setting: Setting, steps: int | None = None, times: float = 1.0) -> Learner:
    """A setting's variant, in training; or with other inner steps, or its alpha so many times."""
    method, own = setting["method"], {k: setting[k] for k in ("strength",) if k in setting}
    loss, alpha = mse(net_of(method).forward), times * setting["alpha"]
    return variant(method)(loss, alpha=alpha, steps=steps or setting["steps"], **own)


def tasks_of(setting: Setting) -> Family:
    """Waves; Reptile's support holds the query's points as well."""
    waves = sinusoid(shots=setting["shots"], queries=setting["queries"])
    return pooled(waves) if setting["method"] == "reptile" else waves


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """One training; it ends early where a meta-gradient is not finite.

    until: iterations after which it stops; nothing else changes.
    """
    generator, learner = seeded(setting["seed"], device), learner_of(setting)
    meta = learner.init(net_of(setting["method"]).init(generator))
    training = train(
        learner,
        meta,
        tasks_of(setting),
        falling(setting),
        generator=generator,
        tasks=setting["tasks"],
        iterations=min(until or setting["iterations"], setting["iterations"]),
        block=min(BLOCK, setting["iterations"]),
        resume=resume if resume and resume.iteration else None,
    )
    return while_finite(training, before(meta, generator))


@cache
def test_waves(shots: int, tests: int, seed: int = TEST) -> Task:
    """The waves that all are tested on: `shots` points of each, and 100 others."""
    return sample(sinusoid(shots=shots, queries=100), seeded(seed), tests)


def errors(setting: Setting, meta: Params, shots: int, seed: int = TEST) -> Tensor:
    """Squared error on each test wave after 0 to 10 inner steps: (waves, 11); what is not finite
    counts as a million. seed: draws the waves."""
    metric = on_query(mse(net_of(setting["method"]).forward))
    waves = test_waves(shots, setting["tests"], seed)
    found = evaluate(learner_of(setting, LONGEST), meta, waves, metric, chunk=500)
    return found.nan_to_num(nan=WORST, posinf=WORST).clamp(max=WORST)


def compared(*methods: str, iterations: int, seed: int = 0) -> dict[str, Tensor]:
    """Variants trained alike on waves, by name, also those that are new: the median wave's error
    after 0 to 10 inner steps from ten points, (11,) each.

    methods: as `variant` takes them. iterations: meta-updates of each.
    """
    found = {}
    for method in methods:
        setting = setting_of(method, seed) | dict(iterations=iterations, tests=600)
        found[method] = summed(errors(setting, last(steps(setting)).meta, 10))[0]
    return found


def summed(error: Tensor) -> Tensor:
    """(2, 11): after each step the median wave's error, and the share of waves that diverged."""
    return torch.stack([error.median(0).values, (error > LIMIT).float().mean(0)])


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """The meta-parameters; "made", how many iterations there were; and `summed` errors "K=5",
    "K=10" and "K=20"."""
    found = {f"K={k}": summed(errors(setting, step.meta, k)) for k in SHOTS}
    return step.meta, {"made": torch.tensor(step.iteration)} | found


def measure_alpha(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """No parameters; "made", and the `summed` "error" from ten points."""
    error = summed(errors(setting, step.meta, 10))
    return {}, {"made": torch.tensor(step.iteration), "error": error}


def cost(setting: Setting) -> float:
    """Seconds of one core, or so."""
    return 10 + SECONDS.get(setting["method"], 3) * setting["iterations"] / 1_000


def begin(setting: Setting) -> Tensor:
    """The first losses of a training; then, on its first waves and from weights so many times as
    large, the mean loss and the size of the meta-gradient.

    At the start of a training weights are so small that curvature hardly shows: first-order MAML's
    first five losses are MAML's to five digits.
    """
    generator, learner = seeded(setting["seed"]), learner_of(setting)
    large = {k: LARGER * p for k, p in net_of(setting["method"]).init(generator).items()}
    waves = sample(tasks_of(setting), generator, setting["tasks"])
    gradient, aux = vmap(learner.meta_grad, (None, 0))(learner.init(large), waves)
    size = sum(g.mean(0).square().sum() for g in gradient.values()) ** 0.5
    return torch.cat([first_losses(steps, setting), torch.stack([aux["loss"].mean(), size])])


WAVES = Experiment("variants-sinusoid", cells, steps, measure, begin, cost)
ALPHA = Experiment(
    "variants-alpha", partial(alpha_cells, 10_000), steps, measure_alpha, begin, cost
)
# a tenth of it: what was banked first
ALPHA_CPU = Experiment(
    "variants-alpha-cpu", partial(alpha_cells, 1_000), steps, measure_alpha, begin, cost
)

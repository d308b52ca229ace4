"""Chapter 6 without training: what a meta-gradient is and costs, at one start for all variants."""

import time
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.bank.experiment import Device, Experiment, load
from mamlkit.families.sinusoid import sinusoid
from mamlkit.machine import seeded
from mamlkit.probes.cost import flops, peak_bytes, without_numbers
from mamlkit.studies import variants_images, variants_waves
from mamlkit.studies.variant_methods import VARIANTS, Setting, before
from mamlkit.task import Data, Task, sample
from mamlkit.train import Step
from mamlkit.trees import Params, dot, tree_map

LENGTHS = (1, 2, 5, 10, 20)  # inner steps
COMPARED = 5  # inner steps at which directions and times on waves are compared
SOLVED = 2_000  # inner steps after which iMAML's inner problem is solved
ALPHA = 0.1  # of the counted step on images; it changes no cost
BUDGETS = {
    "smoke": dict(lengths=[1, 2], waves=3, solved=20),
    "quick": dict(lengths=[1, 5], waves=10, solved=200),
    "paper": dict(lengths=[*LENGTHS], waves=50, solved=SOLVED),
}


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """One cell for each variant. Nothing is random but the waves."""
    return {
        f"{method}-0": dict(method=method, seed=0, start="variants-sinusoid maml-0")
        | BUDGETS[budget]
        for method in VARIANTS
    }


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """Nothing is trained."""
    yield before({}, seeded(setting["seed"], device))


@cache
def start(dtype: torch.dtype) -> Params:
    """The start at which all are compared: MAML's of `variants_waves`, seed 0."""
    params = load(variants_waves.WAVES)["maml-0"].params
    return {name: p.to(dtype) for name, p in params.items()}


def gradient(setting: Setting, steps: int = COMPARED) -> Params:
    """A variant's meta-gradient at MAML's start on each wave, (waves, ...) for each parameter.

    Step sizes are as at the start of training; CAVIA's net has a context as at its start.
    """
    method, net = setting["method"], variants_waves.net_of(setting["method"])
    of_training = variants_waves.setting_of(method, 0)
    learner = variants_waves.learner_of(of_training, steps)
    waves = sample(sinusoid(shots=10, queries=100), seeded(10_000), setting["waves"])
    meta = learner.init(net.init(seeded(0)) | start(torch.get_default_dtype()))
    return vmap(learner.meta_grad, (None, 0))(meta, waves)[0]


def cosine(gradient: Params, exact: Params) -> Tensor:
    """The cosine of two meta-gradients over the parameters that both have."""
    names = [name for name in exact if name in gradient]
    a, b = ({name: g[name] for name in names} for g in (gradient, exact))
    return dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()


def to_mamls(setting: Setting) -> Tensor:
    """The cosine of a variant's meta-gradient to MAML's, both the mean over the waves."""
    mean = lambda found: tree_map(lambda g: g.mean(0), found)
    return cosine(mean(gradient(setting)), mean(gradient({**setting, "method": "maml"})))


def of_image(method: str, steps: int, way: int = 5) -> tuple[Callable, Params, Task]:
    """(meta-gradient, meta-parameters, one 1-shot task) on Omniglot's network."""
    setting = dict(method=method, way=way, alpha=ALPHA, steps=steps)
    learner = variants_images.learner_of(setting)
    meta = learner.init(variants_images.net_of(setting).init(seeded(0)))
    data = Data(torch.zeros(way, 1, 28, 28), torch.arange(way))
    return learner.meta_grad, meta, Task(data, data)


def counted(method: str, steps: int, way: int = 5) -> tuple[float, float]:
    """MiB at most, and 10^9 operations, of one task's meta-gradient: counted without numbers."""
    function, *shapes = of_image(method, steps, way)
    shapes = without_numbers(tuple(shapes))
    return peak_bytes(function, *shapes) / 2**20, flops(function, *shapes) / 1e9


def clocked(work: Callable[[], object], repeats: int = 3) -> float:
    """The least processor milliseconds of some calls."""
    took = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        took.append(1e3 * (time.process_time() - begun))
    return min(took)


def timed(method: str, steps: int, way: int = 5) -> float:
    """Processor milliseconds of one task's meta-gradient, uncompiled."""
    function, meta, task = of_image(method, steps, way)
    return clocked(lambda: function(meta, task))


def in_training(method: str) -> list[tuple[int, int]]:
    """(inner steps, way) of a variant's trainings on two cores."""
    found = {w: variants_images.setting_of(method, 0, w, True, "paper") for w in (5, 20)}
    return [(setting["steps"], way) for way, setting in found.items()]


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """No parameters. "cosine" to MAML's meta-gradient and "waves ms" for all waves at once; by
    inner steps "MiB", "GFLOP" and "ms"; the same "in training", 5-way and 20-way; and how near
    iMAML's direction is to its own where the inner problem is solved."""
    method, lengths = setting["method"], setting["lengths"]
    counts = torch.tensor([counted(method, k) for k in lengths])
    own = torch.tensor([counted(method, *where) for where in in_training(method)])
    found = {
        "cosine": to_mamls(setting),
        "waves ms": torch.tensor(clocked(lambda: gradient(setting))),
        "MiB": counts[:, 0],
        "GFLOP": counts[:, 1],
        "ms": torch.tensor([timed(method, k) for k in lengths]),
        "in training MiB": own[:, 0],
        "in training GFLOP": own[:, 1],
        "in training ms": torch.tensor([timed(method, *where) for where in in_training(method)]),
    }
    if method == "imaml":
        trained = variants_waves.INNER[method][0]
        near, solved = gradient(setting, trained), gradient(setting, setting["solved"])
        found["solved"] = vmap(cosine)(near, solved)
    return {}, found


def begin(setting: Setting) -> Tensor:
    """What does not depend on the machine: memory and operations of the two shortest inner loops,
    and the cosine."""
    counts = [x for k in setting["lengths"][:2] for x in counted(setting["method"], k)]
    return torch.tensor([*counts, to_mamls(setting).item()])


def cost(setting: Setting) -> float:
    """Seconds of one core."""
    return 30.0


COSTS = Experiment("variants-costs", cells, steps, measure, begin, cost)

"""What second derivatives cost: operations and memory, counted on tensors without numbers, and
seconds."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from mamlkit.bank.budget import budget as by
from mamlkit.bank.experiment import Device, Experiment, Setting
from mamlkit.families.few_shot import few_shot
from mamlkit.learner import Learner
from mamlkit.losses import Loss, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms
from mamlkit.optimizer import adam
from mamlkit.probes.cost import flops, kept_bytes, peak_bytes, without_numbers
from mamlkit.studies.image_methods import NETS
from mamlkit.studies.images import COLUMNS, SETTINGS
from mamlkit.task import Data, Family, Task
from mamlkit.train import Step, train
from mamlkit.trees import Params
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

ORDERS = {"second order": maml, "first order": fomaml}
SIZE = ("way", "shots", "net", "alpha", "steps", "queries")  # what the costs of a task depend on
ENOUGH = 2e9  # operations of one timed block, about
SHAPES = {"strided": (1, 28, 28), "no conv": (1, 28, 28), "pooled": (3, 84, 84)}


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """One cell for each setting of Table 1. lengths: the inner steps whose memory is counted.
    rounds: how often each order is timed; 0: not."""
    how = by(
        budget,
        smoke=dict(lengths=[1, 2], rounds=0),
        quick=dict(lengths=[1, 2, 5, 10], rounds=1),
        paper=dict(lengths=[1, 2, 5, 10], rounds=4),
    )
    return {
        column: dict(method="both orders", seed=0)
        | {name: SETTINGS[column][name] for name in SIZE}
        | how
        for column in COLUMNS
    }


def learners(setting: Setting, steps: int | None = None) -> tuple[Loss, Params, list[Learner]]:
    """A setting's loss and parameters, and its learners of second and first order."""
    net = NETS[setting["net"]](setting["way"])
    loss, params = cross_entropy(net.forward), net.init(seeded(0))
    alpha = all_but_norms(params, setting["alpha"])
    taken = steps or setting["steps"]
    return loss, params, [v(loss, alpha=alpha, steps=taken) for v in ORDERS.values()]


def shapes_of(setting: Setting) -> Task:
    """One task of a setting: shapes without numbers."""

    def data(each):
        n = setting["way"] * each
        images = torch.zeros(n, *SHAPES[setting["net"]])
        return Data(images, torch.zeros(n, dtype=torch.int64))

    return without_numbers(Task(data(setting["shots"]), data(setting["queries"])))


def operations(setting: Setting) -> Tensor:
    """Floating-point operations of one task's meta-gradient, second and first order: (2,)."""
    _, params, both = learners(setting)
    task, params = shapes_of(setting), without_numbers(params)
    return torch.tensor([flops(learner.meta_grad, params, task) for learner in both])


def closed_form(setting: Setting) -> float:
    """How many times the operations of first order second order takes, from counting passes.

    A forward pass over an image costs one unit and a backward pass two. With S support images, Q
    query images and K steps first order takes 3 Q + 3 K S units, and second order, which goes back
    through each inner backward pass, 3 Q + 9 K S.
    """
    support = setting["way"] * setting["shots"] * setting["steps"]
    query = setting["way"] * setting["queries"]
    return (3 * query + 9 * support) / (3 * query + 3 * support)


def memory(setting: Setting, steps: int) -> Tensor:
    """Bytes for one task's meta-gradient: (order, 2), the most at one time and what is kept for the
    backward pass."""
    loss, params, both = learners(setting, steps)
    params, task = without_numbers(params), shapes_of(setting)

    def objective(learner):
        return lambda p, t: loss(learner.adapt(p, t.support)[-1], t.query)

    return torch.tensor(
        [
            [peak_bytes(each.meta_grad, params, task), kept_bytes(objective(each), params, task)]
            for each in both
        ]
    )


def time_saved(setting: Setting, counted: Tensor) -> float:
    """The percentage of a meta-iteration's time that first order saves: one task at a time,
    uncompiled, on this CPU.

    Taken from the outer loop itself, medians of blocks that both orders run in turn, after one
    block each to warm up.
    """
    _, params, both = learners(setting)
    block, rounds = max(1, min(20, int(ENOUGH / counted[0]))), setting["rounds"] + 1
    loops = [
        train(
            learner,
            params,
            noise_images(setting),
            adam(0.001),
            generator=seeded(0),
            tasks=1,
            iterations=rounds * block,
            block=block,
            compiled=False,
        )
        for learner in both
    ]
    took = torch.tensor([[_clocked(loop) for loop in loops] for _ in range(rounds)])[1:]
    second, first = took.median(0).values.tolist()
    return 100 * (1 - first / second)


def noise_images(setting: Setting) -> Family:
    """Tasks of a setting whose images are noise: what is on them costs nothing."""
    shape = setting["way"], setting["shots"] + setting["queries"], *SHAPES[setting["net"]]
    images = torch.randint(256, shape, dtype=torch.uint8, generator=seeded(0))
    return few_shot(images, **{name: setting[name] for name in ("way", "shots", "queries")})


def _clocked(steps: Iterator[Step]) -> float:
    begin = time.perf_counter()
    next(steps)
    return time.perf_counter() - begin


def nothing(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """Nothing is trained."""
    yield Step(0, {}, {}, seeded(0, device).get_state(), torch.empty(0))


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Measured: "operations" (2,), second and first order; "bytes" (lengths, order, 2), see
    `memory`; "time saved" (1,) in percent, if it is timed."""
    counted = operations(setting)
    found = {
        "operations": counted,
        "bytes": torch.stack([memory(setting, steps) for steps in setting["lengths"]]),
    }
    if setting["rounds"]:
        saved = time_saved(setting, counted)
        found["time saved"] = torch.tensor([saved], dtype=torch.double)
    return {}, found


def begin(setting: Setting) -> Tensor:
    """The operations and the memory: known by what is counted, not by seconds."""
    return torch.cat([operations(setting), memory(setting, setting["lengths"][-1]).flatten()])


def cost(setting: Setting) -> float:
    """About how many seconds one core takes."""
    return 5.0 + 12.0 * setting["rounds"]


COUNTING = Experiment("counting", cells, nothing, measure, begin, cost)

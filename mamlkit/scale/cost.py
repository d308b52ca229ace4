"""What an update costs when ranks share it, on paper and measured: where one more stops paying."""

from functools import cache
from typing import Any, NamedTuple

from mamlkit import files
from mamlkit.families.few_shot import few_shot
from mamlkit.families.sinusoid import sinusoid
from mamlkit.files import SHIPPED
from mamlkit.learner import Learner
from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import count, mlp, pooled_convnet, strided_convnet
from mamlkit.probes.cost import flops, without_numbers
from mamlkit.task import Family, sample
from mamlkit.trees import Params, tree_map
from mamlkit.variants.maml import maml

MEASURED = SHIPPED / "scale.json"
WIDTH = 8  # bytes of a number in the all-reduce, which is made in float64


class Machine(NamedTuple):
    """What ranks run on. rate: floating-point operations a second of one rank. latency: seconds
    until a message has arrived. bandwidth: bytes a second from one rank to the next."""

    rate: float
    latency: float
    bandwidth: float


class Update(NamedTuple):
    """A meta-update. tasks: the meta-batch. operations: of one task's meta-gradient. numbers:
    meta-parameters."""

    tasks: int
    operations: int
    numbers: int


def vector_bytes(update: Update) -> int:
    """The one vector of an update that goes round: the meta-gradient, the loss and the number of
    tasks."""
    return WIDTH * (update.numbers + 2)


def seconds(update: Update, machine: Machine, ranks: int) -> tuple[float, float]:
    """(computing, talking): seconds of an update on so many ranks, if they are equally fast.

    The slowest rank has the largest share of the tasks. A ring all-reduce passes ranks - 1 times
    two messages of 1 / ranks of the vector (Patarasuk & Yuan 2009).

    >>> update = Update(tasks=4, operations=2 * 10**9, numbers=10**6)
    >>> seconds(update, Machine(rate=10**9, latency=0.001, bandwidth=10**9), 2)
    (4.0, 0.010000016)
    """
    share = -(-update.tasks // ranks)
    messages = 2 * (ranks - 1)
    part = vector_bytes(update) / ranks
    return (
        share * update.operations / machine.rate,
        messages * (machine.latency + part / machine.bandwidth),
    )


def pays_until(update: Update, machine: Machine) -> int:
    """The number of ranks at which an update is quickest: another one costs more than it brings."""
    return min(range(1, update.tasks + 1), key=lambda n: sum(seconds(update, machine, n)))


class Problem(NamedTuple):
    """A training whose updates are counted and timed."""

    learner: Learner
    params: Params
    family: Family
    tasks: int
    chunk: int | None


def problem(name: str) -> Problem:
    """S: section 5.1's sinusoids. O1: Omniglot 5-way 1-shot. M: MiniImagenet 5-way 1-shot. Images
    are noise, which costs the same; step sizes and meta-batches are the paper's."""
    if name == "S":
        net, family = mlp(1, 40, 40, 1), sinusoid()
        learner, tasks, chunk = maml(mse(net.forward), alpha=0.01, steps=1), 25, None
    elif name in ("O1", "M"):
        shape, queries = ((1, 28, 28), 1) if name == "O1" else ((3, 84, 84), 15)
        net = strided_convnet(5) if name == "O1" else pooled_convnet(5)
        images = _noise(shape, examples=1 + queries)
        family = few_shot(images, way=5, shots=1, queries=queries)
        alpha, steps, tasks, chunk = (0.4, 1, 32, None) if name == "O1" else (0.01, 5, 4, 1)
        learner = maml(cross_entropy(net.forward), alpha=alpha, steps=steps)
    else:
        raise ValueError(f'problem "{name}" is unknown; allowed are S, O1 and M')
    return Problem(learner, net.init(seeded(0)), family, tasks, chunk)


@cache
def counted(name: str) -> Update:
    """An update of a problem as numbers; nothing is computed."""
    p = problem(name)
    task = tree_map(lambda t: t[0], sample(p.family, seeded(0), 1))
    operations = flops(p.learner.meta_grad, *without_numbers((p.params, task)))
    return Update(p.tasks, operations, count(p.params))


def measured() -> dict[str, Any]:
    """What `python -m mamlkit.scale.measure` kept: by problem and number of ranks, how many seconds
    the slowest rank computes for an update; by number of ranks and bytes, those of an all-reduce;
    and about which machine."""
    return files.read_json(MEASURED)


def fitted(name: str, kept: dict[str, Any]) -> Machine:
    """The measured machine, as it is for one problem: its rate from updates that nobody shares, its
    talk from all-reduces of two ranks."""
    update, (start, each) = counted(name), _talk(kept, "2")
    return Machine(update.tasks * update.operations / kept[name]["1"], start / 2, 1 / each)


def timed(name: str, kept: dict[str, Any]) -> dict[int, float]:
    """Seconds of an update by number of ranks, as measured: what the slowest rank computes, and an
    all-reduce of a vector of this size."""
    size, found = vector_bytes(counted(name)), {}
    for ranks, computing in kept[name].items():
        start, each = _talk(kept, ranks) if ranks != "1" else (0.0, 0.0)
        found[int(ranks)] = computing + start + each * size
    return found


def _talk(kept, ranks) -> tuple[float, float]:
    """Of measured all-reduces: seconds of the smallest, and for each byte more."""
    (few, quick), (many, slow) = sorted((int(b), s) for b, s in kept["all_reduce"][ranks].items())
    return quick, max(slow - quick, 1e-9) / (many - few)


def _noise(shape, *, examples):
    import torch

    size = (20, examples, *shape)
    return torch.randint(256, size, dtype=torch.uint8, generator=seeded(0))

"""What happens inside a network of section 5.2 as it adapts: which layers, how far, how linear."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vmap

from mamlkit.baselines.episodic import cosine
from mamlkit.baselines.fine_tune import HEAD
from mamlkit.baselines.protocols import under
from mamlkit.inner import inner_step
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms
from mamlkit.studies.image_measures import PROTOCOLS, QUERIES, TEST, in_parts
from mamlkit.studies.image_methods import BODIES, NETS, adapting, family, method, step_size
from mamlkit.task import Task, sample
from mamlkit.trees import Params, tree_map
from mamlkit.variants.maml import maml

Setting = Mapping[str, Any]
HEAD_STEPS = (0.4, 1.0, 2.0, 4.0, 10.0, 20.0, 40.0, 100.0)  # alpha of the last layer alone
LINEAR = 30_000  # the first seed of the tasks of which a step is linearised


def looks(setting: Setting, theta: Params) -> dict[str, Tensor]:
    """All that is kept beside the accuracies: counts of 75 queries named rightly, on the same test
    tasks as those, and means over tasks.

    head.together, head.support only: when the last layer alone adapts, after the paper's steps:
    (tasks,). body.together: when all but the last layer adapts. head steps: the last layer alone
    with each of `HEAD_STEPS`: (8, tasks). moved: how far each layer moves, relative to its length:
    (5,). linear: after the linearised step and after the real one: (tasks, 2). before: how many
    queries are given each label before any step: (way,). alike: the mean cosine between features
    of two classes, before any step and after one: (2,). without preference, empty head: after the
    paper's steps from a start that prefers no label, and from one whose last layer is 0: (tasks,).
    """
    body = [name for name in theta if name not in HEAD and not name.startswith("norm")]
    few = min(100, setting["tests"])
    alone = [part_only(setting, theta, HEAD, alpha=a, n=few) for a in HEAD_STEPS]
    found = {
        "head.together": part_only(setting, theta, HEAD),
        "head.support only": part_only(setting, theta, HEAD, protocol="support only"),
        "body.together": part_only(setting, theta, body),
        "head steps": torch.stack(alone),
        "moved": moved(setting, theta, min(50, few)),
        "linear": linear_and_real(setting, theta, min(600, setting["tests"])),
        "before": before(setting, theta, few),
        "alike": alike(setting, theta, few),
        "without preference": part_only(
            setting, without_preference(setting, theta, few), body + [*HEAD], n=few
        ),
        "empty head": part_only(setting, theta | emptied(theta), body + [*HEAD], n=few),
    }
    return {name: value.cpu() for name, value in found.items()}


def looked_at(setting: Setting) -> bool:
    """Is this a cell whose network is looked into: MAML at one shot on convolutions?"""
    steps = setting["method"] in ("maml", "printed", "fomaml", "first order, printed")
    one_shot = (setting["way"], setting["shots"], setting["net"]) == (5, 1, "strided")
    return steps and one_shot and setting["tests"] >= 100


def _tasks(setting, theta, queries):
    """The test tasks, on the device of the parameters."""
    return family(setting, "test", queries, str(theta["layer4.bias"].device))


def part_only(
    setting: Setting,
    theta: Params,
    names,
    *,
    protocol: str = "together",
    alpha: float | None = None,
    n: int = 1_000,
) -> Tensor:
    """Queries named rightly after the paper's steps when only the parameters `names` adapt:
    (tasks,).

    alpha: their step size on the mean loss (None: the setting's). n: tasks, at most as many as the
    protocol is measured on.
    """
    net = NETS[setting["net"]](setting["way"])
    normalised, part = PROTOCOLS[protocol]
    size = alpha or step_size(setting)
    whole = maml(
        cross_entropy(net.forward), alpha=dict.fromkeys(names, size), steps=setting["test"]
    )
    end = adapting(lambda meta, support: whole.adapt(meta, support)[-1:])
    drawn, metric = _tasks(setting, theta, QUERIES), under(normalised, accuracy, net.forward)
    n, device = min(n, setting["tests"] // part), theta["layer4.bias"].device
    found = in_parts(end, theta, drawn, metric, TEST, n, device)[:, 0]
    return (found * setting["way"] * QUERIES).round().to(torch.int16)


def moved(setting: Setting, theta: Params, n: int = 50) -> Tensor:
    """How far each layer moves in the paper's steps, relative to its length, averaged over tasks:
    (layers,)."""
    adapts = method(setting).adapts[0]
    layers = [name for name in theta if name.startswith("layer") and name.endswith("weight")]

    def far(support):
        after = adapts.adapt(theta, support)[setting["test"]]
        return torch.stack([(after[k] - theta[k]).norm() / theta[k].norm() for k in layers])

    tasks = sample(_tasks(setting, theta, 1), seeded(TEST), n)
    return vmap(far, chunk_size=10)(tasks.support).mean(0)


def linear_and_real(setting: Setting, theta: Params, n: int = 600) -> Tensor:
    """Queries named rightly by the logits' first-order change, f(x) - alpha df/dtheta . grad L,
    and by the real step: (tasks, 2)."""
    net = NETS[setting["net"]](setting["way"])
    alpha, loss = all_but_norms(theta, step_size(setting)), cross_entropy(net.forward)

    def both(task: Task):
        real = inner_step(theta, lambda p: loss(p, task.support), {**alpha})
        change = tree_map(torch.sub, real, theta)
        value, slope, *_ = jvp(lambda p: net.forward(p, task.query.x), (theta,), (change,))
        answers = torch.stack([value + slope, net.forward(real, task.query.x)])
        return (answers.argmax(-1) == task.query.y).sum(-1)

    drawn = _tasks(setting, theta, QUERIES)
    each = min(100, n)
    parts = [sample(drawn, seeded(LINEAR + i), each) for i in range(n // each)]
    return torch.cat([vmap(both, chunk_size=20)(part) for part in parts]).to(torch.int16)


def before(setting: Setting, theta: Params, n: int = 100) -> Tensor:
    """How many queries are given each label before any step: (way,)."""
    net = NETS[setting["net"]](setting["way"])
    tasks = sample(_tasks(setting, theta, QUERIES), seeded(TEST), n)
    said = vmap(lambda task: net.forward(theta, task.query.x).argmax(-1), chunk_size=5)(tasks)
    return said.flatten().bincount(minlength=setting["way"])


def without_preference(setting: Setting, theta: Params, n: int = 100) -> Params:
    """theta with other biases of its last layer: over test tasks its mean logits are 0."""
    net = NETS[setting["net"]](setting["way"])
    tasks = sample(_tasks(setting, theta, QUERIES), seeded(TEST), n)
    logits = vmap(lambda task: net.forward(theta, task.query.x), chunk_size=5)(tasks)
    return theta | {"layer4.bias": theta["layer4.bias"] - logits.mean((0, 1))}


def emptied(theta: Params) -> Params:
    """The last layer with nothing in it."""
    return {name: torch.zeros_like(theta[name]) for name in HEAD}


def alike(setting: Setting, theta: Params, n: int = 100) -> Tensor:
    """The mean cosine between the features of two classes of a task, which the last layer reads,
    before any step and after one: (2,)."""
    adapts, body, way = method(setting).adapts[0], BODIES[setting["net"]], setting["way"]
    different = 1 - torch.eye(way, device=theta["layer4.bias"].device)

    def angles(support):
        paths = adapts.adapt(theta, support)[:2]
        features = [body.forward(p, support.x) for p in paths]
        return torch.stack([(cosine(f, f) * different).sum() for f in features])

    tasks = sample(_tasks(setting, theta, 1), seeded(TEST), n)
    return vmap(angles, chunk_size=10)(tasks.support).mean(0) / different.sum()

"""Section 5.1's methods: which net, which tasks and which learner a setting names."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.baselines.pretrain import pretrain
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import informed, sinusoid
from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss, mse
from mamlkit.machine import seeded
from mamlkit.nets import Net, mlp
from mamlkit.task import Family, Task, sample
from mamlkit.trees import Params
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

NET = mlp(1, 40, 40, 1)  # the paper's: two hidden layers of 40 ReLUs
NETS = {
    "oracle": mlp(3, 40, 40, 1),
    "2x100": mlp(1, 100, 100, 1),
    "3x100": mlp(1, 100, 100, 100, 1),
}
STEPS = 10  # gradient steps at test time, as in Figure 3
CAP = 1e6  # stands for an error that is not finite, or larger
LIMIT = 100.0  # above this error a run counts as diverged


class Method(NamedTuple):
    """What is trained: a net, its loss, p(T), and steps -> the learner with so many inner steps."""

    net: Net
    loss: Loss
    family: Family
    learner: Callable[[int], Learner]


def method(setting) -> Method:
    """The method of a setting, by its "method", "alpha" and "shots"."""
    name, alpha = setting["method"], setting["alpha"]
    net = NETS.get(name, NET)
    loss, waves = mse(net.forward), sinusoid(shots=setting["shots"], queries=10)
    family = {"oracle": informed, "support-as-query": support_as_query}.get(name, lambda f: f)(
        waves
    )
    if name == "learned-alpha":
        return Method(
            net, loss, family, lambda steps: learned_alpha(loss, alpha=alpha, steps=steps)
        )
    variant = {"fomaml": fomaml, "pretrained": pretrain, "oracle": pretrain}.get(name, maml)
    return Method(net, loss, family, lambda steps: variant(loss, alpha=alpha, steps=steps))


def support_as_query(family: Family) -> Family:
    """The same tasks with the support as query set too: what claim C018 warns of."""

    def make(noise):
        support = family.make(noise).support
        return Task(support, support)

    return Family(family.noise, make)


def learned_alpha(loss: Loss, *, alpha: float, steps: int) -> Learner:
    """MAML with one step size for all parameters, meta-learned from `alpha` on: "alpha may be fixed
    as a hyperparameter or meta-learned" (section 2.2)."""

    def inner(meta, support):
        theta = {name: p for name, p in meta.items() if name != "alpha"}
        return adapt(theta, repeated(loss, support, steps), [meta["alpha"]] * steps)

    return unrolled(loss, inner, init=lambda theta: theta | {"alpha": torch.tensor(alpha)})


def waves(shots: int, tasks: int, seed: int = 10_000, **how) -> Task:
    """Test waves with 100 queries each: the same ones for every method and, but for the points
    shown, for every number of shots. Seed 10,000 tests, 20,000 validates, 30,000 draws the
    supports of Figure 2, 50,000 those of X007."""
    return sample(sinusoid(shots=shots, queries=100, **how), seeded(seed), tasks)


def errors(learner: Learner, theta: Params, tasks: Task, metric=None) -> Tensor:
    """Query errors (tasks, steps + 1); `CAP` for what is larger or no number."""
    found = evaluate(learner, theta, tasks, metric or on_query(mse(NET.forward)), chunk=500)
    return found.nan_to_num(nan=CAP, posinf=CAP).clamp(max=CAP)

"""Answers found another way than the package finds them, and tasks small enough to have them. No
two axes are equal."""

import torch
from torch.func import grad, jvp
from torch.nn import functional as F

from mamlkit.learner import Learner
from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import from_module, he, mlp, pooled_convnet, strided_convnet, with_context
from mamlkit.optimizer import sgd
from mamlkit.sequence import gru, transformer
from mamlkit.task import Data, Family, Task
from mamlkit.train import train
from mamlkit.trees import Params, tree_map

TASKS, SHOTS, QUERIES, WAYS = 3, 6, 7, 5


class Perceptron(torch.nn.Module):
    """A module of torch's own making, for `from_module`."""

    def __init__(self):
        super().__init__()
        self.inside, self.out = torch.nn.Linear(2, 4), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.out(torch.sin(self.inside(x)))


# name: (net, shape of one input, loss, alpha)
MODELS = {
    "tanh mlp": (lambda: mlp(2, 4, 8, 3, activation=torch.tanh, weight=he), (2,), mse, 0.4),
    "relu mlp": (lambda: mlp(2, 4, 8, 3, weight=he), (2,), mse, 0.4),
    "softplus mlp, batch norm": (
        lambda: mlp(2, 4, 8, 3, activation=F.softplus, weight=he, norm=True),
        (2,),
        mse,
        0.4,
    ),
    "relu mlp, batch norm": (
        lambda: mlp(2, 4, 8, WAYS, weight=he, norm=True),
        (2,),
        cross_entropy,
        0.4,
    ),
    "strided convnet": (
        lambda: strided_convnet(WAYS, filters=4, channels=2),
        (2, 9, 11),
        cross_entropy,
        0.1,
    ),
    "pooled convnet": (
        lambda: pooled_convnet(WAYS, filters=4, channels=2, size=16),
        (2, 16, 16),
        cross_entropy,
        0.1,
    ),
    "gru": (lambda: gru(2, 4, 3), (8, 2), mse, 0.4),
    "transformer": (lambda: transformer(3, 4, 2, 1), (8, 3), mse, 0.03),
    "nn.Module": (lambda: from_module(Perceptron), (2,), mse, 0.4),
}


def squared(forward):
    """Mean squared error in plain operations: F.mse_loss has no forward derivative of its gradient
    in torch 2.13."""
    return lambda params, data: (forward(params, data.x) - data.y).square().mean()


def problem(name: str, seed: int = 0, loss=None, shift: str | None = None):
    """(loss, initial parameters, batch of tasks, alpha) of one of MODELS; `loss` takes the place of
    its own, and a context of two numbers moves the parameter `shift`."""
    build, shape, objective, alpha = MODELS[name]
    net, generator = (
        build() if shift is None else with_context(build(), 2, shift=shift),
        seeded(seed),
    )
    params = net.init(generator)
    noise = {
        k: 0.1 * torch.randn(p.shape, generator=generator) for k, p in params.items()
    }  # biases and betas too
    params = {k: p if k == "context" else p + noise[k] for k, p in params.items()}
    outputs = net.forward(params, torch.zeros(2, *shape)).shape[1:]

    def data(examples):
        x = torch.randn(TASKS, examples, *shape, generator=generator)
        if objective is cross_entropy:
            return Data(x, torch.randint(WAYS, (TASKS, examples), generator=generator))
        return Data(x, torch.randn(TASKS, examples, *outputs, generator=generator))

    return (loss or objective)(net.forward), params, Task(data(SHOTS), data(QUERIES)), alpha


def one(tasks: Task, i: int) -> Task:
    """Task `i` of a batch."""
    return tree_map(lambda t: t[i], tasks)


def each(tasks: Task) -> list[Task]:
    """The tasks of a batch of TASKS."""
    return [one(tasks, i) for i in range(TASKS)]


def held(tensor: torch.Tensor) -> torch.Tensor:
    """What is in memory where a task's tensor is: those of all tasks held at once, tasks first."""
    return (
        torch._C._functorch.get_unwrapped(tensor)
        if torch._C._functorch.is_batchedtensor(tensor)
        else tensor[None]
    )


def copied(tree):
    return tree_map(torch.clone, tree)


def same(a, b) -> bool:
    """Are two parameter dicts the same, bit for bit, in the same order?"""
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def gap(a: Params, b: Params) -> float:
    """The largest difference of any two numbers of two parameter dicts."""
    assert list(a) == list(b)
    return max((a[k] - b[k]).abs().max().item() for k in a)


def norm(a: Params) -> float:
    return sum(p.square().sum() for p in a.values()).sqrt().item()


def mean(trees: list[Params]) -> Params:
    return {k: torch.stack([tree[k] for tree in trees]).mean(0) for k in trees[0]}


def derivative_gap(value, at: Params, gradient: Params, seed: int = 0) -> float:
    """How far `gradient` is from central differences of value(at), relative to its norm.

    The direction is half along the gradient and half random. Where two step sizes disagree a kink
    was crossed, and another direction is tried.
    """
    generator, size = seeded(seed), norm(gradient)
    for _ in range(8):
        noise = {k: torch.randn(p.shape, generator=generator) for k, p in at.items()}
        direction = {k: gradient[k] / size + noise[k] / norm(noise) for k in at}
        slope = sum((gradient[k] * direction[k]).sum() for k in at).item()
        estimates = []
        for step in (1e-4, 1e-5, 1e-6):
            high, low = (
                {k: p + side * step * direction[k] for k, p in at.items()} for side in (1, -1)
            )
            estimates.append((value(high) - value(low)).item() / (2 * step))
        if (
            abs(estimates[1] - estimates[2]) < 1e-6 * size
            or abs(estimates[0] - estimates[1]) < 1e-6 * size
        ):
            return min(abs(e - slope) for e in estimates) / size
    raise AssertionError("no direction without a kink was found")


def after_adaptation(learner: Learner, loss, task: Task):
    """The meta-objective of one task, theta -> query loss: what finite differences
    differentiate."""
    return lambda theta: loss(learner.adapt(theta, task.support)[-1], task.query)


def hvp(objective, at: Params, vector: Params) -> Params:
    """The Hessian of `objective` at `at` times `vector`, forward over reverse: no second backward
    pass is taken."""
    return jvp(grad(objective), (at,), (vector,))[1]


def fixed(tasks: Task) -> Family:
    """The family that draws the same TASKS tasks again and again."""

    def noise(generator, n):
        return tree_map(lambda t: t[torch.arange(n) % TASKS], tasks)

    return Family(noise, lambda task: task)


def trained_gradient(learner: Learner, meta: Params, tasks: Task, **settings) -> Params:
    """The meta-gradient that `train` steps with: one update of size 1 is theta minus it."""
    settings = {"compiled": False} | settings
    *_, step = train(
        learner,
        meta,
        fixed(tasks),
        sgd(1.0),
        generator=seeded(0),
        tasks=TASKS,
        iterations=1,
        block=1,
        **settings,
    )
    return {k: meta[k] - step.meta[k] for k in meta}


def quadratic_loss(params: Params, data: Data):
    """1/2 (t - c)' A (t - c), with A as `x` and c as `y`: every meta-gradient has a closed form."""
    error = params["t"] - data.y
    return error @ data.x @ error / 2


def quadratic_task(seed: int, n: int = 4) -> tuple[Params, Task]:
    """A start, and a task with one quadratic as support and another as query; curvatures between
    0.1 and 3."""
    generator = seeded(seed)

    def draw():
        axes, _ = torch.linalg.qr(torch.randn(n, n, generator=generator))
        curvatures = 0.1 + 2.9 * torch.rand(n, generator=generator)
        return Data(axes @ torch.diag(curvatures) @ axes.T, torch.randn(n, generator=generator))

    return {"t": torch.randn(n, generator=generator)}, Task(draw(), draw())

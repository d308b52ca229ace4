"""Reptile at its published settings, as its authors' code has them: Adam's second moments go on
from task to task and to the test, and the net is theirs."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlkit.bank.experiment import Device, Experiment, first_losses
from mamlkit.boundary import inner_loop
from mamlkit.evaluate import evaluate
from mamlkit.families.minibatches import minibatched
from mamlkit.inner import repeated
from mamlkit.layers import batch_norm, strided_conv
from mamlkit.learner import Learner
from mamlkit.losses import Loss, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net, scaled, strided_convnet, xavier
from mamlkit.optimizer import Optimizer, adam, annealed, linear, sgd
from mamlkit.studies.image_methods import pictures
from mamlkit.studies.variant_methods import Setting
from mamlkit.studies.variants_images import (
    TEST,
    Plan,
    cost,
    published_cells,
    steps,
    tasks_of,
)
from mamlkit.task import Task, sample
from mamlkit.train import Step
from mamlkit.trees import Params, grad, ravel

SQUARES, AGE = "squares.", "squares.age"
PARTS = 20  # of a training: its Steps


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """The published settings, with the authors' Adam and their net."""
    found = published_cells(100_000, 1_000, budget, seeds)
    return {
        cell: dict(setting) | dict(moments="kept", net="Reptile's")
        for cell, setting in found.items()
    }


def unpadded_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of stride 2 without padding, as a matrix product. Shapes: see
    `strided_conv`; maps are square and of odd size."""
    x, end = x.permute(0, 2, 3, 1), x.shape[-1] - 2
    patches = [x[:, i : i + end : 2, j : j + end : 2] for i in range(3) for j in range(3)]
    product = torch.cat(patches, -1) @ weight.permute(2, 3, 1, 0).flatten(0, 2)
    return (product + bias).permute(0, 3, 1, 2)


def net_of(ways: int) -> Net:
    """The authors' Omniglot net: as MAML's, but the last two convolutions are not padded, so that
    28x28 pixels end as one place of 64 numbers; batch norm has a scale, and the head begins as the
    convolutions do."""
    ours = scaled(strided_convnet(ways))

    def init(generator):
        params = ours.init(generator)
        return params | {"layer4.weight": xavier(generator, (ways, 64))}

    def forward(params, x):
        for i, conv in enumerate((strided_conv, strided_conv, unpadded_conv, unpadded_conv)):
            x = conv(x, params[f"layer{i}.weight"], params[f"layer{i}.bias"])
            x = F.relu(batch_norm(x, params[f"norm{i}.beta"], params[f"norm{i}.scale"]))
        return F.linear(x.flatten(1), params["layer4.weight"], params["layer4.bias"])

    return Net(init, forward)


def remembering(loss: Loss, *, alpha: float, steps: int) -> Learner:
    """Reptile whose inner Adam, without momentum, never forgets its second moments.

    They are meta-parameters beside the weights, "squares.NAME", and "squares.age" counts Adam's
    steps. Each task of a meta-batch begins with those that the last meta-batch left, and leaves
    their mean over tasks; the authors' tasks take turns. The meta-gradient of a moment is what it
    was minus what it is after the steps, so that `x - g` replaces it (`going_on`). Source:
    `reptile.py` in github.com/openai/supervised-reptile, where only the trained variables are put
    back after a task.
    """
    inner_loop(loss, alpha, steps)
    rule = adam(alpha, decay=(0.0, 0.999))

    def init(theta):
        empty = {f"{SQUARES}{name}": torch.zeros_like(p) for name, p in theta.items()}
        return theta | empty | {AGE: torch.zeros(()).to(next(iter(theta.values())))}

    def descend(meta, support) -> tuple[list[Params], dict[str, Any]]:
        theta = {name: p for name, p in meta.items() if not name.startswith(SQUARES)}
        vector, unravel = ravel(theta)
        squares, _ = ravel({name: meta[f"{SQUARES}{name}"] for name in theta})
        state = rule.init(vector) | {"second": squares, "count": meta[AGE]}
        visited = [theta]
        for objective in repeated(loss, support, steps):
            gradient = grad(lambda p: objective(unravel(p["all"])))({"all": vector})["all"]
            vector, state = rule.update(gradient, state, vector)
            visited.append(unravel(vector))
        after = {f"{SQUARES}{name}": s for name, s in unravel(state["second"]).items()}
        return visited, after | {AGE: state["count"]}

    def meta_grad(meta, task):
        path, squares = descend(meta, task.support)
        after = path[-1] | squares
        return {name: p - after[name] for name, p in meta.items()}, {
            "loss": loss(path[-1], task.query)
        }

    return Learner(init, lambda meta, support: descend(meta, support)[0], meta_grad)


def going_on(rule: Optimizer, moments: Tensor) -> Optimizer:
    """An outer step for the weights; the moments, where this mask says so, are replaced whole."""

    def update(g, state, x):
        moved, after = rule.update(g, state, x)
        return torch.where(moments.to(x.device), x - g, moved), after

    return Optimizer(rule.init, update)


def plan(setting: Setting, device: Device = "cpu") -> Plan:
    """Algorithm 2 with minibatches inside; outside theta + epsilon (theta_K - theta), epsilon from
    1 to 0."""
    net, n = net_of(setting["way"]), setting["iterations"]
    made = partial(remembering, cross_entropy(net.forward), alpha=setting["alpha"])
    learner = made(steps=setting["steps"])
    images = pictures(setting["images"], "train", str(device))
    drawn = tasks_of(images, setting, queries=1, shots=setting["shots"])
    dealt = minibatched(drawn, examples=setting["examples"], batches=setting["steps"])
    meta = learner.init(net.init(seeded(0)))
    marks, _ = ravel({k: torch.full_like(p, k.startswith(SQUARES)) for k, p in meta.items()})
    rule = going_on(annealed(sgd(1.0), linear(n)), marks.bool())
    return Plan(net, [(learner, n)], dealt, rule, made(steps=setting["test"]))


def answers(net: Net, params: Params, task: Task) -> Tensor:
    """The share of right answers, the queries in one batch with the support: the authors' way."""
    both = net.forward(params, torch.cat([task.support.x, task.query.x]))
    return (both[len(task.support.x) :].argmax(-1) == task.query.y).double().mean()


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """No parameters; "made", how many iterations there were, and "right": accuracy in percent on
    test tasks after each step, (tests, steps + 1)."""
    found, generator, n = plan(setting), seeded(TEST), setting["tests"]
    tests = tasks_of(pictures(setting["images"], "test"), setting)
    each = min(20, n)
    right = [
        evaluate(
            found.at_test,
            step.meta,
            sample(tests, generator, each),
            partial(answers, found.net),
            chunk=1,
        )
        for _ in range(n // each)
    ]
    return {}, {"made": torch.tensor(step.iteration), "right": 100 * torch.cat(right).float()}


HOW = partial(steps, plan, PARTS)
REPTILE_KEPT = Experiment(
    "reptile-5w1s-kept", cells, HOW, measure, partial(first_losses, HOW), cost
)

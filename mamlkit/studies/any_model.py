"""Section 1: one MAML for any model and any loss (claims C001, C006 to C008)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.budget import budget
from mamlkit.bank.experiment import Device, Setting
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import make, pictured, sinusoid, walked
from mamlkit.inner import Alpha
from mamlkit.losses import Forward, Loss, cross_entropy, huber, mse
from mamlkit.machine import seeded
from mamlkit.nets import Net, mlp, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.sequence import gru, transformer
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import Step, train
from mamlkit.trees import Params
from mamlkit.variants.maml import maml

SHOTS = 10
WAVES = sinusoid(shots=SHOTS, queries=10)


class Trial(NamedTuple):
    """A net, the loss it is trained with, its tasks, the inner step, the loss that is measured, and
    a loss whose meta-gradient finite differences can check."""

    net: Net
    loss: Loss
    family: Family
    alpha: Alpha
    measured: Loss
    smooth: Loss


def surrogate(forward: Forward) -> Loss:
    """The policy-gradient surrogate of a one-step policy with unit variance, for actions `data.x`
    towards the goal `data.y`."""

    def loss(params: Params, data: Data) -> Tensor:
        reward = -((data.x - data.y) ** 2)
        advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
        mean = forward(params, torch.ones_like(data.x))
        return (0.5 * (data.x - mean) ** 2 * advantage).mean()

    return loss


def reinforce(forward: Forward) -> Loss:
    """The same with actions drawn from the policy itself: `data.x` is their noise (Algorithm 3,
    lines 5 and 8)."""

    def loss(params, data):
        actions = forward(params, torch.ones_like(data.x)).detach() + data.x
        return surrogate(forward)(params, Data(actions, data.y))

    return loss


def bandit() -> Family:
    """One-step tasks: the goal is A cos(phase) of a wave; x is the noise of the actions."""

    def noise(g, n):
        actions = torch.randn(n, 2, SHOTS, 1, generator=g, device=g.device)
        return WAVES.noise(g, n), actions

    def task(drawn):
        wave, actions = drawn
        goal = (wave.amplitude * torch.cos(wave.phase)).expand(SHOTS, 1)
        return Task(Data(actions[0], goal), Data(actions[1], goal))

    return Family(noise, task)


def signs() -> Family:
    """Is the wave above zero at x? Two classes."""
    label = lambda data: Data(data.x, (data.y[:, 0] > 0).long())
    return Family(WAVES.noise, lambda noise: Task(*(label(data) for data in make(noise))))


def all_but_beta(net: Net, alpha: float) -> dict[str, float]:
    """The step size of every parameter but batch norm's shift, which the authors do not adapt."""
    return {name: alpha for name in net.init(seeded(0)) if "beta" not in name}


def from_goal(forward: Forward) -> Loss:
    """The squared error of a net that is shown nothing but ones: its goal is all it can fit."""
    return lambda params, data: mse(forward)(params, Data(torch.ones_like(data.x), data.y))


def _supervised(net, family, alpha, measure=mse, trained=None) -> Trial:
    loss = (trained or measure)(net.forward)
    return Trial(net, loss, family, alpha, measure(net.forward), loss)


def _policy() -> Trial:
    net = mlp(1, 20, 20, 1)
    forward = net.forward
    return Trial(net, reinforce(forward), bandit(), 0.1, from_goal(forward), surrogate(forward))


def _convnet() -> Trial:
    net = strided_convnet(1, filters=8)
    return _supervised(net, pictured(WAVES), all_but_beta(net, 0.01))


TRIALS: dict[str, Callable[[], Trial]] = {
    "MLP": lambda: _supervised(mlp(1, 40, 40, 1), WAVES, 0.01),
    "ConvNet with batch norm": _convnet,
    "GRU": lambda: _supervised(gru(1, 12, 1), walked(WAVES), 0.01),
    "Transformer": lambda: _supervised(transformer(1, 16, 2, 1), walked(WAVES), 0.01),
    "policy, REINFORCE": _policy,
    "MLP, Huber": lambda: _supervised(mlp(1, 40, 40, 1), WAVES, 0.01, trained=huber),
    "MLP, cross-entropy": lambda: _supervised(mlp(1, 40, 40, 2), signs(), 0.1, cross_entropy),
}


def cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """A cell for each trial, of one seed: what is asked is whether it learns at all."""
    how = dict(
        beta=0.001,
        tasks=25,
        iterations=budget(profile, smoke=3, quick=300, paper=3_000),
        test_tasks=budget(profile, smoke=20, quick=500, paper=500),
    )
    return {
        name.lower().replace(",", "").replace(" ", "-"): dict(method=name, seed=0, **how)
        for name in TRIALS
    }


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """The training of one model, as Steps."""
    trial, generator = TRIALS[setting["method"]](), seeded(setting["seed"], device)
    return train(
        maml(trial.loss, alpha=trial.alpha, steps=1),
        trial.net.init(generator),
        trial.family,
        adam(setting["beta"]),
        generator=generator,
        tasks=setting["tasks"],
        iterations=until or setting["iterations"],
        resume=resume,
    )


def measure(setting: Setting, step: Step):
    """Held-out losses before and after one step: (tasks, 2)."""
    trial = TRIALS[setting["method"]]()
    learner = maml(trial.loss, alpha=trial.alpha, steps=1)
    held_out = sample(trial.family, seeded(40_000), setting["test_tasks"])
    return step.meta, {"held out": evaluate(learner, step.meta, held_out, on_query(trial.measured))}


def cost(setting: Setting) -> float:
    """Seconds of one core."""
    return setting["iterations"] / {"ConvNet with batch norm": 10}.get(setting["method"], 60)

"""Stochastic policies pi_theta(a | x), as values made of pure functions."""

from collections.abc import Callable
from math import log, pi
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mamlkit.boundary import finite, said, whole, wholes
from mamlkit.nets import mlp, xavier
from mamlkit.trees import Params

FLOOR = log(1e-6)  # the least log standard deviation


class Policy(NamedTuple):
    """init: generator -> parameters. forward: (parameters, observations (steps, ...)) ->
    distributions over actions, a pytree whose tensors lead with the axis `steps`. draw:
    (distributions, generator) -> actions (steps, ...). log_prob: (distributions, actions) ->
    (steps,). kl: (old, new distributions) -> KL(old || new), (steps,).

    Written for one task: `vmap` adds the tasks axis to all but `draw`, which takes any leading
    axes.
    """

    init: Callable[[Generator], Params]
    forward: Callable[[Params, Tensor], Any]
    draw: Callable[[Any, Generator], Tensor]
    log_prob: Callable[[Any, Tensor], Tensor]
    kl: Callable[[Any, Any], Tensor]


class Gaussian(NamedTuple):
    """Independent normal distributions, one a step and action: both (steps, actions)."""

    mean: Tensor
    log_std: Tensor


def gaussian(
    observations: int,
    actions: int,
    *,
    hidden: tuple[int, ...] = (100, 100),
    std: float = 1.0,
    activation: Callable[[Tensor], Tensor] = F.relu,
) -> Policy:
    """A normal distribution whose mean is a fully connected net of the observation: the policy of
    section 5.3.

    Two hidden layers of 100 ReLU units, Xavier weights, zero biases. The log standard deviation
    does not depend on the observation, starts at log `std` (above 0), is floored at log 1e-6, and
    is a parameter: the inner steps move it too, as in the authors' code. 10,604 parameters with 2
    observations and 2 actions. Raises ValueError for std out of range.
    """
    wholes(observations=observations, actions=actions)
    if not isinstance(hidden, tuple | list):
        raise ValueError(f"hidden is {said(hidden)}: it must be a tuple of layer sizes")
    for size in hidden:
        whole("a size in hidden", size)
    if not (finite(std) and std > 0):
        raise ValueError(
            f"std is {said(std)}: a standard deviation must be a finite number above 0"
        )
    net = mlp(observations, *hidden, actions, activation=activation, weight=xavier)

    def init(generator):
        return net.init(generator) | {
            "log_std": torch.full((actions,), log(std), device=generator.device)
        }

    def forward(params, observation):
        mean = net.forward(params, observation)
        return Gaussian(mean, params["log_std"].clamp_min(FLOOR).expand_as(mean))

    def draw(dist, generator):
        return dist.mean + dist.log_std.exp() * torch.randn(
            dist.mean.shape, generator=generator, device=generator.device
        )

    def log_prob(dist, action):
        away = (action - dist.mean) * (-dist.log_std).exp()
        return (-0.5 * away.square() - dist.log_std - 0.5 * log(2 * pi)).sum(-1)

    def kl(old, new):
        spread = (2 * (old.log_std - new.log_std)).exp()
        shift = ((old.mean - new.mean) * (-new.log_std).exp()).square()
        return (new.log_std - old.log_std + (spread + shift - 1) / 2).sum(-1)

    return Policy(init, forward, draw, log_prob, kl)

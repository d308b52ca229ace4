"""The outer optimizer as two pure functions: what is saved and resumed is data, and compiled code
can hold it."""

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.boundary import finite, not_negative, positive, whole, within


class Optimizer(NamedTuple):
    """init: parameters -> state. update: (gradient, state, parameters) -> (parameters, state).

    Parameters, gradient and state are tensors of one shape (`train` keeps all parameters in one
    vector).
    """

    init: Callable[[Tensor], Any]
    update: Callable[[Tensor, Any, Tensor], tuple[Tensor, Any]]


def adam(beta: float, *, decay: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> Optimizer:
    """Adam, as `torch.optim.Adam` computes it. beta: the meta step size of Algorithm 1, line 8,
    above 0. decay: of the two averages, 0 or more and below 1. eps: 0 or more. Raises ValueError
    for numbers out of range.

    >>> rule = adam(0.1)
    >>> x = torch.tensor([1.0, 2.0])
    >>> moved, state = rule.update(torch.tensor([3.0, -3.0]), rule.init(x), x)
    >>> moved
    tensor([0.9000, 2.1000])
    """
    positive("beta", beta, "the meta step size")
    not_negative("eps", eps, "what keeps Adam from dividing by 0")
    if not (isinstance(decay, tuple | list) and len(decay) == 2) or not all(
        finite(d) and 0 <= d < 1 for d in decay
    ):
        raise ValueError(
            f"decay is {decay!r:.60}: Adam's averages decay by two numbers from 0 to below 1"
        )
    d1, d2 = decay

    def init(x):
        return {
            "count": torch.zeros((), dtype=x.dtype, device=x.device),
            "first": torch.zeros_like(x),
            "second": torch.zeros_like(x),
        }

    def update(g, state, x):
        count = state["count"] + 1
        first = torch.lerp(state["first"], g, 1 - d1)
        second = d2 * state["second"] + (1 - d2) * g * g
        size = beta / (1 - d1**count)
        scale = (second / (1 - d2**count)).sqrt() + eps
        return x - size * first / scale, {"count": count, "first": first, "second": second}

    return Optimizer(init, update)


def sgd(beta: float) -> Optimizer:
    """Plain gradient descent: Algorithm 1, line 8, as it is written. beta: the step size, above
    0."""
    positive("beta", beta, "the meta step size")
    return Optimizer(lambda x: {}, lambda g, state, x: (x - beta * g, state))


def annealed(optimizer: Optimizer, schedule: Callable[[Tensor], Tensor]) -> Optimizer:
    """The same optimizer with steps that change size: meta-update i = 0, 1, ... goes schedule(i) of
    its way.

    For Adam and gradient descent this is the same as changing beta. schedule: `cosine` or `linear`.
    """

    def init(x):
        return optimizer.init(x) | {"age": torch.zeros((), dtype=x.dtype, device=x.device)}

    def update(g, state, x):
        moved, after = optimizer.update(
            g, {name: s for name, s in state.items() if name != "age"}, x
        )
        return x + schedule(state["age"]) * (moved - x), after | {"age": state["age"] + 1}

    return Optimizer(init, update)


def cosine(iterations: int, end: float = 0.0) -> Callable[[Tensor], Tensor]:
    """A schedule that falls from 1 to `end` in `iterations` meta-updates, along half a cosine, and
    stays there.

    MAML++ anneals its Adam from 1e-3 to 1e-5 so, end = 0.01 (Loshchilov & Hutter 2017, without
    restarts).
    """
    _falls(iterations, end)
    return lambda i: end + (1 - end) * (1 + torch.cos(pi * (i / iterations).clamp(max=1))) / 2


def linear(iterations: int, end: float = 0.0) -> Callable[[Tensor], Tensor]:
    """A schedule that falls from 1 to `end` in `iterations` meta-updates, along a line, and stays
    there (Reptile's)."""
    _falls(iterations, end)
    return lambda i: 1 + (end - 1) * (i / iterations).clamp(max=1)


def _falls(iterations, end):
    whole("iterations", iterations)
    within("end", end, 0, 1)

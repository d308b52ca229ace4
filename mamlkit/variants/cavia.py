"""CAVIA: Zintgraf, Shiarlis, Kurin, Hofmann & Whiteson 2019, "Fast Context Adaptation via
Meta-Learning"."""

import torch
from torch import Tensor

from mamlkit.boundary import inner_loop
from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss


def cavia(loss: Loss, *, alpha: float | Tensor, steps: int) -> Learner:
    """Only a context vector adapts, from 0 on every task; all else is shared by the tasks, and
    meta-learned.

    loss: its model reads the context from params["context"], as a net made by `nets.with_context`
    does; the model is refused if it has none. alpha: the context's step size, one number or tensor
    (1.0 in the paper's regression). The context itself is not meta-learned: whatever it holds,
    adaptation starts at 0 and its meta-gradient is 0. Source: section 3.1 there, Algorithm 1.
    """
    if isinstance(alpha, dict):
        raise ValueError(
            f"alpha names {list(alpha)}: in CAVIA only the context adapts, so its alpha is one "
            "number or tensor"
        )
    inner_loop(loss, alpha, steps)

    def inner(theta, support):
        if "context" not in theta:
            raise ValueError(
                "CAVIA adapts the parameter called context and this model has none; "
                "nets.with_context gives it one"
            )
        start = theta | {"context": torch.zeros_like(theta["context"])}
        sizes: Alpha = {"context": alpha}
        return adapt(start, repeated(loss, support, steps), [sizes] * steps)

    return unrolled(loss, inner)

"""Is a meta-gradient right? Finite differences in double precision, for any learner."""

import torch
from torch import Generator, Tensor

from mamlkit.learner import Learner
from mamlkit.task import Task
from mamlkit.trees import Params, dot, tree_map


def double(tree):
    """The same tree in float64; integers stay."""
    return tree_map(lambda t: t.double() if t.is_floating_point() else t, tree)


def random_direction(params: Params, generator: Generator) -> Params:
    """A random unit vector of the parameters' shape."""
    direction = {
        k: torch.randn(p.shape, generator=generator, device=p.device, dtype=p.dtype)
        for k, p in params.items()
    }
    return {k: d / dot(direction, direction).sqrt() for k, d in direction.items()}


def finite_difference_gap(learner: Learner, meta: Params, task: Task, direction: Params) -> float:
    """How far the meta-gradient along `direction` is from central differences of the loss, relative
    to its norm.

    The best of three step sizes: a larger one is ruled by curvature, a smaller one by rounding. Use
    float64. A first-order learner's gap is not small: its meta-gradient is not the derivative of
    its loss.
    """

    def loss(size) -> Tensor:
        moved = {k: p + size * direction[k] if k in direction else p for k, p in meta.items()}
        return learner.meta_grad(moved, task)[1]["loss"]

    gradient = learner.meta_grad(meta, task)[0]
    along = dot({k: gradient[k] for k in direction}, direction)
    norm = dot(gradient, gradient).sqrt()
    gaps = [abs((loss(e) - loss(-e)) / (2 * e) - along) / norm for e in (1e-4, 1e-5, 1e-6)]
    return torch.stack(gaps).nan_to_num(nan=torch.inf).min().item()  # NaN is no small gap

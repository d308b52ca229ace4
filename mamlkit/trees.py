"""Arithmetic on parameters: a model is a plain dict of named tensors."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

Params = dict[str, Tensor]

__all__ = ["Params", "dot", "partition", "ravel", "tree_flatten", "tree_map"]


def dot(a: Params, b: Params) -> Tensor:
    """The inner product of two parameter dicts with the same names and shapes; a scalar."""
    if a.keys() != b.keys():
        raise ValueError(f"dot needs the same names on both sides, got {sorted(a)} and {sorted(b)}")
    # the sum of no parameters is the number 0
    return sum((a[name] * b[name]).sum() for name in a)  # pyright: ignore[reportReturnType]


def partition(params: Params, names: Iterable[str]) -> tuple[Params, Params]:
    """Splits `params` into (those in `names`, the others); the order of `params` is kept.

    Raises ValueError if a name is not a parameter.
    """
    names = set(names)
    if unknown := names - set(params):
        raise ValueError(f"no parameter is called {sorted(unknown)}; there are {list(params)}")
    return {k: p for k, p in params.items() if k in names}, {
        k: p for k, p in params.items() if k not in names
    }


def ravel(params: Params) -> tuple[Tensor, Callable[[Tensor], Params]]:
    """One vector that holds all of `params`, and the function that names its parts again (views, no
    copies)."""
    names, shapes = list(params), [p.shape for p in params.values()]
    sizes = [p.numel() for p in params.values()]

    def unravel(vector: Tensor) -> Params:
        parts = vector.split(sizes)
        return {name: part.view(shape) for name, part, shape in zip(names, parts, shapes)}

    return torch.cat([p.reshape(-1) for p in params.values()]), unravel

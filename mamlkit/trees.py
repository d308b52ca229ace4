"""Arithmetic on parameters: a model is a plain dict of named tensors."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

Params = dict[str, Tensor]

__all__ = [
    "Params",
    "dependent",
    "depending",
    "dot",
    "grad",
    "nth",
    "partition",
    "plainly",
    "ravel",
    "tree_flatten",
    "tree_map",
]

_INSIDE = ContextVar("inside a plain gradient", default=False)
_DEPENDING = ContextVar("a loss must depend on its parameters", default=False)


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


def nth(tree, i: int):
    """The i-th part of every tensor of a tree: of a batch of tasks, task i."""
    return tree_map(lambda t: t[i], tree)


def ravel(params: Params) -> tuple[Tensor, Callable[[Tensor], Params]]:
    """One vector that holds all of `params`, and the function that names its parts again (views, no
    copies)."""
    names, shapes = list(params), [p.shape for p in params.values()]
    sizes = [p.numel() for p in params.values()]

    def unravel(vector: Tensor) -> Params:
        parts = vector.split(sizes)
        return {name: part.view(shape) for name, part, shape in zip(names, parts, shapes)}

    return torch.cat([p.reshape(-1) for p in params.values()]), unravel


@contextmanager
def depending() -> Iterator[None]:
    """While this lasts, a plain gradient of what does not depend on the parameters is refused with
    ValueError: once, before a run, since it trains nothing."""
    token = _DEPENDING.set(True)
    try:
        yield
    finally:
        _DEPENDING.reset(token)


def dependent(value: Tensor, params: Params) -> Tensor:
    """`value`, a loss inside a plain gradient. Raises ValueError while `depending` lasts, if it
    does not depend on the parameters."""
    if _DEPENDING.get() and params and plainly() and not value.requires_grad:
        some = ", ".join(list(params)[:3]) + (", ..." if len(params) > 3 else "")
        raise ValueError(
            f"the loss does not depend on the parameters {some}, and nothing would be learned: "
            "something in it cuts them off, e.g. .detach(), .item(), numpy, torch.no_grad() or "
            "argmax"
        )
    return value


def plainly() -> bool:
    """Is nothing at work but plain autograd: no `torch.func` transform, no compiler?

    For a task at a time: torch's own kernels are right there at second order, and much
    faster than what a transform or a compiler can look through.
    """
    return not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())


def grad(f: Callable, *, has_aux: bool = False, constant: bool = False) -> Callable:
    """`torch.func.grad` of a function whose first argument is a parameter dict.

    Without a transform or a compiler around it, where autograd itself records nothing, it is plain
    autograd: the same numbers, a tenth sooner. has_aux: f returns (value, aux), and the result is
    (gradient, aux). constant: the gradient is a constant to whatever differentiates it.
    """

    def gradient(params, *args):
        recorded = torch.is_grad_enabled()
        if not plainly() or recorded and not _INSIDE.get():
            found = torch.func.grad(f, has_aux=has_aux)(params, *args)
            if not constant:
                return found
            g, aux = found if has_aux else (found, None)
            g = tree_map(Tensor.detach, g)
            return (g, aux) if has_aux else g
        create = recorded and not constant
        token = _INSIDE.set(True)
        try:
            with torch.enable_grad():
                leaves = {
                    name: p if create and p.requires_grad else p.detach().requires_grad_()
                    for name, p in params.items()
                }
                result = f(leaves, *args)
        finally:
            _INSIDE.reset(token)
        value, aux = result if has_aux else (result, None)
        if not value.requires_grad:  # it does not depend on the parameters
            dependent(value, params)
            g = {name: torch.zeros_like(p) for name, p in params.items()}
        else:
            found = torch.autograd.grad(
                value, list(leaves.values()), create_graph=create, materialize_grads=True
            )
            g = dict(zip(leaves, found, strict=True))
        return (g, aux if create else tree_map(Tensor.detach, aux)) if has_aux else g

    return gradient

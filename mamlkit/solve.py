"""Linear systems known only by their products with a vector: iMAML's meta-gradient, TRPO's step."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor

from mamlkit.boundary import whole
from mamlkit.trees import Params, ravel


@overload
def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, *, iterations: int, tolerance: float = 1e-10
) -> Tensor: ...


@overload
def conjugate_gradient(
    product: Callable[[Params], Params], b: Params, *, iterations: int, tolerance: float = 1e-10
) -> Params: ...


def conjugate_gradient(
    product: Callable[[Any], Any], b: Any, *, iterations: int, tolerance: float = 1e-10
) -> Any:
    """Solves A x = b, with A symmetric and positive definite, from products v -> A v alone
    (Hestenes & Stiefel 1952).

    b: a vector (n,) or a parameter dict; `product` takes and gives, and the solution has, the same
    form. iterations: how many products are taken, 1 or more; n are enough where arithmetic is
    exact. Inside `vmap` every system takes as many: one whose residual has fallen to `tolerance`
    times |b| stands still from then on, and so does one that meets a direction without positive
    curvature, where A is not what the method needs. A value that is not finite is handed on, never
    hidden. Raises ValueError for fewer than 1 iteration.
    """
    whole("iterations", iterations)
    if isinstance(b, dict):
        vector, unravel = ravel(b)

        def flat(v):
            named = product(unravel(v))
            return ravel({name: named[name] for name in b})[0]

        return unravel(conjugate_gradient(flat, vector, iterations=iterations, tolerance=tolerance))

    x, residual, direction, square = torch.zeros_like(b), b, b, b @ b
    enough = tolerance**2 * square
    for _ in range(iterations):
        image = product(direction)
        curvature = direction @ image
        done = (square <= enough) | (curvature <= 0)
        size = torch.where(done, 0.0, square / curvature)
        x, residual = x + size * direction, residual - size * image
        before, square = square, residual @ residual
        direction = torch.where(done, direction, residual + square / before * direction)
    return x

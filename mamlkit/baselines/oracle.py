"""The exact oracle of the sinusoid tasks: every wave is a sin x + b cos x, so two points decide
it."""

import torch
from torch import Tensor

from mamlkit.task import Data


def sine_fit(data: Data) -> Tensor:
    """Least squares of y on sin x and cos x: the coefficients (a, b), in float64. Two or more
    points give them exactly.

    Since A sin(x - phase) = (A cos phase) sin x - (A sin phase) cos x.
    """
    basis, y = _basis(data.x), data.y.squeeze(-1).double()
    return torch.linalg.solve(basis.T @ basis, basis.T @ y)


def sine(coefficients: Tensor, x: Tensor) -> Tensor:
    """The wave with these coefficients at x (points, 1); (points, 1)."""
    return (_basis(x) @ coefficients).unsqueeze(-1)


def _basis(x):
    x = x.squeeze(-1).double()
    return torch.stack([torch.sin(x), torch.cos(x)], -1)

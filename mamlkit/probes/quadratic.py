"""Tasks that can be solved on paper: quadratic losses, with the best start before a step and after
one in closed form."""

from math import cos, pi, sin
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.boundary import finite, said
from mamlkit.trees import Params


class Quadratic(NamedTuple):
    """A task with the loss 1/2 (theta - c)' A (theta - c): its optimum is `c` (n,), its curvature
    `A` (n, n), symmetric and positive definite. A batch of tasks has a leading tasks axis."""

    A: Tensor
    c: Tensor


def loss(params: Params, task: Quadratic) -> Tensor:
    """The loss of one task at params["theta"] (n,): a scalar."""
    error = params["theta"] - task.c
    return error @ task.A @ error / 2


def joint_optimum(tasks: Quadratic) -> Params:
    """The start that training on all tasks at once ends in: [sum A_i] theta = sum A_i c_i."""
    return _lowest(tasks.A, tasks.c)


def maml_optimum(tasks: Quadratic, alpha: float) -> Params:
    """The start with the least loss after one inner step of size `alpha` (any number) on each task.

    A step leaves the error M_i (theta - c_i) with M_i = I - alpha A_i, so theta solves [sum M_i'
    A_i M_i] theta = sum M_i' A_i M_i c_i. Raises ValueError where a step solves every task from
    anywhere.
    """
    M = torch.eye(tasks.c.shape[-1], dtype=tasks.c.dtype) - alpha * tasks.A
    return _lowest(M.mT @ tasks.A @ M, tasks.c)


def three_tasks(*, spread: float = 2.0, anisotropy: float = 2.0) -> Quadratic:
    """Three tasks in a plane, the picture of Figure 1. The steepest curvature of all is 1, so alpha
    below 1 is safe.

    spread: how many times task 1 is steeper than task 3, 1 or more. anisotropy: how many times each
    task is steeper along one axis than across it, 1 or more; the axes of the tasks point different
    ways. Float64.
    """
    for name, value in {"spread": spread, "anisotropy": anisotropy}.items():
        if not (finite(value) and value >= 1):
            raise ValueError(f"{name} is {said(value)}: it must be a finite number of 1 or more")
    angles = [0.35 + i * pi / 3 for i in range(3)]
    axes = [
        torch.tensor([[cos(a), -sin(a)], [sin(a), cos(a)]], dtype=torch.float64) for a in angles
    ]
    shape = torch.diag(torch.tensor([1.0, 1 / anisotropy], dtype=torch.float64))
    A = torch.stack([spread ** (-i / 2) * R @ shape @ R.T for i, R in enumerate(axes)])
    return Quadratic(A, torch.tensor([[-2.2, -1.2], [2.4, -1.0], [0.2, 2.2]], dtype=torch.float64))


def _lowest(H, c):
    """Where the sum of 1/2 (theta - c_i)' H_i (theta - c_i) is lowest."""
    try:
        return {"theta": torch.linalg.solve(H.sum(0), (H @ c.unsqueeze(-1)).sum(0)).squeeze(-1)}
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage], public there
        raise ValueError(
            "every start is as good as any other: the tasks do not decide which is lowest"
        ) from None

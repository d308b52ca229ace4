"""The tangent kernel of a network: what one small gradient step can do (our own questions X001 to
X003)."""

import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp

from mamlkit.losses import Forward, Loss
from mamlkit.task import Data
from mamlkit.trees import Params


def tangent_kernel(forward: Forward, params: Params, x: Tensor) -> Tensor:
    """K(x, x') = J(x) J(x')^T with J = d forward / d params, for a net with one output; x (points,
    1), K (points, points)."""
    jacobian = jacrev(lambda p: forward(p, x).squeeze(-1))(params)
    rows = torch.cat([j.flatten(1) for j in jacobian.values()], 1)
    return rows @ rows.T


def alignment(kernel: Tensor, plane: Tensor) -> Tensor:
    """How far a kernel points along the space spanned by the columns of `plane` (points, k): <K, S
    S^T> / |K| |S S^T|.

    Frobenius products; between 0 and 1 for a kernel without negative eigenvalues.
    """
    target = plane @ plane.T
    return (kernel * target).sum() / (kernel.norm() * target.norm())


def linearised_step(
    forward: Forward, loss: Loss, params: Params, support: Data, alpha: float, x: Tensor
) -> Tensor:
    """The outputs at x after one gradient step, to first order in alpha: f(x) - alpha J(x) grad
    L."""
    gradient = grad(loss)(params, support)
    # jvp gives two values without has_aux; its stub says two or three
    now, change = jvp(  # pyright: ignore[reportAssignmentType]
        lambda p: forward(p, x), (params,), (gradient,)
    )
    return now - alpha * change


def sharpness(forward: Forward, params: Params, x: Tensor) -> Tensor:
    """The largest eigenvalue of (2 / n) J J^T at the inputs x (n, 1): how sharply the mean squared
    error on them curves, to the Gauss-Newton approximation.

    Gradient descent on that loss is stable while it stays below 2 / alpha. A scalar. Source: Cohen
    et al. 2021, "Gradient descent on neural networks typically occurs at the edge of stability".
    """
    return 2 / len(x) * torch.linalg.eigvalsh(tangent_kernel(forward, params, x))[-1]

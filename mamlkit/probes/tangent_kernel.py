"""The tangent kernel of a network: what one small gradient step can do (our own questions X001 to
X003)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp

from mamlkit.losses import Forward, Loss
from mamlkit.task import Data
from mamlkit.trees import Params, partition


def tangent_kernel(forward: Forward, params: Params, x: Tensor) -> Tensor:
    """K(x, x') = J(x) J(x')^T with J = d forward / d params, for a net with one output; x (points,
    1), K (points, points). Raises ValueError for a net with more outputs."""

    def outputs(p):
        found = forward(p, x)
        if found.shape != (len(x), 1):
            raise ValueError(
                f"the net gives outputs of shape {tuple(found.shape)} at {len(x)} inputs: one "
                "number for each is needed, (points, 1)"
            )
        return found.squeeze(-1)

    jacobian = jacrev(outputs)(params)
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


def reach(
    forward: Forward,
    roots: Callable[[Tensor], Tensor],
    params: Params,
    alpha: Mapping[str, float | Tensor],
    x: Tensor,
) -> Tensor:
    """alpha x sharpness / 2 at the inputs x: at 1 gradient descent with that alpha is at the edge
    of stability, to the Gauss-Newton approximation.

    roots: `of_squares` or `of_softmax`, a square root of the loss's curvature in the outputs of
    each example. alpha: the step size of each parameter that adapts, one number or one for each of
    its numbers. It is half the largest eigenvalue of S^T J A J^T S, with J = d forward / d params
    (examples outputs, params), A the step sizes and S the roots. A scalar. Source: as `sharpness`;
    with several step sizes, preconditioned.
    """
    adapted, fixed = partition(params, alpha)
    jacobian = jacrev(lambda p: forward(fixed | p, x))(adapted)
    kernel = sum(
        torch.einsum("iap,jbp->iajb", (alpha[k] * j).flatten(2), j.flatten(2))
        for k, j in jacobian.items()
    )
    s = roots(forward(params, x))
    curved = torch.einsum("iac,iajb,jbd->icjd", s, kernel, s)
    return torch.linalg.eigvalsh(curved.flatten(2).flatten(0, 1))[-1] / 2


def of_squares(outputs: Tensor) -> Tensor:
    """A square root of the mean squared error's curvature in each example's outputs: (examples,
    outputs, outputs)."""
    eye = torch.eye(outputs.shape[1], dtype=outputs.dtype, device=outputs.device)
    return (2 / outputs.numel()) ** 0.5 * eye.expand(len(outputs), *eye.shape)


def of_softmax(outputs: Tensor) -> Tensor:
    """A square root of the mean cross-entropy's curvature in each example's logits, diag(p) - p p^T
    with p = softmax(logits): (examples, outputs, outputs)."""
    p = outputs.softmax(-1)
    return (torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)) / len(p) ** 0.5

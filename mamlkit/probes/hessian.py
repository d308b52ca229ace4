"""The Hessian as it acts on a vector, and its two parts: the loss's curvature, and the network's
own."""

from collections.abc import Callable

from torch import Tensor
from torch.func import grad, jvp, vjp

from mamlkit.losses import Forward, Loss
from mamlkit.task import Data
from mamlkit.trees import Params, dot


def hessian_product(objective: Callable[[Params], Tensor], params: Params, v: Params) -> Params:
    """H v, the Hessian of a scalar objective times a vector: one more backward pass, no matrix.

    v: the names and shapes of `params`. Source: section 2.2, "an additional backward pass through f
    to compute Hessian-vector products".
    """
    return grad(lambda p: dot(grad(objective)(p), v))(params)


def gauss_newton_product(
    forward: Forward, measure: Callable[[Forward], Loss], params: Params, data: Data, v: Params
) -> Params:
    """G v with G = J^T L'' J, J = d forward / d params: all that is left of H when the network is
    linear in its parameters.

    measure: `losses.mse` or `losses.cross_entropy`, L'' its curvature in the network's outputs. H -
    G is the curvature of the network itself. Source: Schraudolph 2002, "Fast curvature
    matrix-vector products".
    """
    # jvp gives two values without has_aux; its stub says two or three
    outputs, change = jvp(  # pyright: ignore[reportAssignmentType]
        lambda p: forward(p, data.x), (params,), (v,)
    )
    of_outputs = measure(lambda outputs, x: outputs["f"])
    bent = hessian_product(lambda p: of_outputs(p, data), {"f": outputs}, {"f": change})["f"]
    return vjp(lambda p: forward(p, data.x), params)[1](bent)[0]

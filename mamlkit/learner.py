"""A meta-learning algorithm is a value: three pure functions, each of which sees ONE task."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor
from torch.func import grad

from mamlkit.task import Task
from mamlkit.trees import Params

Aux = dict[str, Tensor]


class Learner(NamedTuple):
    """init: model params -> meta-params. adapt: (meta-params, support) -> path of model params,
    theta_0 ... theta_K. meta_grad: (meta-params, task) -> (meta-gradient, aux), aux["loss"] being
    the query loss after adaptation.

    Write them for one task: `train` and `evaluate` add the tasks axis with `vmap`.
    """

    init: Callable[[Params], Params]
    adapt: Callable[[Params, Any], list[Params]]
    meta_grad: Callable[[Params, Task], tuple[Params, Aux]]


def unrolled(
    loss: Callable[[Params, Any], Tensor],
    adapt: Callable[[Params, Any], list[Params]],
    init: Callable[[Params], Params] = dict,
) -> Learner:
    """The learner whose meta-gradient differentiates the query loss through the inner steps that
    `adapt` takes.

    Source: equation 1, Algorithm 1 line 8; section 2.2: "a gradient through a gradient".
    """

    def meta_objective(meta, task):
        value = loss(adapt(meta, task.support)[-1], task.query)
        return value, {"loss": value}

    return Learner(init, adapt, grad(meta_objective, has_aux=True))

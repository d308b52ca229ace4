"""A meta-learning algorithm is a value: three pure functions, each of which sees ONE task."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.boundary import batched, scalar
from mamlkit.losses import Loss
from mamlkit.memory import out_of_memory
from mamlkit.task import Task
from mamlkit.trees import Params, depending, grad

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
    loss: Loss,
    adapt: Callable[[Params, Any], list[Params]],
    init: Callable[[Params], Params] = dict,
) -> Learner:
    """The learner whose meta-gradient differentiates the query loss through the inner steps that
    `adapt` takes.

    Source: equation 1, Algorithm 1 line 8; section 2.2: "a gradient through a gradient".
    """

    def meta_objective(meta, task):
        value = scalar(loss(adapt(meta, task.support)[-1], task.query))
        return value, {"loss": value}

    return Learner(init, adapt, grad(meta_objective, has_aux=True))


@torch.no_grad()  # as training and evaluation run it: nothing is kept of the way
def begun(learner: Learner, meta: Params, support: Any, *, exact: bool = True) -> Params:
    """The learner's meta-parameters, whether `meta` is them already or the model's parameters only.

    A learner with meta-parameters of its own, e.g. learned step sizes, would train without them and
    never say so. They are recognised by what they lead to: `adapt` starts at the model's
    parameters, and `init` of those has the names and shapes of `meta`. support: of one task. exact:
    the shapes must agree, not only how many axes there are (MAML++ may take more steps at test time
    than in training). Raises ValueError for parameters that are neither, and for a loss that does
    not depend on them.
    """

    def fits(a, b):
        return a.keys() == b.keys() and all(
            a[k].shape == b[k].shape if exact else a[k].ndim == b[k].ndim for k in a
        )

    def start(meta):
        """The model's parameters that adaptation starts from; none where it fails."""
        try:
            return learner.adapt(meta, support)[0]
        except Exception:
            return {}

    refusals = []

    def initialised(params):
        try:
            return learner.init(params)
        except Exception as error:
            refusals.extend([error] if type(error) is ValueError else [])
            return {}

    whole = initialised(meta)
    if fits(whole, meta) or fits(initialised(start(meta)), meta):
        found = meta
    elif fits(start(whole), meta):
        found = whole
    elif refusals:
        raise refusals[0]
    else:
        raise ValueError(
            f"these parameters, {', '.join(meta)}, are not this learner's: give it "
            "learner.init(params), params being the model's"
        )
    try:
        with depending(), batched():
            learner.adapt(found, support)
    except KeyError as missing:
        raise ValueError(
            f"the parameters {', '.join(meta) or '(none)'} are another model's: this learner's "
            f"model asks for {missing}"
        ) from None
    except (RuntimeError, IndexError) as error:
        if out_of_memory(error):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise ValueError(
            f"the learner cannot adapt these parameters to the support set: {reason}"
        ) from error
    return found

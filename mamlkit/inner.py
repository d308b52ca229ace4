"""Algorithm 1, lines 5 and 6: how parameters adapt to one task. Training, evaluation and RL all call this."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from torch import Tensor
from torch.func import grad

from mamlkit.trees import Params, partition

Objective = Callable[[Params], Tensor]
Alpha = float | Tensor | dict[str, float | Tensor]


def inner_step(params: Params, objective: Objective, alpha: Alpha, *, first_order: bool = False) -> Params:
    """One gradient step on one task: theta' = theta - alpha * grad L(theta).

    params: the model's parameters. objective: params -> scalar loss of the task.
    alpha: the step size, not negative: one number, or a dict that names only what adapts, with a number or a tensor
    for each name; a parameter that it leaves out keeps its value and is not differentiated here.
    first_order: treat the gradient as a constant when the result is differentiated (section 5.2, last paragraph).
    Returns new parameters; `params` is not changed. Raises ValueError for a negative alpha or an unknown name.
    Source: equation in section 2.2, Algorithm 1 line 6.
    """
    alphas = alpha if isinstance(alpha, dict) else dict.fromkeys(params, alpha)
    for a in alphas.values():
        if isinstance(a, (int, float)) and not (isfinite(a) and a >= 0):
            raise ValueError(f"alpha is {a}: a step size must be a finite number that is not negative")
    adapted, fixed = partition(params, alphas)
    gradient = grad(lambda adapted: objective({**fixed, **adapted}))(adapted)
    if first_order:
        gradient = {name: g.detach() for name, g in gradient.items()}
    return params | {name: p - alphas[name] * gradient[name] for name, p in adapted.items()}


def adapt(params: Params, objectives: Sequence[Objective], alphas: Sequence[Alpha], *, first_order: bool = False) -> list[Params]:
    """Several inner steps: the path theta_0 ... theta_K, theta_0 being `params` itself.

    One objective and one alpha per step: `repeated` gives the objectives of supervised learning, where every step
    sees the same data. Raises ValueError if their numbers differ. Source: Algorithm 1 lines 5-6, section 2.2
    ("using multiple gradient updates is a straightforward extension").
    """
    if len(objectives) != len(alphas):
        raise ValueError(f"adapt needs one alpha per step, got {len(objectives)} objectives and {len(alphas)} alphas")
    path = [params]
    for objective, alpha in zip(objectives, alphas):
        path.append(inner_step(path[-1], objective, alpha, first_order=first_order))
    return path


def repeated(loss: Callable[[Params, Any], Tensor], support: Any, steps: int) -> list[Objective]:
    """The objectives of `steps` inner steps on one support set.

    A plain tuple as `support` holds one batch per step (Algorithm 3 samples anew after each update); anything else
    is used at every step. Raises ValueError if `steps` is below 0 or a tuple has another length.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}: the number of inner steps must be 0 or more")
    if type(support) is tuple and len(support) != steps:
        raise ValueError(f"the support holds {len(support)} batches for {steps} inner steps: one batch per step is needed")
    batches = support if type(support) is tuple else (support,) * steps
    return [lambda params, batch=batch: loss(params, batch) for batch in batches]

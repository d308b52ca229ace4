"""Algorithm 1, lines 5 and 6: how parameters adapt to one task. Training, evaluation and RL all
call this."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from mamlkit.boundary import inner_steps, said, scalar, step_size
from mamlkit.losses import Loss
from mamlkit.optimizer import Optimizer
from mamlkit.trees import Params, grad, partition, ravel

Objective = Callable[[Params], Tensor]
Alpha = float | Tensor | dict[str, float | Tensor] | dict[str, float]


def step_sizes(params: Params, alpha: Alpha) -> dict[str, float | Tensor]:
    """An alpha in full: the step size of each parameter that adapts, by name, in the order of
    `params`.

    Raises ValueError for an unknown name, for a number that is negative or not finite, and for a
    tensor that is not real or does not fit its parameter. A tensor may be meta-learned: its sign is
    free, and whether it is finite is asked only outside of `grad` and `vmap`.
    """
    if not isinstance(params, dict):
        raise ValueError(f"the parameters are {said(params)}: they must be a dict of named tensors")
    alphas = alpha if isinstance(alpha, dict) else dict.fromkeys(params, alpha)
    adapted, _ = partition(params, alphas)
    for name, p in adapted.items():
        step_size(alphas[name], p)
    return {name: alphas[name] for name in adapted}


def inner_step(
    params: Params, objective: Objective, alpha: Alpha, *, first_order: bool = False
) -> Params:
    """One gradient step on one task: theta' = theta - alpha * grad L(theta).

    params: the model's parameters. objective: params -> scalar loss of the task.
    alpha: the step size, not negative: one number, or a dict that names only what adapts, with a
    number or a tensor for each name; a parameter that it leaves out keeps its value and is not
    differentiated here. first_order: treat the gradient as a constant when the result is
    differentiated (section 5.2, last paragraph). Returns new parameters; `params` is not changed.
    Raises ValueError for a negative alpha, an unknown name or a loss that is not one number.
    Source: equation in section 2.2, Algorithm 1 line 6.

    >>> import torch
    >>> theta = {"w": torch.tensor(3.0)}
    >>> inner_step(theta, lambda p: p["w"] ** 2, 0.1)
    {'w': tensor(2.4000)}
    """
    alphas = step_sizes(params, alpha)
    adapted, fixed = partition(params, alphas)
    loss = lambda adapted: scalar(objective({**fixed, **adapted}))
    gradient = grad(loss, constant=first_order)(adapted)
    return params | {name: p - alphas[name] * gradient[name] for name, p in adapted.items()}


def adapt(
    params: Params,
    objectives: Sequence[Objective],
    alphas: Sequence[Alpha],
    *,
    first_order: bool = False,
) -> list[Params]:
    """Several inner steps: the path theta_0 ... theta_K, theta_0 being `params` itself.

    One objective and one alpha per step: `repeated` gives the objectives of supervised learning,
    where every step sees the same data. Raises ValueError if their numbers differ. Source:
    Algorithm 1 lines 5-6, section 2.2 ("using multiple gradient updates is a straightforward
    extension").

    >>> import torch
    >>> squared = lambda p: p["w"] ** 2
    >>> path = adapt({"w": torch.tensor(3.0)}, [squared] * 2, [0.1] * 2)
    >>> [round(p["w"].item(), 4) for p in path]
    [3.0, 2.4, 1.92]
    """
    for name, given in ("objectives", objectives), ("alphas", alphas):
        if not isinstance(given, list | tuple):
            raise ValueError(f"{name} is {said(given)}: it must be a list, one for each step")
    if len(objectives) != len(alphas):
        raise ValueError(
            f"adapt needs one alpha per step, got {len(objectives)} objectives and "
            f"{len(alphas)} alphas"
        )
    path = [params]
    for objective, alpha in zip(objectives, alphas):
        path.append(inner_step(path[-1], objective, alpha, first_order=first_order))
    return path


def adapt_with(
    optimizer: Callable[[float], Optimizer],
) -> Callable[[Params, Sequence[Objective], Sequence[float]], list[Params]]:
    """An `adapt` whose steps are another optimizer's than plain gradient descent, e.g.
    `adapt_with(adam)`.

    optimizer: step size -> Optimizer. Its state starts anew on every task, so that nothing carries
    over from one to another. All parameters adapt: each alpha is one number above 0.
    """

    def path(params, objectives, alphas):
        vector, unravel = ravel(params)
        state, visited = None, [params]
        for objective, alpha in zip(objectives, alphas, strict=True):
            rule = optimizer(alpha)
            state = rule.init(vector) if state is None else state
            gradient = grad(lambda p: scalar(objective(unravel(p["all"]))))({"all": vector})["all"]
            vector, state = rule.update(gradient, state, vector)
            visited.append(unravel(vector))
        return visited

    return path


def repeated(loss: Loss, support: Any, steps: int) -> list[Objective]:
    """The objectives of `steps` inner steps on one support set.

    A plain tuple as `support` holds one batch per step (Algorithm 3 samples anew after each
    update); anything else is used at every step. Raises ValueError if `steps` is no whole number or
    below 0, or a tuple has another length.
    """
    inner_steps(steps)
    if type(support) is tuple and len(support) != steps:
        raise ValueError(
            f"the support holds {len(support)} batches for {steps} inner steps: one batch per step "
            "is needed; inputs and outputs of one support set are Data(x, y)"
        )
    batches = support if type(support) is tuple else (support,) * steps
    return [lambda params, batch=batch: loss(params, batch) for batch in batches]

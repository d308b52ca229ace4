"""Averaging in parameter space: the multi-task baseline of appendix C.1."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import grad_and_value, vmap

from mamlkit.boundary import made_of, not_negative, random_numbers, whole
from mamlkit.losses import Loss
from mamlkit.optimizer import Optimizer
from mamlkit.runners import or_else
from mamlkit.task import Family
from mamlkit.trees import Params, ravel

Penalty = Callable[[Tensor, Tensor], Tensor]


class Average(NamedTuple):
    """params: the mean of all regressors so far. losses: each regressor's error on fresh points of
    its own task."""

    params: Params
    losses: Tensor


def none(vector: Tensor, mean: Tensor) -> Tensor:
    """No regularisation."""
    return vector.new_zeros(())


def l2(weight: float) -> Penalty:
    """Weight decay: weight * |theta|^2. weight: 0 or more."""
    not_negative("weight", weight, "a penalty's weight")
    return lambda vector, mean: weight * (vector * vector).sum()


def to_mean(weight: float) -> Penalty:
    """Decay towards the mean of the regressors trained so far: weight * |theta - mean|^2.

    weight: 0 or more.
    """
    not_negative("weight", weight, "a penalty's weight")
    return lambda vector, mean: weight * ((vector - mean) ** 2).sum()


def average(
    inits: Callable[[Generator], Params],
    loss: Loss,
    family: Family,
    same_task: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    *,
    penalty: Penalty,
    generator: Generator,
    models: int,
    at_once: int,
    iterations: int,
    compiled: bool = False,
) -> Iterator[Average]:
    """Trains `models` regressors, each on a task of its own, and averages their parameters; yields
    after every group.

    inits: generator -> parameters of one regressor. same_task: (noise of the assigned tasks, fresh
    noise) -> noise of the same tasks with fresh examples. penalty: (parameters, mean so far) ->
    what is added to the loss. at_once: the authors train one after another; here groups of this
    size are trained side by side, and "the mean thus far" is the mean of the groups before. Source:
    appendix C.1.
    """
    for name, value in {"models": models, "at_once": at_once, "iterations": iterations}.items():
        whole(name, value)
    if models % at_once:
        raise ValueError(
            f"models is {models} and at_once {at_once}: models must be a multiple of at_once"
        )
    made_of("optimizer", optimizer, ("init", "update"), "adam(0.001) is one")
    made_of("family", family, ("noise", "make"), "sinusoid() is one")
    random_numbers(generator)
    _, unravel = ravel(inits(generator))

    def update(vector, state, noise, mean):
        def objective(v):
            error = loss(unravel(v), family.make(noise).query)
            return error + penalty(v, mean), error

        gradient, (_, error) = grad_and_value(objective, has_aux=True)(vector)
        return *optimizer.update(gradient, state, vector), error

    step = step_ = vmap(update, (0, 0, 0, None))
    if compiled:
        what = f"{at_once} regressors at once"
        step = or_else(lambda: torch.compile(step_, fullgraph=True, dynamic=False), step_, what)
    mean, losses = torch.zeros_like(ravel(inits(generator))[0]), torch.empty(0)
    for group in range(models // at_once):
        vectors = torch.stack([ravel(inits(generator))[0].detach() for _ in range(at_once)])
        state, assigned = vmap(optimizer.init)(vectors), family.noise(generator, at_once)
        for _ in range(iterations):
            fresh = same_task(assigned, family.noise(generator, at_once))
            with torch.no_grad():
                vectors, state, error = step(vectors, state, fresh, mean)
        mean = mean + (vectors.mean(0) - mean) / (group + 1)
        losses = torch.cat([losses, error.cpu()])
        yield Average(unravel(mean), losses)

"""How well a learner adapts: a metric after 0, 1, ... K steps on many tasks."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.learner import Learner
from mamlkit.memory import fitting
from mamlkit.task import Task
from mamlkit.train import Step
from mamlkit.trees import Params, tree_flatten


def evaluate(
    learner: Learner,
    meta: Params,
    tasks: Task,
    metric: Callable[[Params, Task], Tensor],
    *,
    chunk: int = 1000,
) -> Tensor:
    """The metric of the adapted parameters on every task after every step: (tasks, steps + 1), step
    0 first.

    tasks: a batch of tasks, every tensor with a leading tasks axis. metric: (params, one task) ->
    scalar. chunk: how many tasks are held in memory at once; it is halved where memory runs out,
    and a warning says so. Nothing carries over from one task to another.
    """

    def one(task):
        return torch.stack([metric(params, task) for params in learner.adapt(meta, task.support)])

    held = min(chunk, len(tree_flatten(tasks)[0][0]))
    return fitting(lambda chunk: vmap(one, chunk_size=chunk)(tasks), held)[0]


def on_query(loss: Callable) -> Callable[[Params, Task], Tensor]:
    """The metric that is `loss` on the query set: how well the adapted model generalises."""
    return lambda params, task: loss(params, task.query)


def on_support(loss: Callable) -> Callable[[Params, Task], Tensor]:
    """The metric that is `loss` on the support set itself: how well the adapted model fits what it
    has seen."""
    return lambda params, task: loss(params, task.support)


def validated(
    steps: Iterable[Step],
    score: Callable[[Params], Tensor],
    *,
    every: int,
    resume: Step | None = None,
) -> Iterator[Step]:
    """Passes a run's Steps on and keeps in each `best`, the meta-parameters with the highest score
    so far, and all `scores`.

    score: meta-parameters -> scalar on validation tasks, higher is better; asked at Steps whose
    iteration is a multiple of `every`. resume: the Step from which the run goes on; its `best` and
    `scores` are gone on from too. Source: the authors stop early by validation tasks
    (cbfinn/maml#8).
    """
    best, scores = ({}, torch.empty(0, 2)) if resume is None else (resume.best, resume.scores)
    for step in steps:
        if step.iteration % every == 0 and step.iteration not in scores[:, 0]:
            found = torch.tensor([[step.iteration, float(score(step.meta))]])
            best = best if len(scores) and found[0, 1] <= scores[:, 1].max() else step.meta
            scores = torch.cat([scores, found])
        yield step._replace(best=best, scores=scores)

"""How well a learner adapts: a metric after 0, 1, ... K steps on many tasks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.boundary import made_of, parameters, random_numbers, said, whole
from mamlkit.learner import Learner, begun
from mamlkit.losses import Loss
from mamlkit.memory import fastest, fitting, keep_pages, operations, tidied
from mamlkit.task import Data, Family, Task, noise_of, validate
from mamlkit.train import Step
from mamlkit.trees import Params, nth, tree_flatten

Metric = Callable[[Params, Task], Tensor]
HELD = 2**23  # bytes of tasks in memory at once: the activations that they lead to are far larger


def evaluate(
    learner: Learner,
    meta: Params,
    tasks: Task | Family,
    metric: Metric,
    *,
    number: int | None = None,
    generator: Generator | None = None,
    chunk: int | None = None,
) -> Tensor:
    """The metric of the adapted parameters on every task after every step: (tasks, steps + 1), step
    0 first.

    meta: meta-parameters, or the model's parameters, from which `learner.init` makes them. tasks: a
    batch of tasks, every tensor with a leading tasks axis; or a family, of which `number` tasks are
    drawn with `generator`: the tasks that `sample` draws, made a chunk at a time, so that memory
    does not grow with their number. metric: (params, one task) -> scalar, e.g.
    `on_query(mse(net.forward))`. chunk: how many tasks are held in memory at once (None: as many as
    are made of HELD bytes, at most 1000, but see `fastest`); it is halved where memory runs out,
    and a warning says so. Nothing carries over from one task to another. Raises ValueError for
    values that these cannot be.

    >>> from mamlkit.families.sinusoid import sinusoid
    >>> from mamlkit.losses import mse
    >>> from mamlkit.machine import seeded
    >>> from mamlkit.nets import mlp
    >>> from mamlkit.variants.maml import maml
    >>> net = mlp(1, 40, 40, 1)
    >>> loss = mse(net.forward)
    >>> learner, theta = maml(loss, alpha=0.01, steps=3), net.init(seeded(0))
    >>> error = evaluate(
    ...     learner, theta, sinusoid(), on_query(loss), number=600, generator=seeded(1)
    ... )
    >>> error.shape
    torch.Size([600, 4])
    """
    made_of("learner", learner, ("adapt",), "maml(loss, alpha=0.01, steps=1) is one")
    if not callable(metric):
        raise ValueError(
            f"metric is {said(metric)}: it must be a function (params, task) -> scalar, e.g. "
            "on_query(loss)"
        )
    drawn, make = _drawn(tasks, number, generator)
    count = _count(drawn)
    first = validate(make(nth(drawn, 0)))
    meta = begun(learner, parameters(meta), first.support, exact=False)
    device = tree_flatten(drawn)[0][0].device
    keep_pages()

    def one(drawn):
        task = make(drawn)
        found = [metric(params, task) for params in learner.adapt(meta, task.support)]
        for value in found:
            if not isinstance(value, Tensor) or value.ndim:
                raise ValueError(
                    f"the metric gives {said(value)}: it must give one number, as a tensor"
                )
        return torch.stack(found)

    known: list[Tensor] = []  # what was found for the first tasks already
    if chunk is None:
        size = sum(t.numel() * t.element_size() for t in tree_flatten(first)[0])
        each = operations(lambda: known.append(one(nth(drawn, 0))))
        chunk = fastest(max(1, min(1000, HELD // size)), each, device)

    def every(chunk):
        with torch.no_grad():
            if chunk == 1:
                rest = tidied(range(len(known), count))
                return torch.stack([*known, *(one(nth(drawn, i)) for i in rest)])
            return vmap(one, chunk_size=chunk)(drawn)

    return fitting(every, min(whole("chunk", chunk), count))[0]


def _count(drawn: Any) -> int:
    """How many tasks there are. Raises ValueError unless every tensor says so many, 1 or more."""
    leaves = tree_flatten(drawn)[0]
    shapes = [tuple(t.shape) if isinstance(t, Tensor) else said(t) for t in leaves]
    counts = {t.shape[:1] if isinstance(t, Tensor) else None for t in leaves}
    if None in counts or len(counts) != 1 or counts & {torch.Size(), torch.Size([0])}:
        raise ValueError(
            f"the tasks have shapes {', '.join(map(str, shapes)) or 'of nothing'}: every tensor "
            "must have a leading axis of as many tasks, 1 or more"
        )
    return len(leaves[0])


def _drawn(tasks, number, generator) -> tuple[Any, Callable[[Any], Task]]:
    """What is random in the tasks, with a leading tasks axis, and how one task is made of it."""
    if isinstance(tasks, Task):
        if number is not None or generator is not None:
            raise ValueError("number and generator draw from a family: a batch of tasks has both")
        for part in (tasks.support, tasks.query):
            if isinstance(part, Data) and any(isinstance(t, Tensor) and t.ndim < 2 for t in part):
                shapes = " and ".join(f"{k} {said(t)}" for k, t in part._asdict().items())
                raise ValueError(
                    f"the tasks hold {shapes}: every tensor needs a tasks axis before that of the "
                    "examples; one task is a batch of one by t.unsqueeze(0)"
                )
        for leaf in tree_flatten(tasks)[0]:
            if isinstance(leaf, Tensor) and not torch.isfinite(leaf).all():
                raise ValueError("the tasks hold a value that is not finite")
        return tasks, lambda task: task
    made_of("tasks", tasks, ("noise", "make"), "a batch of tasks or a family is needed")
    if number is None or generator is None:
        raise ValueError("of a family, number=... tasks are drawn with generator=...")
    random_numbers(generator)
    return noise_of(tasks, generator, whole("number", number)), tasks.make


def on_query(loss: Loss) -> Metric:
    """The metric that is `loss` on the query set: how well the adapted model generalises."""
    return lambda params, task: loss(params, task.query)


def on_support(loss: Loss) -> Metric:
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
    iteration is a multiple of `every`. A score of NaN is kept among `scores` and is never the best:
    where there is no other, `best` is empty. resume: the Step from which the run goes on; its
    `best` and `scores` are gone on from too. Source: the authors stop early by validation tasks
    (cbfinn/maml#8).
    """
    whole("every", every)
    best, scores = ({}, torch.empty(0, 2)) if resume is None else (resume.best, resume.scores)
    for step in steps:
        if step.iteration % every == 0 and step.iteration not in scores[:, 0]:
            value = torch.as_tensor(score(step.meta))
            if value.numel() != 1:
                raise ValueError(
                    f"the score has shape {tuple(value.shape)}: it must be one number, e.g. a mean"
                )
            found = torch.tensor([[step.iteration, float(value)]])
            best = step.meta if better(found[0, 1], scores[:, 1]) else best
            scores = torch.cat([scores, found])
        yield step._replace(best=best, scores=scores)


def better(score: Tensor, others: Tensor) -> bool:
    """Is a score higher than all the others? NaN never is, and nothing is compared with NaN.

    >>> better(torch.tensor(0.5), torch.tensor([torch.nan, 0.4]))
    True
    >>> better(torch.tensor(torch.nan), torch.tensor([0.4]))
    False
    """
    return not score.isnan() and bool((score > others[~others.isnan()]).all())

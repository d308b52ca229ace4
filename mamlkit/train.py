"""The outer loop of Algorithm 1, as a generator: the caller owns logging, plotting and stopping."""

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import vmap
from torch.utils._pytree import tree_flatten_with_path

from mamlkit.boundary import made_of, parameters, random_numbers, said, whole
from mamlkit.learner import Learner, begun
from mamlkit.machine import restored
from mamlkit.memory import fastest, fitting, keep_pages, operations
from mamlkit.optimizer import Optimizer
from mamlkit.runners import captured, compiled_and_captured, compiled_loop, in_python, or_else
from mamlkit.task import Family, first_task, noise_of
from mamlkit.trees import Params, depending, nth, ravel, tree_flatten, tree_map

LOG = logging.getLogger(__name__)
# iterations: below this, compiling or capturing costs more time than it saves
COMPILE_FROM = {"cpu": 2_000, "cuda": 20}
BOTH_FROM = 10_000  # on a GPU an update is compiled before it is captured


class Step(NamedTuple):
    """Everything that training needs to go on: this tuple is what is checkpointed and resumed.

    iteration: meta-updates done. meta: the meta-parameters. optimizer: its state. generator: its
    state, which draws the tasks of the next block, or of this one where it is not done. losses: the
    meta-batch's mean query loss at each iteration so far, on the CPU. best, scores: what
    `evaluate.validated` keeps, the meta-parameters that did best on validation tasks and all
    (iteration, score) so far.
    """

    iteration: int
    meta: Params
    optimizer: Params
    generator: Tensor
    losses: Tensor
    best: Params = {}
    scores: Tensor = torch.empty(0, 2)


class Spread(NamedTuple):
    """How the tasks of a meta-batch are spread over processes, as two pure functions.

    share: (the noise of a whole meta-batch, chunk) -> the noise of the tasks that this process
    makes, in whole chunks of the meta-batch unless chunk is None. mean: (their meta-gradients by
    parameter, their query losses), each with a leading tasks axis -> (the mean meta-gradient over
    the whole meta-batch as a vector, the mean loss).
    """

    share: Callable[[Any, int | None], Any]
    mean: Callable[[Params, Tensor], tuple[Tensor, Tensor]]


ALONE = Spread(  # one process makes all of them
    lambda noise, chunk: noise,
    lambda gradients, losses: (
        torch.cat([g.mean(0).flatten() for g in gradients.values()]),
        losses.mean(),
    ),
)


def train(
    learner: Learner,
    meta: Params,
    family: Family,
    optimizer: Optimizer,
    *,
    generator: Generator,
    tasks: int,
    iterations: int,
    block: int = 100,
    chunk: int | None = None,
    compiled: bool | None = None,
    resume: Step | None = None,
    spread: Spread = ALONE,
) -> Iterator[Step]:
    """Meta-trains (Algorithm 1), yielding a `Step` after every `block` meta-updates and after the
    last.

    meta: the model's parameters, or `learner.init` of them, which is the same where a learner has
    no meta-parameters of its own. family: p(T). generator: draws the tasks; it
    decides the device. tasks: the meta-batch size. iterations: meta-updates in all. block: how many
    are made between two yields; the noise of a block is drawn at once, so runs that should have the
    same numbers need the same block. chunk: how many tasks are held in memory at once (None: all,
    or the one that is `fastest` where compiled is not True; the log says which); it is halved where
    memory runs out, and a warning says so. compiled: True, False, or None:
    compile when the run is long enough to gain from it; on a GPU an update is captured as one CUDA
    graph, and in a long run compiled before that; where that fails, the run goes on without and a
    warning says so. On a CPU chunks run uncompiled: each would be one more copy of the update in
    the graph. resume: go on from this Step of a run with the same settings instead of from `meta`;
    with more `iterations` the run is lengthened, also where it ended inside a block. spread: how
    several processes share a meta-batch, e.g. `ranks().spread`. A process that shares never halves
    its chunk: it would fall out of step with the others.

    Raises ValueError for settings out of range, for malformed tasks and for a Step of another
    model or optimizer, FloatingPointError naming the iteration and the parameters when a
    meta-gradient is not finite; the parameters are not updated with it.

    >>> from mamlkit.families.sinusoid import sinusoid
    >>> from mamlkit.losses import mse
    >>> from mamlkit.machine import seeded
    >>> from mamlkit.nets import mlp
    >>> from mamlkit.optimizer import adam
    >>> from mamlkit.variants.maml import maml
    >>> net, generator = mlp(1, 40, 40, 1), seeded(0)
    >>> learner = maml(mse(net.forward), alpha=0.01, steps=1)
    >>> meta = net.init(generator)
    >>> size = dict(generator=generator, tasks=25, iterations=20, block=10)
    >>> for step in train(learner, meta, sinusoid(), adam(0.001), **size):
    ...     print(step.iteration, len(step.losses))
    10 10
    20 20
    """
    for name, value in {"tasks": tasks, "iterations": iterations, "block": block}.items():
        whole(name, value)
    chunk = chunk if chunk is None else min(whole("chunk", chunk), tasks)
    if not (compiled is None or isinstance(compiled, bool)):
        raise ValueError(f"compiled is {said(compiled)}: it must be True, False or None")
    made_of("learner", learner, ("init", "meta_grad"), "maml(loss, alpha=0.01, steps=1) is one")
    made_of("family", family, ("noise", "make"), "sinusoid() is one")
    made_of("spread", spread, ("share", "mean"), "ALONE is one, ranks().spread another")
    made_of("optimizer", optimizer, ("init", "update"), "mamlkit.optimizer's adam(0.001) is one")
    random_numbers(generator)
    meta, task = parameters(meta), first_task(family, generator)
    meta = begun(learner, meta, task.support)
    if not meta:
        raise ValueError("the parameters are empty: there is nothing to train")
    vector, unravel = ravel(meta)
    state, done, history = optimizer.init(vector), 0, torch.empty(0)
    if generator.device.type != vector.device.type:
        raise ValueError(
            f"the generator is on {generator.device} and the parameters are on {vector.device}: "
            "both must be on one device"
        )
    if resume is not None:
        vector, state = _resumed(resume, meta, state)
        done, history = resume.iteration, resume.losses
        restored(generator, resume.generator)

    keep_pages()
    # The first task is run alone: what is wrong with model or data is said in their words, not the
    # compiler's.
    with depending():
        each = operations(lambda: learner.meta_grad(unravel(vector), task))
    chunk = chunk or (tasks if compiled else fastest(tasks, each, vector.device))
    compiled = iterations >= COMPILE_FROM[vector.device.type] if compiled is None else compiled
    on_gpu, alone = vector.device.type == "cuda", spread is ALONE
    how = "compiled" if compiled and (chunk == tasks or on_gpu) else "uncompiled"
    LOG.info("meta-batch of %d, %d at once, %s", tasks, chunk, how)

    def meta_batch(chunk: int) -> Callable:
        if chunk == 1 and alone:
            return _one_by_one(learner, family, unravel)
        return _meta_batch(learner, family, unravel, None if chunk == tasks else chunk, spread)

    @lru_cache(maxsize=1)  # of another chunk nothing is kept: it may hold the memory that ran out
    def runner(chunk: int) -> Callable:
        advance = _advance(meta_batch(chunk), optimizer)
        if not compiled or chunk < tasks and not on_gpu:
            return in_python(advance)
        fast = captured if on_gpu else compiled_loop
        what = f"{tasks} tasks of {each} operations, {len(vector)} parameters, {vector.device}"
        way = or_else(lambda: fast(advance), in_python(advance), what)
        by_one = chunk == 1 and alone  # torch's own kernels do the work: nothing is left to compile
        both = on_gpu and iterations >= BOTH_FROM and not by_one
        return or_else(lambda: compiled_and_captured(advance), way, what) if both else way

    while done < iterations:
        start, first = generator.get_state(), done % block  # what of the block is made already
        noise = tree_map(
            lambda n: n.unflatten(0, (block, tasks)),
            noise_of(family, generator, block * tasks),
        )
        n = min(block - first, iterations - done)
        place = _start(vector, state, block, first)
        with torch.no_grad():
            (_, made, vector, state, losses), chunk = fitting(
                lambda chunk: runner(chunk)(place, noise, n),
                chunk,
                least=1 if spread is ALONE else chunk,
            )
            if made < first + n:
                bad = int(made)
                there = tree_map(lambda n: n[bad], noise)
                _stop(done + bad - first, unravel(meta_batch(chunk)(vector, there)[0]))
        done += n
        history = torch.cat([history, losses[first : first + n].cpu()])
        yield Step(
            done,
            {k: p.clone() for k, p in unravel(vector).items()},
            state,
            generator.get_state() if done % block == 0 else start,
            history,
        )


def _resumed(resume: Step, meta: Params, state) -> tuple[Tensor, Any]:
    """The meta vector and the optimizer's state that a Step goes on with. Raises ValueError if they
    are another model's or another optimizer's."""
    if not isinstance(resume, Step):
        raise ValueError(f"resume is {said(resume)}: it must be a Step")
    whole("the iteration of the Step to resume from", resume.iteration, 0)
    if not isinstance(resume.losses, Tensor):
        raise ValueError(f"the losses of the Step to resume from are {said(resume.losses)}")
    described = lambda tree: {path: (t.shape, t.dtype) for path, t in _named(tree)}
    for what, kept, fresh in (
        ("the parameters of another model", resume.meta, meta),
        ("the state of another optimizer", resume.optimizer, state),
    ):
        if described(kept) != described(fresh):
            raise ValueError(
                f"the Step to resume from holds {what}: {_shapes(kept)}, and this run has "
                f"{_shapes(fresh)}"
            )
    device = next(iter(meta.values())).device
    kept = tree_map(lambda t: t.detach().to(device), (resume.meta, resume.optimizer))
    return ravel({name: kept[0][name] for name in meta})[0], kept[1]


def _named(tree):
    return [(str(path), leaf) for path, leaf in tree_flatten_with_path(tree)[0]]


def _shapes(tree):
    return (
        ", ".join(f"{path.strip('[]')} {tuple(t.shape)}" for path, t in _named(tree)) or "nothing"
    )


def _meta_batch(learner: Learner, family: Family, unravel, chunk, spread: Spread) -> Callable:
    """(meta vector, noise of a meta-batch) -> (mean meta-gradient as a vector, mean query loss)."""

    def one(meta, noise):
        gradient, aux = learner.meta_grad(meta, family.make(noise))
        return gradient, aux["loss"]

    def meta_batch(vector, noise):
        meta = unravel(vector)
        mine = spread.share(noise, chunk)
        gradients, losses = vmap(one, (None, 0), chunk_size=chunk)(meta, mine)
        return spread.mean({name: gradients[name] for name in meta}, losses)

    return meta_batch


def _one_by_one(learner: Learner, family: Family, unravel) -> Callable:
    """`_meta_batch` as a loop that adds the tasks' gradients up: plain autograd."""

    def meta_batch(vector, noise):
        meta, total, losses = unravel(vector), torch.zeros_like(vector), []
        for i in range(len(tree_flatten(noise)[0][0])):
            gradient, aux = learner.meta_grad(meta, family.make(nth(noise, i)))
            total += torch.cat([gradient[name].flatten() for name in meta])
            losses.append(aux["loss"])
        return total / len(losses), torch.stack(losses).mean()

    return meta_batch


def _start(vector, state, block, first):
    """Where a block starts: (its iteration i, updates made, meta vector, optimizer state, losses of
    the block)."""
    begin = torch.full((), first, dtype=torch.int64, device=vector.device)
    return (
        begin,
        begin.clone(),
        vector,
        state,
        torch.zeros(
            block, dtype=torch.promote_types(vector.dtype, torch.float32), device=begin.device
        ),
    )


def _advance(meta_batch, optimizer) -> Callable:
    """One meta-update: (where a block is, its noise) -> where it is then. All that changes is a
    tensor.

    When a gradient is not finite, `made` falls behind `i`, and from then on nothing moves.
    """

    def advance(place, noise):
        i, made, vector, state, losses = place
        gradient, loss = meta_batch(
            vector, tree_map(lambda a: a.index_select(0, i.view(1)).squeeze(0), noise)
        )
        fine = torch.isfinite(gradient).all() & torch.isfinite(loss) & (made == i)
        new_vector, new_state = optimizer.update(gradient, state, vector)
        keep = lambda new, old: torch.where(fine, new, old)
        here = torch.arange(len(losses), device=losses.device) == i
        return (
            i + 1,
            made + fine,
            keep(new_vector, vector),
            tree_map(keep, new_state, state),
            torch.where(here, loss.to(losses.dtype), losses),
        )

    return advance


def _stop(iteration, gradient):
    names = [name for name, g in gradient.items() if not torch.isfinite(g).all()] or [
        "every parameter (its loss)"
    ]
    raise FloatingPointError(
        f"the meta-gradient of {', '.join(names)} is not finite at iteration {iteration}; the "
        "parameters were left as they were before it. A smaller alpha or beta usually helps."
    )

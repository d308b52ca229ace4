"""The outer loop of Algorithm 1, as a generator: the caller owns logging, plotting and stopping."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.learner import Learner
from mamlkit.memory import fitting
from mamlkit.optimizer import Optimizer
from mamlkit.runners import captured, compiled_loop, in_python, or_in_python
from mamlkit.task import Family, validate
from mamlkit.trees import Params, ravel, tree_map

COMPILE_FROM = {
    "cpu": 2_000,
    "cuda": 20,
}  # iterations: below this, compiling or capturing costs more time than it saves


class Step(NamedTuple):
    """Everything that training needs to go on: this tuple is what is checkpointed and resumed.

    iteration: meta-updates done. meta: the meta-parameters. optimizer: its state. generator: its
    state, which draws the next tasks. losses: the meta-batch's mean query loss at each iteration so
    far, on the CPU. best, scores: what `evaluate.validated` keeps, the meta-parameters that did
    best on validation tasks and all (iteration, score) so far.
    """

    iteration: int
    meta: Params
    optimizer: Params
    generator: Tensor
    losses: Tensor
    best: Params = {}
    scores: Tensor = torch.empty(0, 2)


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
) -> Iterator[Step]:
    """Meta-trains (Algorithm 1), yielding a `Step` after every `block` meta-updates and after the
    last.

    meta: meta-parameters, `learner.init(params)`. family: p(T). generator: draws the tasks; it
    decides the device. tasks: the meta-batch size. iterations: meta-updates in all. block: how many
    are made between two yields; the noise of a block is drawn at once, so runs that should have the
    same numbers need the same block. chunk: how many tasks are held in memory at once (None: all);
    it is halved where memory runs out, and a warning says so. compiled: True, False, or None:
    compile when the run is long enough to gain from it; on a GPU an update is captured as one CUDA
    graph instead; where that fails, the run goes on without and a warning says so. On a CPU chunks
    run uncompiled: each would be one more copy of the update in the graph. resume: go on from this
    Step instead of from `meta`.

    Raises ValueError for settings out of range and for malformed tasks, FloatingPointError naming
    the iteration and the parameters when a meta-gradient is not finite; the parameters are not
    updated with it.
    """
    for name, value in {
        "tasks": tasks,
        "iterations": iterations,
        "block": block,
        "chunk": 1 if chunk is None else chunk,
    }.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be 1 or more")
    if resume is not None and resume.iteration % block and resume.iteration < iterations:
        raise ValueError(
            f"a run that ended at iteration {resume.iteration}, inside a block of {block}, cannot be made longer: "
            "what was left of the block's tasks is gone"
        )
    start = generator.get_state()
    validate(family.make(tree_map(lambda n: n[0], family.noise(generator, 1))))
    generator.set_state(start if resume is None else resume.generator)

    vector, unravel = ravel(meta if resume is None else resume.meta)
    state = optimizer.init(vector) if resume is None else resume.optimizer
    done, history = (0, torch.empty(0)) if resume is None else (resume.iteration, resume.losses)

    compiled = iterations >= COMPILE_FROM[vector.device.type] if compiled is None else compiled
    chunk = min(chunk or tasks, tasks)

    def meta_batch(chunk):
        return _meta_batch(learner, family, unravel, None if chunk == tasks else chunk)

    @lru_cache(maxsize=1)  # of another chunk nothing is kept: it may hold the memory that ran out
    def runner(chunk):
        advance, on_gpu = _advance(meta_batch(chunk), optimizer), vector.device.type == "cuda"
        if not compiled or chunk < tasks and not on_gpu:
            return in_python(advance)
        return or_in_python((captured if on_gpu else compiled_loop)(advance), advance)

    while done < iterations:
        noise = tree_map(
            lambda n: n.unflatten(0, (block, tasks)), family.noise(generator, block * tasks)
        )
        n = min(block, iterations - done)
        place = _start(vector, state, block)
        (_, made, vector, state, losses), chunk = fitting(
            lambda chunk: runner(chunk)(place, noise, n), chunk
        )
        if made < n:
            bad = int(made)
            _stop(
                done + bad, unravel(meta_batch(chunk)(vector, tree_map(lambda n: n[bad], noise))[0])
            )
        done += n
        history = torch.cat([history, losses[:n].cpu()])
        yield Step(
            done,
            {k: p.clone() for k, p in unravel(vector).items()},
            state,
            generator.get_state(),
            history,
        )


def _meta_batch(learner: Learner, family: Family, unravel, chunk) -> Callable:
    """(meta vector, noise of a meta-batch) -> (mean meta-gradient as a vector, mean query loss)."""

    def one(meta, noise):
        gradient, aux = learner.meta_grad(meta, family.make(noise))
        return gradient, aux["loss"]

    def meta_batch(vector, noise):
        meta = unravel(vector)
        gradients, losses = vmap(one, (None, 0), chunk_size=chunk)(meta, noise)
        return torch.cat([gradients[name].mean(0).flatten() for name in meta]), losses.mean()

    return meta_batch


def _start(vector, state, block):
    """Where a block starts: (its iteration i, updates made, meta vector, optimizer state, losses of
    the block)."""
    zero = torch.zeros((), dtype=torch.int64, device=vector.device)
    return (
        zero,
        zero.clone(),
        vector,
        state,
        torch.zeros(block, dtype=torch.float32, device=vector.device),
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
            torch.where(here, loss.float(), losses),
        )

    return advance


def _stop(iteration, gradient):
    names = [name for name, g in gradient.items() if not torch.isfinite(g).all()] or [
        "every parameter (its loss)"
    ]
    raise FloatingPointError(
        f"the meta-gradient of {', '.join(names)} is not finite at iteration {iteration}; the parameters were left as "
        "they were before it. A smaller alpha or beta usually helps."
    )

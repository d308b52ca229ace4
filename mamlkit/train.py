"""The outer loop of Algorithm 1, as a generator: the caller owns logging, plotting and stopping."""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.learner import Learner
from mamlkit.optimizer import Optimizer
from mamlkit.task import Family, validate
from mamlkit.trees import Params, ravel, tree_flatten, tree_map

COMPILE_FROM = 2_000  # iterations: below this, compiling costs more time than it saves


class Step(NamedTuple):
    """Everything that training needs to go on: this tuple is what is checkpointed and resumed.

    iteration: meta-updates done. meta: the meta-parameters. optimizer: its state. generator: its state, which draws
    the next tasks. losses: the meta-batch's mean query loss at each iteration so far, on the CPU. best, scores: what
    `evaluate.validated` keeps, the meta-parameters that did best on validation tasks and all (iteration, score) so far.
    """

    iteration: int
    meta: Params
    optimizer: Params
    generator: Tensor
    losses: Tensor
    best: Params = {}
    scores: Tensor = torch.empty(0, 2)


def train(learner: Learner, meta: Params, family: Family, optimizer: Optimizer, *, generator: Generator, tasks: int,
          iterations: int, block: int = 100, chunk: int | None = None, compiled: bool | None = None,
          resume: Step | None = None) -> Iterator[Step]:
    """Meta-trains (Algorithm 1), yielding a `Step` after every `block` meta-updates and after the last.

    meta: meta-parameters, `learner.init(params)`. family: p(T). generator: draws the tasks; it decides the device.
    tasks: the meta-batch size. iterations: meta-updates in all. block: how many are made between two yields; the
    noise of a block is drawn at once, so runs that should have the same numbers need the same block.
    chunk: how many tasks are held in memory at once (None: all). compiled: True, False, or None: compile when the run
    is long enough to gain from it; where compiling fails, the run goes on uncompiled and a warning says so. resume: go
    on from this Step instead of from `meta`.

    Raises ValueError for settings out of range and for malformed tasks, FloatingPointError naming the iteration and
    the parameters when a meta-gradient is not finite; the parameters are not updated with it.
    """
    for name, value in {"tasks": tasks, "iterations": iterations, "block": block, "chunk": 1 if chunk is None else chunk}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be 1 or more")
    if resume is not None and resume.iteration % block and resume.iteration < iterations:
        raise ValueError(f"a run that ended at iteration {resume.iteration}, inside a block of {block}, cannot be made longer: "
                         "what was left of the block's tasks is gone")
    start = generator.get_state()
    validate(family.make(tree_map(lambda n: n[0], family.noise(generator, 1))))
    generator.set_state(start if resume is None else resume.generator)

    vector, unravel = ravel(meta if resume is None else resume.meta)
    state = optimizer.init(vector) if resume is None else resume.optimizer
    done, history = (0, torch.empty(0)) if resume is None else (resume.iteration, resume.losses)

    meta_batch = _meta_batch(learner, family, unravel, chunk)
    update = _update(meta_batch, optimizer)
    compiled = iterations >= COMPILE_FROM if compiled is None else compiled
    run = _or_eagerly(_compiled(update, vector.device), _one_by_one(update)) if compiled else _one_by_one(update)

    while done < iterations:
        noise = tree_map(lambda n: n.unflatten(0, (block, tasks)), family.noise(generator, block * tasks))
        n = min(block, iterations - done)
        made, vector, state, losses = run(vector, state, noise, n)
        if made < n:
            bad = int(made)
            _stop(done + bad, unravel(meta_batch(vector, tree_map(lambda n: n[bad], noise))[0]))
        done += n
        history = torch.cat([history, losses.cpu()])
        yield Step(done, {k: p.clone() for k, p in unravel(vector).items()}, state, generator.get_state(), history)


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


def _update(meta_batch, optimizer) -> Callable:
    """Meta-update i of a block, of which `made` came before it: (made, vector, state, loss) after it.

    When a gradient is not finite, `made` falls behind i, and from then on nothing moves.
    """

    def update(i, made, vector, state, noise):
        gradient, loss = meta_batch(vector, noise)
        fine = torch.isfinite(gradient).all() & torch.isfinite(loss) & (made == i)
        new_vector, new_state = optimizer.update(gradient, state, vector)
        keep = lambda new, old: torch.where(fine, new, old)
        return made + fine, keep(new_vector, vector), tree_map(keep, new_state, state), loss.float()

    return update


def _one_by_one(update) -> Callable:
    """The first n meta-updates of a block: (vector, state, noise, n) -> (how many were made, vector, state, losses)."""

    def run(vector, state, noise, n):
        steps, losses = torch.arange(n, device=vector.device), []
        made = torch.zeros_like(steps[0])
        for i in range(n):
            made, vector, state, loss = update(steps[i], made, vector, state, tree_map(lambda a: a[i], noise))
            losses.append(loss)
        return made, vector, state, torch.stack(losses)

    return run


def _compiled(update, device) -> Callable:
    """The same, compiled: on a CPU the loop over the block is inside the graph, on a GPU each update is one CUDA graph."""
    if device.type == "cuda":
        graph = torch.compile(_renewed(update), fullgraph=True, dynamic=False, mode="reduce-overhead")

        def step(*args):
            torch.compiler.cudagraph_mark_step_begin()
            return tree_map(torch.clone, graph(*args))  # the next replay overwrites what this one returned

        return _one_by_one(step)

    # An update of section 5.1 takes 0.4 ms; to call each from Python would add more than half of that.
    def loop(vector, state, noise, n, losses):
        def body(i, made, vector, state, losses):
            here = tree_map(lambda a: a[i.view(1)].squeeze(0), noise)
            made, vector, state, loss = update(i, made, vector, state, here)
            return i + 1, made, vector, state, torch.where(torch.arange(len(losses)) == i, loss, losses)

        zero = torch.zeros((), dtype=torch.int64)
        return torch.while_loop(lambda i, *_: i < n, body, (zero, zero.clone(), vector, state, losses))[1:]

    loop = torch.compile(_renewed(loop), fullgraph=True, dynamic=False, options={"cpp_wrapper": True})

    def run(vector, state, noise, n):
        block = len(tree_flatten(noise)[0][0])
        made, vector, state, losses = loop(vector, state, noise, torch.tensor(n), torch.zeros(block))
        return made, vector, state, losses[:n]

    return run


def _renewed(function):
    """A code object of its own: torch allows each code object 8 compiled versions, and every run of `train` is another."""
    function.__code__ = function.__code__.replace()
    return function


def _or_eagerly(run, eager) -> Callable:
    """`run`, or `eager` from the first call on if that call fails, with a warning. Both are pure: no update is lost."""
    chosen = None

    def either(*args):
        nonlocal chosen
        if chosen is None:
            try:
                result = run(*args)
                chosen = run
                return result
            except Exception as error:
                chosen = eager
                reason = next(iter(str(error).splitlines()), "")
                warnings.warn(f"compiling failed ({type(error).__name__}: {reason}): training runs uncompiled, many times slower", stacklevel=3)
        return chosen(*args)

    return either


def _stop(iteration, gradient):
    names = [name for name, g in gradient.items() if not torch.isfinite(g).all()] or ["every parameter (its loss)"]
    raise FloatingPointError(
        f"the meta-gradient of {', '.join(names)} is not finite at iteration {iteration}; the parameters were left as "
        "they were before it. A smaller alpha or beta usually helps.")

"""The outer loop of Algorithm 1, as a generator: the caller owns logging, plotting and stopping."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.learner import Learner
from mamlkit.optimizer import Optimizer
from mamlkit.task import Family, validate
from mamlkit.trees import Params, ravel, tree_map

COMPILE_FROM = 2_000  # iterations: below this, compiling costs more time than it saves


class Step(NamedTuple):
    """Everything that training needs to go on: this tuple is what is checkpointed and resumed.

    iteration: meta-updates done. meta: the meta-parameters. optimizer: its state. generator: its state, which draws
    the next tasks. losses: the meta-batch's mean query loss at each iteration so far, on the CPU.
    """

    iteration: int
    meta: Params
    optimizer: Params
    generator: Tensor
    losses: Tensor


def train(learner: Learner, meta: Params, family: Family, optimizer: Optimizer, *, generator: Generator, tasks: int,
          iterations: int, block: int = 100, chunk: int | None = None, compiled: bool | None = None,
          resume: Step | None = None) -> Iterator[Step]:
    """Meta-trains (Algorithm 1), yielding a `Step` after every `block` meta-updates and after the last.

    meta: meta-parameters, `learner.init(params)`. family: p(T). generator: draws the tasks; it decides the device.
    tasks: the meta-batch size. iterations: meta-updates in all. block: how many are made between two yields; the
    noise of a block is drawn at once, so runs that should have the same numbers need the same block.
    chunk: how many tasks are held in memory at once (None: all). compiled: True, False, or None: compile when the run
    is long enough to gain from it and a compiler is there. resume: go on from this Step instead of from `meta`.

    Raises ValueError for settings out of range and for malformed tasks, FloatingPointError naming the iteration and
    the parameters when a meta-gradient is not finite; the parameters are not updated with it.
    """
    for name, value in {"tasks": tasks, "iterations": iterations, "block": block, "chunk": chunk or 1}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be 1 or more")
    start = generator.get_state()
    validate(family.make(tree_map(lambda n: n[0], family.noise(generator, 1))))
    generator.set_state(start if resume is None else resume.generator)

    vector, unravel = ravel(meta if resume is None else resume.meta)
    state = optimizer.init(vector) if resume is None else resume.optimizer
    done, history = (0, torch.empty(0)) if resume is None else (resume.iteration, resume.losses)

    meta_batch = _meta_batch(learner, family, unravel, chunk)
    update = _update(meta_batch, optimizer)
    if compiled or compiled is None and iterations >= COMPILE_FROM and _compiler(generator.device):
        update = _compiled(update)

    while done < iterations:
        noise = tree_map(lambda n: n.unflatten(0, (block, tasks)), family.noise(generator, block * tasks))
        fine = torch.ones((), dtype=torch.bool, device=vector.device)
        losses, flags = [], []
        for i in range(min(block, iterations - done)):
            vector, state, fine, loss = update(vector, state, fine, tree_map(lambda n: n[i], noise))
            losses.append(loss)
            flags.append(fine)
        if not fine:
            bad = torch.stack(flags).logical_not().nonzero()[0].item()
            _stop(done + bad, unravel(meta_batch(vector, tree_map(lambda n: n[bad], noise))[0]))
        done += len(losses)
        history = torch.cat([history, torch.stack(losses).float().cpu()])
        yield Step(done, {k: p.clone() for k, p in unravel(vector).items()}, state, generator.get_state(), history)


def _meta_batch(learner: Learner, family: Family, unravel, chunk) -> Callable:
    """(meta vector, noise of a meta-batch) -> (mean meta-gradient as a vector, mean query loss)."""

    def one(meta, noise):
        gradient, aux = learner.meta_grad(meta, family.make(noise))
        return gradient, aux["loss"]

    def meta_batch(vector, noise):
        gradients, losses = vmap(one, (None, 0), chunk_size=chunk)(unravel(vector), noise)
        return torch.cat([g.mean(0).flatten() for g in gradients.values()]), losses.mean()

    return meta_batch


def _update(meta_batch, optimizer) -> Callable:
    """One meta-update. `fine` turns False at the first gradient that is not finite, and from then on nothing moves."""

    def update(vector, state, fine, noise):
        gradient, loss = meta_batch(vector, noise)
        fine = fine & torch.isfinite(gradient).all()
        new_vector, new_state = optimizer.update(gradient, state, vector)
        keep = lambda new, old: torch.where(fine, new, old)
        return keep(new_vector, vector), tree_map(keep, new_state, state), fine, loss

    return update


def _compiler(device) -> bool:
    """Is there a C++ compiler? Without one `train` runs eagerly and says so."""
    found = any(map(shutil.which, ("c++", "g++", "clang++")))
    if not found:
        warnings.warn(f"no C++ compiler on this machine: training on {device} runs uncompiled, about 8 times slower", stacklevel=3)
    return found


def _compiled(update):
    return torch.compile(update, fullgraph=True, dynamic=False)


def _stop(iteration, gradient):
    names = [name for name, g in gradient.items() if not torch.isfinite(g).all()]
    raise FloatingPointError(
        f"the meta-gradient of {', '.join(names)} is not finite at iteration {iteration}; the parameters were left as "
        "they were before it. A smaller alpha or beta usually helps.")

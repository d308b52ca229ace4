"""One training over several processes, as `torchrun` starts them: every rank draws the same tasks,
adapts to its share of them, and one all-reduce of one vector an update makes the mean over all.

So the numbers of a run do not depend on how many processes share it. The sums are exact, in any
order. What is left is how a kernel rounds, which can depend on how many tasks it has at once. With
a `chunk` that is the same for all: ranks share whole chunks of the meta-batch, so each is computed
as it would be alone, and the numbers are equal bit for bit.
"""

import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from mamlkit.bank import checkpoint
from mamlkit.machine import choose_device
from mamlkit.train import Spread, Step
from mamlkit.trees import Params, tree_flatten, tree_map

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what a launcher sets

COARSE = -(2**35)  # of the 53 bits of a float64, the first 18


class Ranks(NamedTuple):
    """This process among those that train together.

    rank: which of them it is, from 0. size: how many there are, the world size. device: where this
    one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def spread(self) -> Spread:
        """What `train` takes, so that each rank makes its share of a meta-batch."""
        return Spread(self._share, self._mean)

    def mine(self, tasks: int, chunk: int | None = None) -> slice:
        """Which of a meta-batch's tasks this rank makes: shares differ by at most one task, or with
        a `chunk` by at most one chunk.

        Raises ValueError if there are fewer tasks, or chunks, than ranks.

        >>> [Ranks(rank, 4, torch.device("cpu")).mine(25) for rank in (0, 3)]
        [slice(0, 6, None), slice(18, 25, None)]
        >>> [Ranks(rank, 4, torch.device("cpu")).mine(25, chunk=4) for rank in (0, 3)]
        [slice(0, 4, None), slice(20, 25, None)]
        """
        if tasks < self.size:
            raise ValueError(
                f"a meta-batch of {tasks} tasks cannot be shared by {self.size} ranks: each needs "
                "at least one"
            )
        each = chunk or 1
        chunks = -(-tasks // each)
        if chunks < self.size:
            raise ValueError(
                f"a meta-batch of {tasks} tasks in chunks of {each} cannot be shared by "
                f"{self.size} ranks: each needs at least one chunk, so chunk must be from 1 to "
                f"{(tasks - 1) // (self.size - 1)}"
            )
        first, end = (rank * chunks // self.size * each for rank in (self.rank, self.rank + 1))
        return slice(first, min(end, tasks))

    def _share(self, noise, chunk):
        mine = self.mine(len(tree_flatten(noise)[0][0]), chunk)
        return tree_map(lambda n: n[mine], noise)

    def _mean(self, gradients: Params, losses: Tensor) -> tuple[Tensor, Tensor]:
        """The same numbers however the tasks are split. A trace of the split would grow: Adam makes
        steps of full size out of gradients that are nothing but rounding."""
        flat = torch.cat([*(g.flatten(1) for g in gradients.values()), losses[:, None]], 1)
        parts = [part.sum(0, dtype=torch.float64) for part in _parts(flat)]
        number = torch.full_like(parts[0][:1], len(losses))
        total = torch.cat([*parts, number])
        if self.size > 1:
            dist.all_reduce(total)
        mean = total[:-1].unflatten(0, (len(parts), -1)).flip(0).sum(0) / total[-1]
        return mean[:-1].to(flat.dtype), mean[-1].to(losses.dtype)

    def resumable(
        self,
        path: Path,
        steps: Callable[[Step | None], Iterator[Step]],
        *,
        about: dict,
        seconds: float = 10.0,
    ) -> Iterator[Step]:
        """`bank.checkpoint.resumable` for ranks: rank 0 loads and saves, every rank goes on from
        what it loaded, and all yield the same Steps.

        A run may go on with another number of ranks than it began with.
        Raises ValueError if the ranks were given different seeds or parameters.
        """
        trained = lambda resume: map(self._agreed, steps(resume))
        if self.rank == 0:
            yield from checkpoint.resumable(
                path,
                lambda resume: trained(self._told(resume)),
                about=about,
                device=self.device,
                seconds=seconds,
            )
            return
        resume = self._told(None)
        if resume is not None:
            yield resume
        yield from trained(resume)

    def _told(self, step: Step | None) -> Step | None:
        """What rank 0 says, on every rank."""
        if self.size == 1:
            return step
        words = [step and _moved(step, "cpu")]
        dist.broadcast_object_list(words, src=0, device=self.device)
        return words[0] and _moved(words[0], self.device)

    def _agreed(self, step: Step) -> Step:
        """The Step. Raises ValueError on every rank unless all draw the same tasks and have the
        same parameters."""
        if self.size == 1:
            return step
        drawn = zlib.crc32(bytes(step.generator.tolist()))
        size = sum(float(p.double().square().sum()) for p in step.meta.values()) ** 0.5
        mine = torch.tensor([drawn, size], dtype=torch.float64, device=self.device)
        most = torch.cat([mine, -mine])
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        apart = (most[:2] + most[2:]).tolist()
        if apart[0] or apart[1] > 1e-3 * size:
            what = "draw different tasks" if apart[0] else "have different parameters"
            raise ValueError(
                f"the {self.size} ranks {what}: give every rank the same seed and the same settings"
            )
        return step


@contextmanager
def ranks(device: str = "auto") -> Iterator[Ranks]:
    """This process among those that a launcher started together, while the body runs; alone where
    none did.

    device: "cpu" or "cuda" for every rank, or "auto": a GPU each where there are GPUs. CPUs talk by
    gloo, GPUs by nccl, which was never tried: it takes two GPUs. A launcher is known by the
    variables RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; with several GPUs on a machine
    LOCAL_RANK says which is this rank's. `torchrun` sets all of them. When another rank dies, this
    one says so in one sentence and ends with status 1. Raises ValueError if only some of the
    variables are set.

    >>> with ranks("cpu") as here:
    ...     print(here.rank, here.size, here.device)
    0 1 cpu
    """
    known = [name for name in VARIABLES if name in os.environ]
    if not {"RANK", "WORLD_SIZE"} & {*known}:
        yield Ranks(0, 1, choose_device(device))
        return
    if missing := [name for name in VARIABLES if name not in known]:
        raise ValueError(
            f"{', '.join(known)} is set and {', '.join(missing)} is not: a launcher such as "
            "torchrun sets all of them"
        )
    here = choose_device(device)
    if here.type == "cuda":
        local = os.environ.get("LOCAL_RANK")
        here = here if local is None else choose_device(f"cuda:{local}")
        torch.cuda.set_device(here)
    store, rank, size = next(rendezvous("env://"))
    backend = "nccl" if here.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        with _in_order(backend):
            yield Ranks(rank, size, here)
    except (RuntimeError, _Stopped) as error:
        if not (isinstance(error, _Stopped) or _lost(error)):
            raise
        if _first(store):
            print(
                f"mamlkit: one of the {size} ranks has ended, or their launcher ends them; the "
                "same command goes on from the last checkpoint",
                file=sys.stderr,
                flush=True,
            )
        sys.exit(1)
    dist.destroy_process_group()


class _Stopped(BaseException):
    """The launcher asks this process to end."""


@contextmanager
def _in_order(backend: str) -> Iterator[None]:
    """While this lasts, what a launcher sends to the others when a rank dies ends the body, which
    then saves. With nccl it ends the process: one that waits for a GPU would not see it."""
    if backend != "gloo" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is about to say why, and to end
        raise
    signal.signal(signal.SIGTERM, before)


def _parts(x: Tensor) -> list[Tensor]:
    """Tensors that add up to x and have so few bits that float64 adds them exactly, in any order
    (but for numbers that differ by a factor of 2^27 or more): float32 as it is, and float64 in
    three parts of 18 bits or less."""
    if x.dtype != torch.float64:
        return [x]
    parts = []
    for _ in range(2):
        parts.append((x.view(torch.int64) & COARSE).view(torch.float64))
        x = x - parts[-1]
    return [*parts, x]


def _moved(step: Step, device) -> Step:
    """A Step whose parameters and optimizer are on a device."""
    parts = tree_map(lambda t: t.to(device), (step.meta, step.optimizer, step.best))
    return step._replace(meta=parts[0], optimizer=parts[1], best=parts[2])


def _lost(error: RuntimeError) -> bool:
    """Is this what is raised where another rank is gone?"""
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out")
    return isinstance(error, dist.DistError) or any(w in str(error) for w in words)


def _first(store) -> bool:
    """Is this the first rank that asks? The launcher, or rank 0, keeps the count."""
    try:
        return store.add("mamlkit/ended", 1) == 1
    except RuntimeError:  # whoever kept it is gone as well
        return True

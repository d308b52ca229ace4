"""How many tasks are held in memory at once: as many as are fastest, fewer where it runs out."""

import ctypes
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from mamlkit.boundary import batched

ALONE_FROM = 1e9  # floating-point operations of one task on a CPU
SLACK = 2**26  # bytes
T = TypeVar("T")


def operations(one: Callable[[], Any]) -> int:
    """Floating-point operations of a call, the work of one task, in matrix products and
    convolutions."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        fitting(lambda _: one(), 1)
    return counter.get_total_flops()


def fastest(tasks: int, each: int, device: torch.device) -> int:
    """How many of so many tasks to hold at once: all, or on a CPU 1 where a task is much work.

    each: the `operations` of a task. Small products gain from a batch and from a compiler; the maps
    of a task with many images fill the cache alone, and torch's own kernels, which then do the
    work, are faster. With one query a class (0.3e9 operations a task) Omniglot's net is faster
    batched and compiled, with 15 (2.6e9) a task at a time. On a GPU a batch was never slower.
    Source: `python -m tests.benchmarks.captured DEVICE --held`.
    """
    return 1 if device.type == "cpu" and each >= ALONE_FROM else tasks


def _glibc(name: str) -> Callable:
    """A function of the C library, or one that does nothing where it has none of that name."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return getattr(library, name, lambda *numbers: None)


@cache
def keep_pages() -> None:
    """Has the C library keep the memory that tensors free, for the next ones.

    Otherwise glibc returns all pieces of 32 MiB or more to the system, which clears every page
    anew: half of the time that a CPU needs for miniImagenet's maps. Nothing where the C library is
    another.
    """
    mallopt = _glibc("mallopt")
    mallopt(-4, 0)  # M_MMAP_MAX: no piece of its own from the system, however large
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the most that an int can say


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def tidied(items: Iterable[T]) -> Iterator[T]:
    """The items. Between two, unused memory is given back to the system where `SLACK` bytes more
    than after the first are held.

    What `keep_pages` keeps are pieces of many sizes, which leave gaps: over hundreds of tasks it
    grows. Given back each time, its pages would be cleared each time.
    """
    settled = None
    for item in items:
        yield item
        settled = settled or resident()
        if resident() > settled + SLACK:
            _glibc("malloc_trim")(0)


def installed() -> float:
    """Bytes of this machine's memory; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def fitting(work: Callable[[int], Any], chunk: int, least: int = 1) -> tuple[Any, int]:
    """(work(chunk), chunk), where `chunk`, how many tasks `work` holds in memory at once, is halved
    until they fit, down to `least`.

    `work` must be pure: it is called again from the start. One warning names the chunk that fits.
    Where there is nothing left to halve, the error goes up.
    """
    asked = chunk
    while True:
        try:
            with batched():
                done = work(chunk)
            break
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if chunk <= least:
                error.add_note(
                    "Memory ran out with a single task at once (chunk=1): a smaller net, fewer "
                    "examples or fewer inner steps need less."
                    if chunk == 1
                    else f"Memory ran out with {chunk} tasks at once: a smaller chunk needs less."
                )
                raise
        # outside `except`: the error holds on to all that was in memory
        chunk = max(chunk // 2, least)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if chunk < asked:
        warnings.warn(
            f"memory ran out with {asked} tasks at once: from here on {chunk} are held at once "
            f"(chunk={chunk}); the numbers stay the same",
            stacklevel=3,
        )
    return done, chunk


def out_of_memory(error: Exception) -> bool:
    """Is this what a device says when its memory is full? On a CPU the allocator raises a plain
    RuntimeError."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "can't allocate memory" in str(error)
        or "not enough memory" in str(error)
    )

"""When a device runs out of memory, fewer tasks are held at once."""

import warnings
from collections.abc import Callable
from typing import Any

import torch


def fitting(work: Callable[[int], Any], chunk: int, least: int = 1) -> tuple[Any, int]:
    """(work(chunk), chunk), where `chunk`, how many tasks `work` holds in memory at once, is halved
    until they fit, down to `least`.

    `work` must be pure: it is called again from the start. One warning names the chunk that fits.
    Where there is nothing left to halve, the error goes up.
    """
    asked = chunk
    while True:
        try:
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

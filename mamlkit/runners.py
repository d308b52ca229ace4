"""Three ways to make meta-updates one after another, all with the same numbers.

`advance(place, noise) -> place` is one update: `place` is where a block is, a tuple of tensors (and
pytrees of them) whose first tells which update is next; `noise` is the block's. A runner is (place,
noise, n) -> place after n updates.
"""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from mamlkit import files
from mamlkit.files import ROOT
from mamlkit.memory import out_of_memory
from mamlkit.trees import tree_map

LOG = logging.getLogger(__name__)


def in_python(advance) -> Callable:
    """A call for each update."""

    def run(place, noise, n):
        for _ in range(n):
            place = advance(place, noise)
        return place

    return run


def compiled_loop(advance) -> Callable:
    """For a CPU: the loop is inside the graph. An update of section 5.1 takes 0.4 ms; to call each
    from Python would add more than half of that.

    What was compiled once lies in torch's cache and is ready a few seconds later in the next
    process, although it holds a loop: the key covers the graphs inside it.
    """

    def loop(place, noise, end):
        return torch.while_loop(lambda i, *_: i < end, lambda *place: advance(place, noise), place)

    kept = {"torch.ops.higher_order.while_loop": str(torch.__version__)}
    options: Any = {"cpp_wrapper": True, "unsafe_marked_cacheable_functions": kept}
    # A runner's tensors have one shape and type from its first call on: nothing is to be guarded.
    options["guard_filter_fn"] = torch.compiler.skip_all_guards_unsafe
    # What the processor says that it can is believed. To try it out, torch compiles and loads a
    # program of its own, which takes a third of a cold start; a compiler too old for it is too old
    # for torch's headers.
    options["cpp.vec_isa_ok"] = True
    loop = torch.compile(_renewed(loop), fullgraph=True, dynamic=False, options=options)
    return lambda place, noise, n: loop(place, noise, place[0] + n)


def captured(advance) -> Callable:
    """For a GPU: an update, its tasks' making included, is recorded once as a CUDA graph, and a
    call replays it. It reads and writes the same memory each time: a block's start and noise are
    copied there, and its end is copied out.
    """
    graph: Any = None
    slots: Any = None

    def run(place, noise, n):
        nonlocal graph, slots
        if graph is None:
            memory = tree_map(torch.clone, (place, noise))
            graph, slots = _record(advance, *memory), memory
        tree_map(Tensor.copy_, slots, (place, noise))
        for _ in range(n):
            graph.replay()
        return tree_map(torch.clone, slots[0])

    return run


def compiled_and_captured(advance) -> Callable:
    """For a long run on a GPU: the update is compiled, which makes a few kernels of many, and then
    captured."""
    return captured(torch.compile(_renewed(advance), fullgraph=True, dynamic=False))


def _record(advance, place, noise):
    """The CUDA graph that moves `place` on by one update."""
    with torch.cuda.device(place[0].device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(
            aside
        ):  # libraries set themselves up at their first calls, which a graph cannot hold
            for _ in range(3):
                advance(place, noise)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            tree_map(Tensor.copy_, place, advance(place, noise))
    return graph


def _renewed(function):
    """A code object of its own: torch allows each code object 8 compiled versions, and every run of
    `train` is another."""
    function.__code__ = function.__code__.replace()
    return function


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """Logs that it compiles and how many seconds that took last time, and keeps how many it takes
    now.

    what: the work, in words: work called the same takes about as long.
    """
    file, known = ROOT / "data" / "cache" / "compiled.json", {}
    with suppress(OSError, ValueError):  # without it nothing is known
        known = files.read_json(file)
    last = f" ({known[what]} s last time)" if what in known else ""
    LOG.info("compiling%s", last)
    begin = time.monotonic()
    yield
    seconds = round(time.monotonic() - begin)
    LOG.info("compiled in %d s", seconds)
    with suppress(OSError):  # a full disk ends no training for want of it
        files.write(file, json.dumps(known | {what: seconds}))


def or_else(make: Callable[[], Callable], plain: Callable, what: str) -> Callable:
    """`make()`, or `plain`, with a warning, if making it or its first call fails. All are pure: no
    update is lost, and an error that `plain` meets as well goes up alone. what: see `compiling`."""
    chosen = None

    def either(*args):
        nonlocal chosen
        if chosen is None:
            try:
                with compiling(what):
                    fast = make()
                    result = fast(*args)
                chosen = fast
                return result
            except Exception as error:
                if out_of_memory(error):
                    raise
                failed, reason = type(error).__name__, next(iter(str(error).splitlines()), "")
            result = plain(*args)
            chosen = plain
            warnings.warn(
                f"compiling failed ({failed}: {reason}): training runs uncompiled, many times "
                "slower",
                stacklevel=5,
            )
            return result
        return chosen(*args)

    return either

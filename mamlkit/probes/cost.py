"""What a computation costs: floating-point operations and memory, counted, and what a machine can
do in a second.

What counts works on tensors of the "meta" device as well, which have shapes and no numbers: then
nothing is computed.
"""

import time
import weakref
from collections.abc import Callable

import torch
from torch.func import vjp
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mamlkit.trees import tree_flatten, tree_map


def without_numbers(tree):
    """The same tree with tensors that have shapes and no numbers: what they would cost can be
    counted, at once."""
    return tree_map(lambda t: t.to("meta"), tree)


def flops(function: Callable, *args) -> int:
    """The floating-point operations of `function(*args)` in matrix products and convolutions; the
    rest is small beside them."""
    with FlopCounterMode(display=False) as counter:
        function(*args)
    return counter.get_total_flops()


def speed(device: torch.device | str = "cpu", size: int = 1024, tries: int = 5) -> float:
    """Floating-point operations a second in a product of two float32 (size, size) matrices: the
    fastest of `tries`."""
    a, seconds = torch.rand(size, size, device=device), []
    for _ in range(tries + 1):  # the first one warms up
        begin = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for a GPU
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds[1:])


def peak_bytes(function: Callable, *args) -> int:
    """The most bytes that tensors made by `function(*args)` hold at one time, its arguments not
    counted.

    A kernel's own workspace is not seen; otherwise the same number on every device.
    """
    with _Ledger() as ledger:
        function(*args)
    return ledger.peak


def kept_bytes(objective: Callable, params, *args) -> int:
    """What is kept for the backward pass of `objective(params, *args)` with respect to `params`:
    bytes, arguments not counted."""
    with _Ledger() as ledger:
        pull = vjp(lambda p: objective(p, *args), params)[1]
        held = ledger.live
    del pull
    return held


class _Ledger(TorchDispatchMode):
    """Bytes of the storages that were made since it began and are alive."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self._enter((args, kwargs), made=False)  # a view of an argument is not new
        result = function(*args, **(kwargs or {}))
        self._enter(result, made=True)
        return result

    def _enter(self, tree, made):
        for t in tree_flatten(tree)[0]:
            if (
                isinstance(t, torch.Tensor)
                and (key := t.untyped_storage()._cdata) not in self.known
            ):
                storage = t.untyped_storage()
                self.known[key] = storage.nbytes() * made
                self.live += self.known[key]
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._leave, key)

    def _leave(self, key):
        self.live -= self.known.pop(key)

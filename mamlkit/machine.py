"""The machine that numbers are made on: its device and its generators."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mamlkit.boundary import said, whole


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto" (a GPU where there is one, else the CPU), "cpu", "cuda" or
    "cuda:1".

    Raises ValueError for another name, and for a GPU that this machine does not have.
    """
    if not isinstance(name, str):
        raise ValueError(f'device is {said(name)}: it must be a word, "auto", "cpu" or "cuda"')
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    allowed = ["auto", "cpu", "cuda", *(f"cuda:{i}" for i in range(count))]
    if name == "cpu" or (count and name in allowed):
        return torch.device("cuda:0" if name == "cuda" else name)
    kind, _, index = name.partition(":")
    if kind == "cuda" and (not index or index.isdigit()):
        raise ValueError(
            f'device "{name}" is not here: this machine has {count or "no"} CUDA '
            f'device{"s" * (count != 1)}; "auto" or "cpu" work'
        )
    raise ValueError(
        f'device "{name}" is unknown; allowed are "auto", "cpu", "cuda" and "cuda:0", "cuda:1", ...'
    )


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` that starts from `seed`: the only source of randomness in mamlkit.

    seed: a whole number of 64 bits. Raises ValueError for another.

    >>> torch.rand(2, generator=seeded(0)).equal(torch.rand(2, generator=seeded(0)))
    True
    """
    return torch.Generator(device).manual_seed(whole("seed", seed, -(2**63), 2**64 - 1))


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    """While this lasts, tensors of real numbers are of `dtype` unless told otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def restored(generator: torch.Generator, state: torch.Tensor) -> None:
    """Sets a generator to a state that was kept.

    A state of another kind of device (a run begun on a GPU goes on on a CPU) cannot be set: the
    generator starts from a seed made of it, and a warning says so.
    """
    if not isinstance(state, torch.Tensor) or state.dtype != torch.uint8 or state.ndim != 1:
        raise ValueError(
            f"the generator's state is {said(state)}: it must be what get_state() gives"
        )
    if len(state) == len(generator.get_state()):
        generator.set_state(state.cpu())
        return
    digest = hashlib.sha256(bytes(state.tolist())).digest()
    generator.manual_seed(int.from_bytes(digest[:7], "big"))
    warnings.warn(
        f"this run began on another kind of device than {generator.device}: from here on it draws "
        "other tasks than it would have drawn there",
        stacklevel=3,
    )

"""How an answer to a bad input is classed, and where bad inputs come from.

Good is one sentence that names the value, the file or the parameter. A failure is a traceback, and
an input that is silently taken. `MAMLKIT_FUZZ=20` tries twenty times as many inputs.
"""

import math
import os
import random
import warnings
from collections import Counter

import numpy
import torch

MORE = float(os.environ.get("MAMLKIT_FUZZ", "1"))
COUNTED = Counter()
REFUSALS = (ValueError, FileNotFoundError, FileExistsError, ConnectionError, PermissionError)


def count(number: int) -> int:
    """So many inputs, times MAMLKIT_FUZZ."""
    return max(1, round(number * MORE))


def answer(call, *names: str, also: tuple = ()):
    """What a call gives: ("taken", its value), ("refused", sentence) or ("failure", what was wrong
    with how it was refused). names: one of these must stand in the sentence. also: further
    exceptions that are refusals here. COUNTED says how many there were of each."""
    kind, told = _answer(call, names, also)
    COUNTED[kind] += 1
    return kind, told


def _answer(call, names, also):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "taken", call()
    except Exception as error:  # the point is that nothing else may come
        said = str(error)
        if type(error) not in (*REFUSALS, *also):
            return "failure", f"{type(error).__name__}: {said[:200]}"
        if not said.strip() or "\n" in said or len(said) > 700:
            return "failure", f"not one sentence: {said[:200]!r}"
        if names and not any(name in said for name in names):
            return "failure", f"it names none of {names}: {said[:200]}"
        return "refused", said


def odd(rng: random.Random):
    """A value that nobody should hand to a function that wants a number."""
    return rng.choice(
        [
            *(None, True, False, "", "5", "five", "-1", "nan", b"5", [], [5], {}, {"a": 1}, (1, 2)),
            *(1.5, -0.5, math.nan, math.inf, -math.inf, 1j, 1e308, -(2**63), 2**63, 2**200, -1, 0),
            *(object(), print, int, ..., "é" * 40, "\x00", "a\nb"),
            *(numpy.float64(1.5), numpy.array([1, 2]), torch.tensor([1.0, 2.0]), torch.zeros(0)),
        ]
    )


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one accident: flipped, cut, filled, doubled, moved, or in another encoding."""
    if not data:
        return b"\x00"
    at, to = rng.randrange(len(data)), rng.randrange(len(data))
    flipped = bytes([data[at] ^ (1 << rng.randrange(8))])
    return rng.choice(
        [
            data[:at] + flipped + data[at + 1 :],
            data[:at] + flipped + data[at + 1 :],
            data[:at],
            data[at:],
            data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:],
            data[:at] + data[min(len(data), at + rng.randrange(1, 40)) :],
            data[: min(at, to)] + bytes(abs(at - to)) + data[max(at, to) :],
            data[:at] + data[to : to + 20] + data[at + 20 :],
            b"",
            data + data,
            data.decode("latin-1").encode("utf-16"),
        ]
    )

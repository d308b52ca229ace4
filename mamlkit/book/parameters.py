"""A notebook's parameters: typed and documented in its tagged cell, checked before anything starts.

A line of that cell reads `seed: int = 0  # first seed; 0 or more`: what stands behind the last ";"
is what is allowed.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mamlkit.book import notebooks as book

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}


class Parameter(NamedTuple):
    """One line of the parameters cell."""

    name: str
    type: str
    default: str
    help: str

    @property
    def range(self) -> str:
        """What is allowed, in words: `one of a, b, c`, `N or more`, `above X` or `from X to Y`;
        empty for true or false."""
        return "" if self.type == "bool" else self.help.rpartition(";")[2].strip()

    def __str__(self) -> str:
        return f"{self.name}: {self.type} = {self.default}  ({self.help})"


def parameters(path: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, by name, as papermill finds them."""
    from papermill import inspect_notebook

    found = inspect_notebook(book.read(path)).values()
    return {
        p["name"]: Parameter(p["name"], p["inferred_type_name"], p["default"], p["help"])
        for p in found
    }


def check(
    notebook: str, known: Mapping[str, Parameter], given: Mapping[str, str]
) -> dict[str, object]:
    """The values of the parameters `given` as text, in the types of those that are `known` of the
    notebook.

    Raises ValueError, one sentence that says what is allowed, for an unknown name, a wrong type or
    a value out of range.
    """
    for name in given:
        if name not in known:
            names = ", ".join(f"{p.name} ({p.type})" for p in known.values()) or "none"
            raise ValueError(f'{notebook} has no parameter "{name}"; its parameters are {names}')
    return {name: value_of(known[name], text) for name, text in given.items()}


def value_of(parameter: Parameter, text: str):
    """The value that `text` stands for. Raises ValueError in one sentence if its type or range is
    wrong."""
    shown = text if text.isprintable() else ascii(text)
    wrong = ValueError(f"{parameter.name}={shown} is refused: {_wanted(parameter)}")
    try:
        value = _convert(parameter.type, text)
    except (ValueError, KeyError):
        raise wrong from None
    except OverflowError:
        raise ValueError(f"{wrong}, and smaller than 2**63") from None
    if parameter.name == "device":
        from mamlkit.machine import choose_device

        choose_device(value)  # it knows what this machine has, and says so
    elif parameter.type != "bool" and not allowed(parameter.range)(value):
        raise wrong
    return value


def allowed(range: str) -> Callable[[Any], bool]:
    """The test that a range in words stands for. Raises ValueError for words that say no range."""
    if match := re.fullmatch(r"one of (.+)", range):
        return lambda value: value in [type(value)(word) for word in match[1].split(", ")]
    if match := re.fullmatch(r"(\S+) or more", range):
        return lambda value: value >= float(match[1])
    if match := re.fullmatch(r"above (\S+)", range):
        return lambda value: value > float(match[1])
    if match := re.fullmatch(r"from (\S+) to (\S+)", range):
        return lambda value: float(match[1]) <= value <= float(match[2])
    raise ValueError(
        f'"{range}" says no range; it must be "one of a, b, c", "N or more", "above X" or '
        '"from X to Y"'
    )


def _wanted(parameter: Parameter) -> str:
    words = (
        [] if parameter.range.startswith("one of") else [KINDS.get(parameter.type, parameter.type)]
    )
    return f"{parameter.name} must be {', '.join(filter(None, [*words, parameter.range]))}"


def _convert(kind: str, text: str) -> Any:
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()]
    value = {"int": int, "float": float, "str": str}[kind](text)
    if kind == "int" and abs(value) >= 2**63:
        raise OverflowError  # torch takes no larger one
    if kind == "float" and not math.isfinite(value):
        raise ValueError
    return value

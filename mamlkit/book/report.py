"""Numbers that a notebook or a script reports, for whoever runs it: a table, a CSV file, a plot."""

import json
import os
from pathlib import Path

from mamlkit import files


def report(**numbers: object) -> None:
    """Reports numbers of this run, e.g. `report(accuracy=0.98)`; they are printed as well.

    `python -m mamlkit run` shows them at its end, and with `--grid` in its table, in sweep.csv and
    in the plot of `--plot accuracy`. numbers: real numbers, or tensors that hold one. A later call
    adds to an earlier one. Raises ValueError for anything else.

    >>> report(accuracy=0.5)
    accuracy=0.5
    """
    known = {name: _number(name, value) for name, value in numbers.items()}
    print(in_words(known))
    if place := os.environ.get("MAMLKIT_REPORT"):
        files.write(Path(place), json.dumps(reported(Path(place)) | known))


def reported(path: Path) -> dict[str, float]:
    """The numbers in a file that `report` wrote; none if it is not there, or damaged."""
    try:
        found = files.read_json(path)
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def in_words(numbers: dict[str, float]) -> str:
    """Numbers as they are read: four digits each."""
    return " ".join(f"{name}={value:.4g}" for name, value in numbers.items())


def _number(name, value) -> float:
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        from mamlkit.boundary import said  # torch comes with it

        raise ValueError(
            f"{name} is {said(value)}: report takes one number for each name, e.g. a mean"
        ) from None

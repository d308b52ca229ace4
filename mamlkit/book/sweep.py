"""Notebooks over a grid of parameters; what has been run with the same notebook and parameters is
not run again."""

import csv
import hashlib
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mamlkit import files
from mamlkit.book import headless
from mamlkit.book import notebooks as book
from mamlkit.book.parameters import check, parameters
from mamlkit.book.report import in_words


class Point(NamedTuple):
    """One run of a sweep. key: how it is known, 16 hex digits; its folder is called so."""

    path: Path
    values: dict
    key: str


def grid(axes: Mapping[str, list]) -> list[dict]:
    """Every combination of the values on the axes, the last axis fastest."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def points(paths: list[Path], given: Mapping[str, str], axes: Mapping[str, str]) -> list[Point]:
    """The runs that a grid asks for: of each notebook, every combination of those axes that it has.

    given: fixed parameters as text. axes: values as text, with commas between them. Raises
    ValueError, one sentence, for a value that is refused, for a name that no notebook has, and for
    a notebook that has none of the axes.
    """
    if both := given.keys() & axes.keys():
        raise ValueError(f"{min(both)} is given by -p and by --grid; give it once")
    known = {path: parameters(path) for path in paths}
    everything = {name: p for found in known.values() for name, p in found.items()}
    first = {name: texts.partition(",")[0] for name, texts in axes.items()}
    check(" and ".join(path.stem for path in paths), everything, {**given, **first})
    found = []
    for path, own in known.items():
        if not axes.keys() & own.keys():
            raise ValueError(f"{path.stem} has no parameter {' or '.join(axes)}: leave it out")
        value = lambda name, text, path=path, own=own: check(path.stem, own, {name: text})[name]
        fixed = {name: value(name, text) for name, text in given.items() if name in own}
        along = {
            name: list(dict.fromkeys(value(name, text) for text in texts.split(",")))
            for name, texts in axes.items()
            if name in own
        }
        found += [_point(path, own, fixed | point) for point in grid(along)]
    return found


def _point(path, known, values) -> Point:
    """A run is known by the notebook's text and its parameters."""
    told = {name: p.default for name, p in known.items()}
    told |= {name: repr(value) for name, value in values.items()}
    text = json.dumps([book.digest(path), told], sort_keys=True)
    return Point(path, values, hashlib.sha256(text.encode()).hexdigest()[:16])


def sweep(
    points: list[Point],
    folder: Path,
    *,
    command: str,
    each: Callable[[dict], Iterator[tuple[int, dict | None]]] | None = None,
) -> list[dict]:
    """Runs every point into folder/<key>/; folder/sweep.json says how each ended, and sweep.csv
    what each reported.

    A point that was done before is "cached"; one that failed, or whose result.json is damaged, is
    run again the next time and keeps no other from running. each: makes the rows, {number: call} ->
    (number, row) as they are done, e.g. `scale.workers.rows`; None: here, one after the other.
    Raises ValueError while another sweep writes into the folder.
    """
    names = [
        f"[{n}/{len(points)}] {point.path.stem} {words(point.values)}"
        for n, point in enumerate(points, 1)
    ]
    calls = {
        n: partial(_row, folder / point.key, point, names[n], command)
        for n, point in enumerate(points)
    }
    found = {}
    with files.alone(folder / "sweep"):
        for n, row in (each or _one_by_one)(calls):
            found[n] = row = row or _lost(points[n])
            rows = [found[n] for n in sorted(found)]
            about = {"command": command, "runs": rows}
            files.write(folder / "sweep.json", json.dumps(about, indent=1) + "\n")
            files.write(folder / "sweep.csv", as_csv(rows))
            print(
                f"{names[n]}: {row['error'] or row['status']} "
                f"({headless.duration(row['seconds'])})",
                file=sys.stderr,
                flush=True,
            )
    return [found[n] for n in sorted(found)]


def _one_by_one(calls):
    return ((n, call()) for n, call in calls.items())


def _lost(point: Point) -> dict:
    """The row of a point whose process died before it could say anything."""
    return {
        "notebook": point.path.stem,
        "parameters": point.values,
        "status": "failed",
        "seconds": 0.0,
        "numbers": {},
        "folder": point.key,
        "verdicts": "",
        "error": "its process or its workers died",
    }


def _row(place: Path, point: Point, prefix: str, command: str) -> dict:
    done = place / "result.json"
    if row := _done(done):
        return row | {"status": "cached"}
    outcome = headless.execute(point.path, place, point.values, command=command, prefix=prefix)
    row = {
        "notebook": point.path.stem,
        "parameters": point.values,
        "status": "failed" if outcome.error else "done",
        "seconds": round(outcome.seconds, 1),
        "numbers": headless.numbers(place, point.path.stem),
        "folder": place.name,
        "verdicts": headless.verdicts(place),
        "error": outcome.error,
    }
    files.write(done, json.dumps(row) + "\n")
    return row


def _done(path: Path) -> dict:
    """The row of a point that ran through; empty if it did not, or if nobody can tell."""
    try:
        row = files.read_json(path)
    except (FileNotFoundError, ValueError):
        return {}
    known = {"notebook": str, "parameters": dict, "seconds": (int, float), "numbers": dict}
    known |= {"folder": str, "verdicts": str}
    whole = all(isinstance(row.get(name), kind) for name, kind in known.items())
    return row if whole and row.get("status") == "done" and row.get("error", 0) is None else {}


def words(values: Mapping) -> str:
    """Parameters as they are written on the command line."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def table(rows: list[dict]) -> str:
    """The sweep as text, a line each: parameters, status, seconds, reported numbers, folder,
    verdicts. What failed is listed at the end."""
    several = len({row["notebook"] for row in rows}) > 1
    named = [row["notebook"] * several + " " * several + words(row["parameters"]) for row in rows]
    said = [in_words(row["numbers"]) for row in rows]
    width, wide = max(map(len, named)), max(map(len, said))
    lines = [
        f"{name:{width}}  {r['status']:7} {r['seconds']:8.1f} s  {numbers:{wide}}  "
        f"{r['folder']}  {r['verdicts']}".rstrip()
        for name, numbers, r in zip(named, said, rows)
    ]
    failed = [(name, row["error"]) for name, row in zip(named, rows) if row["status"] == "failed"]
    lines += [f"{len(failed)} of {len(rows)} failed:"] if failed else []
    return "\n".join(lines + [f"  {name}: {error}" for name, error in failed])


def as_csv(rows: list[dict]) -> str:
    """The sweep as a CSV file: a column for each parameter and each reported number."""
    names = list(dict.fromkeys(name for row in rows for name in row["parameters"]))
    numbers = list(dict.fromkeys(name for row in rows for name in row["numbers"]))
    about = ["status", "seconds", "folder", "failure"]  # an "error" is a number to many
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\n")
    out.writerow(["notebook", *names, *numbers, *about])
    for row in rows:
        parts = [row["parameters"].get(n, "") for n in names]
        parts += [row["numbers"].get(n, "") for n in numbers]
        out.writerow([row["notebook"], *parts, *(row[n] for n in about[:3]), row["error"]])
    return file.getvalue()


def curves(rows: list[dict], metric: str) -> tuple[str, dict[str, dict]]:
    """What a plot of `metric` shows: the name of its axis, and for each curve the values there, a
    list for every place on the axis.

    The axis is the first parameter that varies; the others that vary make curves, and a seed makes
    several values at one place. Raises ValueError where no run reported `metric`.
    """
    rows = [row for row in rows if row["status"] != "failed" and metric in row["numbers"]]
    if not rows:
        raise ValueError(f'no run reported "{metric}": call report({metric}=...) in the notebook')
    names = dict.fromkeys(name for row in rows for name in row["parameters"])
    varied = [n for n in names if len({repr(row["parameters"].get(n)) for row in rows}) > 1]
    axis, *others = [n for n in varied if n != "seed"] or varied or list(names)
    several = len({row["notebook"] for row in rows}) > 1
    found: dict[str, dict] = {}
    for row in (row for row in rows if axis in row["parameters"]):
        told = row["parameters"]
        curve = words({n: told[n] for n in others if n in told and n != "seed"})
        curve = f"{row['notebook']} {curve}".strip() if several else curve
        values = found.setdefault(curve, {}).setdefault(told[axis], [])
        values.append(row["numbers"][metric])
    return axis, {name: dict(sorted(curve.items())) for name, curve in found.items()}


def plot(rows: list[dict], metric: str, folder: Path) -> Path:
    """Draws a reported number over the grid into folder/<metric>.png: means over seeds, and a band
    from the least to the most. Returns the file; raises ValueError where no run reported it."""
    axis, found = curves(rows, metric)
    from mamlkit.show.plots import canvas

    seeds = max(len(values) for curve in found.values() for values in curve.values())
    fig, ax = canvas(f"{metric} over {axis}" + f", {seeds} seeds" * (seeds > 1))
    for name, curve in found.items():
        places = list(curve)
        means = [sum(values) / len(values) for values in curve.values()]
        (line,) = ax.plot(places, means, marker="o", markersize=4, label=name)
        low, high = ([side(values) for values in curve.values()] for side in (min, max))
        ax.fill_between(places, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
    at = [place for curve in found.values() for place in curve]
    if all(isinstance(p, int | float) and p > 0 for p in at) and max(at) >= 30 * min(at):
        ax.set_xscale("log")
    ax.set_xlabel(axis)
    ax.set_ylabel(metric)
    if len(found) > 1:
        ax.legend(frameon=False, fontsize=9)
    write = lambda place: fig.savefig(place, format="png", dpi=110)
    return files.write(folder / f"{metric}.png", write)

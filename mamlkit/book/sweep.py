"""A notebook over a grid of parameters; what has been run with the same notebook and parameters is
not run again."""

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from mamlkit import files
from mamlkit.book import headless
from mamlkit.book import notebooks as book
from mamlkit.book.parameters import Parameter


def grid(axes: Mapping[str, list]) -> list[dict]:
    """Every combination of the values on the axes, the last axis fastest."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def key(path: Path, parameters: Mapping[str, Parameter], values: Mapping) -> str:
    """How a run is known, as 16 hex digits: by the notebook's text and the parameters."""
    known = {name: p.default for name, p in parameters.items()}
    known |= {name: repr(value) for name, value in values.items()}
    text = json.dumps([book.digest(path), known], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sweep(
    path: Path,
    parameters: Mapping[str, Parameter],
    points: list[dict],
    folder: Path,
    *,
    command: str,
    each: Callable[[dict], Iterator[tuple[int, dict | None]]] | None = None,
) -> list[dict]:
    """Runs a notebook at every point, each into folder/<key>/; folder/sweep.json says how each
    ended.

    A point that was done before is "cached"; one that failed, or whose result.json is damaged, is
    run again the next time and keeps no other from running. each: makes the rows, {number: call} ->
    (number, row) as they are done, e.g. `scale.workers.rows`; None: here, one after the other.
    Raises ValueError while another sweep writes into the folder.
    """
    prefixes = [f"[{n}/{len(points)}] " + words(values) for n, values in enumerate(points, 1)]
    calls = {
        n: partial(_row, folder / key(path, parameters, values), path, values, prefix, command)
        for n, (values, prefix) in enumerate(zip(points, prefixes))
    }
    rows = {}
    with files.alone(folder / "sweep"):
        for n, row in (each or _one_by_one)(calls):
            rows[n] = row = row or _lost(calls[n].args[0], points[n])
            prefix, done = prefixes[n], [rows[n] for n in sorted(rows)]
            about = {"notebook": path.stem, "command": command, "runs": done}
            files.write(folder / "sweep.json", json.dumps(about, indent=1) + "\n")
            print(
                f"{prefix}: {row['error'] or row['status']} ({headless.duration(row['seconds'])})",
                file=sys.stderr,
                flush=True,
            )
    return [rows[n] for n in sorted(rows)]


def _one_by_one(calls):
    return ((n, call()) for n, call in calls.items())


def _lost(place: Path, values: dict) -> dict:
    """The row of a point whose process died before it could say anything."""
    return {
        "parameters": values,
        "status": "failed",
        "seconds": 0.0,
        "folder": place.name,
        "verdicts": "",
        "error": "its process or its workers died",
    }


def _row(place: Path, path: Path, values: dict, prefix: str, command: str) -> dict:
    done = place / "result.json"
    if row := _done(done):
        return row | {"status": "cached"}
    outcome = headless.execute(path, place, values, command=command, prefix=prefix)
    row = {
        "parameters": values,
        "status": "failed" if outcome.error else "done",
        "seconds": round(outcome.seconds, 1),
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
    known = {"parameters": dict, "seconds": (int, float), "folder": str, "verdicts": str}
    whole = all(isinstance(row.get(name), kind) for name, kind in known.items())
    return row if whole and row.get("status") == "done" and row.get("error", 0) is None else {}


def words(values: Mapping) -> str:
    """Parameters as they are written on the command line."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def table(rows: list[dict]) -> str:
    """The sweep as text, a line each: parameters, status, seconds, folder, verdicts. What failed is
    listed at the end."""
    width = max(len(words(row["parameters"])) for row in rows)
    lines = [
        f"{words(r['parameters']):{width}}  {r['status']:7} {r['seconds']:8.1f} s  "
        f"{r['folder']}  {r['verdicts']}".rstrip()
        for r in rows
    ]
    failed = [row for row in rows if row["status"] == "failed"]
    lines += [f"{len(failed)} of {len(rows)} failed:"] if failed else []
    return "\n".join(lines + [f"  {words(row['parameters'])}: {row['error']}" for row in failed])

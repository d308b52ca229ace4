"""A notebook over a grid of parameters; what has been run with the same code and parameters is not
run again."""

import hashlib
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from mamlkit.book import headless
from mamlkit.book.parameters import Parameter
from mamlkit.machine import ROOT


def grid(axes: Mapping[str, list]) -> list[dict]:
    """Every combination of the values on the axes, the last axis fastest."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def key(path: Path, parameters: Mapping[str, Parameter], values: Mapping) -> str:
    """What decides the numbers of a run, as 16 hex digits: the notebook's source, mamlkit's
    sources, the parameters."""
    digest = hashlib.sha256(path.read_bytes())
    for source in sorted((ROOT / "mamlkit").rglob("*.py")):
        digest.update(source.relative_to(ROOT).as_posix().encode() + b"\0" + source.read_bytes())
    given = {name: repr(value) for name, value in values.items()}
    digest.update(
        json.dumps(
            {name: p.default for name, p in parameters.items()} | given, sort_keys=True
        ).encode()
    )
    return digest.hexdigest()[:16]


def sweep(
    path: Path,
    parameters: Mapping[str, Parameter],
    points: list[dict],
    folder: Path,
    *,
    command: str,
) -> list[dict]:
    """Runs a notebook at every point, each into folder/<key>/; folder/sweep.json says how each
    ended.

    A point that was done before is "cached"; one that failed is run again the next time and keeps
    no other from running.
    """
    rows = []
    for number, values in enumerate(points, 1):
        place = folder / key(path, parameters, values)
        prefix = f"[{number}/{len(points)}] " + words(values)
        row = _row(place, path, values, prefix, command)
        rows.append(row)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sweep.json").write_text(
            json.dumps({"notebook": path.stem, "command": command, "runs": rows}, indent=1) + "\n"
        )
        print(
            f"{prefix}: {row['error'] or row['status']} ({headless.duration(row['seconds'])})",
            file=sys.stderr,
            flush=True,
        )
    return rows


def _row(place: Path, path: Path, values: dict, prefix: str, command: str) -> dict:
    done = place / "result.json"
    if done.exists():
        row = json.loads(done.read_text())
        if row["status"] == "done":
            return row | {"status": "cached"}
        done.unlink()
    outcome = headless.execute(path, place, values, command=command, prefix=prefix)
    row = {
        "parameters": values,
        "status": "failed" if outcome.error else "done",
        "seconds": round(outcome.seconds, 1),
        "folder": place.name,
        "verdicts": headless.verdicts(place),
        "error": outcome.error,
    }
    done.write_text(json.dumps(row) + "\n")
    return row


def words(values: Mapping) -> str:
    """Parameters as they are written on the command line."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def table(rows: list[dict]) -> str:
    """The sweep as text, a line each: parameters, status, seconds, folder, verdicts. What failed is
    listed at the end."""
    width = max(len(words(row["parameters"])) for row in rows)
    lines = [
        f"{words(r['parameters']):{width}}  {r['status']:7} {r['seconds']:8.1f} s  {r['folder']}  {r['verdicts']}".rstrip()
        for r in rows
    ]
    failed = [row for row in rows if row["status"] == "failed"]
    lines += [f"{len(failed)} of {len(rows)} failed:"] if failed else []
    return "\n".join(lines + [f"  {words(row['parameters'])}: {row['error']}" for row in failed])

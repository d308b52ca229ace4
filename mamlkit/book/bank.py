"""The paper's budget, without Jupyter: a notebook's `.py` run as a plain script, its figures and
widgets left out.

This file, and what trains, needs only the standard library, torch, numpy and small pure-Python
packages, so that it runs on a bare machine with a GPU. `python -m mamlkit bank` calls `bank`, which
runs this file once per notebook.
"""

import ast
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from mamlkit.machine import ROOT, choose_device

SKIPPED = {"figure", "widget"}  # tags of cells that need IPython or matplotlib
ESTIMATE = (
    "seconds_of"  # what a notebook calls its function that tells how long an experiment takes
)
FAR = 3  # times the minutes left: what takes longer than that waits while something else fits
# seconds to save and end after an interrupt; one that came within an import can be lost, and is
# repeated
PATIENCE = 30.0
BYSTANDERS = {
    "literate",
    "plots",
    "widgets",
    "claims",
    "machine",
    "checkpoint",
}  # they show and keep results, and decide none


class Cell(NamedTuple):
    """A code cell of a py:percent file: its tags, its text, and the line of the file on which the
    text begins."""

    tags: frozenset[str]
    source: str
    line: int


class Unit(NamedTuple):
    """What is banked in one go: a notebook, or one experiment of it, which its parameter `only`
    then names."""

    path: Path
    only: str = ""

    @property
    def name(self) -> str:
        return self.only or self.path.stem

    def values(self, values: Mapping[str, object]) -> dict:
        """What is asked of this unit: `values`, the number of seeds only where the notebook has
        that parameter."""
        mine = {
            name: v
            for name, v in values.items()
            if name != "seeds" or re.search(r"^seeds: int", _parameters(self.path), re.M)
        }
        return {**mine, "only": self.only} if self.only else mine


def units(path: Path, profile: str = "paper") -> list[Unit]:
    """A notebook's experiments in order of value, if its parameters cell has a line `only: ...; one
    of all, none, A, B`.

    A profile smaller than the paper's runs a notebook as a whole.
    """
    if profile != "paper":
        return [Unit(path)]
    names = [name for name in _choices(path) if name not in ("all", "none")]
    return [Unit(path, name) for name in names] or [Unit(path)]


def _parameters(path: Path) -> str:
    return next((cell.source for cell in cells(path.read_text()) if "parameters" in cell.tags), "")


def _choices(path: Path) -> list[str]:
    """What a notebook's parameter `only` may be; nothing if it has none."""
    names = re.search(r"^only: str = .*; one of (.+)$", _parameters(path), re.M)
    return names[1].split(", ") if names else []


def find(
    names: list[str],
    paths: list[Path],
    notebook: Callable[[list[str]], list[Path]],
    profile: str = "paper",
) -> list[Unit]:
    """The units called `names`, each a unit's name or what `notebook` knows a notebook by; all of
    them if no name is given.

    Raises ValueError naming what there is.
    """
    every = [unit for path in paths for unit in units(path, profile)]
    known = {unit.only: unit for unit in every if unit.only}
    try:
        wanted = (
            notebook([name for name in names if name not in known])
            if set(names) - known.keys() or not names
            else []
        )
    except ValueError as unknown:
        raise ValueError(
            f"{unknown}" + (f"; experiments are {', '.join(known)}" if known else "")
        ) from None
    return [unit for unit in every if unit.path in wanted or unit.only in names]


def cells(text: str) -> list[Cell]:
    """The code cells of a py:percent file, in order."""
    found, head, start, lines = [], None, 0, text.split("\n")
    for number, line in enumerate([*lines, "# %% the end"]):
        if re.match(r"# %%( |$)", line):
            if head is not None and "[markdown]" not in head and "[raw]" not in head:
                tags = re.search(r"tags=(\[.*?\])", head)
                tags = frozenset(json.loads(tags[1])) if tags else frozenset()
                found.append(Cell(tags, "\n".join(lines[start:number]), start + 1))
            head, start = line, number + 1
    return found


def plain(path: Path, values: Mapping[str, object], until: str = "") -> dict:
    """Runs a notebook's source as a script: cells tagged `figure` or `widget` are skipped, `values`
    replace parameters.

    A cell's last value is printed, as Jupyter would show it; tracebacks name the lines of the
    `.py`. Returns the script's namespace. until: a name; the cell that would define it is the last
    one of which anything runs, and nothing after the definition does. Raises ValueError for a value
    whose name the parameters cell lacks.
    """
    code = cells(path.read_text())
    known = {
        line.target.id
        for cell in code
        if "parameters" in cell.tags
        for line in ast.parse(cell.source).body
        if isinstance(line, ast.AnnAssign)
    }
    if unknown := sorted(values.keys() - known):
        raise ValueError(
            f'{path.stem} has no parameter "{unknown[0]}"; its parameters are {", ".join(sorted(known)) or "none"}'
        )
    module = ModuleType(
        "__main__"
    )  # a real one: torch.compile looks functions up in the module that they name
    sys.modules["__main__"], namespace = module, module.__dict__
    namespace["__file__"] = str(path)
    for cell in code:
        if cell.tags & SKIPPED:
            continue
        body = ast.parse("\n" * (cell.line - 1) + cell.source, str(path)).body
        place = next(
            (
                i
                for i, node in enumerate(body)
                if isinstance(node, ast.FunctionDef) and node.name == until
            ),
            None,
        )
        if place is not None:
            exec(compile(ast.Module(body[: place + 1], []), str(path), "exec"), namespace)
            break
        last = (
            body.pop()
            if body and isinstance(body[-1], ast.Expr) and not cell.source.rstrip().endswith(";")
            else None
        )
        exec(compile(ast.Module(body, []), str(path), "exec"), namespace)
        if last:
            exec(compile(ast.Interactive([last]), str(path), "single"), namespace)
        if "parameters" in cell.tags:
            namespace |= values
    return namespace


def sources(path: Path, modules: list[str]) -> dict[str, str]:
    """Digests of what decides a result: the cells that `plain` runs, and the modules; comments and
    empty lines do not count."""
    texts = {
        path.name: "\n".join(
            cell.source for cell in cells(path.read_text()) if not cell.tags & SKIPPED
        )
    }
    texts |= {name: (ROOT / name).read_text() if (ROOT / name).exists() else "" for name in modules}
    code = {
        name: [x for x in text.splitlines() if x.strip() and not x.lstrip().startswith("#")]
        for name, text in texts.items()
    }
    return {
        name: hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        for name, lines in code.items()
    }


def stamp(unit: Unit, profile: str, results: Path) -> Path:
    """The file that says what a unit's banked records were made from."""
    return results / "banked" / f"{unit.name}.{profile}.json"


def missing(unit: Unit, values: Mapping[str, object], results: Path) -> str:
    """Why a unit is to be banked, in a few words; empty if its records are there and up to date."""
    path, values = unit.path, unit.values(values)
    try:
        about = json.loads(stamp(unit, values["profile"], results).read_text())
    except (FileNotFoundError, ValueError):
        return "not banked yet"
    if lost := [name for name in about["records"] if not (results / "claims" / name).exists()]:
        return f"lost {', '.join(lost)}"
    asked, made = (
        {name: v for name, v in given.items() if name != "seeds"}
        for given in (values, about["values"])
    )
    if asked != made or values.get("seeds", 1) > about["values"].get(
        "seeds", 1
    ):  # more seeds than asked for are welcome
        return f"banked with {about['values']}"
    made = about["sources"]
    changed = [
        name
        for name, now in sources(path, [n for n in made if n != path.name]).items()
        if made.get(name) != now
    ]
    return f"changed since: {', '.join(changed)}" if changed else ""


def results_of(profile: str) -> Path:
    """Where a profile is banked: in data/ at the paper's budget (it is committed), else in
    data/cache/bank/<profile>."""
    return ROOT / "data" if profile == "paper" else ROOT / "data" / "cache" / "bank" / profile


def bank(
    every: list[Unit],
    *,
    values: Mapping[str, object],
    minutes: float | None,
    results: Path,
    command: str,
) -> int:
    """Runs what is missing among the units, then what is stale, with the profile and seed in
    `values`; says what remains.

    After `minutes` the running one is interrupted: it saves where it is, and the same command goes
    on from there. An experiment that would take many times the minutes left waits while there is
    another. Returns the exit status: 0 if all is banked, 1 if a unit failed, 3 if time ran out.
    """
    deadline = time.monotonic() + minutes * 60 if minutes else None
    waiting = [(unit, why) for unit in every if (why := missing(unit, values, results))]
    on_cpu = choose_device(values.get("device", "auto")).type == "cpu"
    slow = (
        {unit.path for unit, _ in waiting if unit.only} if on_cpu else ()
    )  # on a GPU none takes a day
    seconds = {
        name: s
        for path in slow
        for name, s in estimates(path, Unit(path).values(values), results).items()
    }
    whys = {unit: why for unit, why in waiting}
    for unit in every:
        takes = (
            f"; about {_in_words(seconds[unit.only])} on this machine"
            if unit in whys and unit.only in seconds
            else ""
        )
        print(f"{unit.name}: {whys.get(unit, 'up to date')}{takes}", flush=True)
    waiting.sort(
        key=lambda entry: entry[1].startswith("changed since")
    )  # a record too few weighs more than one of older code
    failed, told = [], set()
    while waiting:
        left = deadline - time.monotonic() if deadline else float("inf")
        far = lambda entry: seconds.get(entry[0].only, 0) > FAR * left
        later = list(takewhile(far, waiting)) if not all(map(far, waiting)) else []
        for unit in [unit for unit, _ in later if unit not in told]:
            told.add(unit)
            print(
                f"{unit.name}: left out for now, about {_in_words(seconds[unit.only])} are far more than what is left",
                flush=True,
            )
        entry = waiting[len(later)]
        unit, _ = entry
        print(f"{unit.name}: running at {values['profile']}", flush=True)
        begin = time.monotonic()
        status = _run(unit, values, results, command, deadline)
        print(f"{unit.name}: {status} after {time.monotonic() - begin:.0f} s", flush=True)
        if status == "interrupted":
            if "none" in _choices(unit.path):  # what the experiment had finished is judged now
                _run(unit._replace(only="none"), values, results, command, None)
            print(
                f"What remains: {', '.join(u.name for u, _ in waiting)}. The same command goes on from there.",
                flush=True,
            )
            break
        failed += [unit.name] if status == "failed" else []
        waiting.remove(entry)
    if failed:
        print(f"Failed: {', '.join(failed)}. The traceback is above.", flush=True)
    return 1 if failed else 3 if waiting else 0


def estimates(
    path: Path, values: Mapping[str, object], results: Path | None = None
) -> dict[str, float]:
    """The seconds that each experiment of a notebook would take on this machine, by its function
    `seconds_of(experiment)`.

    The notebook runs in a process of its own, up to that function. Empty if it has none, or if it
    cannot say. results: where it finds what is done already.
    """
    if f"def {ESTIMATE}(" not in path.read_text():
        return {}
    words = [
        sys.executable,
        "-m",
        "mamlkit.book.bank",
        str(path),
        json.dumps(dict(values)),
        ESTIMATE,
    ]
    environment = (
        os.environ
        | {"MAMLKIT_HEADLESS": "1"}
        | ({"MAMLKIT_RESULTS": str(results)} if results else {})
    )
    process = subprocess.run(
        words, env=environment, cwd=path.parent, capture_output=True, text=True
    )
    said = process.stdout.rstrip().rpartition("\n")[2]
    return {name: s for name, s in json.loads(said).items() if s} if process.returncode == 0 else {}


def _in_words(seconds: float) -> str:
    """A duration to one digit or so, in the unit that fits."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _run(
    unit: Unit, values: Mapping[str, object], results: Path, command: str, deadline: float | None
) -> str:
    """Runs one unit as a script in a process of its own: "banked", "interrupted" or "failed"."""
    environment = os.environ | {
        "MAMLKIT_HEADLESS": "1",
        "MAMLKIT_RESULTS": str(results),
        "MAMLKIT_COMMAND": command,
    }
    environment.pop(
        "MAMLKIT_PROGRESS", None
    )  # nobody reads it here: then progress is lines on stderr
    words = [
        sys.executable,
        "-m",
        "mamlkit.book.bank",
        str(unit.path),
        json.dumps(unit.values(values)),
    ]
    # A session of its own: Ctrl-C then reaches it once, through us, and not a second time while it
    # saves.
    process = subprocess.Popen(words, env=environment, cwd=unit.path.parent, start_new_session=True)
    interrupted = False
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            code = process.wait(PATIENCE if interrupted else left)
            return "banked" if code == 0 else "interrupted" if interrupted else "failed"
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.send_signal(signal.SIGINT)
            interrupted = True


def _main(path: Path, values: dict) -> None:
    """What the process of one notebook does: runs it, then says what its records were made from."""
    results = Path(os.environ["MAMLKIT_RESULTS"])
    begin = time.time()
    # Read before it runs: what is edited meanwhile did not decide the result.
    before = sources(
        path,
        [file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "mamlkit").rglob("*.py"))],
    )
    try:
        plain(path, values)
    except KeyboardInterrupt:
        sys.exit(130)
    used = {name.replace(".", "/") + ".py" for name in sys.modules if name.startswith("mamlkit.")}
    decisive = {
        name: digest
        for name, digest in before.items()
        if name == path.name or name in used and Path(name).stem not in BYSTANDERS
    }
    records = [
        p.name
        for p in sorted((results / "claims").glob(f"*.{values['profile']}.json"))
        if json.loads(p.read_text())["provenance"]["notebook"] == path.stem
    ]
    about = {
        "notebook": path.stem,
        "values": values,
        "seconds": round(time.time() - begin),
        "records": records,
        "sources": decisive,
    }
    if values.get("only") == "none":
        return
    target = stamp(Unit(path, values.get("only", "")), values["profile"], results)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_text(json.dumps(about, indent=1) + "\n")
    fresh.replace(target)


def _estimate(path: Path, values: dict) -> None:
    """What the process of `estimates` does: prints them as its last line."""
    seconds_of = plain(path, values, until=ESTIMATE)[ESTIMATE]
    print(json.dumps({unit.only: seconds_of(unit.only) for unit in units(path)}))


if __name__ == "__main__":
    (_estimate if ESTIMATE in sys.argv[3:] else _main)(Path(sys.argv[1]), json.loads(sys.argv[2]))

"""Notebooks run without a person: papermill, with progress that says where it is, and one line when
a cell fails."""

import contextlib
import os
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from mamlkit import files
from mamlkit.audit.claims import VERDICTS
from mamlkit.book import html as page
from mamlkit.book import notebooks as book
from mamlkit.book.report import reported

NOISE = "Kernel is running over TCP without encryption"


class Outcome(NamedTuple):
    """How a notebook's run ended. error: None, or one line that names the notebook, the cell and
    what went wrong."""

    notebook: str
    seconds: float
    error: str | None


class Place:
    """Where a run is, as one line: which notebook, which cell under which heading, how far, seconds
    left as far as known."""

    def __init__(
        self, prefix: str, cells: list, expected: Mapping[str, float], later: float | None
    ):
        self.prefix, self.cells, self.expected, self.later = prefix, cells, expected, later
        self.number, self.since, self.progress = -1, time.monotonic(), {}

    def enter(self, number: int) -> None:
        """A cell begins (its index among all cells)."""
        self.number, self.since, self.progress = number, time.monotonic(), {}

    def line(self) -> str:
        """Where the run is, in one line."""
        code = [i for i, cell in enumerate(self.cells) if cell.cell_type == "code"]
        parts = [
            self.prefix,
            f"cell {sum(i <= self.number for i in code)} of {len(code)}",
            self._heading(),
        ]
        if p := self.progress:
            parts.append(f"{p['label']} {p['done']:,} of {p['total']:,} {p['note']}".strip())
            parts += (
                [f"{duration(p['left'])} left in this step"]
                if p["left"] and p["done"] < p["total"]
                else []
            )
        if (left := self._left()) is not None:
            parts.append(f"about {duration(left)} left in all")
        return " · ".join(part for part in parts if part)

    def _heading(self) -> str:
        above = "\n".join(
            cell.source for cell in self.cells[: self.number + 1] if cell.cell_type == "markdown"
        )
        return (re.findall(r"^#+ +(.+)", above, re.MULTILINE) or [""])[-1]

    def _left(self) -> float | None:
        if not self.expected or self.later is None:
            return None
        seconds = [self.expected.get(cell.get("id"), 0.0) for cell in self.cells]
        here = seconds[self.number] - (time.monotonic() - self.since)
        return (
            self.later
            + sum(seconds[self.number + 1 :])
            + max(0.0, self.progress.get("left") or here)
        )


def duration(seconds: float) -> str:
    """Seconds in words: "40 s", "7 min", "2 h 5 min"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextlib.contextmanager
def watched(line: Callable[[], str], stream=None, every: float = 10.0):
    """Shows `line()` while the body runs: on a terminal one line that renews itself, in a log a
    line every 10 s."""
    stream = stream or sys.stderr
    stop, live = threading.Event(), stream.isatty()

    def show():
        while not stop.wait(0.5 if live else every):
            width = os.get_terminal_size(stream.fileno()).columns - 1 if live else None
            print(
                f"\r\033[K{line()[:width]}" if live else line(),
                end="" if live else "\n",
                file=stream,
                flush=True,
            )

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if live:
            print("\r\033[K", end="", file=stream, flush=True)


def environment(results: Path, stem: str, command: str, progress: Path) -> dict[str, str]:
    """The environment of a headless kernel: it says where results, reported numbers and progress
    go, and who asked."""
    return os.environ | {
        "MAMLKIT_HEADLESS": "1",
        "MAMLKIT_RESULTS": str(results),
        "MAMLKIT_REPORT": str(_report(results, stem)),
        "MAMLKIT_COMMAND": command,
        "MAMLKIT_PROGRESS": str(progress),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def execute(
    path: Path,
    out: Path,
    values: Mapping[str, object],
    *,
    command: str,
    prefix: str,
    later: float | None = None,
) -> Outcome:
    """Runs one notebook into the folder `out`: NN_name.ipynb as executed, NN_name.html, claims/,
    checkpoints/.

    values: checked parameters. prefix: how a line of progress begins. later: seconds expected after
    this notebook, None if not known. Never raises for what a notebook does: the Outcome says it.
    Raises OSError where `out` cannot be written.
    """
    begin = time.monotonic()
    out = out.resolve()  # the kernel runs elsewhere
    out.mkdir(parents=True, exist_ok=True)
    notebook = book.read(path)
    place = Place(prefix, notebook.cells, _expected(path, values), later)
    _report(out, path.stem).unlink(missing_ok=True)
    room = out / ".running"  # here, and not in /tmp: what a kill leaves, the next run clears away
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    progress = room / "progress.json"

    def line():
        with contextlib.suppress(OSError, ValueError):
            place.progress = files.read_json(progress)
        return place.line()

    def enter(cells, number):
        progress.unlink(missing_ok=True)
        place.cells = cells
        place.enter(number)

    try:
        with watched(line):
            error = _papermill(
                notebook, path, out, values, environment(out, path.stem, command, progress), enter
            )
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return Outcome(path.stem, time.monotonic() - begin, error and f"{path.stem} failed {error}")


def _papermill(notebook, path: Path, out: Path, values, env, enter) -> str | None:
    """Runs a notebook through papermill and writes what came of it; returns what went wrong, in one
    line."""
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    _register_engine()
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel is found from here
    log = out / f"{path.stem}.log"
    error, number, ran = None, 0, None

    def begin(now, index):
        nonlocal number, ran
        ran, number = now, sum(cell.cell_type == "code" for cell in now.cells[: index + 1])
        enter(now.cells, index)

    with log.open("w", encoding="utf-8") as stream:
        try:
            execute_notebook(
                notebook,
                None,
                dict(values),
                engine_name="mamlkit",
                cwd=str(path.parent),
                progress_bar=False,
                env=env,
                log=stream,
                begin=begin,
                # a hidden name: Jupyter writes it in place, and a kill may cut it
                connection=str(Path(env["MAMLKIT_PROGRESS"]).with_name(".kernel.json")),
            )
        except PapermillExecutionError as failure:
            cell = _short(failure.source.strip().partition("\n")[0], 60)
            why = _short(f"{failure.ename}: {failure.evalue}")
            error = f'in cell {failure.exec_count} ("{cell}"): {why}'
        except (DeadKernelError, RuntimeError) as death:
            if not isinstance(death, DeadKernelError) and "Kernel" not in str(death):
                raise
            error = (
                f"in cell {number}: its kernel died (out of memory?); its last words, if any, are "
                f"in {log}"
            )
        finally:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            words = "".join(line for line in lines if NOISE not in line)
            files.write(log, words) if words else log.unlink()
            if ran is not None:
                files.write(out / f"{path.stem}.ipynb", nbformat.writes(ran))
    if ran is not None:
        files.write(out / f"{path.stem}.html", page.html(ran, path.stem))
    return error


def _expected(path: Path, values: Mapping[str, object]) -> dict[str, float]:
    return book.expected_seconds(path, str(values.get("profile", "quick")))


def _short(text: str, width: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _register_engine() -> None:
    """Teaches papermill to tell when a cell begins, and to start the kernel with an environment and
    a log of its own."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.log import logger

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, env, log, begin, connection, start_timeout=60, **_
        ):
            cell_start = nb_man.cell_start

            def start(cell, cell_index=None, **kwargs):
                begin(nb_man.nb, cell_index)
                return cell_start(cell, cell_index, **kwargs)

            nb_man.cell_start = start
            client = PapermillNotebookClient(
                nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, log=logger
            )
            client.km = client.create_kernel_manager()
            client.km.connection_file = connection  # else in /tmp, where a kill leaves it
            # Jupyter looks for free ports and takes them later: of two kernels that start at once
            # on one machine, one may wait for the other's words for ever. A socket has a name.
            if sys.platform == "linux":
                client.km.transport, client.km.ip = "ipc", f"@{uuid4().hex}"
            return client.execute(env=env, stdout=log, stderr=log)

    papermill_engines.register("mamlkit", Engine)


def run(
    paths: list[Path], values: Mapping[Path, Mapping[str, object]], out: Path, *, command: str
) -> list[Outcome]:
    """Runs notebooks one after the other into one folder, so that a later one sees what an earlier
    one recorded.

    Prints how each ended; one that fails does not keep the others from running. Raises ValueError
    while another run writes into the folder.
    """
    with files.alone(out / "run"):
        return _run(paths, values, out, command)


def _run(paths, values, out, command):
    outcomes = []
    for number, path in enumerate(paths, 1):
        prefix = f"[{number}/{len(paths)}] {path.stem}"
        print(prefix, file=sys.stderr, flush=True)
        rest = [sum(_expected(p, values[p]).values()) for p in paths[number:]]
        outcome = execute(
            path,
            out,
            values[path],
            command=command,
            prefix=prefix,
            later=sum(rest) if all(rest) else None,
        )
        outcomes.append(outcome)
        said = outcome.error or f"{path.stem} done"
        print(
            f"[{number}/{len(paths)}] {said} ({duration(outcome.seconds)})",
            file=sys.stderr,
            flush=True,
        )
    return outcomes


def new_folder(runs: Path) -> Path:
    """A folder of its own for this run: runs/<date>-<time>."""
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        with contextlib.suppress(FileExistsError):
            folder = runs / (time.strftime("%Y%m%d-%H%M%S") + suffix)
            folder.mkdir(parents=True)
            return folder
    raise ValueError(f"{runs} already holds a hundred runs of this second")


def _report(results: Path, stem: str) -> Path:
    return results / f"{stem}.numbers.json"


def numbers(results: Path, stem: str) -> dict[str, float]:
    """What the notebook called `stem` reported in a results folder."""
    return reported(_report(results, stem))


def verdicts(folder: Path) -> str:
    """The verdicts recorded in a results folder, counted, as one sentence that also names records
    that cannot be read; empty if there are none."""
    counts, damaged = Counter(), []
    for path in sorted((folder / "claims").glob("*.json")):
        try:
            verdict = files.read_json(path).get("verdict")
        except (OSError, ValueError):
            verdict = None
        if verdict in VERDICTS:
            counts[verdict] += 1
        else:
            damaged.append(path.name)
    said = [f"{counts[v]} {v}" for v in VERDICTS if counts[v]]
    return ", ".join(said + ([f"damaged: {' '.join(damaged)}"] if damaged else []))

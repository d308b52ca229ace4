"""The bank at work: what is missing is made, each cell in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

from mamlkit.bank.experiment import Experiment, Setting, check, load, make, path

PATIENCE = 30.0  # seconds to save and end after an interrupt
FAR = 3  # times the minutes left: what takes longer than that waits while something else fits


class Job(NamedTuple):
    """One cell that is to be made."""

    experiment: Experiment
    cell: str
    setting: Setting
    budget: str
    device: str = "cpu"

    @property
    def name(self) -> str:
        return f"{self.experiment.name} {self.cell}"


def missing(
    experiments: Iterable[Experiment], budget: str, seeds: int | None = None, device: str = "cpu"
) -> list[Job]:
    """The cells that the bank does not hold, in the order of the experiments.

    Raises ValueError if a file that it holds is damaged or contradicts its experiment.
    """
    jobs = []
    for experiment in experiments:
        load(experiment, budget)
        jobs += [
            Job(experiment, cell, setting, budget, device)
            for cell, setting in experiment.cells(budget, seeds).items()
            if not path(experiment, cell, budget).exists()
        ]
    return jobs


def listing(
    experiments: Iterable[Experiment], budget: str, seeds: int | None = None
) -> Iterator[str]:
    """For each experiment how many of its cells are banked, and how long the others would take."""
    for experiment in experiments:
        cells = experiment.cells(budget, seeds)
        open_ = [s for c, s in cells.items() if not path(experiment, c, budget).exists()]
        left = f", about {in_words(sum(map(experiment.cost, open_)))} left" if open_ else ""
        yield f"{experiment.name}: {len(cells) - len(open_)} of {len(cells)} banked{left}"


def run(jobs: list[Job], minutes: float | None = None) -> int:
    """Makes cells one after another and says how each ended.

    After `minutes` the running one is interrupted: it saves where it is, and the next call goes on
    from there. A cell that would take many times the minutes left waits while there is another.
    Returns the exit status: 0 if all is banked, 1 if a cell failed, 3 if time ran out or Ctrl-C
    came.
    """
    deadline = time.monotonic() + minutes * 60 if minutes else None
    waiting, failed = list(jobs), []
    while waiting:
        left = deadline - time.monotonic() if deadline else float("inf")
        fits = [job for job in waiting if job.experiment.cost(job.setting) <= FAR * left]
        job = (fits or waiting)[0]
        tell(f"{job.name}: {in_words(job.experiment.cost(job.setting))} of one core, or so")
        begin = time.monotonic()
        status = _in_process(job, deadline)
        tell(f"{job.name}: {status} after {time.monotonic() - begin:.0f} s")
        if status == "interrupted":
            names = ", ".join(w.name for w in waiting)
            tell(f"What remains: {names}. The same command goes on from there.")
            return 3
        failed += [job.name] if status == "failed" else []
        waiting.remove(job)
    if failed:
        tell(f"Failed: {', '.join(failed)}. The reason is above.")
    return 1 if failed else 0


def checks(experiments: Iterable[Experiment], budget: str = "paper") -> Iterator[tuple[str, str]]:
    """(a kept cell's name, "same" or where its beginning differs, or what is wrong with it)."""
    for experiment in experiments:
        for cell in experiment.cells(budget, 10):
            if path(experiment, cell, budget).exists():
                try:
                    yield f"{experiment.name} {cell}", check(experiment, cell, budget)
                except ValueError as wrong:
                    yield f"{experiment.name} {cell}", str(wrong)


def in_words(seconds: float) -> str:
    """A duration to one digit or so, in the unit that fits."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def tell(text: str) -> None:
    """Says it at once, on standard output."""
    print(text, flush=True)


def _in_process(job: Job, deadline: float | None) -> str:
    """Makes a cell in a process of its own: "banked", "interrupted" or "failed"."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    process = spawn.Process(target=_work, args=(job, theirs, left))
    process.start()
    theirs.close()
    interrupted = False
    while process.is_alive():
        try:
            process.join()
        except KeyboardInterrupt:
            interrupted = True
            ours.close()  # the process sees that nobody listens any more, saves and ends
            process.join(PATIENCE)
            process.kill()
    if process.exitcode == 0:
        return "banked"
    return "interrupted" if interrupted or process.exitcode == 3 else "failed"


def _work(job: Job, parent: Connection, seconds: float | None) -> None:
    """What the process of a cell does. It ends in order when its parent is gone, whatever ended
    that, and when its time is up."""
    os.setsid()  # the terminal's Ctrl-C and its closing reach the parent, and us through the pipe
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    threading.Thread(target=_watch, args=(parent, seconds), daemon=True).start()
    try:
        make(job.experiment, job.cell, job.setting, job.budget, _said(job), job.device)
    except KeyboardInterrupt:
        os._exit(3)
    except ValueError as refusal:
        print(f"mamlkit: {refusal}", file=sys.stderr, flush=True)
        os._exit(1)


def _watch(parent: Connection, seconds: float | None) -> None:
    """Interrupts this process when its parent is gone or its time is up, and ends it if that does
    not help."""
    try:
        if parent.poll(seconds):
            parent.recv()
    except (EOFError, OSError):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(3)


def _said(job: Job):
    """Passes Steps on and tells now and then how far they are."""

    def steps(items):
        total, begin, shown, first = job.setting.get("iterations", 0), time.monotonic(), 0.0, None
        for step in items:
            now = time.monotonic()
            first = (step.iteration, now) if first is None else first
            if now - shown > 10 and step.iteration > first[0]:
                shown = now
                left = (now - first[1]) / (step.iteration - first[0]) * (total - step.iteration)
                loss = f"  loss {step.losses[-100:].mean():.3f}" if len(step.losses) else ""
                tell(f"{job.name}  {step.iteration:,}/{total:,}  {left:.0f} s left{loss}")
            yield step
        tell(f"{job.name}  trained in {time.monotonic() - begin:.0f} s, measuring")

    return steps

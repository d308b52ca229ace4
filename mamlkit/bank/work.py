"""The bank at work: what is missing is made, each cell in a process of its own."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mamlkit.bank.experiment import Experiment, Setting, check, load, make, path, unfinished
from mamlkit.bank.process import Ended, call, heard
from mamlkit.files import alone

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
        seconds = max(0.0, deadline - time.monotonic()) if deadline else None
        status = ended(job, call(cell, job, seconds=seconds))
        if status == "interrupted":
            break
        failed += [job] if status == "failed" else []
        waiting.remove(job)
    return closing(failed, waiting)


def ended(job: Job, how: Ended) -> str:
    """Says how a cell ended: "banked", "interrupted" or "failed"."""
    status = "banked" if how.status == "done" else how.status
    tell(f"{job.name}: {status} after {how.seconds:.0f} s")
    return status


def closing(failed: list[Job], waiting: list[Job]) -> int:
    """Says what failed and what was not done; the exit status of `run`."""
    if failed:
        tell(f"Failed: {', '.join(job.name for job in failed)}. The reason is above.")
    if waiting:
        names = ", ".join(job.name for job in waiting)
        tell(f"What remains: {names}. The same command goes on from there.")
    return 3 if waiting else 1 if failed else 0


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


def cell(job: Job, patience: float = 0.0) -> None:
    """Makes a cell, in this process, unless it is banked.

    patience: seconds to wait for another process that makes it; then ValueError is raised.
    """
    if path(job.experiment, job.cell, job.budget).exists():
        return
    with alone(unfinished(job.experiment, job.cell, job.budget), patience):
        pass
    make(job.experiment, job.cell, job.setting, job.budget, _said(job), job.device)


def _said(job: Job):
    """Passes Steps on and tells now and then how far they are, and what `train` says of itself."""

    def steps(items):
        total, begin, shown, first = job.setting.get("iterations", 0), time.monotonic(), 0.0, None
        for step in heard(items, lambda words: tell(f"{job.name}  {words}")):
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

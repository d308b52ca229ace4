"""How banked classification results are read: accuracies on test tasks, and their intervals."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.audit.intervals import Interval, over_seeds
from mamlkit.bank.experiment import Result, load
from mamlkit.studies.image_measures import SAID, queries
from mamlkit.studies.images import COLUMNS, EXPERIMENTS, share
from mamlkit.studies.released import RELEASED

Bank = Mapping[str, Mapping[str, Result]]  # experiment -> cell -> what is kept


class Row(NamedTuple):
    """A method's trainings in one experiment. measured: the prefix of what was measured of it."""

    experiment: str
    method: str
    results: dict[int, Result]  # by seed
    measured: str = "right"

    @property
    def setting(self):
        return next(iter(self.results.values())).setting

    @property
    def share(self) -> float:
        """The part of the paper's budget that it was trained with."""
        return share(self.setting, next(c for c in COLUMNS if self.experiment.startswith(c)))


def banked() -> Bank:
    """All kept results of section 5.2."""
    return {experiment.name: load(experiment) for experiment in (*EXPERIMENTS, RELEASED)}


def row(bank: Bank, experiment: str, method: str) -> Row | None:
    """A method's trainings, or None if none is kept; "features" were measured of "fine-tuned"."""
    trained = "fine-tuned" if method == "features" else method
    kept = [r for r in bank.get(experiment, {}).values() if r.setting["method"] == trained]
    found = {r.setting["seed"]: r for r in kept}
    measured = "features" if method == "features" else "right"
    return Row(experiment, method, dict(sorted(found.items())), measured) if found else None


def cell(bank: Bank, column: str, method: str) -> Row | None:
    """The method in a column of Table 1, at the largest budget that is kept.

    "maml" is MAML with the authors' step, or, where that is not kept at a smaller budget, with
    alpha on the mean loss; "fomaml" likewise.
    """
    stands_for = {"maml": ("maml", "printed"), "fomaml": ("fomaml", "first order, printed")}
    for experiment in COLUMNS.get(column, (column,)):
        smaller = experiment != column
        names = stands_for.get(method, (method,))[:: -1 if smaller else 1]
        for name in names if smaller else (method,):
            if found := row(bank, experiment, name):
                return found
    return None


def whole(rows: Iterable[Row | None]) -> list[Row]:
    """These rows; none of them where one is not kept."""
    found = [*rows]
    kept = [r for r in found if r is not None]
    return kept if len(kept) == len(found) else []


def shares(row: Row, protocol: str = "paper", step: int | None = None, among=None) -> Tensor:
    """Accuracy on each test task, in percent: (seeds, tasks).

    step: after so many, by default the paper's. among: only the seeds that this row has too.
    """
    s = row.setting
    each = queries(s, "together" if protocol == "training classes" else protocol) * s["way"]
    chosen = [r for seed, r in row.results.items() if among is None or seed in among.results]
    right = torch.stack([r.measured[f"{row.measured}.{protocol}"] for r in chosen]).double()
    return 100 * right[..., min(s["test"] if step is None else step, right.shape[-1] - 1)] / each


def reaches(values: Tensor, least: float) -> bool:
    """Is the mean at or above what is asked for? A mean that is exactly it counts, whatever its
    last digits are by rounding."""
    return round(values.mean().item(), 6) >= least


def interval(values: Tensor) -> Interval:
    """Mean over seeds and tasks (seeds, tasks) with its 95 % interval over tasks."""
    mean, half = values.mean().item(), 1.96 * values.mean(0).std().item() / values.shape[1] ** 0.5
    return Interval(mean, mean - half, mean + half)


def sure(values: Tensor) -> Interval:
    """Mean over seeds and tasks (seeds, tasks) with its 95 % interval: over trainings by Student's
    t from three on, else over tasks, which says nothing of another training."""
    return over_seeds(values.mean(1)) if len(values) > 2 else interval(values)


def margin(row: Row, other: Row, protocol: str = "together") -> Interval:
    """How far a row is above another, paired over tasks and seeds, in points."""
    ours, theirs = shares(row, protocol, among=other), shares(other, protocol, among=row)
    return interval(ours - theirs)


def of_seeds(values: Tensor) -> str:
    """The accuracy of each training; from three on with the t interval over trainings, which is
    another than that over tasks."""
    means = [f"{v:.2f}" for v in values.mean(1)]
    if len(values) < 3:
        return " and ".join(means)
    i = over_seeds(values.mean(1))
    return ", ".join(means) + f"; over seeds {i.value:.2f} [{i.low:.2f}, {i.high:.2f}]"


def made(row: Row, protocol: str = "paper", n: int | None = None) -> str:
    """How a number came about: the training, its share of the paper's budget, and the test."""
    s, about = row.setting, next(iter(row.results.values()))
    falls = " falling to 0" if s["schedule"] == "cosine" else ""
    tasks = n or len(about.measured[f"{row.measured}.{protocol}"])
    part = f", {100 * row.share:.2g} % of the paper's training tasks" if row.share < 1 else ""
    test = SAID.get(protocol, "15 queries a class, normalised together")
    return (
        f"{s['tasks']} tasks x {s['iterations']:,} iterations{part}, Adam {s['beta']:g}{falls}, "
        f"best of validation; {tasks:,} test tasks, {test}"
    )

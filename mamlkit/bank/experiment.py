"""An experiment as a value, and what the bank keeps of it: one small file for each cell."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.budget import PROFILES
from mamlkit.bank.checkpoint import read, resumable, save_tensors
from mamlkit.bank.provenance import commit, describe
from mamlkit.files import ROOT
from mamlkit.machine import precision
from mamlkit.train import Step
from mamlkit.trees import Params, tree_map

Setting = Mapping[str, Any]  # JSON values that a reader understands; "method" and "seed" are two
Device = torch.device | str
TOLERANCE = 1e-4  # relative: between two processors a beginning agrees to about 1e-6
DOUBLE = 1e-6  # the same for a fingerprint, which exact rewrites move by about 1e-11
UPDATES = 5  # of a training's first updates a fingerprint is made of
SAVE_EVERY = 10.0  # seconds of training that a kill may cost
LIMIT = 980_000  # bytes of a result's tensors: what is committed stays under 1 MB with its header
EXACT, EACH = 2_000, 100  # of a loss curve the first values are kept, then means of so many


class Experiment(NamedTuple):
    """What is run, as pure functions of a setting: all of them belong to a module, so that
    another process can be told which.

    name: its name in the bank. cells: (budget, how many seeds or None) -> a setting for each cell,
    by the cell's name, e.g. "maml-0". steps: (setting, where to resume or None, where to stop or
    None, device) -> the Steps of the training; a stop shortens a run and nothing else, schedules
    included; the device is the CPU if none is given. measure: (setting, last Step, its tensors on
    the CPU, and a device where it can use one) -> the parameters that are kept and what was
    measured on test tasks. begin: setting -> the numbers by which a kept result is known, in
    tensors of torch's default type, see `first_losses` and `fingerprint`. cost: setting -> about
    how many seconds one core takes.
    """

    name: str
    cells: Callable[[str, int | None], dict[str, Setting]]
    steps: Callable[..., Iterator[Step]]
    measure: Callable[..., tuple[Params, dict[str, Tensor]]]
    begin: Callable[[Setting], Tensor]
    cost: Callable[[Setting], float]


class Result(NamedTuple):
    """What is kept of a cell. about: its setting, beginning in single precision, fingerprint,
    commit, device, versions, seconds."""

    params: Params
    measured: dict[str, Tensor]
    about: dict[str, Any]

    @property
    def setting(self) -> dict[str, Any]:
        return self.about["setting"]


def first_losses(steps: Callable[[Setting, None, int], Iterator[Step]], setting: Setting) -> Tensor:
    """The usual `begin`: the losses of a training's first updates, run eagerly, and how far the
    meta-parameters move from the first of them to the last.

    The losses hardly see the outer step, which moves each parameter by a thousandth or so.
    """
    first, end = (last(steps(setting, None, n)) for n in (1, UPDATES))
    moved = sum((end.meta[k] - p).double().square().sum() for k, p in first.meta.items())
    return torch.cat([end.losses[:UPDATES].double(), torch.as_tensor(moved).sqrt()[None]])


def last(items: Iterator[Step]) -> Step:
    """The last of the items; there must be one."""
    return deque(items, maxlen=1).pop()


def folder(budget: str) -> Path:
    """Where results of a budget are kept: those of the paper's are committed."""
    if budget not in PROFILES:
        raise ValueError(f'profile "{budget}" is unknown; allowed are {", ".join(PROFILES)}')
    return (
        ROOT / "data" / "bank" if budget == "paper" else ROOT / "data" / "cache" / "bank" / budget
    )


def path(experiment: Experiment, cell: str, budget: str = "paper") -> Path:
    """The file of one cell."""
    return folder(budget) / experiment.name / f"{cell}.safetensors"


def unfinished(experiment: Experiment, cell: str, budget: str = "paper") -> Path:
    """The file of a training that goes on."""
    return ROOT / "data" / "cache" / "runs" / budget / experiment.name / f"{cell}.safetensors"


def load(experiment: Experiment, budget: str = "paper") -> dict[str, Result]:
    """The kept results of an experiment by cell, as far as they are there, of up to ten seeds.

    Raises ValueError if a file is damaged, or was made with another setting than the experiment's.
    """
    asked = experiment.cells(budget, 10)
    return {
        cell: _load(experiment, cell, setting, budget)
        for cell, setting in asked.items()
        if path(experiment, cell, budget).exists()
    }


def _load(experiment, cell, setting, budget) -> Result:
    file = path(experiment, cell, budget)
    metadata, tensors = read(file)
    about = metadata["about"]
    if differs := _difference(about["setting"], setting):
        raise ValueError(
            f"{file} was made with {differs[1]} where the experiment now says {differs[2]}: "
            "delete the file to have it made anew"
        )
    part = lambda prefix: {
        k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)
    }
    return Result(
        {k: p.to(torch.get_default_dtype()) for k, p in part("params/").items()},
        part("measured/"),
        about,
    )


def _difference(kept: Setting, asked: Setting) -> tuple[str, str, str] | None:
    """The first setting in which a kept result and an asked one differ, in words."""
    asked = json.loads(json.dumps(asked))
    for name in {**asked, **kept}:
        if kept.get(name) != asked.get(name):
            return name, f"{name} {kept.get(name)}", f"{name} {asked.get(name)}"
    return None


def make(
    experiment: Experiment,
    cell: str,
    setting: Setting,
    budget: str,
    progress=None,
    device: Device = "cpu",
) -> Path:
    """Trains a cell, measures it and keeps it: what `run` does in a process of its own.

    The training goes on where an earlier one stopped. progress: wraps the Steps. device: where it
    trains, and where it is measured if `measure` takes a device; else that is done on the CPU.
    Raises ValueError if another process makes this cell.
    """
    begin, started = time.monotonic(), commit()
    run = unfinished(experiment, cell, budget)
    steps = resumable(
        run,
        lambda resume: experiment.steps(setting, resume, None, device),
        about=dict(setting),
        device=device,
        seconds=SAVE_EVERY,
    )
    step = last(progress(steps) if progress else steps)
    step = tree_map(lambda t: t.cpu() if isinstance(t, Tensor) else t, step)
    takes = {"device": str(device)} if "device" in signature(experiment.measure).parameters else {}
    params, measured = experiment.measure(setting, step, **takes)
    about = dict(
        setting=dict(setting),
        beginning=beginning(experiment, setting).tolist(),
        fingerprint=fingerprint(experiment, setting).tolist(),
        commit=started,
        command=f"python -m mamlkit bank --only {experiment.name}",
        seconds=round(time.monotonic() - begin),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        **describe(device),
    )
    file = keep(experiment, cell, budget, params, measured | curve(step.losses), about)
    for done in (run, run.with_name(f"{run.name}.previous")):
        done.unlink(missing_ok=True)
    return file


def keep(experiment, cell, budget, params, measured, about) -> Path:
    """Writes a result; parameters go to half precision where the file would pass 1 MB."""
    size = sum(t.numel() * t.element_size() for part in (params, measured) for t in part.values())
    halved = {k: p.half() if size > LIMIT else p for k, p in params.items()}
    tensors = {f"params/{k}": p for k, p in halved.items()}
    tensors |= {f"measured/{k}": t for k, t in measured.items()}
    file = path(experiment, cell, budget)
    save_tensors(file, tensors, about)
    return file


def curve(losses: Tensor) -> dict[str, Tensor]:
    """A training's losses as they are kept: the first ones as they were, then means of a hundred.

    `compare` holds another run against them.
    """
    if not len(losses):
        return {}
    later = losses[EXACT:]
    means = later[: len(later) // EACH * EACH].unflatten(0, (-1, EACH)).mean(1)
    return {"losses": losses[:EXACT].clone(), "later losses": means}


def fingerprint(experiment: Experiment, setting: Setting) -> Tensor:
    """How a cell's run begins in double precision: what the kept result is known by.

    The settings are the run's; the draws are others, as torch draws other doubles than floats.
    Code that adds up in another order rounds otherwise, and Adam's first steps, which have the size
    of beta whatever the gradient's, multiply it: in single precision until the third loss of a
    training on images is another, in double precision to no more than 1e-11.
    """
    return beginning(experiment, setting, torch.float64)


def beginning(
    experiment: Experiment, setting: Setting, dtype: torch.dtype = torch.float32
) -> Tensor:
    """How a cell's run begins, eagerly, on one thread of a CPU: float64, computed in `dtype`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with precision(dtype):
            return experiment.begin(setting).double()
    finally:
        torch.set_num_threads(threads)


def check(experiment: Experiment, cell: str, budget: str = "paper") -> str:
    """Says "same" if a kept result begins as the code of today does, else where it differs.

    A file without a fingerprint was made before there were any: its beginning in single precision
    is compared. Raises ValueError if the file is damaged or was made with another setting.
    """
    setting = experiment.cells(budget, 10)[cell]
    return _begins(experiment, setting, _load(experiment, cell, setting, budget).about)


def _begins(experiment, setting, about) -> str:
    kept = lambda name: torch.tensor(about[name], dtype=torch.float64)
    if "fingerprint" not in about:
        return compare(beginning(experiment, setting), kept("beginning"))
    return compare(fingerprint(experiment, setting), kept("fingerprint"), DOUBLE)


def compare(now: Tensor, kept: Tensor, tolerance: float = TOLERANCE) -> str:
    """Says "same" if two beginnings agree, else the first update at which they differ."""
    if len(now) != len(kept):
        return f"differs: {len(now)} numbers, kept {len(kept)}"
    apart = ~torch.isclose(
        now.double(), kept.double(), rtol=tolerance, atol=tolerance / 1000, equal_nan=True
    )
    if not apart.any():
        return "same"
    first = int(apart.int().argmax())
    moved = first == UPDATES == len(now) - 1  # the last number of a fingerprint
    place = f"in how far {UPDATES} updates move" if moved else f"at update {first + 1}"
    return f"differs {place}: {now[first]:.7g}, kept {kept[first]:.7g}"


def follows(
    losses: Tensor,
    kept: Result,
    setting: Setting,
    *,
    exact: int = UPDATES,
    band: float = 0.2,
    experiment: Experiment | None = None,
) -> str:
    """Holds a run of today against a kept one: in words, how far they agree.

    At the kept setting the run *is* the beginning of the kept one: the first `exact` updates agree
    to `TOLERANCE` with the kept losses, or with those of its eager beginning, which a compiled
    training of images soon leaves; later ones, which rounding drives apart, to a share `band` in
    means of a hundred. experiment: where rounding alone changes the second loss already, `exact` is
    1 and the fingerprint of this experiment must be the kept one. Another setting has nothing to
    agree with, and is told so.
    Raises ValueError naming the first iteration that differs.
    """
    if other := _difference(kept.setting, setting):
        return f"Not compared with the bank: {other[2]} here, {other[1]} there."
    first = kept.measured["losses"]
    eager = torch.tensor(kept.about["beginning"], dtype=first.dtype)[: min(exact, UPDATES)]
    ours = losses[:exact]
    found = [
        compare(ours, whole[: len(ours)])
        for whole in (first, torch.cat([eager, first[len(eager) :]]))
    ]
    if experiment is not None and "same" in found:
        found = [_begins(experiment, setting, kept.about)]
    if "same" not in found:
        raise ValueError(f"this run is not the beginning of the banked one: it {found[0]}")
    n = min(len(losses), len(first)) // EACH * EACH
    ours, theirs = (x[:n].unflatten(0, (-1, EACH)).mean(1) for x in (losses, first))
    apart = (ours - theirs).abs() > band * theirs.abs()
    if n and apart.any():
        where = int(apart.int().argmax())
        raise ValueError(
            f"this run is not the beginning of the banked one: in iterations {where * EACH + 1} "
            f"to {(where + 1) * EACH} its mean loss is {ours[where]:.4g}, kept {theirs[where]:.4g}"
        )
    rest = ", as far as the bank keeps every loss" if len(losses) > len(first) else ""
    return f"Agrees with the bank up to iteration {max(n, min(len(losses), exact)):,}{rest}."

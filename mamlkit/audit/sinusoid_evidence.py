"""What the judges of section 5.1 read: the bank's tests of its networks, and a few that take
seconds."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.audit.intervals import Interval, fraction, over_seeds
from mamlkit.bank.experiment import Experiment, load
from mamlkit.studies import sinusoids as study
from mamlkit.trees import Params

SHOTS = (5, 10, 20)
PROTOCOL = (
    "alpha 0.01, K 10 in training, meta-batch 25, Adam 0.001, 70,000 iterations; 10,000 test waves "
    "of 100 queries, the same for every method. A run is one network on one wave; means are over "
    "the runs whose error stays at 100 or below, the share of the others is given"
)

TABLE2 = {  # K -> method -> steps -> the paper's mean squared error
    5: {"maml": {1: 0.67, 5: 0.38, 10: 0.35}, "pretrained": {1: 2.41, 5: 2.23, 10: 2.19}}
}


class Method(NamedTuple):
    """The networks of one method. tests: what was measured, by name, seeds first. params: by
    seed."""

    tests: Mapping[str, Tensor]
    params: list[Params]
    seeds: list[int]

    def mean(self, test: str) -> Tensor:
        """(seeds, steps + 1): errors of the runs that do not diverge."""
        return self.tests[f"{test} mean"]

    def median(self, test: str) -> Tensor:
        """(seeds, steps + 1): errors of all runs."""
        return self.tests[f"{test} median"]

    def lost(self, test: str, step: int = -1) -> Interval:
        """The share of runs that have diverged by a step, all seeds together."""
        return share(self.tests[f"{test} lost"][:, step], self.tests[f"{test} tasks"])

    def pvalues(self, test: str) -> list[list[float]]:
        """For each seed: of each step, the two-sided p-value that the mean error stays as it
        was."""
        from scipy import stats

        change, error = (self.tests[f"{test} {key}"] for key in ("change", "change error"))
        left = self.tests[f"{test} tasks"] - self.tests[f"{test} lost"][:, -1]
        return [
            [float(2 * stats.t.sf(abs(c / e), n - 1)) for c, e in zip(changes, errors)]
            for changes, errors, n in zip(change.tolist(), error.tolist(), left.tolist())
        ]


Evidence = Mapping[str, Any]  # methods by name; "kernels", "identities" and the like beside them


def share(hits: Tensor, of: Tensor) -> Interval:
    """A share of runs with its Clopper-Pearson interval, from counts."""
    flags = torch.arange(int(of.sum())) < int(hits.sum())
    return fraction(flags)


def steps(values: Tensor, *which: int) -> dict[str, Interval]:
    """Means over seeds after some steps, labelled as in the ledger."""
    return {f"MSE after {s} step{'s' * (s > 1)}": over_seeds(values[:, s]) for s in which}


def high(interval: Interval) -> float:
    """The upper end; of one seed, which has no interval, the value."""
    return float(interval.high if interval.high == interval.high else interval.value)


def low(interval: Interval) -> float:
    """The lower end; of one seed the value."""
    return float(interval.low if interval.low == interval.low else interval.value)


def grouped(experiment: Experiment, budget: str) -> dict[str, Method]:
    """An experiment's results by method, as far as they are banked."""
    found: dict[str, list] = {}
    for cell, result in load(experiment, budget).items():
        found.setdefault(cell.rpartition("-")[0], []).append(result)
    return {
        name: Method(
            {key: torch.stack([r.measured[key] for r in results]) for key in results[0].measured},
            [r.params for r in results],
            [r.setting["seed"] for r in results],
        )
        for name, results in found.items()
    }


def banked(budget: str = "paper") -> dict[str, Method]:
    """All methods of section 5.1 that are banked, by the names of their cells."""
    found: dict[str, Method] = {}
    for experiment in (study.FIGURE3, study.ABLATIONS, study.WIDER, study.SETTLED, study.RIVALS):
        found |= grouped(experiment, budget)
    found |= {f"average {name}": method for name, method in grouped(study.AVERAGES, budget).items()}
    return found


def figure3(methods: Mapping[str, Method]) -> dict[int, dict[str, Tensor]]:
    """Figure 3's lines: K -> method -> (seeds, steps + 1). The oracle takes no step."""
    lines = {}
    for k in SHOTS:
        told = methods["oracle"].tests[f"K={k} start"][:, None].expand(-1, 11)
        lines[k] = {m: methods[m].mean(f"K={k}") for m in ("maml", "pretrained")} | {"oracle": told}
    return lines


def complete(evidence: Evidence, names: Iterable[str]) -> bool:
    """Is all of this there, the networks (but for averages of them) with the same seeds?"""
    if not all(name in evidence for name in names):
        return False
    methods = [evidence[name] for name in names if not name.startswith("average ")]
    return len({tuple(m.seeds) for m in methods if isinstance(m, Method)}) <= 1


def needs(*names: str):
    """Marks a judge that says nothing (None) unless the evidence is `complete`."""

    def wrap(judge):
        def judged(evidence: Evidence):
            return judge(evidence) if complete(evidence, names) else None

        judged.__name__, judged.__doc__ = judge.__name__, judge.__doc__
        return judged

    return wrap

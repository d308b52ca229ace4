"""What the judges of section 5.3's locomotion read: the bank, and what takes seconds."""

from math import nan
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.audit import locomotion_facts
from mamlkit.audit.intervals import Interval, over_seeds
from mamlkit.audit.locomotion_quoted import ORDER, fraction_of_oracle, millions, words
from mamlkit.bank.experiment import Result, Setting, load
from mamlkit.rl.locomotion import Locomotion
from mamlkit.studies.locomotion import SCRATCH, TRAININGS, UNTRAINED
from mamlkit.studies.locomotion_measures import STEPS

CONTEXT = "cheetah-direction-context"


def over_trainings(values: Tensor) -> Interval:
    """The mean of (seeds, goals) and its interval over seeds; over goals of one, none of two."""
    if len(values) == 2:
        return Interval(values.double().mean().item(), nan, nan)
    return over_seeds(values.mean(1) if len(values) > 1 else values[0])


class Evidence(NamedTuple):
    """What the judges read. results: by experiment, then by cell, as the bank keeps them.
    wanted: the cells that each experiment asks for. scratch: the returns of learning one direction
    from scratch, by way (seeds, updates). untrained: what `untrained` measured, by robot. facts:
    see `locomotion_facts`. horizons: by environment."""

    results: dict[str, dict[str, Result]]
    wanted: dict[str, dict[str, Setting]]
    scratch: dict[str, Tensor]
    untrained: dict[str, dict[str, Tensor]]
    facts: locomotion_facts.Facts | None = None
    horizons: dict[str, int] | None = None

    def returns(self, name: str, method: str, step: int | None = None) -> Tensor | None:
        """(seeds, goals, steps + 1), or (seeds, goals) after one number of steps; None where there
        is nothing. Whole episodes are counted as they end: the authors' way."""
        cells = sorted(self.results.get(name, {}).items())
        found = [r.measured["finished"] for c, r in cells if c.rpartition("-")[0] == method]
        if not found:
            return None
        stacked = torch.stack(found).expand(-1, -1, STEPS + 1)
        return stacked if step is None else stacked[..., step]

    def found(self, name: str, method: str, step: int | None = None) -> Tensor:
        """The same of what is there for certain."""
        found = self.returns(name, method, step)
        assert found is not None
        return found

    def average(self, name: str, method: str, step: int = 0) -> float:
        """The mean over seeds and goals after so many steps."""
        return self.found(name, method, step).mean().item()

    def complete(self, name: str, method: str = "maml") -> bool:
        """Is every training of a method there?"""
        cells = [c for c, s in self.wanted[name].items() if s["method"] == method]
        return all(cell in self.results[name] for cell in cells)

    def largest(self, env: str) -> str | None:
        """The largest size of an environment at which every training of MAML is there, or None."""
        sizes = (env, f"{env}-half", f"{env}-cpu")
        return next((n for n in sizes if n in self.wanted and self.complete(n)), None)

    def judged(self) -> dict[str, str]:
        """The experiment that stands for each environment, as far as there is one."""
        return {env: size for env in ORDER if (size := self.largest(env))}

    def beside(self, *methods: str) -> "Evidence":
        """The same without the sizes at which one of these methods has not run: a comparison is
        judged at the largest size that has both."""
        has = lambda name: all(self.returns(name, m) is not None for m in methods)
        kept = {name: cells if has(name) else {} for name, cells in self.results.items()}
        return self._replace(results=kept)

    def gain(self, name: str, method: str = "maml", step: int = 1, start: int = 0) -> Interval:
        """What the steps add to the mean return, with its interval over seeds (one seed: goals).
        Of two seeds there is no interval."""
        after, before = (self.found(name, method, k) for k in (step, start))
        return over_trainings(after - before)

    def gain_over(self, name: str, method: str) -> Interval:
        """What one step of MAML gains more than one of another start, its interval over goals."""
        gains = [self.found(name, m).diff(dim=-1)[0, :, 0] for m in ("maml", method)]
        return over_seeds(gains[0] - gains[1])

    def oracle_above(self, method: str) -> dict[str, float]:
        """By how much the oracle is above another method's best return of steps 0 to 3."""
        return {
            env: self.average(name, "oracle")
            - max(self.average(name, method, k) for k in range(STEPS + 1))
            for env, name in self.beside("oracle", method).judged().items()
        }

    def fractions(self) -> dict[str, list[float]]:
        """How much of the oracle's gain MAML makes after 0 to 3 steps, by environment: where the
        oracle is above every return of the random start, else it is no yardstick."""
        found = {}
        for env, lead in self.oracle_above("random").items():
            name = self.beside("oracle", "random").judged()[env]
            if lead > 0:
                random, oracle = self.average(name, "random"), self.average(name, "oracle")
                found[env] = [
                    fraction_of_oracle(random, oracle, self.average(name, "maml", k))
                    for k in range(STEPS + 1)
                ]
        return found

    def played(self, name: str) -> float:
        """Millions of environment steps that a meta-training of this size plays."""
        s = next(s for s in self.wanted[name].values() if s["method"] in ("maml", "context"))
        return millions(*(s[k] for k in ("iterations", "tasks", "rollouts")))

    def size(self, name: str) -> str:
        """The size of an experiment in words."""
        cells = list(self.wanted[name].values())
        s = next(s for s in cells if s["method"] in ("maml", "context"))
        seeds = sum(c["method"] == s["method"] for c in cells)
        others = sum(cell.startswith("pretrained") for cell in self.results[name])
        return (
            "{tasks} tasks x {rollouts} rollouts x {iterations} iterations, TRPO radius "
            "{radius:g}, curvature from one step in {every}".format(**s)
            + f", {seeds} seed(s), baselines {others}; {s['goals']} test goals"
        )

    def protocol(self) -> str:
        """The size of every judged training, in words."""
        return "; ".join(f"{words(env)}: {self.size(name)}" for env, name in self.judged().items())

    def seeds(self, name: str) -> range:
        """The seeds that were found of an experiment."""
        return range(len(self.found(name, "context" if name == CONTEXT else "maml")))

    def cheetah_seeds(self) -> range:
        """The seeds that the cheetahs' judged trainings have in common."""
        names = [name for env, name in self.judged().items() if env.startswith("cheetah")]
        return min((self.seeds(name) for name in names), key=len, default=range(1))


def banked(budget: str = "paper") -> Evidence:
    """Reads the bank: enough for figures and for the judges of trainings."""
    results = {name: load(e, budget) for name, e in TRAININGS.items()}
    scratch: dict[str, list[Tensor]] = {}
    for cell, result in sorted(load(SCRATCH, budget).items()):
        scratch.setdefault(cell.rpartition("-")[0], []).append(result.measured["returns"][:, 0])
    return Evidence(
        results,
        {name: e.cells(budget, None) for name, e in TRAININGS.items()},
        {way: torch.stack(rows) for way, rows in scratch.items()},
        {c.rpartition("-")[0]: r.measured for c, r in load(UNTRAINED, budget).items()},
    )


def evidence(budget: str = "paper") -> Evidence:
    """What the bank holds, and the facts, which take some seconds."""
    return banked(budget)._replace(
        facts=locomotion_facts.measure(),
        horizons={env: Locomotion(*env.split("-")).horizon for env in ORDER},
    )

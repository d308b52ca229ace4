"""What the bank holds on section 5.2's first-order approximation, as its judges and figures read
it."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.experiment import Result, load
from mamlkit.studies import first_order, images
from mamlkit.studies.counting import COUNTING
from mamlkit.studies.image_measures import PROTOCOLS, queries
from mamlkit.studies.images import LABELS
from mamlkit.studies.omitted import ACTIVATIONS, FILES, NETWORKS, OMITTED


class Pair(NamedTuple):
    """A setting trained at both orders. share: of the paper's budget. seeds: trained at both.
    second, first: accuracy in percent on the same test tasks, by protocol: (seeds, tasks)."""

    share: float
    seeds: list[int]
    second: dict[str, Tensor]
    first: dict[str, Tensor]
    experiments: tuple[str, ...]

    def gap(self, protocol: str = "together") -> Tensor:
        """What second derivatives add, in points, task by task: (seeds, tasks)."""
        return self.second[protocol] - self.first[protocol]


class Evidence(NamedTuple):
    """What the judges read. counted: by Table 1's setting, what `counting.measure` kept. along: by
    (network, activation), what `omitted.measure` kept. gradients: by place, "start" and "trained",
    what `first_order.measure_gradients` kept. pairs: by setting, each at its largest budget.
    joint: joint training's accuracy in 5-way 1-shot tasks, (1, tasks). alike: the pair that was
    trained as it was. steps: what `first_order.measure_steps` kept, and its
    setting."""

    counted: Mapping[str, Mapping[str, Tensor]]
    lengths: list[int]
    along: Mapping[tuple[str, str], Mapping[str, Tensor]]
    gradients: Mapping[str, Mapping[str, Tensor]]
    pairs: Mapping[str, Pair]
    joint: Tensor | None
    alike: Pair | None
    steps: Result | None


def evidence(budget: str = "paper") -> Evidence:
    """All that the bank holds for this section, in seconds."""
    counted = load(COUNTING, budget)
    along, gradients = load(OMITTED, budget), load(first_order.GRADIENTS, budget)
    joint = load(first_order.JOINT, budget).get(images.cell("joint", 0))
    lengths = next((r.setting["lengths"] for r in counted.values()), [])
    return Evidence(
        {LABELS[c]: r.measured for c, r in counted.items()},
        lengths,
        {
            (name, activation): along[cell].measured
            for name in NETWORKS
            for activation in ACTIVATIONS
            if (cell := f"{FILES[name]}-{activation.lower()}-0") in along
        },
        {r.setting["place"]: r.measured for r in gradients.values() if r.setting["seed"] == 0},
        pairs(budget),
        None if joint is None else accuracies(joint, "together")[None],
        next(_trained("omniglot-5w1s", budget, {first_order.TWO_CORES}), None),
        _largest(load(first_order.STEP_SIZES, budget)),
    )


def _largest(found: Mapping[str, Result]) -> Result | None:
    """The sweep of step sizes at the largest budget that is kept."""
    names = (images.cell(name, 0) for name in first_order.TRAINED)
    return next((found[name] for name in names if name in found), None)


def accuracies(found: Result, protocol: str) -> Tensor:
    """Percent of the queries of each test task after the paper's steps: (tasks,)."""
    s = found.setting
    right = found.measured[f"right.{protocol}"][:, s["test"]].float()
    return 100 * right / (s["way"] * queries(s, protocol))


def pairs(budget: str) -> dict[str, Pair]:
    """The settings of Table 1 that are banked at both orders, each at its largest budget."""
    found = {c: next(_trained(c, budget, {*images.SETTINGS}), None) for c in first_order.PAIRS}
    return {LABELS[column]: pair for column, pair in found.items() if pair}


def _trained(column: str, budget: str, among: set[str]) -> Iterator[Pair]:
    """What is banked at both orders of one of Table 1's columns, the largest budget first.

    among: the experiments of the second order that count.
    """
    known = first_order.by_name()
    read = cache(lambda name: load(known[name], budget))
    for (second, how), (first, without) in first_order.PAIRS[column]:
        seeds = [
            seed
            for seed in range(10)
            if second in among
            and images.cell(how, seed) in read(second)
            and images.cell(without, seed) in read(first)
        ]
        if seeds:
            of = lambda name, method, protocol, seeds=seeds: torch.stack(
                [accuracies(read(name)[images.cell(method, s)], protocol) for s in seeds]
            )
            yield Pair(
                images.share(images.SETTINGS[second], column),
                seeds,
                *_common(
                    {p: of(second, how, p) for p in PROTOCOLS},
                    {p: of(first, without, p) for p in PROTOCOLS},
                ),
                experiments=tuple(dict.fromkeys((second, first))),
            )


def _common(
    one: dict[str, Tensor], other: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The first test tasks that both have: they are drawn from one seed."""
    n = {p: min(one[p].shape[1], other[p].shape[1]) for p in one}
    return {p: one[p][:, : n[p]] for p in n}, {p: other[p][:, : n[p]] for p in n}


def saved(e: Evidence) -> dict[str, float]:
    """Percent of the operations that first order saves, by setting."""
    return {
        name: 100 * (1 - float(c["operations"][1]) / float(c["operations"][0]))
        for name, c in e.counted.items()
    }


def time_saved(e: Evidence) -> dict[str, float]:
    """Percent of the time that first order saves, by setting that was timed."""
    return {name: c["time saved"].item() for name, c in e.counted.items() if "time saved" in c}

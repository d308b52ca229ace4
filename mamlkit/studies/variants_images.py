"""Chapter 6 on characters: the variants at equal budgets, MAML++ part by part, and Reptile as
published."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.experiment import Device, Experiment, first_losses
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.few_shot import few_shot
from mamlkit.families.minibatches import minibatched
from mamlkit.inner import adapt_with, inner_step
from mamlkit.learner import Learner
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net, all_but_norms, strided_convnet, with_context
from mamlkit.optimizer import Optimizer, adam, annealed, cosine, linear, sgd
from mamlkit.studies.image_methods import pictures
from mamlkit.studies.variant_methods import (
    VARIANTS,
    Setting,
    before,
    falling,
    known,
    pooled,
    while_finite,
)
from mamlkit.task import Family, sample
from mamlkit.train import COMPILE_FROM, Step, train
from mamlkit.trees import Params

TEST = 10_000  # the seed that draws test tasks
# way. tasks: of a meta-batch. test: inner steps at test. queries: a class at test; in training it
# has one. tests: tasks. Source: appendix A.1.
PAPER = {
    5: dict(way=5, tasks=32, iterations=60_000, test=3, queries=15, tests=1_000),
    20: dict(way=20, tasks=16, iterations=60_000, test=5, queries=5, tests=1_000),
}
# What two cores do in minutes: 0.05 percent of the paper's training tasks.
TWO_CORES = {
    5: PAPER[5] | dict(tasks=4, iterations=240, tests=100),
    20: PAPER[20] | dict(tasks=2, iterations=240, tests=40),
}
# MAML beside MAML++ with all its parts, for as long as two cores train in a quarter of an hour: 0.8
# percent of the paper's training tasks, with the printed step, and five queries a class in training
# as in Table 1's two-core trainings. Fixed before the run; nothing was tried.
LONGER = PAPER[20] | dict(tasks=4, iterations=2_000, steps=5, alpha=0.1, tests=300)
BUDGETS = {
    "smoke": dict(images="glyphs", tasks=1, iterations=2, tests=2),
    "quick": dict(images="omniglot", iterations=8, tests=10),
    "paper": dict(images="omniglot"),
}
# Inner steps in training and step size on the mean loss, by way. The paper's 0.4 and 0.1 are of a
# sum over the classes, 2.0 on the mean; ours on two cores are smaller. Nothing was tuned.
PAPERS_STEPS, SHORTER_STEPS = {5: (1, 2.0), 20: (5, 2.0)}, {5: (1, 0.4), 20: (2, 0.4)}
OTHER_STEPS = {"reptile": (5, 0.1), "imaml": (5, 0.1), "cavia": (2, 1.0)}
PUBLISHED = dict(  # of Reptile, 5-way 1-shot, transductive: the authors' commands
    method="reptile", way=5, shots=10, examples=10, steps=5, alpha=0.001, tasks=5,
    iterations=100_000, test=50, queries=1, tests=1_000,
)  # fmt: skip
RATE = 0.015  # seconds of one core for a task and an inner step, 5-way


def _never(name: str) -> bool:
    return False


def _always(name: str) -> bool:
    return True


def _normalises(name: str) -> bool:
    return name.startswith("norm")


LEFT_OUT: dict[str, Any] = dict(annealing=1.0, learned=_never, per_step=_never)
FIRST_ORDER = dict(update=partial(inner_step, first_order=True))
# MAML++'s parts, each with those above it: what differs in the first eighth of the iterations, in
# the second, and in the rest.
PARTS: dict[str, tuple[dict[str, Any], ...]] = {
    "none": ({}, {}, {}),
    "multi-step loss": (dict(annealing=0.0), dict(annealing=0.5), {}),
    "derivative order": (FIRST_ORDER, FIRST_ORDER, {}),
    "per-step norms": (dict(per_step=_normalises),) * 3,
    "per-step step sizes": (dict(learned=_always),) * 3,
    "cosine": ({}, {}, {}),
}


class Plan(NamedTuple):
    """A setting in full. phases: one learner after another, with the iteration at which it ends.
    family: of the training tasks. rule: the outer step. at_test: what adapts then."""

    net: Net
    phases: list[tuple[Learner, int]]
    family: Family
    rule: Optimizer
    at_test: Learner


def cells(two_cores: bool, budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """All eight variants, 5-way on two seeds and 20-way on one, 1-shot."""
    wanted = [(5, seed) for seed in range(seeds or (2 if budget == "paper" else 1))] + [(20, 0)]
    return {
        f"{method}-{way}-ways-{seed}": setting_of(method, seed, way, two_cores, budget)
        for way, seed in wanted
        for method in VARIANTS
    }


def part_cells(two_cores: bool, budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """MAML++'s parts added one at a time, 20-way 1-shot, on three seeds."""
    return {
        f"{part.replace(' ', '-')}-{seed}": setting_of("mamlpp", seed, 20, two_cores, budget)
        | dict(parts=part)
        for seed in range(seeds or (3 if budget == "paper" else 1))
        for part in PARTS
    }


def longer_cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """MAML and MAML++ with all its parts, 20-way 1-shot, on three seeds."""
    return {
        name: dict(setting) | LONGER | BUDGETS[budget]
        for name, setting in part_cells(False, budget, seeds).items()
        if setting["parts"] in ("none", "cosine")
    }


def published_cells(
    iterations: int, tests: int, budget: str, seeds: int | None = None
) -> dict[str, Setting]:
    """Reptile with its published settings."""
    size = PUBLISHED | dict(iterations=iterations, tests=tests) | BUDGETS[budget]
    return {f"reptile-{seed}": size | dict(seed=seed, tasks=5) for seed in range(seeds or 1)}


def setting_of(method: str, seed: int, way: int, two_cores: bool, budget: str) -> dict:
    """A variant's setting on `way` classes."""
    as_maml = (SHORTER_STEPS if two_cores else PAPERS_STEPS)[way]
    if method == "mamlpp" and way == 5:
        as_maml = (2, as_maml[1])  # with one step there is no multi-step loss
    steps, alpha = OTHER_STEPS.get(known(method), as_maml)
    size = (TWO_CORES if two_cores else PAPER)[way] | BUDGETS[budget]
    how = dict(parts="cosine") if method == "mamlpp" else {}
    return dict(method=method, seed=seed, steps=steps, alpha=alpha, beta=0.001, **size, **how)


def net_of(setting: Setting) -> Net:
    """The strided net of section 5.2; CAVIA's is told the task by 32 numbers."""
    net = strided_convnet(setting["way"])
    return with_context(net, 32, shift="norm2.beta") if setting["method"] == "cavia" else net


def learner_of(setting: Setting, steps: int | None = None, **parts) -> Learner:
    """A setting's variant, in training or with other inner steps. Batch norm's shifts do not adapt,
    except in Reptile, which meta-learns nothing that does not."""
    net, alpha, method = net_of(setting), setting["alpha"], known(setting["method"])
    if method not in ("reptile", "anil", "cavia"):
        alpha = all_but_norms(net.init(seeded(0)), alpha)
    loss = cross_entropy(net.forward)
    return VARIANTS[method](loss, alpha=alpha, steps=steps or setting["steps"], **parts)


def tasks_of(
    images: Tensor, setting: Setting, *, queries: int | None = None, shots: int = 1
) -> Family:
    """N-way tasks on characters, each turned; `queries` a class, at test the setting's."""
    each = queries or setting["queries"]
    return few_shot(images, way=setting["way"], shots=shots, queries=each, rotate=True)


def plan(setting: Setting, device: Device = "cpu") -> Plan:
    """A variant as it is; MAML++ in its phases, with all parts up to "parts"."""
    net, n = net_of(setting), setting["iterations"]
    family = tasks_of(pictures(setting["images"], "train", str(device)), setting, queries=1)
    if setting["method"] != "mamlpp":
        family = pooled(family) if setting["method"] == "reptile" else family
        learner, at_test = learner_of(setting), learner_of(setting, setting["test"])
        return Plan(net, [(learner, n)], family, falling(setting), at_test)
    rows = [*PARTS.values()][: [*PARTS].index(setting["parts"]) + 1]
    phases = [
        LEFT_OUT | {k: v for row in rows for k, v in row[phase].items()} for phase in range(3)
    ]
    ends = [max(1, n // 8), max(1, n // 4), n]
    learners = [learner_of(setting, **parts) for parts in phases]
    at_test = learner_of(setting, setting["test"], **phases[-1])
    return Plan(net, [*zip(learners, ends)], family, falling(setting), at_test)


def part_plan(setting: Setting, device: Device = "cpu") -> Plan:
    """As `plan`; Adam's step is constant up to the last part, which is its fall to a hundredth."""
    rule = adam(setting["beta"])
    if setting["parts"] == "cosine":
        rule = annealed(rule, cosine(setting["iterations"], end=0.01))
    return plan(setting, device)._replace(rule=rule)


def longer_plan(setting: Setting, device: Device = "cpu") -> Plan:
    """As `part_plan`, with as many queries a class in training as at test."""
    drawn = tasks_of(pictures(setting["images"], "train", str(device)), setting)
    return part_plan(setting, device)._replace(family=drawn)


def published_plan(setting: Setting, device: Device = "cpu") -> Plan:
    """Reptile as published but for Adam and the net: Adam without momentum inside, each step on a
    minibatch; outside theta + epsilon (theta_K - theta), epsilon from 1 to 0.

    Here Adam begins anew on each task, and the net is MAML's; `published_reptile` has the authors'.
    """

    def learner(steps):
        inner = adapt_with(partial(adam, decay=(0.0, 0.999)))
        loss = cross_entropy(net.forward)
        return VARIANTS["reptile"](loss, alpha=setting["alpha"], steps=steps, descend=inner)

    net, n = strided_convnet(setting["way"]), setting["iterations"]
    drawn = tasks_of(
        pictures(setting["images"], "train", str(device)),
        setting,
        queries=1,
        shots=setting["shots"],
    )
    dealt = minibatched(drawn, examples=setting["examples"], batches=setting["steps"])
    rule = annealed(sgd(1.0), linear(n))
    return Plan(net, [(learner(setting["steps"]), n)], dealt, rule, learner(setting["test"]))


def blocks(parts: int, setting: Setting) -> int:
    """Meta-updates between two Steps: so many parts of a training."""
    return max(1, setting["iterations"] // parts)


def steps(
    plan_of: Callable[..., Plan],
    parts: int,
    setting: Setting,
    resume: Step | None = None,
    until: int | None = None,
    device: Device = "cpu",
) -> Iterator[Step]:
    """One training, phase after phase; it ends early where a meta-gradient is not finite.

    plan_of: (setting, device) -> what is trained. parts: how many blocks it has. until: iterations
    after which it stops; nothing else changes.
    """
    generator, found = seeded(setting["seed"], device), plan_of(setting, device)
    meta = found.phases[0][0].init(found.net.init(generator))
    start = before(meta, generator)
    # a run too short to be compiled is faster a task at a time
    brief = generator.device.type == "cpu" and setting["iterations"] < COMPILE_FROM["cpu"]

    def training(step):
        for learner, end in found.phases:
            stop = min(end, until or end)
            going = train(
                learner,
                meta,
                found.family,
                found.rule,
                generator=generator,
                tasks=setting["tasks"],
                iterations=stop,
                block=blocks(parts, setting),
                chunk=1 if brief else None,
                resume=step,
            )
            for step in going:
                yield step
            if stop < end:
                return

    return while_finite(training(resume if resume and resume.iteration else None), start)


def right(learner: Learner, net: Net, meta: Params, family: Family, n: int) -> Tensor:
    """Accuracy in percent on n test tasks after each step, a few drawn at a time: (n, steps + 1).

    n: below 20 or a multiple of it.
    """
    generator, each = seeded(TEST), min(20, n)
    metric = on_query(accuracy(net.forward))
    found = [
        evaluate(learner, meta, sample(family, generator, each), metric, chunk=1)
        for _ in range(n // each)
    ]
    return 100 * torch.cat(found)


def measure(
    plan_of: Callable[..., Plan], setting: Setting, step: Step
) -> tuple[Params, dict[str, Tensor]]:
    """No parameters; "made", how many iterations there were, and "right" on test characters."""
    found = plan_of(setting)
    tests = tasks_of(pictures(setting["images"], "test"), setting)
    answers = right(found.at_test, found.net, step.meta, tests, setting["tests"])
    return {}, {"made": torch.tensor(step.iteration), "right": answers}


def cost(setting: Setting) -> float:
    """Seconds of one core, or so."""
    work = setting["iterations"] * setting["tasks"] * (1 + setting["steps"])
    return 20 + RATE * work * setting["way"] / 5


def experiment(name: str, cells, plan_of, parts: int = 8) -> Experiment:
    """Trainings on characters as an experiment."""
    how = partial(steps, plan_of, parts)
    return Experiment(name, cells, how, partial(measure, plan_of), partial(first_losses, how), cost)


OMNIGLOT_CPU = experiment("variants-omniglot-cpu", partial(cells, True), plan)
OMNIGLOT = experiment("variants-omniglot", partial(cells, False), plan)
PARTS_CPU = experiment("mamlpp-20w1s-cpu", partial(part_cells, True), part_plan)
PARTS_PAPER = experiment("mamlpp-20w1s", partial(part_cells, False), part_plan)
PARTS_LONGER = experiment("mamlpp-20w1s-longer", longer_cells, longer_plan)
REPTILE_CPU = experiment("reptile-5w1s-cpu", partial(published_cells, 200, 100), published_plan, 20)
REPTILE = experiment("reptile-5w1s", partial(published_cells, 100_000, 1_000), published_plan, 20)

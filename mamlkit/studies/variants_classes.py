"""Chapter 6's question of data: MAML against plain pretraining, by the number of classes."""

from functools import cache, partial

import torch
from torch import Tensor

from mamlkit.bank.experiment import Device, Experiment, first_losses
from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.fine_tune import HEAD, fine_tune, fresh_head
from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.baselines.prototypical import prototypical
from mamlkit.families import glyphs
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import strided_body, strided_convnet
from mamlkit.studies.image_methods import adapting, pictures
from mamlkit.studies.variant_methods import Setting, falling
from mamlkit.studies.variants_images import (
    PAPER,
    PAPERS_STEPS,
    SHORTER_STEPS,
    TWO_CORES,
    Plan,
    cost,
    learner_of,
    right,
    steps,
    tasks_of,
)
from mamlkit.train import Step
from mamlkit.trees import Params

CLASSES = {"omniglot": (25, 200, 1_100), "glyphs": (25, 200, 1_100, 4_000)}
SMALLER = {"smoke": {"glyphs": (5, 10)}, "quick": {"omniglot": (25, 1_100)}, "paper": CLASSES}
BUDGETS = {"smoke": dict(iterations=2, tests=2), "quick": dict(iterations=8, tests=10), "paper": {}}
BATCH = 64  # images in a step of pretraining, ours


def cells(two_cores: bool, budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """MAML and plain pretraining from each number of training classes, 5-way 1-shot; three
    seeds."""
    steps, alpha = (SHORTER_STEPS if two_cores else PAPERS_STEPS)[5]
    fewer = dict(iterations=200) if two_cores else {}
    size = (TWO_CORES if two_cores else PAPER)[5] | fewer | BUDGETS[budget]
    maml = dict(steps=steps, alpha=alpha)
    batches = dict(steps=0, tasks=1, batch=BATCH)
    return {
        f"{method}-{images}-{n}-{seed}": size
        | dict(method=method, seed=seed, images=images, classes=n, beta=0.001)
        | (maml if method == "maml" else batches)
        for seed in range(seeds or (3 if budget == "paper" else 1))
        for images, numbers in SMALLER[budget].items()
        for n in numbers
        for method in ("maml", "pretrained")
    }


@cache
def drawings(images: str, split: str) -> Tensor:
    """A split's characters. There are as many glyphs as one asks for, here 4,000 and 100."""
    if images == "glyphs":
        many = {"train": (max(CLASSES["glyphs"]), 1), "test": (100, 2)}
        classes, seed = many[split]
        return glyphs.load(classes, seed=seed)
    return pictures(images, split)


def some(setting: Setting) -> Tensor:
    """The training characters of a cell: as many as it says, drawn by its seed."""
    images = drawings(setting["images"], "train")
    return images[
        torch.randperm(len(images), generator=seeded(setting["seed"]))[: setting["classes"]]
    ]


def plan(setting: Setting, device: Device = "cpu") -> Plan:
    """MAML on 5-way tasks; or one classifier of all classes, each quarter turn a class of its
    own."""
    images, n, rule = some(setting).to(device), setting["iterations"], falling(setting)
    if setting["method"] == "maml":
        tasks = tasks_of(images, setting, queries=1)
        phases = [(learner_of(setting), n)]
        return Plan(strided_convnet(5), phases, tasks, rule, learner_of(setting, setting["test"]))
    net = strided_convnet(4 * setting["classes"])
    turned = torch.cat([images.rot90(quarter, (-2, -1)) for quarter in range(4)])
    learner = pretrain(cross_entropy(net.forward), alpha=0.0, steps=0)
    batches = all_classes(turned, examples=setting["batch"])
    return Plan(net, [(learner, n)], batches, rule, learner)


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Accuracy in percent on new characters, (tests,): of "maml"; of pretrained features by class
    "means", and by a new last "head" tuned on the five drawings."""
    tests, n = tasks_of(drawings(setting["images"], "test"), setting), setting["tests"]
    net, means = strided_convnet(5), prototypical(strided_body(), ways=5)
    if setting["method"] == "maml":
        learner = learner_of(setting, setting["test"])
        return {}, {"maml": right(learner, net, step.meta, tests, n)[:, -1]}
    tuned = fine_tune(cross_entropy(net.forward), alpha=0.01, steps=20, names=HEAD)
    by_head = adapting(tuned)
    by_means = episodic(cross_entropy(means.forward))
    return {}, {
        "means": right(by_means, means, step.meta, tests, n)[:, -1],
        "head": right(by_head, net, fresh_head(step.meta, 5), tests, n)[:, -1],
    }


def experiment(name: str, two_cores: bool) -> Experiment:
    """All variants on classes, at one size of budget."""
    how = partial(steps, plan, 4)  # one training, in four blocks
    begin = partial(first_losses, how)
    return Experiment(name, partial(cells, two_cores), how, measure, begin, cost)


CLASSES_CPU = experiment("variants-classes-cpu", True)
CLASSES_PAPER = experiment("variants-classes", False)

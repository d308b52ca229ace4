"""The methods of Table 1, each as what trains, what adapts at test, and the net between them."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.baselines.episodic import as_one, episodic, remembering, together
from mamlkit.baselines.episodic import cosine as by_angle
from mamlkit.baselines.fine_tune import HEAD, fine_tune, fresh_head
from mamlkit.baselines.mann import mann, shuffled
from mamlkit.baselines.matching import matching
from mamlkit.baselines.memory_module import margin, memory_module
from mamlkit.baselines.meta_learner_lstm import meta_learner_lstm, with_rule
from mamlkit.baselines.nearest_neighbour import nearest_neighbour, pixels
from mamlkit.baselines.neural_statistician import bound, neural_statistician, sets
from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.baselines.prototypical import prototypical
from mamlkit.baselines.siamese import siamese, verification
from mamlkit.families import glyphs, mini_imagenet, omniglot
from mamlkit.families.few_shot import few_shot
from mamlkit.learner import Learner
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import (
    Net,
    all_but_norms,
    mlp,
    pooled_body,
    pooled_convnet,
    strided_body,
    strided_convnet,
)
from mamlkit.task import Data, Family, Task
from mamlkit.trees import Params, tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

Setting = Mapping[str, Any]
GLYPHS = {"train": 1100, "validation": 100, "test": 423}  # as many as Omniglot's splits have
CLASSES = {"omniglot": 4400, "glyphs": 4400, "miniimagenet": 64}  # of `every_class`
SHAPES = {"omniglot": (1, 28, 28), "glyphs": (1, 28, 28), "miniimagenet": (3, 84, 84)}
ARRANGED = {"mann": shuffled, "statistician": sets}  # how a method wants its tasks
AS_ONE = ("mann",)  # a meta-batch is one task to train: its net reads one example after another
# Steps of the meta-learner LSTM by shots: its paper's for miniImagenet, ours for Omniglot.
RULE_STEPS = {"miniimagenet": {1: 12, 5: 5}, "omniglot": {1: 5, 5: 5}, "glyphs": {1: 5, 5: 5}}
TUNINGS = [(names, alpha) for names in (HEAD, None) for alpha in (0.003, 0.03)]  # ours


class Method(NamedTuple):
    """A method in one setting. net: its forward gives logits of what adapted. trains: the learner
    that is meta-trained. adapts: the learners that may adapt at test; where there are several, the
    best on validation tasks does.
    """

    net: Net
    trains: Learner
    adapts: tuple[Learner, ...]


def adapting(adapt: Callable[[Params, Data], list[Params]]) -> Learner:
    """A learner that adapts at test; what it starts from is trained by another."""

    def untrained(meta, task):
        raise TypeError("this learner adapts, and another trains what it adapts")

    return Learner(dict, adapt, untrained)


def empty_headed(way: int) -> Net:
    """`pooled_convnet` whose last layer begins at 0: the authors' begins at a loss of 7."""
    net = pooled_convnet(way)
    return Net(lambda generator: fresh_head(net.init(generator), way), net.forward)


NETS = {  # section 5.2's, by the names that settings use
    "strided": strided_convnet,
    "no conv": lambda way: mlp(784, 256, 128, 64, 64, way, norm=True),
    "pooled": pooled_convnet,
    "pooled, 64": lambda way: pooled_convnet(way, filters=64),
    "pooled, empty head": empty_headed,
}
BODIES = {
    "strided": strided_body(),
    "pooled": pooled_body(),
    "pooled, empty head": pooled_body(),
}


@cache
def pictures(images: str, split: str, device: str = "cpu") -> Tensor:
    """All images of one split: uint8 (classes, examples, channels, height, width).

    images: "omniglot", "miniimagenet" or "glyphs", which are invented characters. split: "train",
    "validation" or "test". Raises FileNotFoundError where they cannot be had.
    """
    if images == "glyphs":
        return glyphs.load(GLYPHS[split], seed=GLYPHS[split], device=device)
    if images == "miniimagenet":
        return mini_imagenet.load(split, device=device)
    if images == "omniglot":
        return omniglot.load(split, device=device)
    raise ValueError(f'images "{images}" are unknown; allowed are omniglot, miniimagenet, glyphs')


def family(setting: Setting, split: str, queries: int, device: str = "cpu") -> Family:
    """A setting's N-way, K-shot tasks, with `queries` a class; characters are turned."""
    return few_shot(
        pictures(setting["images"], split, device),
        way=setting["way"],
        shots=setting["shots"],
        queries=queries,
        rotate=setting["images"] != "miniimagenet",
    )


def drawn_for(setting: Setting, device: str = "cpu") -> Family:
    """The tasks that a setting's method is trained on; a classifier sees as many images."""
    if setting["method"] == "fine-tuned":
        examples = setting["way"] * (setting["shots"] + setting["queries"])
        return all_classes(every_class(setting["images"], device), examples=examples)
    return arranged(setting, family(setting, "train", setting["queries"], device))


def arranged(setting: Setting, tasks: Family) -> Family:
    """The tasks as the setting's method wants them."""
    found = ARRANGED.get(setting["method"], lambda family: family)(tasks)
    return as_one(found, setting["tasks"]) if setting["method"] in AS_ONE else found


def at_once(setting: Setting) -> int:
    """How many tasks of a meta-batch are one to train."""
    return setting["tasks"] if setting["method"] in AS_ONE else 1


def blank_task(setting: Setting) -> Task:
    """A task of the shape that the setting's method is trained on, its images empty: no image is
    read."""
    shots, queries = (setting["way"] * setting[k] for k in ("shots", "queries"))
    if setting["method"] == "fine-tuned":
        shots = queries = shots + queries

    def blank(n):
        labels = torch.arange(n) % setting["way"]
        return Data(torch.zeros(n, *SHAPES[setting["images"]]), labels)

    one = Family(lambda generator, n: torch.zeros(n), lambda _: Task(blank(shots), blank(queries)))
    tasks = arranged(setting, one)
    return tasks.make(tree_map(lambda n: n[0], tasks.noise(seeded(0), 1)))


@cache
def every_class(images: str, device: str = "cpu") -> Tensor:
    """All training images; a quarter turn of a character is a class of its own."""
    found = pictures(images, "train", device)
    if images == "miniimagenet":
        return found
    return torch.cat([found.rot90(quarter, (-2, -1)) for quarter in range(4)])


def step_size(setting: Setting) -> float:
    """alpha on the mean loss: as printed, or the authors' N times larger one (their loss is N times
    the mean)."""
    as_printed = setting["method"] in ("printed", "first order, printed", "joint")
    return setting["alpha"] * (1 if as_printed else setting["way"])


def gradient(variant: Callable[..., Learner], setting: Setting) -> Method:
    """A method that takes gradient steps of everything but batch norm's shifts."""
    net = NETS[setting["net"]](setting["way"])
    loss, alpha = cross_entropy(net.forward), all_but_norms(net.init(seeded(0)), step_size(setting))
    at_test = maml(loss, alpha=alpha, steps=setting["longest"])
    return Method(net, variant(loss, alpha=alpha, steps=setting["steps"]), (at_test,))


def comparing(net: Net, loss=None) -> Method:
    """A method that compares queries with the support: it takes no step."""
    answers = cross_entropy(net.forward)
    return Method(net, episodic(loss or answers), (episodic(answers),))


def of_bodies(build: Callable[..., Net], setting: Setting) -> Method:
    """A metric method on the body of the setting's net."""
    return comparing(build(BODIES[setting["net"]], ways=setting["way"]))


def twins(setting: Setting) -> Method:
    """Siamese nets: trained to tell whether two images are of one class."""
    body = BODIES[setting["net"]]
    return comparing(siamese(body, features=64, ways=setting["way"]), verification(body))


def statistician(setting: Setting) -> Method:
    """The neural statistician: trained to draw sets of images, not to name them."""
    body, pixels = BODIES[setting["net"]], prod(SHAPES[setting["images"]])
    net = neural_statistician(body, features=64, pixels=pixels, ways=setting["way"])
    return comparing(net, bound(body))


def in_order(setting: Setting) -> Method:
    """MANN, which reads the support one image after another."""
    net = mann(784, ways=setting["way"])
    return comparing(net, together(cross_entropy(net.forward)))


def memory(setting: Setting) -> Method:
    """The memory module, its memory empty at the beginning of each task."""
    body = BODIES[setting["net"]]
    return comparing(memory_module(body, features=64, ways=setting["way"]), margin(body))


def by_rule(setting: Setting) -> Method:
    """The meta-learner LSTM: at test as many steps as in training, and only their end counts."""
    net = with_rule(NETS[setting["net"]](setting["way"]))
    loss = cross_entropy(net.forward)
    trains = meta_learner_lstm(loss, steps=RULE_STEPS[setting["images"]][setting["shots"]])
    return Method(net, trains, (adapting(lambda meta, s: trains.adapt(meta, s)[-1:]),))


def classifier(setting: Setting) -> Method:
    """One classifier of all training classes, then fifty Adam steps from an empty head.

    Tuned on validation tasks: all parameters or the last layer, step 0.003 or 0.03.
    """
    net, way = NETS[setting["net"]](CLASSES[setting["images"]]), setting["way"]
    loss = cross_entropy(NETS[setting["net"]](way).forward)

    def tuned(names, alpha):
        path = fine_tune(loss, alpha=alpha, steps=50, names=names)
        return adapting(lambda theta, support: path(fresh_head(theta, way), support)[-1:])

    trains = pretrain(cross_entropy(net.forward), alpha=0.0, steps=0)
    return Method(net, trains, tuple(tuned(*tuning) for tuning in TUNINGS))


def features(setting: Setting) -> Method:
    """The same classifier's last hidden layer, compared by angle: the nearest neighbour."""
    net, trains, _ = classifier(setting)
    body = BODIES[setting["net"]]
    nearest = nearest_neighbour(body, ways=setting["way"], distance=lambda a, b: -by_angle(a, b))
    remembers = adapting(remembering(lambda theta, support: [theta]))
    return Method(Net(net.init, nearest.forward), trains, (remembers,))


def with_channels(way: int) -> Net:
    """The strided net with three more input channels of free numbers, "context": appendix C.2."""
    net = strided_convnet(way, channels=4)

    def init(generator):
        return net.init(generator) | {"context": torch.zeros(3, 28, 28, device=generator.device)}

    def forward(params, x, **how):
        told = params["context"].expand(len(x), 3, *x.shape[2:])
        return net.forward(params, torch.cat([x, told], 1), **how)

    return Net(init, forward)


def in_context(setting: Setting) -> Method:
    """MAML that adapts the three channels of free numbers and nothing else."""
    net, alpha = with_channels(setting["way"]), {"context": setting["way"] * setting["alpha"]}
    learner = partial(maml, cross_entropy(net.forward), alpha=alpha)
    return Method(net, learner(steps=setting["steps"]), (learner(steps=setting["longest"]),))


METHODS: dict[str, Callable[[Setting], Method]] = {
    "maml": partial(gradient, maml),
    "printed": partial(gradient, maml),
    "fomaml": partial(gradient, fomaml),
    "first order, printed": partial(gradient, fomaml),
    "joint": partial(gradient, pretrain),
    "context": in_context,
    "prototypical": partial(of_bodies, prototypical),
    "matching": partial(of_bodies, matching),
    "siamese": twins,
    "mann": in_order,
    "statistician": statistician,
    "memory": memory,
    "lstm": by_rule,
    "fine-tuned": classifier,
    "features": features,
    "pixels": lambda setting: comparing(nearest_neighbour(pixels, ways=setting["way"])),
}
GRADIENT = ("maml", "printed", "fomaml", "first order, printed", "joint", "context")
NAMES = {
    "maml": "MAML, the authors' step (alpha times N)",
    "printed": "MAML, alpha on the mean loss",
    "fomaml": "first-order MAML",
    "first order, printed": "first-order MAML, alpha on the mean loss",
    "joint": "joint training",
    "context": "MAML of a context vector only",
    "prototypical": "prototypical nets",
    "matching": "matching nets",
    "siamese": "Siamese nets",
    "mann": "MANN",
    "statistician": "neural statistician",
    "memory": "memory module",
    "lstm": "meta-learner LSTM",
    "fine-tuned": "classifier, fine-tuned",
    "features": "nearest neighbour, classifier's features",
    "pixels": "nearest neighbour, pixels",
}


def method(setting: Setting) -> Method:
    """The setting's method, ready to train and to test.

    Raises ValueError for a method that this book does not have.
    """
    if setting["method"] not in METHODS:
        raise ValueError(
            f'method "{setting["method"]}" is unknown; allowed are {", ".join(METHODS)}'
        )
    return METHODS[setting["method"]](setting)

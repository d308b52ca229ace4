# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · One drawing of each: which is the new one?
#
# Five characters of an alphabet that you cannot read, one drawing of each. A sixth drawing comes: which of the five is
# it? A person does this at a glance. Section 5.2 of Finn, Abbeel & Levine (2017) asks a small convolutional network to
# do it after **one gradient step** on those five drawings. Below: how well does it, what does the number in the paper's
# Table 1 depend on, and what do the methods do that the table compares with, trained here on the same characters?

# %% tags=["figure"]
import torch

from mamlkit.bank.checkpoint import kept
from mamlkit.audit.claims import BANK
from mamlkit.families import glyphs
from mamlkit.inner import adapt, repeated
from mamlkit.show.literate import figure, say
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, strided_convnet
from mamlkit.show.plots import LOOKS, canvas
from mamlkit.task import sample
from mamlkit.trees import tree_map

LABELS, banked = "ABCDE", BANK / "checkpoints" / "omniglot-5w1s-cpu-printed-0.safetensors"
theta = {k: p for k, p in kept(banked)[0].items() if not k.startswith(("right.", "scores"))}
net, invented = strided_convnet(5), glyphs.glyphs(glyphs.load(100, seed=7), way=5, shots=1, queries=1)
task = tree_map(lambda t: t[0], sample(invented, seeded(10_000), 1))
path = adapt(theta, repeated(cross_entropy(net.forward), task.support, 3), [all_but_norms(theta, 0.4)] * 3)
chance = torch.stack([net.forward(p, task.query.x).softmax(-1) for p in path])
right = (chance.argmax(-1) == task.query.y).sum(-1).tolist()
fig, axes = canvas(f"Five glyphs, one drawing of each: {right[0]} of 5 new ones are named rightly before, {right[1]} after one step, {right[3]} after three",
                   rows=3, columns=5, height=4.2)
for i in range(5):
    for row, image in ((0, task.support.x[i, 0]), (1, task.query.x[i, 0])):
        axes[row, i].imshow(1 - image, cmap="gray"), axes[row, i].set(xticks=[], yticks=[]), axes[row, i].grid(False)
    for method, step in (("random", 0), ("maml", 1)):
        axes[2, i].bar(torch.arange(5) + 0.4 * step, chance[step, i], 0.4, color=LOOKS[method].color)
    axes[0, i].set_title(f"{LABELS[i]}: one drawing"), axes[1, i].set_title(f"a new {LABELS[i]}")
    axes[2, i].set(xticks=torch.arange(5) + 0.2, xticklabels=LABELS, ylim=(0, 1), yticks=[0, 1])
axes[2, 0].set_ylabel("probability: grey\nbefore, blue after")
figure(fig, f"Five invented characters, one drawing of each, a new drawing of each, and the network's probabilities for the new ones before and after one "
            f"gradient step. Rightly named are {right[0]} before, {right[1]} after one step and {right[3]} after three.")

# %% [markdown]
# *Glyphs are invented characters, drawn by `mamlkit.families.glyphs`; the network was meta-trained on Omniglot and has
# never seen one.*
#
# **What this takes.** At `quick`, a quarter of an hour or so on two idle cores, half of it for one network, the others
# less; miniImagenet is seen at half its size, and left out where there is no copy. The paper's own budget wants a GPU: `python -m mamlkit bank --only omniglot-5w1s`;
# `--seeds 3` adds seeds to what is banked.
#
# [Before: sinusoids](01_sinusoids.ipynb) · [scoreboard](07_scoreboard.ipynb)

# %% tags=["imports"]
import time
from collections import deque
from functools import cache

import torch
from torch.func import jvp, vmap
from torch.nn.functional import avg_pool2d

from mamlkit.audit import claims
from mamlkit.families.archive import split_classes
from mamlkit.baselines.fine_tune import HEAD, fine_tune, fresh_head
from mamlkit.baselines.mann import mann, shuffled
from mamlkit.baselines.matching import full_context, matching
from mamlkit.baselines.nearest_neighbour import nearest_neighbour, pixels
from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.baselines.prototypical import prototypical
from mamlkit.baselines.siamese import siamese, verification
from mamlkit.bank.budget import budget
from mamlkit.studies.characters import characters
from mamlkit.bank.checkpoint import keep, kept, light, place, resumable
from mamlkit.audit.claims import Table, record
from mamlkit.probes.cost import flops, speed, without_numbers
from mamlkit.baselines.episodic import cosine as by_angle, episodic, remembering
from mamlkit.evaluate import evaluate, on_query, validated
from mamlkit.families import glyphs, mini_imagenet
from mamlkit.families.few_shot import few_shot
from mamlkit.inner import inner_step
from mamlkit.audit.intervals import Interval, over_seeds
from mamlkit.learner import Learner, unrolled
from mamlkit.show.literate import figure, progress, say, show
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.bank.provenance import commit
from mamlkit.machine import choose_device, seeded, source_key
from mamlkit.nets import Net, all_but_norms, count, mlp, pooled_body, pooled_convnet, scaled, strided_body, strided_convnet
from mamlkit.optimizer import adam, annealed, cosine
from mamlkit.show.plots import LOOKS, canvas, draw
from mamlkit.baselines.protocols import one_by_one, recalled, support_only, together, under
from mamlkit.task import sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
seeds: int = 1  # how many seeds are trained, those kept before count too; from 1 to 10
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
images: str = "auto"  # Omniglot, or below the paper's budget invented glyphs where it cannot be had; one of auto, omniglot, glyphs
only: str = "all"  # which experiment is run; one of all, none, omniglot-5w1s-cpu, omniglot-5w1s-cpu-first-order, omniglot-5w1s, omniglot-noconv-5w1s, omniglot-5w5s, omniglot-20w1s, mini-5w1s, mini-5w5s, omniglot-20w5s, omniglot-noconv-5w5s, mini-5w1s-64-filters
beta: float = 0.001  # the meta step size of Adam; above 0

# %%
where = choose_device(device)
asked = range(seed, seed + seeds)
run = claims.begin("02_classification", profile, [*asked], where)
test_tasks = budget(profile, smoke=6, quick=200, paper=10_000 if where.type == "cuda" else 2_000)  # ten thousand take a CPU half an hour
kind = budget(profile, smoke="glyphs", quick=images, paper="omniglot" if images == "auto" else images)
sizes = dict(train=budget(profile, smoke=60, quick=1100, paper=1100), validation=100, test=423)
alphabet, drawn = characters(kind, sizes, device=where, progress=progress, tell=say)
say(f"Running at **{profile}** on **{where}** with **{alphabet}**: {', '.join(f'{len(x):,} characters for {s}' for s, x in drawn.items())}; seeds {[*asked]}.")

# %% [markdown]
# ## A task, and the network that adapts to it
#
# An N-way, K-shot task: N characters that training has never met, K drawings of each as the *support*, others as the
# *query*. Every character is turned by a random quarter turn, so there are four times as many. Four convolutions of
# stride 2 with 64 filters, each with batch normalisation and ReLU, the mean of the last map, one linear layer:

# %%
show(few_shot, strided_convnet, strided_body)

# %% [markdown]
# Three things stand in the authors' code and not in the paper, and each matters below. (1) Batch normalisation uses the
# statistics of the batch at hand, also at test time, so all queries of a task are normalised *together*: they help each
# other. (2) Its shifts are meta-learned and not adapted. (3) Their loss is N times the mean cross-entropy, so that
# their step size 0.4 is a step of 2.0 on the mean. Table 1 is measured with as many queries as shots: at 1 shot, on five
# drawings.

# %%
def halved(forward):
    """A net on images of half the size: where the budget is small, a quarter of the pixels teaches more a second."""
    return lambda params, x, **how: forward(params, avg_pool2d(x, 2), **how)


NETS = {"strided": strided_convnet, "pooled": pooled_convnet, "pooled, 64": lambda way: pooled_convnet(way, filters=64), "no conv": lambda way: mlp(784, 256, 128, 64, 64, way, norm=True),
        "pooled, 42 pixels": lambda way: Net(lambda g: fresh_head(pooled_convnet(way, size=42).init(g), way), halved(pooled_convnet(way, size=42).forward))}
BODIES = {"strided": strided_body(), "pooled": pooled_body(), "pooled, 42 pixels": Net(pooled_body().init, halved(pooled_body().forward)), "no conv": None}
SETTINGS = {  # the paper's: ways, shots, net, alpha as printed, inner steps in training and at test, meta-batch, queries in training
    "omniglot-5w1s-cpu": dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=8, queries=5, iterations=20_000),
    "omniglot-5w1s-cpu-first-order": dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=8, queries=5, iterations=20_000),
    "omniglot-5w1s": dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=32, queries=1, iterations=60_000),
    "omniglot-noconv-5w1s": dict(way=5, shots=1, net="no conv", alpha=0.4, steps=1, test=3, tasks=32, queries=1, iterations=60_000),
    "omniglot-5w5s": dict(way=5, shots=5, net="strided", alpha=0.4, steps=1, test=3, tasks=32, queries=5, iterations=60_000),
    "omniglot-20w1s": dict(way=20, shots=1, net="strided", alpha=0.1, steps=5, test=5, tasks=16, queries=1, iterations=60_000),
    "mini-5w1s": dict(way=5, shots=1, net="pooled", alpha=0.01, steps=5, test=10, tasks=4, queries=15, iterations=60_000),
    "mini-5w5s": dict(way=5, shots=5, net="pooled", alpha=0.01, steps=5, test=10, tasks=2, queries=15, iterations=60_000),
    "omniglot-20w5s": dict(way=20, shots=5, net="strided", alpha=0.1, steps=5, test=5, tasks=16, queries=5, iterations=60_000),
    "omniglot-noconv-5w5s": dict(way=5, shots=5, net="no conv", alpha=0.4, steps=1, test=3, tasks=32, queries=5, iterations=60_000),
    "mini-5w1s-64-filters": dict(way=5, shots=1, net="pooled, 64", alpha=0.01, steps=5, test=10, tasks=4, queries=15, iterations=60_000),
}
SMALLER = {  # what a shorter profile changes in a setting, and the iterations of each method; five queries a class teach more a second than one
    "smoke": {"omniglot-5w1s": (dict(tasks=2), dict(printed=4, maml=2, prototypical=2, matching=2, siamese=2, context=2, **{"fine-tuned": 2, "features": 2})), "omniglot-noconv-5w1s": (dict(tasks=2), dict(maml=2, mann=2))},
    "quick": {"omniglot-5w1s": (dict(tasks=4, queries=5), dict(printed=5_000, maml=400, fomaml=400, prototypical=500, matching=500, siamese=500)),
              "omniglot-noconv-5w1s": (dict(tasks=8), dict(maml=1_000, mann=200)),
              "mini-5w1s": (dict(net="pooled, 42 pixels", steps=1, test=3, queries=5, longest=3, test_tasks=60), dict(maml=1_000, prototypical=300))},
    "paper": {"omniglot-5w1s-cpu": ({}, {"printed": 20_000}), "omniglot-5w1s-cpu-first-order": ({}, {"first order, printed": 20_000})},
}
AS_TRAINED = {name: s | SMALLER[profile].get(name, ({}, {}))[0] for name, s in SETTINGS.items()}
STEPS, FASTER = budget(profile, smoke=4, quick=10, paper=10), budget(profile, smoke=1, quick=3, paper=3)  # steps at test; where Adam's step falls to 0 it begins this many times higher


@cache
def pictures(setting, split):
    return mini_imagenet.load(split, device=where, progress=progress) if setting.startswith("mini") else drawn[split]


def family(setting, split, queries):
    s = SETTINGS[setting]
    return few_shot(pictures(setting, split), way=s["way"], shots=s["shots"], queries=queries, rotate=not setting.startswith("mini"))


def gradient(variant, s, alpha):
    """What trains, what adapts at test, and what predicts, for a method that takes gradient steps."""
    net = NETS[s["net"]](s["way"])
    loss, alphas = cross_entropy(net.forward), all_but_norms(net.init(seeded(0)), alpha)
    return net, variant(loss, alpha=alphas, steps=s["steps"]), maml(loss, alpha=alphas, steps=s.get("longest", STEPS))


def comparing(net, loss=None):
    """The same for a method that compares queries with the support."""
    return net, episodic(loss or cross_entropy(net.forward)), episodic(cross_entropy(net.forward))


def with_channels(way):
    """The strided net with three more input channels of free numbers, "context": what appendix C.2 adapts alone."""
    net = strided_convnet(way, channels=4)
    told = lambda params, x: torch.cat([x, params["context"].expand(len(x), 3, *x.shape[2:])], 1)
    return Net(lambda g: net.init(g) | {"context": torch.zeros(3, 28, 28, device=g.device)}, lambda params, x, **how: net.forward(params, told(params, x), **how))


def every_class(s):
    """All training images; a quarter turn of a character is a class of its own."""
    mini = s["net"].startswith("pooled")
    images = pictures("mini" if mini else "omniglot", "train")
    return images if mini else torch.cat([images.rot90(quarter, (-2, -1)) for quarter in range(4)])


def classifier(s):
    """What Table 1's two baselines train: one classifier of all training classes."""
    net = NETS[s["net"]](len(every_class(s)))
    return net, pretrain(cross_entropy(net.forward), alpha=0.0, steps=0)


def fine_tuned(s, names, alpha):
    """Fifty Adam steps from a fresh head, of the parameters called names (None: all)."""
    path = fine_tune(cross_entropy(NETS[s["net"]](s["way"]).forward), alpha=alpha, steps=50, names=names)
    return Learner(dict, lambda theta, support: path(fresh_head(theta, s["way"]), support)[-1:], None)


def nearest_features(s):
    """The classifier's last hidden layer, compared by angle."""
    net, learner = classifier(s)
    forward = nearest_neighbour(BODIES[s["net"]], ways=s["way"], distance=lambda a, b: -by_angle(a, b)).forward
    return Net(net.init, forward), learner, Learner(dict, remembering(lambda theta, support: [theta]), None)


def in_context(s):
    net, alpha = with_channels(s["way"]), {"context": s["way"] * s["alpha"]}
    learner = lambda steps: maml(cross_entropy(net.forward), alpha=alpha, steps=steps)
    return net, learner(s["steps"]), learner(STEPS)


METHODS = {
    "maml": lambda s: gradient(maml, s, s["way"] * s["alpha"]),
    "printed": lambda s: gradient(maml, s, s["alpha"]),
    "fomaml": lambda s: gradient(fomaml, s, s["way"] * s["alpha"]),
    "prototypical": lambda s: comparing(prototypical(BODIES[s["net"]], ways=s["way"])),
    "matching": lambda s: comparing(matching(BODIES[s["net"]], ways=s["way"])),
    "siamese": lambda s: comparing(siamese(BODIES[s["net"]], features=64, ways=s["way"]), verification(BODIES[s["net"]])),
    "mann": lambda s: comparing(mann(784, ways=s["way"])),
    "fine-tuned": lambda s: (*classifier(s), [fine_tuned(s, names, alpha) for names in (HEAD, None) for alpha in (0.003, 0.03)]),
    "features": nearest_features,
    "first order, printed": lambda s: gradient(fomaml, s, s["alpha"]),
    "context": in_context,
    "pixels": lambda s: comparing(nearest_neighbour(pixels, ways=s["way"])),
}
NAMES = {"maml": "MAML, the authors' step (alpha times N)", "printed": "MAML, alpha on the mean loss", "fomaml": "first-order MAML", "prototypical": "prototypical nets",
         "matching": "matching nets", "siamese": "Siamese nets", "mann": "MANN",
         "fine-tuned": "classifier, fine-tuned", "features": "nearest neighbour, classifier's features", "first order, printed": "first-order MAML, alpha on the mean loss", "context": "MAML of a context vector only",
         "pixels": "nearest neighbour, pixels", "statistician": "neural statistician", "memory": "memory module", "lstm": "meta-learner LSTM"}

# %% [markdown]
# **What do you expect?** A nearest neighbour on the 784 pixels needs no training at all; chance is one in five. What does
# one gradient step add?

# %%
def sized(setting, method):
    """A setting as one method trains in it at this profile."""
    s, iterations = AS_TRAINED[setting], SMALLER[profile].get(setting, ({}, {}))[1]
    return s | dict(iterations=iterations.get(method, s["iterations"]))


def drawn_for(setting, method):
    """The tasks that a method is trained on."""
    s = AS_TRAINED[setting]
    if method in ("fine-tuned", "features"):  # as many images as MAML sees
        return all_classes(every_class(s), examples=s["way"] * (s["shots"] + s["queries"]))
    return (shuffled if method == "mann" else lambda tasks: tasks)(family(setting, "train", s["queries"]))


def in_parts(learner, meta, tasks_of, metric, seed, n):
    """`evaluate` on n tasks, drawn a hundred at a time so that memory stays small; n is below 100 or a multiple of it."""
    g, each, chunk = seeded(seed, where), min(100, n), 25 if where.type == "cuda" else 1  # a CPU convolves one task at a time faster
    return torch.cat([evaluate(learner, meta, sample(tasks_of, g, each), metric, chunk=chunk) for _ in range(n // each)])


def validation_score(setting, net, adapts):
    """Accuracy on validation tasks after the steps of the paper's evaluation: what checkpoints and tunings are chosen by."""
    s = SETTINGS[setting]
    tasks_of, n = family(setting, "validation", budget(profile, smoke=2, quick=15, paper=15)), AS_TRAINED[setting].get("test_tasks", budget(profile, smoke=3, quick=100, paper=200))
    at_test = Learner(adapts.init, lambda meta, support: adapts.adapt(meta, support)[: s["test"] + 1][-1:], None)
    return lambda meta: in_parts(at_test, meta, tasks_of, on_query(accuracy(net.forward)), 20_000, n).mean()


loss_now = lambda step: f"loss {step.losses[-100:].mean():.3f}" + (f", validation {step.scores[-1, 1]:.1%}" if len(step.scores) else "")
last = lambda items: deque(items, maxlen=1).pop()


def outer(setting, iterations):
    """Adam's step at first, and Adam: the step falls to 0 where the budget is smaller than the paper's."""
    short = setting in SMALLER[profile]
    return (FASTER * beta, annealed(adam(FASTER * beta), cosine(iterations))) if short else (beta, adam(beta))


def meta_train(setting, method, seed):
    s, drawn_from, (net, learner, adapts) = sized(setting, method), drawn_for(setting, method), METHODS[method](AS_TRAINED[setting])
    g, score = seeded(seed, where), validation_score(setting, net, adapts[0] if isinstance(adapts, list) else adapts)
    at_once = 1 if where.type == "cpu" and setting.startswith("mini") else None  # large maps of several tasks leave a CPU's cache
    meta, size, (first, rule) = learner.init(net.init(g)), dict(tasks=s["tasks"], iterations=s["iterations"], chunk=at_once), outer(setting, s["iterations"])
    about = dict(name=f"{setting} {method}", images=alphabet, seed=seed, beta=first, **s, code=source_key(learner, drawn_from, net))
    go = lambda resume: validated(train(learner, meta, drawn_from, rule, generator=g, **size, resume=resume), score, every=max(100, s["iterations"] // 1000 * 100), resume=resume)
    return last(progress(resumable(place(about), go, about=about, device=where), s["iterations"], f"{setting}, {method}, seed {seed}", done=lambda step: step.iteration, note=loss_now))


# %% [markdown]
# ### Training
#
# One outer loop trains everything: the gradient of the query loss through the inner step for MAML, the plain gradient of
# an episode's loss for the methods that compare. The best checkpoint by validation characters is kept, as the authors'.
# Where the budget is smaller than the paper's, Adam's step falls to 0 along half a cosine: with a constant step, as the
# paper has it, the noise of a short run would cost several points.
# This is the long cell; it goes on where it was interrupted.

# %%
PROTOCOLS = {  # which examples normalise the queries, queries per class, tasks
    "paper": (together, lambda s: s["shots"], min(600, test_tasks)), "together": (together, lambda s: 15, test_tasks),
    "support only": (support_only, lambda s: 15, max(2, test_tasks // (1 if where.type == "cuda" else 4))),
    "one by one": (one_by_one, lambda s: 15, max(2, test_tasks // (1 if where.type == "cuda" else 20))),
}
GRADIENT = ("maml", "printed", "fomaml", "first order, printed", "context")


def measured(setting, net, adapts, meta, name, split="test"):
    """How many queries are named rightly under a protocol, after each step: (tasks, steps + 1)."""
    s, (protocol, queries, n) = SETTINGS[setting], PROTOCOLS[name]
    n = n if name == "paper" else min(n, AS_TRAINED[setting].get("test_tasks", n))  # the paper's few queries cost little
    share = in_parts(adapts, meta, family(setting, split, queries(s)), under(protocol, accuracy, net.forward), 10_000, n)
    return (share * s["way"] * queries(s)).round().to(torch.uint8 if s["way"] * queries(s) < 256 else torch.int16)


def protocols_of(setting, method):
    """All of them; MANN has no batch norm, so that they are one. Below the paper's budget slow ones are left out."""
    slow = {"smoke": method == "fine-tuned", "quick": setting.startswith("mini"), "paper": False}[profile]
    if method == "mann" or slow: return ("paper", "together")
    return ("paper", "together", "support only") if profile == "quick" and method != "printed" else tuple(PROTOCOLS)


def train_and_measure(setting, method, seed):
    """How many test queries are right, and, where they are used again below, the parameters."""
    step = meta_train(setting, "fine-tuned" if method == "features" else method, seed)  # one classifier for both
    (net, _, adapts), best, names = METHODS[method](AS_TRAINED[setting]), step.best or step.meta, protocols_of(setting, method)
    if isinstance(adapts, list): adapts = max(adapts, key=lambda tuning: validation_score(setting, net, tuning)(best))
    right = {"scores": step.scores} | {f"right.{name}": measured(setting, net, adapts, best, name) for name in progress(names, len(names), "measuring")}
    if setting.startswith("mini") and profile == "paper": right["right.training classes"] = measured(setting, net, adapts, best, "together", "train")
    return (light(best, right) if method in GRADIENT else {}) | right


def file(setting, method, seed):
    return claims.results() / "checkpoints" / f"{setting.replace('omniglot', alphabet)}-{method.replace(', ', '-').replace(' ', '-')}-{seed}.safetensors"


def told(setting, method, seed):
    """What is kept says this of itself; another size, or other images, is another result."""
    pictured = "miniImagenet" if setting.startswith("mini") else alphabet
    return dict(setting=setting, method=method, seed=seed, profile=profile, images=pictured, beta=outer(setting, 1)[0], **sized(setting, method))


@cache
def finished(setting, method, seed):
    """Is it kept at the paper's budget, and is nothing about it other than this run would have it?"""
    if profile != "paper" or not (path := file(setting, method, seed)).exists(): return False
    asks, says = told(setting, method, seed), kept(path)[1]
    other = {name: says[name] for name in asks if says.get(name, asks[name]) != asks[name]}
    if other: say(f"*{path.name} is not taken: it was made with {other}.*")
    return not other


def result(setting, method, seed):
    """Trained and measured once for each profile and seed; then read from where it is kept, at the paper's budget the bank."""
    path, begin = file(setting, method, seed), time.monotonic()
    if not finished(setting, method, seed):
        made = train_and_measure(setting, method, seed)
        keep(path, made, told(setting, method, seed) | dict(device=str(where), commit=commit(), seconds=round(time.monotonic() - begin)))
    return kept(path, where)


@cache
def here(setting):
    """Are this setting's images here? miniImagenet is never downloaded."""
    try:
        return pictures(setting, "test") is not None
    except FileNotFoundError as missing:
        return say(f"{setting} is left out: {missing}")


chosen = [name for name in SETTINGS if only in ("all", name)] if profile == "paper" else [*SMALLER[profile]]
judged = [*SETTINGS] if only == "none" else chosen  # after an interrupt: what was finished before it
ROWS = {"strided": ("maml", "fomaml", "printed", "prototypical", "matching", "siamese", "fine-tuned", "features"), "no conv": ("maml", "fomaml", "mann"),
        "pooled": ("maml", "fomaml", "prototypical", "matching", "fine-tuned", "features"), "pooled, 64": ("maml",)}
full = {name: [*ROWS[s["net"]], *(("context",) if name == "omniglot-5w1s" else ())] for name, s in SETTINGS.items()}
methods = lambda name: [*SMALLER[profile][name][1]] if name in SMALLER[profile] else full[name]


def meta_gradient(setting, method):
    """The meta-gradient of one training task, and what it is a function of."""
    net, learner, _ = METHODS[method](AS_TRAINED[setting])
    task = tree_map(lambda t: t[0], sample(drawn_for(setting, method), seeded(0, where), 1))
    return learner.meta_grad, learner.init(net.init(seeded(0, where))), task


def operations(setting, method):
    """Floating-point operations of one training run."""
    size, (gradient, *of) = sized(setting, method), meta_gradient(setting, method)
    return size["tasks"] * size["iterations"] * flops(gradient, *without_numbers(of))


def seconds_of(setting):
    """About how long what an experiment lacks trains here, if it reaches a third of a matrix product's speed. `bank` says it."""
    return sum(operations(setting, m) for m in methods(setting) for sd in asked if not finished(setting, m, sd)) / (speed(where) / 3) if here(setting) else None


SEEDS = sorted({*asked, *range(10)})
wanted = [(name, m, sd) for name in SETTINGS for sd in SEEDS for m in methods(name) if name in chosen and sd in asked or finished(name, m, sd)]
results = {(name, m, sd): result(name, m, sd) for name, m, sd in wanted if here(name)}
plan = {name: [m for m in methods(name) if any((name, m, sd) in results for sd in SEEDS)] for name in SETTINGS if any(name == n for n, _, _ in results)}


def seeds_of(*pairs):
    """The seeds with which all of these (setting, method) pairs are here."""
    return [sd for sd in SEEDS if all((name, m, sd) in results for name, m in pairs)]


by = lambda *pairs: run._replace(seeds=seeds_of(*pairs))  # who records what these pairs show
first_of = lambda pair: run._replace(seeds=seeds_of(pair)[:1])

# %% [markdown]
# ## Table 1, measured
#
# Every method on the same characters. The prior methods' numbers in the paper are quoted from their own papers, on splits
# of their own; here they are trained as MAML is. Accuracy by the paper's protocol: as many queries as shots, normalised
# together.

# %%
TABLE1 = {  # quoted: Table 1 of the paper; prototypical nets from Snell et al. 2017, which the paper cites and leaves out
    "omniglot-5w1s": dict(maml=98.7, siamese=97.3, matching=98.1, statistician=98.1, memory=98.4, prototypical=98.8),
    "omniglot-5w5s": dict(maml=99.9, siamese=98.4, matching=98.9, statistician=99.5, memory=99.6, prototypical=99.7),
    "omniglot-20w1s": dict(maml=95.8, siamese=88.2, matching=93.8, statistician=93.2, memory=95.0, prototypical=96.0),
    "omniglot-20w5s": dict(maml=98.9, siamese=97.0, matching=98.5, statistician=98.1, memory=98.6, prototypical=98.9),
    "omniglot-noconv-5w1s": dict(maml=89.7, mann=82.8), "omniglot-noconv-5w5s": dict(maml=97.5, mann=94.9),
    "mini-5w1s": {"maml": 48.70, "fomaml": 48.07, "matching": 43.56, "lstm": 43.44, "fine-tuned": 28.86, "features": 41.08, "prototypical": 49.42},
    "mini-5w5s": {"maml": 63.11, "fomaml": 63.15, "matching": 55.31, "lstm": 60.60, "fine-tuned": 49.79, "features": 51.04, "prototypical": 68.20},
}
PLUS_MINUS = {"maml": dict(zip(TABLE1, (0.4, 0.1, 0.3, 0.2, 1.1, 0.6, 1.84, 0.92))), "lstm": {"mini-5w1s": 0.77, "mini-5w5s": 0.71}}
nearest = {name: in_parts(METHODS["pixels"](AS_TRAINED[name])[2], {}, family(name, "test", SETTINGS[name]["shots"]), on_query(accuracy(METHODS["pixels"](AS_TRAINED[name])[0].forward)), 10_000, PROTOCOLS["paper"][2])
           for name in plan if name in chosen}


def present(setting, *methods):
    return bool(seeds_of(*((setting, m) for m in methods)))


def have(setting, *methods):
    """Are these results here, and are they what this run is to judge?"""
    return setting in judged and present(setting, *methods)


def shares(setting, method, protocol="paper", step=None, among=()):
    """Accuracy on each test task, in percent: (seeds, tasks). step: after so many, by default the paper's. among: the seeds that these methods have too."""
    s, queries = SETTINGS[setting], PROTOCOLS["together" if protocol == "training classes" else protocol][1](SETTINGS[setting])
    right = torch.stack([results[setting, method, sd][0][f"right.{protocol}"] for sd in seeds_of(*((setting, m) for m in (method, *among)))]).float()
    return 100 * right[..., min(s["test"] if step is None else step, right.shape[-1] - 1)] / (s["way"] * queries)


def interval(values):
    """Mean over seeds and tasks with its 95 % interval over tasks."""
    mean, half = values.mean().item(), 1.96 * values.mean(0).std().item() / values.shape[1] ** 0.5
    return Interval(mean, mean - half, mean + half)


def of_seeds(values):
    """The accuracy of each training, and where there are several the interval over trainings, which is another than that over tasks."""
    each = ", ".join(f"{v:.2f}" for v in values.mean(1))
    if len(values) < 2: return each
    try:
        i = over_seeds(values.mean(1))
    except ImportError: return each  # a bare machine with a GPU has no scipy
    return each + f"; over seeds {i.value:.2f} [{i.low:.2f}, {i.high:.2f}]"


means = {(name, m): interval(shares(name, m)) for name in plan for m in plan[name]}
means |= {(name, "pixels"): interval(100 * nearest[name].T) for name in nearest}
rows = sorted(means, key=lambda row: ([*SETTINGS].index(row[0]), -means[row].value))
best = max(rows, key=lambda row: means[row].value)

# %% tags=["figure"]
pictured = lambda name: "miniImagenet" if name.startswith("mini") else alphabet
where_measured = " and ".join(f"{sum(pictured(n) == p for n, _ in rows)} on {p}" for p in dict.fromkeys(pictured(n) for n, _ in rows))
fig, ax = canvas(f"{len(rows)} cells measured at {profile}, {where_measured}: from {min(i.value for i in means.values()):.0f} to {means[best].value:.1f} % ({NAMES[best[1]]})",
                 height=1.4 + 0.27 * len(rows))
for y, (name, m) in enumerate(rows):
    i = means[name, m]
    ax.plot([i.low, i.high], [y, y], color=LOOKS["maml"].color if m in GRADIENT else LOOKS["pretrained"].color, linewidth=3)
    ax.plot(i.value, y, "o" if m in GRADIENT else "^", color=LOOKS["maml"].color if m in GRADIENT else LOOKS["pretrained"].color)
    if m in TABLE1.get(name, {}) and (alphabet == "omniglot" or name.startswith("mini")):
        ax.plot(TABLE1[name][m], y, "D", markersize=7, markerfacecolor="none", markeredgecolor=LOOKS["paper"].color, markeredgewidth=1.6)
ax.set(yticks=range(len(rows)), yticklabels=[f"{name.replace('omniglot', alphabet)}{', 42 pixels' * ('42' in AS_TRAINED[name]['net'] and m != 'pixels')}: {NAMES[m].split(',')[0] if m != 'printed' else 'MAML, alpha on the mean'}" for name, m in rows],
       xlabel="accuracy, %; bars: 95 % over tasks; diamonds: quoted", xlim=(15, 101))
ax.invert_yaxis()
figure(fig, "Accuracy of each method in each setting with its interval over tasks, gradient methods as dots, others as triangles, the quoted values as open "
            f"diamonds. The highest is {means[best].value:.1f} % for {NAMES[best[1]]}.")

# %% tags=["fold"]
SMALL = " *The networks saw miniImagenet at 42 x 42 pixels and began with an empty head; MAML took one step in training and three at test. The pixels compared are those of 84 x 84.*"
HEAD_OF_TABLE = ("setting", "method", "quoted", "the paper's protocol", "seeds", "15 queries, together", "by the support", "one by one", "iterations x tasks")
in_15 = lambda name, m: " | ".join(f"{shares(name, m, p).mean():.1f}" if m in plan[name] and p in protocols_of(name, m) else "" for p in [*PROTOCOLS][1:])
taught = lambda name, m: f"{of_seeds(shares(name, m)).partition('; ')[2] or 1} | {in_15(name, m)} | {sized(name, m)['iterations']:,} x {sized(name, m)['tasks']}" if m in plan[name] else "| | | | none"
lines = [f"| {name.replace('omniglot', alphabet)} | {NAMES[m]} | {TABLE1.get(name, {}).get(m, '')} | {means[name, m].value:.1f} ± {means[name, m].value - means[name, m].low:.1f} | {taught(name, m)} |" for name, m in rows]
absent = [(name, m) for name in plan for m in dict.fromkeys((*TABLE1.get(name, ()), *full[name])) if name in TABLE1 and (name, m) not in means]
over_pixels = {name: interval(shares(name, "maml") - 100 * nearest[name].T) for name in nearest if "maml" in plan[name]}
lines += [f"| {name.replace('omniglot', alphabet)} | {NAMES[m]} | {TABLE1.get(name, {}).get(m, '')} | *{f'not run at {profile}' if m in METHODS else 'quoted only'}* | | | | | |" for name, m in absent]
say("\n".join([f"| {' | '.join(HEAD_OF_TABLE)} |", "|---" * len(HEAD_OF_TABLE) + "|", *lines]) + "\n\n± is the 95 % interval over test tasks; where several seeds were trained, theirs stands beside it."
    + " MAML above the nearest pixels, on the same tasks: " * bool(over_pixels)
    + ", ".join(f"{name.replace('omniglot', alphabet)} {i.value:+.1f} [{i.low:+.1f}, {i.high:+.1f}]" for name, i in over_pixels.items()) + "." * bool(over_pixels)
    + SMALL * any("42" in AS_TRAINED[name]["net"] for name in plan))

# %% [markdown]
# ## What one number leaves out
#
# The same network, the same steps, the same characters: only the *other* queries of the batch change. **What do you
# expect** when each query is normalised without help from the others? And after how many steps is the accuracy highest,
# when training took one?

# %%
shown = next(((name, m) for m in ("printed", "maml") for name in chosen if m in plan.get(name, ())), None)
after = {p: [shares(*shown, p, step).mean().item() for step in range(STEPS + 1)] for p in PROTOCOLS} if shown else {}

# %% tags=["figure"]
if shown:
    at = SETTINGS[shown[0]]["test"]
    SAID = {"paper": f"together, {SETTINGS[shown[0]]['shots']} a class", "together": "together, 15 a class", "support only": "by the support's statistics", "one by one": "each query alone"}
    fig, ax = canvas(f"After {at} steps: {after['together'][at]:.1f} % with all queries in one batch, {after['support only'][at]:.1f} % by the support's statistics", height=3.2)
    for (p, values), style in zip(after.items(), ("-", "--", ":", "-.")):
        draw(ax, "maml", range(1, STEPS + 1), values[1:], linestyle=style, label=SAID[p])
    ax.set(xlabel=f"gradient steps; before the first: {after['together'][0]:.0f} %", ylabel="accuracy, %", xlim=(0.7, STEPS * 1.4), xticks=range(1, STEPS + 1))
    figure(fig, f"Accuracy against gradient steps for four protocols. After {at} steps: " + ", ".join(f"{p} {v[at]:.1f} %" for p, v in after.items()) + ".")

# %% [markdown]
# ### Four ways to have batch norm
#
# The authors' (no scale, shifts that only the meta-update moves), and what others do: shifts that adapt with the
# rest, a learned scale, and queries that are normalised by the support's statistics in training already, as an
# inductive test has it. Four short trainings on the same tasks from the same start. **What do you expect** of the last,
# tested as it was trained?

# %%
BRIEF = budget(profile, smoke=1, quick=100, paper=0)  # iterations of each; a question of its own at the paper's budget
SHORT = SETTINGS["omniglot-5w1s"] | dict(tasks=budget(profile, smoke=1, quick=4, paper=32), queries=5, iterations=BRIEF)
NORMS = {"the authors'": (strided_convnet(5), True, together), "shifts adapt too": (strided_convnet(5), False, together),
         "with a learned scale": (scaled(strided_convnet(5)), True, together), "by the support, in training too": (strided_convnet(5), True, support_only)}


def normed(name, steps):
    """A net, and MAML with one way to have batch norm: what trains, and what adapts at test."""
    net, fixed, protocol = NORMS[name]
    loss, alpha = cross_entropy(net.forward), all_but_norms(net.init(seeded(0)), SHORT["alpha"]) if fixed else SHORT["alpha"]
    inner, at_test = maml(loss, alpha=alpha, steps=SHORT["steps"]), maml(loss, alpha=alpha, steps=steps)
    trains = inner if protocol is together else unrolled(cross_entropy(recalled(protocol, net.forward)), remembering(inner.adapt))
    return net, trains, Learner(dict, lambda meta, support: at_test.adapt(meta, support)[-1:], None)


def briefly(name):
    """Accuracy in percent of a short training on test tasks, queries together and by the support's statistics: each (tasks,)."""
    (net, learner, adapts), g, tasks_of = normed(name, SHORT["test"]), seeded(seed, where), family("omniglot-5w1s", "train", SHORT["queries"])
    rule, about = annealed(adam(FASTER * beta), cosine(BRIEF)), SHORT | dict(name=f"batch norm {name}", images=alphabet, seed=seed, beta=beta, code=source_key(learner, tasks_of, net))
    go = lambda resume: train(learner, net.init(seeded(seed, where)), tasks_of, rule, generator=g, tasks=SHORT["tasks"], iterations=BRIEF, resume=resume)
    step = last(progress(resumable(place(about), go, about=about, device=where), BRIEF, f"batch norm: {name}", done=lambda step: step.iteration, note=loss_now))
    return [100 * in_parts(adapts, step.meta, family("omniglot-5w1s", "test", 15), under(p, accuracy, net.forward), 10_000, min(100, test_tasks))[:, 0] for p in (together, support_only)]


begin = time.monotonic()
brief = {name: briefly(name) for name in NORMS if BRIEF}
norms_took = time.monotonic() - begin

# %% tags=["fold"]
if brief:
    usual, gaps = brief["the authors'"], {name: [interval((a - b)[None]) for a, b in zip(pair, brief["the authors'"])] for name, pair in brief.items()}
    cells_of = lambda name: " | ".join(f"{a.mean():.1f}" + (f" ({i.value:+.1f} ± {i.value - i.low:.1f})" if name != "the authors'" else "") for a, i in zip(brief[name], gaps[name]))
    apart = sum(i.low > 0 or i.high < 0 for pair in gaps.values() for i in pair)
    say("\n".join(["| batch norm | queries together, % (minus the authors') | by the support's statistics |", "|---|---|---|", *(f"| {name} | {cells_of(name)} |" for name in NORMS)])
        + f"\n\n{apart} of the {2 * len(gaps) - 2} differences are larger than their intervals over {len(usual[0])} tasks. {BRIEF:,} iterations of {SHORT['tasks']} tasks on {alphabet} each, one training each, "
        f"{norms_took:.0f} s in all: enough to see what learns faster, and not what ends higher.")

# %% [markdown]
# ## What moves when it adapts?
#
# The paper supposes that "primarily modifying the top layer weights" can do. Adapt the last layer alone, on the same tasks,
# from the same start, and see what is lost; and see how far each layer moves when all may.

# %%
def head_only(setting, method, protocol, seed):
    """Accuracy after the paper's steps when only the last layer adapts: (tasks,)."""
    s, (net, _, _) = SETTINGS[setting], METHODS[method](AS_TRAINED[setting])
    a = s["alpha"] * (1 if "printed" in method else s["way"])
    alone = maml(cross_entropy(net.forward), alpha={name: a for name in HEAD}, steps=s["test"])
    metric, n = under(PROTOCOLS[protocol][0], accuracy, net.forward), min(1_000, PROTOCOLS[protocol][2])
    return 100 * in_parts(alone, weights(setting, method, seed), family(setting, "test", 15), metric, 10_000, n)[:, -1]


def weights(setting, method, seed):
    return {k: p.float() for k, p in results[setting, method, seed][0].items() if not k.startswith(("right.", "scores"))}


def moved(setting, method, seed):
    """How far each layer moves in the paper's steps, relative to its length, averaged over some tasks."""
    theta, (_, _, adapts) = weights(setting, method, seed), METHODS[method](AS_TRAINED[setting])
    tasks = sample(family(setting, "test", 1), seeded(10_000, where), min(50, test_tasks))
    far = lambda support: torch.stack([(adapts.adapt(theta, support)[SETTINGS[setting]["test"]][f"layer{i}.weight"] - theta[f"layer{i}.weight"]).norm() / theta[f"layer{i}.weight"].norm() for i in range(5)])
    return vmap(far, chunk_size=10)(tasks.support).mean(0)


heads = {p: torch.stack([head_only(*shown, p, sd) for sd in seeds_of(shown)]) for p in ("together", "support only")} if shown else {}
lost = {p: (shares(*shown, p)[:, : h.shape[1]] - h).mean().item() for p, h in heads.items()}
moves = torch.stack([moved(*shown, sd) for sd in seeds_of(shown)]).mean(0).tolist() if shown else [0.0] * 5

# %% tags=["figure"]
if shown:
    fig, ax = canvas(f"The last layer moves by {moves[4]:.0%} of its length, the convolutions by {min(moves[:4]):.0%} to {max(moves[:4]):.0%}; adapting it alone costs "
                     f"{lost['together']:.1f} points", height=2.4)
    ax.barh([f"convolution {i + 1}" for i in range(4)] + ["last layer"], [100 * m for m in moves], color=LOOKS["maml"].color)
    ax.set(xlabel="movement in the paper's steps, % of the layer's length")
    ax.invert_yaxis()
    figure(fig, "How far each layer moves when it adapts, in percent of its own length: " + ", ".join(f"{m:.0%}" for m in moves) + ", first layer first.")

# %% [markdown]
# **Draw your own.** Five characters, one drawing of each, with the mouse, a finger or the keyboard; then a new drawing of
# one of them. Look at the bars before and after the step: does the network know *your* characters? It was meta-trained on
# Omniglot, and never saw them. Of the first five ready-made drawings it begins with the first that the step sets right.

# %% tags=["widget"]
from mamlkit.knobs.drawing import drawing_pads

banked_theta = {k: p for k, p in kept(BANK / "checkpoints" / "omniglot-5w1s-cpu-printed-0.safetensors")[0].items() if not k.startswith(("right.", "scores"))}
drawing_pads(strided_convnet(5).forward, banked_theta, alpha=all_but_norms(banked_theta, 0.4), samples=glyphs.load(100, seed=7))

# %% [markdown]
# ## Is it a linear step?
#
# In [1](01_sinusoids.ipynb) one step on a sine was far from its linearisation. Here: the logits' first-order change,
# $f(x) - \alpha\, \partial f/\partial\theta \cdot \nabla L$, against the real step.

# %%
def linear_and_real(setting, method, seed):
    """One task's accuracy after the linearisation of one step and after the step itself, in percent, as a function of the task."""
    net, theta = METHODS[method](AS_TRAINED[setting])[0], weights(setting, method, seed)
    a = all_but_norms(theta, SETTINGS[setting]["alpha"] * (1 if "printed" in method else SETTINGS[setting]["way"]))
    step = lambda task: inner_step(theta, lambda p: cross_entropy(net.forward)(p, task.support), a)
    linear = lambda task: sum(jvp(lambda p: net.forward(p, task.query.x), (theta,), (tree_map(torch.sub, step(task), theta),)))
    named = lambda logits, task: 100 * (logits.argmax(-1) == task.query.y).float().mean()
    return lambda task: torch.stack([named(linear(task), task), named(net.forward(step(task), task.query.x), task)])


parts = [sample(family(shown[0], "test", 15), seeded(30_000 + i, where), min(100, test_tasks)) for i in range(max(1, min(600, test_tasks) // 100))] if shown else []
both = torch.cat([vmap(linear_and_real(*shown, seeds_of(shown)[0]), chunk_size=20)(part) for part in parts]) if shown else None

# %% [markdown]
# ## The claims
#
# Each with its criterion, fixed before the run. At `quick` most stand as *not tested*: the paper's budget is a hundred
# times larger, and what is banked of it stands beside.

# %%
real = alphabet == "omniglot" or profile == "smoke"
recorded = lambda *records: Table([r for r in records if r]) if any(records) else say("No experiment that these claims need has run.")
BATCH = {"paper": "normalised together", "together": "normalised together", "support only": "normalised by the support's statistics", "one by one": "each normalised alone with the support"}


def where_of(name, m, protocol="paper", n=None):
    """How a number came about: the training, where and when it was done, and the test under a protocol, of n tasks (None: all)."""
    s, (kept_of_it, about) = sized(name, m), results[name, m, seeds_of((name, m))[0]]
    adam_of = f"{FASTER * beta:g} annealed" if name in SMALLER[profile] else f"{beta:g}"
    made = f"; trained at commit {about['commit']}" + (f", {about['seconds']:,} s a seed with its tests" if "seconds" in about else "")
    n, queries = n or len(kept_of_it[f"right.{protocol}"]), PROTOCOLS[protocol][1](SETTINGS[name])
    small = "images of 42 x 42 pixels, " * ("42" in s["net"])
    return f"{small}{s['tasks']} tasks x {s['iterations']:,} iterations, Adam {adam_of}, best of validation; {n:,} test tasks, {queries} a class, {BATCH[protocol]}" + made

# %% tags=["claim"]
LEAST = {"C050": ("omniglot-5w1s", 98.3), "C051": ("omniglot-5w5s", 99.6), "C052": ("omniglot-20w1s", 95.5), "C053": ("omniglot-20w5s", 98.7),
         "C054": ("omniglot-noconv-5w1s", 88.6), "C055": ("omniglot-noconv-5w5s", 96.9), "C062": ("mini-5w1s", 46.9), "C063": ("mini-5w5s", 62.2), "S212": ("mini-5w5s", 62.2)}
cell = {c: (shares(name, "maml"), shares(name, "maml", "together"), where_of(name, "maml")) for c, (name, _) in LEAST.items() if real and have(name, "maml")}
recorded(*[
    record(by((LEAST[c][0], "maml")), c, checks={("C063" if c == "S212" else "accuracy"): cell[c][0].mean().item() >= LEAST[c][1]}, protocol=cell[c][2],
           here={"accuracy, paper's protocol": interval(cell[c][0]), "15 queries a class": interval(cell[c][1]), "per seed": of_seeds(cell[c][0])},
           why=f"{cell[c][0].mean():.2f} % by the paper's protocol, {cell[c][1].mean():.2f} % with 15 queries a class" + ", on images of 42 x 42 pixels" * ("42" in AS_TRAINED[LEAST[c][0]]["net"]) + ".")
    for c in ("C050", "C051", "C052", "C053", "C054", "C055", "C062", "C063", "S212") if c in cell])

# %% tags=["claim"]
cpu = "omniglot-5w1s-cpu"
two_cores = shares(cpu, "printed", "together") if have(cpu, "printed") else shares("omniglot-5w1s", "printed", "together") if have("omniglot-5w1s", "printed") else None
on_cores = (cpu if have(cpu, "printed") else "omniglot-5w1s", "printed")
record(by(on_cores), "X005", checks={"97 %": two_cores.mean().item() >= 97}, protocol=where_of(*on_cores, "together"),
       here={"15 queries a class, together": interval(two_cores), "per seed": of_seeds(two_cores)},
       why=f"{two_cores.mean():.2f} % on held-out characters.") if real and two_cores is not None else None

# %%
PRIOR = ("prototypical", "matching", "siamese")
COLUMNS = {"5-way 1-shot": "omniglot-5w1s", "5-way 5-shot": "omniglot-5w5s", "20-way 1-shot": "omniglot-20w1s", "20-way 5-shot": "omniglot-20w5s"}
margin = lambda name, m, other, protocol="together": interval(shares(name, m, protocol, among=(other,)) - shares(name, other, protocol, among=(m,)))
strongest = lambda name: max(PRIOR, key=lambda m: shares(name, m, "together").mean())
over_prior = {column: margin(name, "maml", strongest(name)) for column, name in COLUMNS.items() if present(name, "maml", *PRIOR) and {*COLUMNS.values()} & {*judged}}
over_mann = {shot: margin(name, "maml", "mann") for shot, name in (("1-shot", "omniglot-noconv-5w1s"), ("5-shot", "omniglot-noconv-5w5s")) if present(name, "maml", "mann") and any("noconv" in n for n in judged)}
OURS = ("maml", "fomaml")
above_own = all(min(v[m] for m in OURS if m in v) > max(x for m, x in v.items() if m not in (*OURS, "prototypical")) for v in TABLE1.values())
as_quoted = {s: (TABLE1[n]["maml"] - TABLE1[n]["mann"], PLUS_MINUS["maml"][n]) for s, n in (("1-shot", "omniglot-noconv-5w1s"), ("5-shot", "omniglot-noconv-5w5s"))}
above_proto = all(TABLE1[n]["maml"] > v["prototypical"] for n, v in TABLE1.items() if "prototypical" in v)
by_step = {name: [shares(name, "maml", "together", step) for step in range(STEPS + 1)] for name in plan if have(name, "maml")}
better_step = {name: max(range(1, STEPS + 1), key=lambda step: steps[step].mean()) for name, steps in by_step.items()}
printed_minus = {name: margin(name, "printed", "maml") for name in plan if have(name, "printed", "maml")}
PRINTED = {"C130": "omniglot-5w1s", "C131": "omniglot-20w1s"}
overfit = {n: (shares(n, "maml", "training classes") - shares(n, "maml", "together")).mean().item() for n in ("mini-5w1s", "mini-5w1s-64-filters") if profile == "paper" and present(n, "maml") and any("mini" in n for n in judged)}
quoted = {shot: (TABLE1[n]["maml"] - TABLE1[n]["lstm"], PLUS_MINUS["maml"][n] + PLUS_MINUS["lstm"][n]) for shot, n in (("1-shot", "mini-5w1s"), ("5-shot", "mini-5w5s"))}

# %% tags=["claim"]
recorded(
    record(by(*((n, m) for n in COLUMNS.values() for m in ("maml", strongest(n)))), "C056", checks={c: over_prior[c].low > 0 for c in COLUMNS}, here={f"MAML minus the best, {c}": i for c, i in over_prior.items()}, protocol=where_of("omniglot-5w1s", "maml", "together"),
           why="MAML minus the best of the prior methods: " + ", ".join(f"{i.value:+.2f} points ({c})" for c, i in over_prior.items()) + ".") if real and len(over_prior) == len(COLUMNS) else None,
    *[record(by(*((n, m) for n in ("omniglot-noconv-5w1s", "omniglot-noconv-5w5s") for m in ("maml", "mann"))), c,
             checks={"as quoted": all(d > pm for d, pm in as_quoted.values()), "same split": all(i.low > 0 for i in over_mann.values())} if c == "C058" else {s: i.low > 0 for s, i in over_mann.items()},
             here={f"MAML minus MANN, {s}": i for s, i in over_mann.items()} | {f"MAML minus MANN, {s}, as quoted, and MAML's interval": f"{d:.1f}, {pm:.1f}" for s, (d, pm) in as_quoted.items()}, protocol=where_of("omniglot-noconv-5w1s", "maml", "together"),
             why="MAML minus MANN, both trained here: " + ", ".join(f"{i.value:+.1f} points ({s})" for s, i in over_mann.items()) + ".")
      for c in ("C023", "C058") if real and len(over_mann) == 2],
    record(by(("omniglot-5w1s", "maml")), "C060", checks={"three above one": interval(by_step["omniglot-5w1s"][3] - by_step["omniglot-5w1s"][1]).low > 0, "no special pick": by_step["omniglot-5w1s"][better_step["omniglot-5w1s"]].mean().item() <= by_step["omniglot-5w1s"][3].mean().item() + 0.5},
           here={f"accuracy after {k} steps, 15 queries": by_step["omniglot-5w1s"][k].mean().item() for k in (1, 2, 3, 5, 10) if k <= STEPS}, protocol=where_of("omniglot-5w1s", "maml", "together"),
           why=f"{by_step['omniglot-5w1s'][1].mean():.2f} % after one step, {by_step['omniglot-5w1s'][3].mean():.2f} after three, highest after {better_step['omniglot-5w1s']}.") if real and "omniglot-5w1s" in by_step else None,
    record(by(("omniglot-20w1s", "maml")), "C061", checks={"five is enough": by_step["omniglot-20w1s"][better_step["omniglot-20w1s"]].mean().item() <= by_step["omniglot-20w1s"][5].mean().item() + 0.5},
           here={f"accuracy after {k} steps": by_step["omniglot-20w1s"][k].mean().item() for k in (1, 3, 5, 10)}, protocol=where_of("omniglot-20w1s", "maml", "together"),
           why=f"{by_step['omniglot-20w1s'][5].mean():.2f} % after five steps, highest after {better_step['omniglot-20w1s']}.") if real and "omniglot-20w1s" in by_step else None,
    record(by(("mini-5w1s", "maml")), "C132", checks={"ten above five": interval(by_step["mini-5w1s"][10] - by_step["mini-5w1s"][5]).low > 0}, here={f"accuracy after {k} steps": by_step["mini-5w1s"][k].mean().item() for k in (1, 5, 10)},
           protocol=where_of("mini-5w1s", "maml", "together"), why=f"{by_step['mini-5w1s'][5].mean():.2f} % after five steps, {by_step['mini-5w1s'][10].mean():.2f} after ten.") if "mini-5w1s" in by_step and profile == "paper" else None,
    *[record(by((PRINTED[c], "printed"), (PRINTED[c], "maml")), c, checks={"as printed": printed_minus[PRINTED[c]].low > -0.5}, here={"as printed minus alpha times N": printed_minus[PRINTED[c]]}, protocol=where_of(PRINTED[c], "maml", "together"),
             why=f"alpha as printed on the mean loss is {printed_minus[PRINTED[c]].value:+.2f} points from the authors' N times larger step.") for c in ("C130", "C131") if real and PRINTED[c] in printed_minus and profile != "quick"],
    record(by(("omniglot-5w1s", "maml")), "S211", checks={"one step": shares("omniglot-5w1s", "maml", "paper", 1).mean().item() >= 98.5}, here={"accuracy after one step": interval(shares("omniglot-5w1s", "maml", "paper", 1))}, protocol=where_of("omniglot-5w1s", "maml"),
           why=f"{shares('omniglot-5w1s', 'maml', 'paper', 1).mean():.2f} % after one step; the paper's 98.7 is after three.") if real and have("omniglot-5w1s", "maml") else None,
    record(by(("mini-5w1s", "fine-tuned"), ("mini-5w1s", "features")), "C065", checks={"fine-tuning": abs(means["mini-5w1s", "fine-tuned"].value - 28.86) <= 3, "nearest neighbour": abs(means["mini-5w1s", "features"].value - 41.08) <= 3},
           here={"fine-tuning, 1-shot": means["mini-5w1s", "fine-tuned"], "nearest neighbour, 1-shot": means["mini-5w1s", "features"]}, protocol=where_of("mini-5w1s", "fine-tuned"),
           why=f"{means['mini-5w1s', 'fine-tuned'].value:.2f} % fine-tuned and {means['mini-5w1s', 'features'].value:.2f} % by the nearest neighbour.") if have("mini-5w1s", "fine-tuned", "features") else None,
    record(by(("mini-5w1s", "maml"), ("mini-5w1s-64-filters", "maml")), "C067", checks={"overfits more": overfit["mini-5w1s-64-filters"] > overfit["mini-5w1s"], "worse": shares("mini-5w1s-64-filters", "maml", "together").mean() < shares("mini-5w1s", "maml", "together").mean()},
           here={f"training classes minus test classes, {n}": g for n, g in overfit.items()} | {f"test classes, {n}": interval(shares(n, "maml", "together")) for n in overfit}, protocol=where_of("mini-5w1s", "maml", "together"),
           why="accuracy falls from training to test classes by " + " and ".join(f"{g:.2f} points ({n})" for n, g in overfit.items()) + ".") if len(overfit) == 2 else None,
    record(by(("mini-5w1s", "fomaml"), ("mini-5w5s", "fomaml")), "C064", checks={"1-shot": shares("mini-5w1s", "fomaml").mean().item() >= 46.3, "5-shot": shares("mini-5w5s", "fomaml").mean().item() >= 62.2}, protocol=where_of("mini-5w1s", "fomaml"),
           here={n: interval(shares(n, "fomaml")) for n in ("mini-5w1s", "mini-5w5s")}, why=f"{shares('mini-5w1s', 'fomaml').mean():.2f} and {shares('mini-5w5s', 'fomaml').mean():.2f} %.") if present("mini-5w1s", "fomaml") and present("mini-5w5s", "fomaml") and any("mini" in n for n in judged) else None,
)

# %% tags=["claim"]
curve = results["omniglot-5w1s", "maml", seeds_of(("omniglot-5w1s", "maml"))[0]][0]["scores"] if have("omniglot-5w1s", "maml") else torch.empty(0, 2)
halves = [100 * curve[rows, 1].max().item() for rows in (curve[:, 0] <= 30_000, curve[:, 0] > 30_000)] if len(curve) and curve[-1, 0] > 30_000 else None
spread = shares("omniglot-5w1s", "maml") if have("omniglot-5w1s", "maml") else None
half_width = (1.96 * spread.std(1) / spread.shape[1] ** 0.5).mean().item() if spread is not None else None  # of one training's interval, as the paper gives it
recorded(
    record(by(shown), "C009", checks={p: abs(x) <= 1 for p, x in lost.items()}, here={f"points lost by the last layer alone, {p}": x for p, x in lost.items()} | {f"movement, layer {i + 1}": m for i, m in enumerate(moves)}, protocol=where_of(*shown, "together", n=heads["together"].shape[1]),
           why=f"adapting the last layer alone loses {lost['together']:.2f} points (queries together), {lost['support only']:.2f} (support statistics).") if shown and real and shown[0] == "omniglot-5w1s" else None,
    record(first_of(shown), "X004", checks={"no": (gap := interval((both[:, 1] - both[:, 0])[None])).value >= 5 and gap.low > 0}, here={"after the real step": both[:, 1].mean().item(), "after the linearised step": both[:, 0].mean().item(), "difference": gap}, protocol=where_of(*shown, "together", n=len(both)),
           why=f"{both[:, 1].mean():.1f} % after one real step, {both[:, 0].mean():.1f} % after its linearisation.") if shown and real and shown[0] == "omniglot-5w1s" else None,
    record(by(("omniglot-5w1s", "context"), ("omniglot-5w1s", "maml")), "C139", checks={"below MAML": margin("omniglot-5w1s", "context", "maml").high < 0, "the number": abs(shares("omniglot-5w1s", "context").mean().item() - 94.9) <= 1.5}, protocol=where_of("omniglot-5w1s", "context"),
           here={"context vector": interval(shares("omniglot-5w1s", "context")), "context minus MAML": margin("omniglot-5w1s", "context", "maml")}, why=f"{shares('omniglot-5w1s', 'context').mean():.2f} % when a context alone adapts, {shares('omniglot-5w1s', 'maml').mean():.2f} % for MAML.") if real and have("omniglot-5w1s", "context", "maml") else None,
    record(first_of(("omniglot-5w1s", "maml")), "C133", checks={"still rises": halves[1] > halves[0] + 0.2}, here={"best validation accuracy, first half": halves[0], "second half": halves[1]}, protocol=where_of("omniglot-5w1s", "maml"),
           why=f"the best validation accuracy is {halves[0]:.2f} % in the first half and {halves[1]:.2f} % in the second.") if halves and real else None,
    record(by(("omniglot-5w1s", "maml")), "C048", checks={"covers seeds": spread.mean(1).std().item() < 0.5 * half_width}, here={"standard deviation over seeds": spread.mean(1).std().item(), "half width over tasks, mean over seeds": half_width, "per seed": of_seeds(spread)}, protocol=where_of("omniglot-5w1s", "maml"),
           why=f"over seeds the accuracy varies by {spread.mean(1).std():.2f} points, the interval of one training over tasks is ± {half_width:.2f}.") if real and spread is not None and len(spread) > 1 else None,
)

# %% [markdown]
# ## What can be counted
#
# Some claims need no training.

# %%
names = {split: split_classes("omniglot", split) for split in ("train", "validation", "test")}
everything = [c for split in names.values() for c in split]
ravi = {split: len(split_classes("miniimagenet", split)) for split in ("train", "validation", "test")}
draws = family("omniglot-5w1s", "train", 1).noise(seeded(0, where), 2_000)
turns = [100 * (draws.turns == quarter).float().mean().item() for quarter in range(4)]
twice = (draws.classes.sort(-1).values.diff(dim=-1) == 0).any().item()
hidden = strided_body().forward(strided_body().init(seeded(0)), torch.zeros(2, 1, 28, 28)).shape[1]
parameters = {"MAML": count(strided_convnet(5).init(seeded(0))), "matching, basic": count(matching(strided_body(), ways=5).init(seeded(0))),
              "matching, full context": count(full_context(strided_body(), features=64, ways=5, steps=5).init(seeded(0)))}
mini_maml = count(pooled_convnet(5).init(seeded(0)))
mini_lstm = mini_maml + count({k: p for k, p in pooled_convnet(5).init(seeded(0)).items() if "norm" not in k})  # and its LSTM
task_draws = SETTINGS["omniglot-5w1s"]["tasks"] * SETTINGS["omniglot-5w1s"]["iterations"]

# %% tags=["claim"]
recorded(
    record(run, "C043", checks={"characters": len(everything) == 1623, "instances": real and profile != "smoke" and drawn["test"].shape[1] == 20, "alphabets": len({c.split("/")[0] for c in everything}) == 50},
           here={"characters": len(everything), "instances": drawn["test"].shape[1], "alphabets": len({c.split("/")[0] for c in everything})}, why=f"{len(everything):,} characters of {len({c.split('/')[0] for c in everything})} alphabets, {drawn['test'].shape[1]} drawings each.") if real else None,
    record(run, "S106", checks={"over 1,600": len(everything) > 1600, "50 alphabets": len({c.split("/")[0] for c in everything}) == 50}, here={"characters": len(everything)}, why=f"{len(everything):,} characters."),
    record(run, "C044", checks={"64": ravi["train"] == 64, "12": ravi["validation"] == 12, "24": ravi["test"] == 24}, here=ravi, why=f"Ravi and Larochelle's lists have {ravi['train']}, {ravi['validation']} and {ravi['test']} classes."),
    record(run, "C045", checks={"1200": len(names["train"]) == 1200}, here={s: len(c) for s, c in names.items()}, why=f"the authors' code, and this book, take {len(names['train']):,} characters for training, {len(names['validation'])} for validation and {len(names['test'])} for testing."),
    record(run, "C046", checks={"equally often": all(24 <= t <= 26 for t in turns), "never twice": not twice}, here={f"turned by {90 * q} degrees, %": t for q, t in enumerate(turns)}, why=f"the four turns come in {min(turns):.1f} to {max(turns):.1f} % of cases, and {'a' if twice else 'no'} task holds a character twice."),
    record(run, "C047", checks={"64": hidden == 64}, here={"dimensions": hidden}, why=f"the head reads {hidden} numbers: the mean of a 2x2 map of {hidden} filters."),
    record(run, "C068", checks={"meta-learner LSTM": mini_maml < mini_lstm, "matching, full context": parameters["MAML"] < parameters["matching, full context"], "matching, basic": parameters["MAML"] < parameters["matching, basic"]},
           here=parameters | {"MAML, miniImagenet": mini_maml, "meta-learner LSTM, miniImagenet, at least": mini_lstm}, why=f"MAML {parameters['MAML']:,}; matching nets {parameters['matching, basic']:,} without and {parameters['matching, full context']:,} with full context; the meta-learner LSTM over {mini_lstm:,} against {mini_maml:,}."),
    record(run, "C004", checks={"its own table": above_own, "prototypical networks": above_proto}, here={"quoted": "Table 1 and Snell et al. 2017"}, why=f"by quoted numbers MAML, its first-order row included, is {'above' if above_own else 'not above'} every other row of Table 1 and {'above' if above_proto else 'not above'} prototypical networks in every cell."),
    record(run, "C059", checks={s: d > pm for s, (d, pm) in quoted.items()}, here={f"quoted difference and sum of intervals, {s}": f"{d:.2f}, {pm:.2f}" for s, (d, pm) in quoted.items()}, why="quoted differences of " + " and ".join(f"{d:.2f} points against intervals of {pm:.2f}" for d, pm in quoted.values()) + "."),
    record(run, "S107", checks={"matching networks": all(v["maml"] > v["matching"] for v in TABLE1.values() if "matching" in v), "memory-augmented": all(v["maml"] > v["mann"] for v in TABLE1.values() if "mann" in v)}, here={"quoted": "Table 1"}, why="by the quoted numbers of Table 1, in every cell that both have: "
           + ("yes." if all(v["maml"] > v.get("matching", v.get("mann", 0)) for v in TABLE1.values()) else "no.")),
    record(run, "S112", checks={"hundreds": 100 <= task_draws < 1000}, here={"task draws": task_draws}, why=f"the paper's budget draws {task_draws:,} tasks."),
)

# %% [markdown]
# ## Try it
#
# - Set `beta = 0.003`: does three times the meta step learn three times as fast?
# - Set `images = "glyphs"`: the same notebook on invented characters. Which methods change places?
# - Set `seeds = 3` to see what retraining alone changes, beside the interval over tasks.
#
# Headless: `python -m mamlkit run 02_classification -p images=glyphs`; at the paper's budget
# `python -m mamlkit bank --only omniglot-5w1s`.
# [Before: sinusoids](01_sinusoids.ipynb) · next: [what is true](07_scoreboard.ipynb)

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

from mamlkit.checkpoint import kept
from mamlkit.claims import BANK
from mamlkit.families import glyphs
from mamlkit.inner import adapt, repeated
from mamlkit.literate import figure, say
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, strided_convnet
from mamlkit.plots import LOOKS, canvas
from mamlkit.task import sample
from mamlkit.trees import tree_map

LABELS, banked = "ABCDE", BANK / "checkpoints" / "omniglot-5w1s-cpu-printed-0.safetensors"
theta = {k: p for k, p in kept(banked)[0].items() if not k.startswith("right.")}
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
# **What this takes.** At `quick`, about ten minutes on two cores: one network is meta-trained for some minutes, the others
# for less. The paper's own budget wants a GPU: `python -m mamlkit bank --only omniglot-5w1s`.
#
# [Before: sinusoids](01_sinusoids.ipynb) · [scoreboard](07_scoreboard.ipynb)

# %% tags=["imports"]
import time
from collections import deque
from functools import cache

import torch
from torch.func import jvp, vmap

from mamlkit import claims, protocols
from mamlkit.archive import split_classes
from mamlkit.baselines.fine_tune import HEAD, fine_tune, fresh_head
from mamlkit.baselines.mann import mann, shuffled
from mamlkit.baselines.matching import full_context, matching
from mamlkit.baselines.nearest_neighbour import nearest_neighbour, pixels
from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.baselines.prototypical import prototypical
from mamlkit.baselines.siamese import siamese, verification
from mamlkit.budget import budget
from mamlkit.checkpoint import keep, kept, place, resumable
from mamlkit.claims import Table, record
from mamlkit.episodic import episodic
from mamlkit.evaluate import evaluate, on_query, validated
from mamlkit.families import glyphs, mini_imagenet, omniglot
from mamlkit.few_shot import few_shot
from mamlkit.inner import adapt, inner_step
from mamlkit.intervals import Interval, over_seeds, paired
from mamlkit.learner import Learner
from mamlkit.literate import figure, progress, say, show, watch
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import choose_device, seeded, source_key
from mamlkit.nets import Net, all_but_norms, count, mlp, pooled_body, pooled_convnet, strided_body, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.plots import LOOKS, canvas, draw
from mamlkit.protocols import one_by_one, support_only, together, under
from mamlkit.task import sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
seeds: int = 1  # how many seeds; from 1 to 10
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
images: str = "auto"  # Omniglot, or invented glyphs where it cannot be had; one of auto, omniglot, glyphs
only: str = "all"  # which experiment is run; one of all, none, omniglot-5w1s-cpu, omniglot-5w1s-cpu-first-order, omniglot-5w1s, omniglot-noconv-5w1s, omniglot-5w5s, omniglot-20w1s, mini-5w1s, mini-5w5s, omniglot-20w5s, omniglot-noconv-5w5s
beta: float = 0.001  # the meta step size of Adam; above 0

# %%
where = choose_device(device)
every_seed = range(seed, seed + seeds)
run = claims.begin("02_classification", profile, [*every_seed], where)
test_tasks = budget(profile, smoke=6, quick=400, paper=10_000)
kind = budget(profile, smoke="glyphs", quick=images, paper=images)


def characters(split, size):
    """The characters of one split: Omniglot's, or as many invented ones where Omniglot cannot be had."""
    if kind != "glyphs":
        try:
            return "omniglot", omniglot.load(split, device=where, progress=progress)
        except OSError as error:
            if kind == "omniglot": raise
            say(f"Omniglot is not here, so **invented glyphs** stand in for it and nothing below says anything about Omniglot. ({error})")
    return "glyphs", glyphs.load(size, seed=size, device=where)


sizes = dict(train=budget(profile, smoke=60, quick=1100, paper=1100), validation=100, test=423)
found = {split: characters(split, size) for split, size in sizes.items()}
alphabet, drawn = next(iter({name for name, _ in found.values()})), {split: x for split, (_, x) in found.items()}
say(f"Running at **{profile}** on **{where}** with **{alphabet}**: {', '.join(f'{len(x):,} characters for {s}' for s, x in drawn.items())}; seeds {[*every_seed]}.")

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
NETS = {"strided": strided_convnet, "pooled": pooled_convnet, "no conv": lambda way: mlp(784, 256, 128, 64, 64, way, norm=True)}
BODIES = {"strided": strided_body(), "pooled": pooled_body(), "no conv": None}
SETTINGS = {  # the paper's: ways, shots, net, alpha as printed, inner steps in training and at test, meta-batch, queries in training
    "omniglot-5w1s-cpu": dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=8, queries=1, iterations=40_000),
    "omniglot-5w1s-cpu-first-order": dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=8, queries=1, iterations=40_000),
    "omniglot-5w1s": dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=32, queries=1, iterations=60_000),
    "omniglot-noconv-5w1s": dict(way=5, shots=1, net="no conv", alpha=0.4, steps=1, test=3, tasks=32, queries=1, iterations=60_000),
    "omniglot-5w5s": dict(way=5, shots=5, net="strided", alpha=0.4, steps=1, test=3, tasks=32, queries=5, iterations=60_000),
    "omniglot-20w1s": dict(way=20, shots=1, net="strided", alpha=0.1, steps=5, test=5, tasks=16, queries=1, iterations=60_000),
    "mini-5w1s": dict(way=5, shots=1, net="pooled", alpha=0.01, steps=5, test=10, tasks=4, queries=15, iterations=60_000),
    "mini-5w5s": dict(way=5, shots=5, net="pooled", alpha=0.01, steps=5, test=10, tasks=2, queries=15, iterations=60_000),
    "omniglot-20w5s": dict(way=20, shots=5, net="strided", alpha=0.1, steps=5, test=5, tasks=16, queries=5, iterations=60_000),
    "omniglot-noconv-5w5s": dict(way=5, shots=5, net="no conv", alpha=0.4, steps=1, test=3, tasks=32, queries=5, iterations=60_000),
}
SMALLER = {  # what a shorter profile trains: iterations of each method, and the meta-batch
    "smoke": {"omniglot-5w1s": (2, dict(printed=4, maml=2, prototypical=2, matching=2, siamese=2)), "omniglot-noconv-5w1s": (2, dict(maml=2, mann=2))},
    "quick": {"omniglot-5w1s": (4, dict(printed=12_000, maml=2_000, prototypical=1_000, matching=1_000, siamese=1_000)),
              "omniglot-noconv-5w1s": (8, dict(maml=1_500, mann=400))},
    "paper": {"omniglot-5w1s-cpu": (8, {"printed": 40_000}), "omniglot-5w1s-cpu-first-order": (8, {"first order, printed": 40_000})},
}
STEPS = 10


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
    return net, variant(loss, alpha=alphas, steps=s["steps"]), maml(loss, alpha=alphas, steps=STEPS)


def comparing(net, loss=None):
    """The same for a method that compares queries with the support."""
    return net, episodic(loss or cross_entropy(net.forward)), episodic(cross_entropy(net.forward))


METHODS = {
    "maml": lambda s: gradient(maml, s, s["way"] * s["alpha"]),
    "printed": lambda s: gradient(maml, s, s["alpha"]),
    "fomaml": lambda s: gradient(fomaml, s, s["way"] * s["alpha"]),
    "prototypical": lambda s: comparing(prototypical(BODIES[s["net"]], ways=s["way"])),
    "matching": lambda s: comparing(matching(BODIES[s["net"]], ways=s["way"])),
    "siamese": lambda s: comparing(siamese(BODIES[s["net"]], features=64, ways=s["way"]), verification(BODIES[s["net"]])),
    "mann": lambda s: comparing(mann(784, ways=s["way"])),
}
NAMES = {"maml": "MAML, the authors' step (alpha times N)", "printed": "MAML, alpha on the mean loss", "fomaml": "first-order MAML", "prototypical": "prototypical nets",
         "matching": "matching nets", "siamese": "Siamese nets", "mann": "MANN", "pixels": "nearest neighbour, pixels"}
METHODS["first order, printed"] = lambda s: gradient(fomaml, s, s["alpha"])
METHODS["pixels"] = lambda s: comparing(nearest_neighbour(pixels, ways=s["way"]))
NAMES["first order, printed"] = "first-order MAML, alpha on the mean loss"


# %% [markdown]
# **What do you expect?** A nearest neighbour on the 784 pixels is right on about half of these tasks. What does one
# gradient step add?

# %%
def training(setting, method):
    """The size of one training run, and the tasks that it draws."""
    s = SETTINGS[setting]
    tasks, iterations = SMALLER[profile].get(setting, (s["tasks"], {}))
    drawn_from = family(setting, "train", s["queries"])
    return dict(tasks=tasks, iterations=iterations.get(method, s["iterations"])), shuffled(drawn_from) if method == "mann" else drawn_from


def in_parts(learner, meta, tasks_of, metric, seed, n):
    """`evaluate` on n tasks, drawn a hundred at a time so that memory stays small; n is below 100 or a multiple of it."""
    g, each = seeded(seed, where), min(100, n)
    return torch.cat([evaluate(learner, meta, sample(tasks_of, g, each), metric, chunk=25) for _ in range(n // each)])


def validation_score(setting, method):
    """Accuracy on validation tasks after the steps of the paper's evaluation: what the best checkpoint is chosen by."""
    s, (net, _, adapts) = SETTINGS[setting], METHODS[method](SETTINGS[setting])
    tasks_of, n = family(setting, "validation", budget(profile, smoke=2, quick=15, paper=15)), budget(profile, smoke=3, quick=100, paper=200)
    few = Learner(adapts.init, lambda meta, support: adapts.adapt(meta, support)[: s["test"] + 1], None)
    return lambda meta: in_parts(few, meta, tasks_of, on_query(accuracy(net.forward)), 20_000, n)[:, -1].mean()


loss_now = lambda step: f"loss {step.losses[-100:].mean():.3f}" + (f", validation {step.scores[-1, 1]:.1%}" if len(step.scores) else "")
last = lambda items: deque(items, maxlen=1).pop()


def meta_train(setting, method, seed):
    net, learner, _ = METHODS[method](SETTINGS[setting])
    size, drawn_from = training(setting, method)
    g, score, every = seeded(seed, where), validation_score(setting, method), max(100, size["iterations"] // 2000 * 100)
    about = dict(name=f"{setting} {method}", images=alphabet, seed=seed, beta=beta, **SETTINGS[setting] | size, code=source_key(learner, drawn_from, net))
    meta = learner.init(net.init(g))
    go = lambda resume: validated(train(learner, meta, drawn_from, adam(beta), generator=g, **size, resume=resume), score, every=every)
    return last(progress(resumable(place(about), go, about=about, device=where), size["iterations"], f"{setting}, {method}, seed {seed}", done=lambda s: s.iteration, note=loss_now))


# %% [markdown]
# ### Training
#
# One outer loop trains everything: the gradient of the query loss through the inner step for MAML, the plain gradient of
# an episode's loss for the methods that compare. The best checkpoint by validation characters is kept, as the authors'.
# This is the long cell; it goes on where it was interrupted.

# %%
PROTOCOLS = {  # which examples normalise the queries, queries per class, tasks
    "paper": (together, lambda s: s["shots"], min(600, test_tasks)), "together": (together, lambda s: 15, test_tasks),
    "support only": (support_only, lambda s: 15, max(2, test_tasks // 5)), "one by one": (one_by_one, lambda s: 15, max(2, test_tasks // 5)),
}
GRADIENT = ("maml", "printed", "fomaml", "first order, printed")


def measured(setting, method, meta, name):
    """How many queries are named rightly under a protocol, after each step: (tasks, steps + 1)."""
    s, (net, _, adapts) = SETTINGS[setting], METHODS[method](SETTINGS[setting])
    protocol, queries, n = PROTOCOLS[name][0], PROTOCOLS[name][1](s), PROTOCOLS[name][2]
    share = in_parts(adapts, meta, family(setting, "test", queries), under(protocol, accuracy, net.forward), 10_000, n)
    return (share * s["way"] * queries).round().short()


def train_and_measure(setting, method, seed):
    step = meta_train(setting, method, seed)
    best, names = step.best or step.meta, PROTOCOLS if method in GRADIENT else ("paper", "together")
    return best | {"scores": step.scores} | {f"right.{name}": measured(setting, method, best, name) for name in progress(names, len(names), "measuring")}


def result(setting, method, seed):
    """Trained and measured once for each profile and seed; then read from where it is kept, at the paper's budget the bank."""
    path = claims.results() / "checkpoints" / f"{setting}-{method.replace(', ', '-').replace(' ', '-')}-{seed}.safetensors"
    if not (profile == "paper" and path.exists()):
        about = dict(setting=setting, method=method, seed=seed, profile=profile, images=alphabet, device=str(where), **training(setting, method)[0])
        keep(path, train_and_measure(setting, method, seed), about)
    return kept(path, where)


def here(setting):
    """Are this setting's images here? miniImagenet is never downloaded."""
    try:
        return pictures(setting, "test") is not None
    except FileNotFoundError as missing:
        return say(f"{setting} is left out: {missing}")


chosen = [name for name in SETTINGS if only in ("all", name) and only != "none"] if profile == "paper" else [*SMALLER[profile]]
plan = {name: [*SMALLER[profile][name][1]] if name in SMALLER[profile] else ["maml", "fomaml", "printed", *(("mann",) if SETTINGS[name]["net"] == "no conv" else ("prototypical", "matching", "siamese"))]
        for name in chosen if here(name)}
results = {(name, m, sd): result(name, m, sd) for name in plan for m in plan[name] for sd in every_seed}

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · One inner loop, many meta-gradients

# %% tags=["imports"]
import time
from functools import cache, partial

import torch
from torch.func import vmap

from mamlkit import claims
from mamlkit.baselines.fine_tune import HEAD, fine_tune, fresh_head
from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.baselines.prototypical import prototypical
from mamlkit.budget import budget
from mamlkit.checkpoint import gathered, kept, place, remembered, resumable
from mamlkit.claims import Table, record
from mamlkit.cost import flops, peak_bytes, without_numbers
from mamlkit.episodic import episodic
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families import glyphs, omniglot
from mamlkit.families.sinusoid import sinusoid
from mamlkit.few_shot import few_shot
from mamlkit.inner import adapt_with, inner_step
from mamlkit.intervals import Interval, over_seeds
from mamlkit.learner import Learner
from mamlkit.literate import progress, say, show, side_by_side
from mamlkit.losses import accuracy, cross_entropy, mse
from mamlkit.machine import choose_device, commit, seeded, source_key
from mamlkit.minibatches import minibatched
from mamlkit.nets import all_but_norms, mlp, strided_body, strided_convnet, with_context
from mamlkit.optimizer import adam, annealed, cosine, linear, sgd
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.anil import anil
from mamlkit.variants.cavia import cavia
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.imaml import imaml
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from mamlkit.variants.meta_sgd import meta_sgd
from mamlkit.variants.reptile import reptile

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
images: str = "auto"  # Omniglot, or invented glyphs where it cannot be had; one of auto, omniglot, glyphs
only: str = "all"  # which experiment is run; one of all, none, variants-sinusoid, mamlpp-20w1s, variants-omniglot, variants-classes, variants-alpha, reptile-5w1s
alpha: float = 0.01  # the inner step size on the sinusoid; above 0
beta: float = 0.001  # the meta step size of Adam; above 0

# %%
where = choose_device(device)
seeds = range(seed, seed + budget(profile, smoke=1, quick=1, paper=5))
three = seeds[: budget(profile, smoke=1, quick=1, paper=3)]
run = claims.begin("06_variants", profile, [*seeds], where)
chosen = lambda experiment: only in ("all", experiment)

# %%
VARIANTS = {"maml": maml, "fomaml": fomaml, "reptile": reptile, "meta_sgd": meta_sgd, "mamlpp": mamlpp, "imaml": imaml, "anil": anil, "cavia": cavia}
NAMES = {"maml": "MAML", "fomaml": "first-order MAML", "reptile": "Reptile", "meta_sgd": "Meta-SGD", "mamlpp": "MAML++", "imaml": "iMAML", "anil": "ANIL", "cavia": "CAVIA"}
WAVE = {"maml": (1, alpha), "fomaml": (1, alpha), "reptile": (10, alpha), "meta_sgd": (1, alpha), "mamlpp": (5, alpha), "imaml": (16, alpha), "anil": (1, alpha), "cavia": (1, 1.0)}
iterations = budget(profile, smoke=4, quick=2_000, paper=10_000)
plain, told = mlp(1, 40, 40, 1), with_context(mlp(1, 40, 40, 1), 5, shift="layer0.bias")
waves = sinusoid(shots=10, queries=10)
falling = lambda n: annealed(adam(beta), cosine(n))


def pooled(family):
    """Tasks whose support holds all that may be learned from, support and query, as Reptile has it."""
    def make(noise):
        task = family.make(noise)
        return Task(Data(*map(torch.cat, zip(task.support, task.query))), task.query)
    return Family(family.noise, make)


def ended(steps, start):
    """Where a run ended, and "made", its iterations: fewer than asked where a meta-gradient was not finite."""
    meta, made = start, 0
    try:
        for step in steps: meta, made = step.meta, step.iteration
    except FloatingPointError as reason:
        say(f"A run has failed, and counts as a failure: {reason}")
    return meta | {"made": torch.tensor(made)}


def in_phases(phases, start, family, rule, g, resume, **how):
    """Trains by one learner after another. phases: (learner, iteration at which it ends)."""
    for learner, end in phases:
        for resume in train(learner, start, family, rule, generator=g, iterations=end, resume=resume, **how):
            yield resume


def meta_train(name, phases, net, family, rule, seed, *, tasks, block=100, chunk=None, **settings):
    """One training by phases of learners, resumed where it was left and remembered once it has ended: its meta-parameters, and "made"."""
    (learner, _), total, g = phases[0], phases[-1][1], seeded(seed, where)
    about = dict(name=name, seed=seed, beta=beta, tasks=tasks, block=block, phases=[end for _, end in phases], **settings, code=source_key(learner, family, net))
    start = learner.init(net.init(g))
    go = lambda resume: in_phases(phases, start, family, rule, g, resume, tasks=tasks, block=min(block, total), chunk=chunk)
    steps = progress(resumable(place(about), go, about=about, device=where), total, f"{name}, seed {seed}", done=lambda s: s.iteration)
    return remembered({**about, "ended": True}, lambda: ended(steps, start), where)


# %%
def wave_learner(name, steps=None, step=None):
    net = told if name == "cavia" else plain
    return VARIANTS[name](mse(net.forward), alpha=step or WAVE[name][1], steps=steps or WAVE[name][0])


def wave(name, seed, n=iterations, steps=None, step=None):
    """One variant meta-trained on waves."""
    family, net, learner = pooled(waves) if name == "reptile" else waves, told if name == "cavia" else plain, wave_learner(name, steps, step)
    how = dict(tasks=25, steps=steps or WAVE[name][0], alpha=step or WAVE[name][1])
    return meta_train(f"wave {name}", [(learner, n)], net, family, falling(n), seed, **how)


KS, STEPS, test_tasks = (5, 10, 20), 10, budget(profile, smoke=20, quick=500, paper=2_000)
test = {k: sample(sinusoid(shots=k, queries=100), seeded(10_000, where), test_tasks) for k in KS}
without = lambda found, *names: {k: p for k, p in found.items() if k not in names}


def wave_error(learner, found, tasks):
    """Squared error on each task after 0 to 10 steps: (tasks, 11); what is not finite counts as a million."""
    error = evaluate(learner, without(found, "made"), tasks, on_query(mse((told if "context" in found else plain).forward)), chunk=500)
    return error.nan_to_num(nan=1e6, posinf=1e6).clamp(max=1e6).cpu()


def wave_result(name, sd):
    """What one variant ended with on one seed, and its errors by K."""
    found = wave(name, sd)
    about = dict(name=f"errors of wave {name}", seed=sd, tasks=test_tasks, iterations=iterations, alpha=WAVE[name], beta=beta, made=found["made"].item(), code=source_key(wave_learner(name), waves, plain))
    errors = lambda: {f"K={k}": wave_error(wave_learner(name, STEPS), found, test[k]) for k in KS}
    return found | {f"error/{k}": e for k, e in remembered(about, errors).items()}


def banked(experiment, cells, make):
    """An experiment's results by cell: made here if it is chosen, each as soon as it is there; else what is kept of it."""
    path = claims.results() / "checkpoints" / f"{experiment}.safetensors"
    about = dict(experiment=experiment, notebook=run.notebook, profile=profile, beta=beta, device=str(where), commit=commit())
    return gathered(path, cells, make if chosen(experiment) else None, about, where)


on_waves = banked("variants-sinusoid", [(name, sd) for sd in seeds for name in VARIANTS], wave_result)

# %%
kind = budget(profile, smoke="glyphs", quick=images, paper=images)
invented = lambda size: ("glyphs", glyphs.load(size, seed=size, device=where))


def characters(split, size):
    try:
        return "omniglot", omniglot.load(split, device=where, progress=progress)
    except OSError as reason:
        if kind == "omniglot": raise
        say(f"Omniglot is not here ({reason}): **invented glyphs** stand in for it, and nothing below says anything about Omniglot.")
        return invented(size)


sizes = dict(train=budget(profile, smoke=60, quick=1100, paper=1100), test=423)
loaded = {split: invented(size) if kind == "glyphs" else characters(split, size) for split, size in sizes.items()}
alphabet, drawn = next(iter({name for name, _ in loaded.values()})), {split: x for split, (_, x) in loaded.items()}
real = alphabet == "omniglot" or profile == "smoke"
chunk = 1 if where.type == "cpu" else None  # uncompiled on a CPU, one task at a time is several times faster: their convolutions are not grouped
LENGTH = budget(profile, smoke=2, quick=20, paper=120)  # meta-iterations of each training on images
SHOWN = budget(profile, smoke=2, quick=20, paper=100)  # test tasks
WAYS = {5: dict(tasks=budget(profile, smoke=1, quick=4, paper=4), queries=15, test=3, n=SHOWN), 20: dict(tasks=budget(profile, smoke=1, quick=2, paper=2), queries=5, test=5, n=SHOWN // 2)}
IMAGE = {  # inner steps in training and step size on the mean loss: 5-way, 20-way
    "maml": {5: (1, 0.4), 20: (2, 0.4)}, "fomaml": {5: (1, 0.4), 20: (2, 0.4)}, "reptile": {5: (5, 0.1), 20: (5, 0.1)}, "meta_sgd": {5: (1, 0.4), 20: (2, 0.4)},
    "mamlpp": {5: (2, 0.4), 20: (2, 0.4)}, "imaml": {5: (5, 0.1), 20: (5, 0.1)}, "anil": {5: (1, 0.4), 20: (2, 0.4)}, "cavia": {5: (2, 1.0), 20: (2, 1.0)}}


def image_net(name, way):
    return with_context(strided_convnet(way), 32, shift="norm2.beta") if name == "cavia" else strided_convnet(way)


def image_learner(name, way, steps=None, **parts):
    net, (in_training, a) = image_net(name, way), IMAGE[name][way]
    if name not in ("reptile", "anil", "cavia"):  # Reptile learns nothing that does not adapt: its norms do
        a = all_but_norms(net.init(seeded(0, where)), a)
    return VARIANTS[name](cross_entropy(net.forward), alpha=a, steps=steps or in_training, **parts)


def on_characters(split, way, queries, x=None, shots=1):
    return few_shot(drawn[split] if x is None else x, way=way, shots=shots, queries=queries, rotate=True)


def right(learner, forward, meta, family, n):
    """Accuracy in percent on n test tasks after each step: (tasks, steps + 1), a few drawn at a time."""
    g, each = seeded(10_000, where), min(20, n)
    return torch.cat([100 * evaluate(learner, meta, sample(family, g, each), on_query(accuracy(forward)), chunk=chunk or 20) for _ in range(n // each)]).cpu()


def on_images(label, name, way, sd, phases, rule, adapts):
    """A training on images and its accuracy on new characters; its parameters stay in the cache."""
    net, family, size = image_net(name, way), on_characters("train", way, 1), WAYS[way]
    how = dict(tasks=size["tasks"], block=max(1, LENGTH // 8), chunk=chunk, images=alphabet, setting=IMAGE[name][way])
    found = meta_train(f"{way} ways {label}", phases, net, pooled(family) if name == "reptile" else family, rule, sd, **how)
    about = dict(name=f"accuracy {way} ways {label}", seed=sd, length=LENGTH, made=found["made"].item(), **(size | how), code=source_key(adapts, family, net))
    measure = lambda: {"right": right(adapts, net.forward, without(found, "made"), on_characters("test", way, size["queries"]), size["n"])}
    return {"made": found["made"]} | remembered(about, measure, where)


def image_result(name, way, sd):
    """A variant as it is, Adam's step falling to 0."""
    return on_images(name, name, way, sd, [(image_learner(name, way), LENGTH)], falling(LENGTH), image_learner(name, way, WAYS[way]["test"]))


# %%
never, normalises = (lambda name: False), (lambda name: name.startswith("norm"))
left_out = dict(annealing=1.0, learned=never, per_step=never)
PARTS = {  # MAML++'s, each row with those above it: what differs in the first quarter, what in the rest
    "MAML": ({}, {}),
    "multi-step loss": (dict(annealing=0.0), {}),
    "derivative order": (dict(annealing=0.0, update=partial(inner_step, first_order=True)), {}),
    "per-step norms": (dict(per_step=normalises),) * 2,
    "per-step step sizes": (dict(learned=lambda name: True),) * 2,
    "cosine": ({}, {}),
}


def added(upto):
    """The settings of the first phase and of the second, with all parts up to this one."""
    rows = [*PARTS.values()][: [*PARTS].index(upto) + 1]
    return [left_out | {k: v for row in rows for k, v in row[phase].items()} for phase in (0, 1)]


def part_result(part, sd):
    first, second = added(part)
    learner = lambda parts, steps=None: image_learner("mamlpp", 20, steps, **parts)
    phases = [(learner(first), max(1, LENGTH // 4)), (learner(second), LENGTH)]
    rule = annealed(adam(beta), cosine(LENGTH, end=0.01)) if part == "cosine" else adam(beta)
    return on_images(f"MAML++ up to {part}", "mamlpp", 20, sd, phases, rule, learner(second, WAYS[20]["test"]))


in_parts = banked("mamlpp-20w1s", [(part, sd) for sd in three for part in PARTS], part_result)
two = seeds[: budget(profile, smoke=1, quick=1, paper=2)]
wanted = [(name, 5, sd) for sd in two for name in VARIANTS] + [(name, 20, seed) for name in VARIANTS]
equal = banked("variants-omniglot", wanted, image_result)

# %%
CLASSES = budget(profile, smoke=(5, 10), quick=(25, 1100), paper=(25, 200, 1100))
PLAIN = budget(profile, smoke=2, quick=20, paper=100)  # meta-iterations, and batches of plain pretraining
KINDS = {alphabet: drawn, "glyphs": {"train": glyphs.load(max(CLASSES), seed=1, device=where), "test": glyphs.load(100, seed=2, device=where)}}
quarter_turns = lambda x: torch.cat([x.rot90(q, (-2, -1)) for q in range(4)])


def some_classes(images, n, sd):
    return images[torch.randperm(len(images), generator=seeded(sd, where), device=where)[:n]]


def class_result(kind, n, sd):
    """Accuracy on new characters of MAML, and of plain pretraining with class means and with a fine-tuned last layer, from n classes."""
    x, net, wide = some_classes(KINDS[kind]["train"], n, sd), strided_convnet(5), strided_convnet(4 * n)
    how = dict(block=max(1, PLAIN // 4), chunk=chunk, kind=kind, n=n)
    meta = without(meta_train("classes maml", [(image_learner("maml", 5), PLAIN)], net, on_characters("", 5, 1, x), falling(PLAIN), sd, tasks=WAYS[5]["tasks"], **how), "made")
    joint = pretrain(cross_entropy(wide.forward), alpha=0.0, steps=0)
    theta = without(meta_train("classes pretrained", [(joint, PLAIN)], wide, all_classes(quarter_turns(x), examples=64), falling(PLAIN), sd, tasks=1, **how), "made")
    return measured_classes(KINDS[kind]["test"], {"maml": meta, "means": theta, "head": fresh_head(theta, 5)}, dict(kind=kind, n=n, seed=sd, length=PLAIN))


def measured_classes(x, thetas, about):
    """Accuracy on the same test tasks, by way of adapting: (tasks,) each."""
    net, means, family = strided_convnet(5), prototypical(strided_body(), ways=5), on_characters("", 5, 15, x)
    tuned = Learner(dict, fine_tune(cross_entropy(net.forward), alpha=0.01, steps=20, names=HEAD), None)
    ways = {"maml": (image_learner("maml", 5, 3), net.forward), "means": (episodic(cross_entropy(means.forward)), means.forward), "head": (tuned, net.forward)}
    about = dict(name="accuracy by classes", n_test=SHOWN, **about, code=source_key(*ways["maml"], *ways["means"], tuned, family))
    return remembered(about, lambda: {m: right(*ways[m], thetas[m], family, SHOWN)[:, -1] for m in ways}, where)


by_classes = banked("variants-classes", [(kind, n, sd) for sd in three for kind in KINDS for n in CLASSES], class_result)

# %%
TIMES = budget(profile, smoke=(1.0, 2.0), quick=(0.25, 1.0, 4.0), paper=(0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0))
INNER = budget(profile, smoke=(1,), quick=(1, 2), paper=(1, 2, 5))
BRIEF = budget(profile, smoke=4, quick=2_000, paper=5_000)


def alpha_result(name, times, steps, sd):
    """A variant trained with another step size or number of steps: errors at K = 10 after 0 to 10 steps of its own size."""
    found = wave(name, sd, n=BRIEF, steps=steps, step=alpha * times)
    about = dict(name=f"errors by alpha {name}", times=times, steps=steps, seed=sd, n=BRIEF, tasks=test_tasks, alpha=alpha, code=source_key(wave_learner(name), waves, plain))
    return {"made": found["made"]} | remembered(about, lambda: {"error": wave_error(wave_learner(name, STEPS, alpha * times), found, test[10])}, where)


settings = [(m, 1) for m in TIMES] + [(1.0, k) for k in INNER if k > 1]
by_alpha = banked("variants-alpha", [(name, m, k, sd) for sd in two for m, k in settings for name in ("maml", "meta_sgd")], alpha_result)

# %%
PUBLISHED = dict(step=0.001, examples=10, steps=5, shots=10, tasks=5, test=50, iterations=100_000)  # of Reptile, 5-way 1-shot, transductive: the authors' commands
REPTILE = budget(profile, smoke=2, quick=20, paper=400)


def published(sd):
    """Reptile as published: an inner Adam without momentum, minibatches dealt beforehand, theta + epsilon (theta_K - theta) with epsilon from 1 to 0."""
    p, net = PUBLISHED, strided_convnet(5)
    learner = lambda steps: reptile(cross_entropy(net.forward), alpha=p["step"], steps=steps, descend=adapt_with(partial(adam, decay=(0.0, 0.999))))
    family, rule = minibatched(on_characters("train", 5, 1, shots=p["shots"]), examples=p["examples"], batches=p["steps"]), annealed(sgd(1.0), linear(REPTILE))
    found = meta_train("reptile as published", [(learner(p["steps"]), REPTILE)], net, family, rule, sd, tasks=p["tasks"], block=max(1, REPTILE // 20), chunk=chunk, images=alphabet)
    about = dict(name="accuracy of reptile", seed=sd, n=SHOWN, images=alphabet, length=REPTILE, made=found["made"].item(), code=source_key(learner(1), family, net))
    measure = lambda: {"right": right(learner(p["test"]), net.forward, without(found, "made"), on_characters("test", 5, 1), SHOWN)}
    return {"made": found["made"]} | remembered(about, measure, where)


as_published = banked("reptile-5w1s", [(seed,)], published)

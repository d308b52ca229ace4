# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8 · Your network, your loss, your tasks
#
# The chapters before this one use a handful of small parts: a task, a network, a loss, a learner, an outer loop. Each
# of them is a value that you can replace. This page replaces them one at a time, each in at most fifteen lines, and every
# cell runs. At the end you have meta-learned a problem of your own.
#
# | your own | where |
# |---|---|
# | tasks, network, loss | the first three sections |
# | variant, outer optimizer | after the training |
# | folder of images, residual net with batch norm | after those |
# | environment, an existing Gymnasium environment | towards the end |
# | what the authors trained | the last but one |
#
# What `import mamlkit; help(mamlkit)` shows is a map of the rooms; `make docs` writes the whole reference into `docs/`.
#
# ## What a part looks like
#
# A **task** holds a support and a query set. A **family** is a distribution over tasks, made of two functions: `noise`
# draws all that is random, and `make` turns the noise of *one* task into that task. A **net** is two functions as well:
# `init` makes parameters, a dict of tensors, and `forward` maps parameters and inputs to outputs. A **learner** is an
# algorithm. You write each of them for one task; `train` and `evaluate` add the axis of tasks with `vmap`.
#
# ## Your own family of tasks
#
# Say your tasks are parabolas: each has its own height, width and place, and you see five points of it.

# %%
import torch

from mamlkit.machine import seeded
from mamlkit.task import Data, Family, Task, sample

# %%
def noise(generator, tasks):
    draw = lambda *shape: torch.rand(tasks, *shape, generator=generator) * 2 - 1
    return {"shape": draw(3), "x": draw(15, 1)}


def parabola(drawn):
    a, b, c = drawn["shape"]
    data = Data(drawn["x"], a + b * drawn["x"] + 3 * c * drawn["x"] ** 2)
    return Task(Data(data.x[:5], data.y[:5]), Data(data.x[5:], data.y[5:]))


# %%
parabolas = Family(noise, parabola)
sample(parabolas, seeded(0), tasks=4).support.x.shape

# %% [markdown]
# What you have written is a distribution over tasks, the paper's $p(T)$. The support is what a model adapts to, the
# query is what it is judged on, and here they are five and ten points of one curve. Nothing says that a task must be a
# regression: `x` and `y` may be any tensors that your network and your loss understand, and a support may be a tuple
# with one batch for each inner step.
#
# The first axis is that of the tasks; you never wrote it. `noise` draws on the generator's device, and nothing else is
# random, so a run with the same seed has the same tasks.
#
# ## Your own network
#
# Any `torch.nn.Module` will do. `from_module` takes a function that builds it, and its parameters become the dict. What
# torch cannot differentiate twice is refused in a sentence that names the remedy.

# %%
from torch import nn

from mamlkit.nets import from_module

net = from_module(lambda: nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1)))
sorted(net.init(seeded(0)))

# %% [markdown]
# ## Your own loss
#
# A loss is a function of parameters and data. Here large errors count less than their square.

# %%
def robust(params, data):
    error = net.forward(params, data.x) - data.y
    return torch.log1p(error.square()).mean()


# %% [markdown]
# ## Train it, and see how well it adapts
#
# `train` yields a step after every hundred updates. The loop is yours: print, draw, stop, or save.

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the seed of the training; 0 or more
alpha: float = 0.05  # the inner step size; above 0

# %%
from mamlkit.evaluate import evaluate, on_query
from mamlkit.optimizer import adam
from mamlkit.train import train
from mamlkit.variants.maml import maml

updates = {"smoke": 20, "quick": 1_500, "paper": 20_000}[profile]
learner, g = maml(robust, alpha=alpha, steps=1), seeded(seed)
start = learner.init(net.init(g))
size = dict(tasks=10, iterations=updates)
for step in train(learner, start, parabolas, adam(0.003), generator=g, **size):
    if step.iteration % 500 == 0:
        print(step.iteration, step.losses[-100:].mean().item())

# %% [markdown]
# **What do you expect** of three steps at test, when training took one? The errors below are those of new parabolas
# before any step and after one, two and three.

# %%
new = sample(parabolas, seeded(10_000), tasks=300)
errors = evaluate(maml(robust, alpha=alpha, steps=3), step.meta, new, on_query(robust))
errors.median(0).values

# %% [markdown]
# `report` tells a number to whoever runs this page. A sweep collects them: after
# `python -m mamlkit run 08 --grid alpha=0.01,0.05,0.2 seed=0,1 --plot three_steps` there is a table, the same as
# `sweep.csv`, and a picture of this number over `alpha`. It works in a notebook or script of your own, wherever that
# lies: give its path instead of `08`. What was run before with the same text and parameters is not run again.

# %%
from mamlkit.book.report import report

report(one_step=errors[:, 1].median(), three_steps=errors[:, 3].median())

# %% tags=["fold"]
from mamlkit.show.literate import say

first, second, *_, final = errors.median(0).values.tolist()
say(
    f"One step takes the median error from {first:.3f} to {second:.3f}, three take it to "
    f"{final:.3f}: later steps help here as well, though nobody trained for them."
    if final < second
    else f"One step takes the median error from {first:.3f} to {second:.3f}; three end at "
    f"{final:.3f}."
)

# %% [markdown]
# ## Your own variant
#
# A variant is one function that returns a learner. This one adapts by the *sign* of the gradient. `unrolled`
# differentiates the query loss through whatever inner steps you write. As a file of its own name in
# `mamlkit/variants/` it is found by the contract test, which asks what every variant must do, and by chapter 6's
# comparison, which asks for variants by name. Here, where there is no file, one line tells it the name. The contract
# asks more than these lines answer, for instance that a negative `alpha` is refused, and names each law that is broken.

# %%
from torch.func import grad

from mamlkit.learner import Learner, unrolled


def sign_maml(loss, *, alpha, steps) -> Learner:
    """MAML whose inner steps follow the sign of the gradient."""
    def inner(theta, support):
        path = [theta]
        for _ in range(steps):
            slope = grad(loss)(path[-1], support)
            path.append({k: p - alpha * slope[k].sign() for k, p in path[-1].items()})
        return path

    return unrolled(loss, inner)


# %%
from mamlkit.studies.variant_methods import VARIANTS
from mamlkit.studies.variants_waves import compared

VARIANTS["sign_maml"] = sign_maml
both = compared("fomaml", "sign_maml", iterations=min(updates, 300))
{name: error[:4].tolist() for name, error in both.items()}

# %% [markdown]
# That is all a variant is: how parameters adapt to one support, as a path from the start to the end. Evaluation walks
# along the same path, so it can say how good the model is after every step: above are the errors on waves before
# adaptation and after one, two and three steps. Whatever your inner loop does to the parameters, the outer loop, the
# checkpoints, the baselines and the figures of this book work with it unchanged.
#
# The sign has no useful derivative, so this is a first-order method by nature, and first-order MAML is what it is
# compared with. After a few hundred updates neither has learned much; which of them moves further in its first step?
#
# ## Your own outer optimizer
#
# The outer optimizer is two pure functions of one vector, so that its state can be saved, resumed and compiled. Momentum
# takes six lines:

# %%
from mamlkit.optimizer import Optimizer


def momentum(beta, keep=0.9):
    def update(gradient, state, vector):
        velocity = keep * state["velocity"] + gradient
        return vector - beta * velocity, {"velocity": velocity}

    return Optimizer(lambda vector: {"velocity": torch.zeros_like(vector)}, update)


rule, short = momentum(0.01), dict(tasks=10, iterations=min(updates, 300))
for last in train(learner, start, parabolas, rule, generator=seeded(seed), **short):
    pass
last.losses[-50:].mean()

# %% [markdown]
# ## Your own images
#
# Point `load` at a folder with a subfolder for each class. Pictures may have any sizes, and classes any numbers of
# pictures: the middle square of each picture is resized, in grey or in colour. Which classes are for training is said
# by folders (`train/CLASS/*.png`), by lists (`train.csv`, with `filename,label` in its first line), or by `fractions`,
# as here. The pickle caches of miniImagenet that go around are read as well, by an unpickler that makes arrays and
# refuses everything else: an ordinary one would run whatever code the file names.

# %% tags=["fold"]
import tempfile
from pathlib import Path

from PIL import Image

place = Path(tempfile.mkdtemp())  # ten classes of unequal numbers and sizes: a colour each
for kind in range(10):
    (place / f"kind{kind}").mkdir()
    for i in range(6 + kind):
        colour = tuple(int(c) for c in torch.randint(256, (3,), generator=seeded(kind)))
        picture = Image.effect_noise((40 + i, 60 - kind), 20 + 5 * i).convert("RGB")
        Image.blend(picture, Image.new("RGB", picture.size, colour), 0.7).save(
            place / f"kind{kind}" / f"{i}.png"
        )

# %%
from mamlkit.families import folder

shares = {"train": 0.6, "test": 0.4}
images = folder.load(place, "train", size=32, fractions=shares)
mine = folder.folder(images, way=3, shots=1, queries=3)
images.counts.tolist(), sample(mine, seeded(0), tasks=2).query.x.shape

# %% [markdown]
# ## A residual net with batch norm
#
# Few-shot tasks deserve your own network too. This is a small ResNet, built as torchvision builds its own: `norm` is
# the class of the normalisation layers. With batch norm as it comes it is refused, and the refusal names the remedy.
# Running statistics are hidden state that every forward pass changes, so the same parameters would give other numbers
# the second time, and there would be nothing to differentiate.

# %%
class Block(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        conv = lambda n, size, stride: nn.Conv2d(n, outputs, size, stride, size // 2, bias=False)
        self.body = nn.Sequential(conv(inputs, 3, 2), norm(outputs), nn.ReLU(), conv(outputs, 3, 1))
        self.skip, self.norm = conv(inputs, 1, 2), norm(outputs)

    def forward(self, x):
        return torch.relu(self.norm(self.body(x) + self.skip(x)))


def residual(norm):
    blocks = [Block(3, 16, norm), Block(16, 32, norm)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))


# %%
try:
    from_module(lambda: residual(nn.BatchNorm2d))
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# `BatchNorm2d(n, track_running_stats=False)` takes the statistics of the batch at hand, which is what the authors' code
# does: the queries of a task are then seen together, and the accuracy is that of the transductive setting.
# `GroupNorm(4, n)` looks at one example at a time and needs no statistics, but it also takes away what is the same all
# over a picture, such as a tone of colour. For torchvision's `resnet18` the line is
# `from_module(lambda: resnet18(num_classes=5, norm_layer=lambda n: GroupNorm(8, n)))`.

# %%
from mamlkit.losses import accuracy, cross_entropy

deep = from_module(lambda: residual(lambda n: nn.BatchNorm2d(n, track_running_stats=False)))
quick = maml(cross_entropy(deep.forward), alpha=0.3, steps=1)
some = dict(tasks=4, iterations=2 if profile == "smoke" else 60)
first, h = deep.init(seeded(seed)), seeded(seed)
for last in train(quick, first, mine, adam(0.003), generator=h, **some):
    pass
new_kinds = folder.load(place, "test", size=32, fractions=shares)
unseen = folder.folder(new_kinds, way=3, shots=1, queries=3)
right = on_query(accuracy(deep.forward))
evaluate(quick, last.meta, unseen, right, number=50, generator=seeded(1)).mean(0)

# %% [markdown]
# The shares of right answers before and after the inner step, on classes that training never saw. They are easy
# classes, made up for this page: a tone of colour each. What is not easy is to have never seen them.
#
# ## Your own environment
#
# An environment is three pure functions of a batch of episodes: where they begin, one step, and which goals there are.
# This one is a line on which the agent must stop at a place that it cannot see. `train_policy` is Algorithm 3's outer
# loop.

# %%
from mamlkit.rl.env import State

# %%
class Line:
    horizon, observations, actions = 20, 1, 1

    def sample_goals(self, generator, tasks):
        return torch.rand(tasks, 1, generator=generator) * 2 - 1

    def reset(self, goals, generator):
        return State(torch.zeros_like(goals), ())

    def step(self, state, action, goals):
        place = state.observation + 0.1 * action.clamp(-1, 1)
        far = (place - goals).abs()[:, 0]
        return State(place, ()), -far, far < 0.01


# %%
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.train import train_policy

policy, g = gaussian(1, 1, hidden=(16,)), seeded(seed)
walk = lambda steps: maml(reinforce(policy), alpha=0.1, steps=steps)
batch = dict(tasks=10, rollouts=10, steps=1, iterations=2 if profile == "smoke" else 15)
for step in train_policy(Line(), policy, walk, policy.init(g), generator=g, **batch):
    pass
step.optimizer["returns"][-3:].mean(0)

# %% [markdown]
# Two numbers: the mean return before the inner step and after it, over the last three updates. Give it a few hundred
# updates and the second pulls ahead.
#
# ## An existing Gymnasium environment
#
# Most environments that you meet are Gymnasium's, and remember where they are. `Adopted` makes one into ours. It needs
# to know what changes from step to step (`get`), and how to put the world back there on a task (`put`). Here the tasks
# are pendulums on other planets: what differs is gravity. One world plays all episodes in turn, so this is slow; it is
# for trying out, and the way to be fast is the one above.

# %%
import gymnasium

from mamlkit.rl.adopt import Adopted


def put(world, state, gravity):
    world.state, world.g = state, gravity.item()


planets = lambda generator, tasks: 2 + 20 * torch.rand(tasks, 1, generator=generator)
world = gymnasium.make("Pendulum-v1")
pendulums = Adopted(world, horizon=30, goals=planets, get=lambda w: w.state, put=put)

# %%
swing, g = gaussian(3, 1, hidden=(16,)), seeded(seed)
pushes = lambda steps: maml(reinforce(swing), alpha=0.01, steps=steps)
batch = dict(tasks=3, rollouts=4, steps=1, iterations=1 if profile == "smoke" else 3)
for step in train_policy(pendulums, swing, pushes, swing.init(g), generator=g, **batch):
    pass
step.optimizer["returns"].shape

# %% [markdown]
# ## What the authors trained
#
# In April 2018 the authors added one trained network to their repository: 5-way 1-shot miniImagenet. It is a TensorFlow
# checkpoint, and `released.load` reads it without TensorFlow, checks every check sum in it, and puts each variable where
# it belongs in `pooled_convnet(5)`. It is downloaded the first time (132 KB). From there on it is a start as any other:
# adapt it, fine-tune it, compare yours with it. A checkpoint that *you* trained with their code goes through
# `mamlkit.bank.tensorflow.read` and `released.parameters`.

# %%
from mamlkit.nets import all_but_norms, count, pooled_convnet
from mamlkit.studies import released

try:
    theirs = released.load()
    alphas = all_but_norms(theirs, 0.05)  # their 0.01 on the sum over five ways
    print(f"{count(theirs):,} numbers; {len(alphas)} of {len(theirs)} parameters adapt")
except (ConnectionError, ImportError) as missing:
    print(str(missing).rpartition(": ")[2])  # what to do

# %% [markdown]
# Adapted by ten steps to each of 100 of our test tasks, 15 queries a class, that network answers 44.7 ± 2.0 % right (95 %
# interval over tasks), and 20.1 % before the first step. There the 75 queries of a task share a batch norm. The authors'
# main.py tests with one query a class, so that five share one, and the ± 1.84 % of the paper's 48.70 % is what 600 tasks
# of five queries give. `python -m mamlkit.studies.released 200` measures both on the same pictures, for whoever has them.
#
# ## Keep what you trained
#
# `resumable` wraps any of these loops. It saves as it goes, survives any kill, and goes on from there when the same
# cell runs again:
#
# ```python
# from mamlkit.bank.checkpoint import resumable
#
# steps = resumable(path, lambda resume: train(..., resume=resume), about={"alpha": 0.05})
# ```
#
# An experiment that you want to keep, compare and re-check is a value in `mamlkit/studies`; README's last table says
# where each kind of file goes.

# %% [markdown]
# ## Many cores, one training
#
# A meta-gradient is a mean over tasks, so processes can share it. Every rank draws the same tasks, adapts to its share
# of them, and one all-reduce of one vector makes the mean over all. Two words are new in your script: `ranks()`, which
# asks the launcher who you are, and `spread`, which `train` takes. Saved as `mine.py`, the cell below runs on four cores
# with `torchrun --nproc-per-node 4 mine.py`; alone, as here, it is a training like any other.

# %%
import tempfile
from pathlib import Path

from mamlkit.scale.ranks import ranks

path = Path(tempfile.mkdtemp()) / "mine.safetensors"  # in your script: a place that stays
with ranks("cpu") as here:
    g = seeded(seed, here.device)
    more = dict(generator=g, spread=here.spread, **short)
    shared = lambda resume: train(learner, start, parabolas, rule, resume=resume, **more)
    for so_far in here.resumable(path, shared, about={"alpha": alpha, "seed": seed}):
        if here.rank == 0 and so_far.iteration % 100 == 0:
            print(so_far.iteration, so_far.losses[-100:].mean().item())

# %% [markdown]
# Give every rank the same seed; ranks that draw different tasks are refused. Rank 0 keeps the file. When a rank dies,
# all end within seconds, and the same command goes on from the last checkpoint, with as many ranks as you like: the
# losses do not depend on how many there are. Sums are exact in any order, because Adam makes steps of full size out of
# gradients that are nothing but rounding, and a training would remember how its tasks were split. What is left is how a
# kernel rounds when it has more or fewer tasks at once. With a `chunk`, ranks share whole chunks, each is computed as it
# would be alone, and the numbers are equal bit for bit. On GPUs the same script gives each rank a card and talks by
# nccl, which we had no two GPUs to try.
#
# **How many ranks pay?** On paper an update costs the largest share of the tasks, plus a ring all-reduce, in which
# each rank passes on twice what it holds, less one share. The lines below are that formula; the marks are this
# package's `measure`, which counts what the slowest rank computes and adds an all-reduce.

# %% tags=["fold"]
from mamlkit.scale.cost import counted, fitted, measured, pays_until, seconds, timed, vector_bytes
from mamlkit.show.literate import figure
from mamlkit.show.plots import canvas, tidy

kept, names = measured(), {"S": "sinusoids", "O1": "Omniglot", "M": "MiniImagenet"}
marks = {name: timed(name, kept) for name in names}
faster = " and ".join(names[n] for n, t in marks.items() if t[2] < t[1])
slower = " and ".join(names[n] for n, t in marks.items() if t[2] >= t[1])
title = f"Two ranks make updates of {faster or 'nothing'} faster, of {slower or 'nothing'} slower"
fig, ax = canvas(title)
for (name, label), color in zip(names.items(), ("#0072B2", "#D55E00", "#009E73")):
    update, machine, mark = counted(name), fitted(name, kept), marks[name]
    sizes = range(1, min(update.tasks, 32) + 1)
    times = [sum(seconds(update, machine, n)) for n in sizes]
    ax.plot(sizes, [times[0] / t for t in times], color=color)
    ax.plot([*mark], [mark[1] / t for t in mark.values()], "o", color=color)
    at = (sizes[-1], times[0] / times[-1])
    ax.annotate(label, at, xytext=(5, 0), textcoords="offset points", color=color, gid="line end")
ax.set(xscale="log", yscale="log", xlabel="ranks (line: on paper, dots: measured)")
ax.set(ylabel="times faster than one", xticks=(ticks := [1, 2, 4, 8, 16, 32]), xticklabels=ticks)
ax.minorticks_off()
tidy(fig)
figure(fig, f"How much faster an update becomes with more ranks, on a log-log grid. {title}.")

# %% tags=["fold"]
size = {name: vector_bytes(counted(name)) / 1000 for name in names}
best = {name: pays_until(counted(name), fitted(name, kept)) for name in names}
say(
    f"What goes round is {size['S']:,.0f}, {size['O1']:,.0f} and {size['M']:,.0f} kB an update. "
    f"Against that stand {1000 * kept['S']['1']:,.2f}, {1000 * kept['O1']['1']:,.0f} and "
    f"{1000 * kept['M']['1']:,.0f} ms of computing on one core "
    f"({kept['about']['cores']} cores, load {kept['about']['load']}, {kept['about']['date']}). "
    f"On paper an update is quickest with {best['S']}, {best['O1']} and {best['M']} ranks. Images "
    "end where the tasks end: a rank without a task has nothing to do. Paper flatters sinusoids: "
    "what a rank does beside its tasks, drawing, Adam and waking up for the others, is not shared, "
    "and counts where an update takes a fraction of a millisecond."
)

# %% [markdown]
# ## Many machines, many experiments
#
# Seeds, methods and grids need no all-reduce: they are cells, and workers of `dask.distributed` take them one by one
# (`pip install "mamlkit[scale]"`). Each cell runs in a process of its own and saves every ten seconds. A worker that
# dies loses no more than that: another goes on from there, to the same numbers. All progress comes to your terminal,
# and the dashboard listens on this machine only.
#
# ```
# python -m mamlkit bank --only sinusoid --seeds 5 --workers 8
# python -m mamlkit run 08 --grid alpha=0.02,0.05,0.1 seed=0,1,2 --workers 8
# python -m mamlkit bank --scheduler tcp://10.0.0.7:8786
# ```
#
# The last line uses a scheduler that runs already. All machines must see this folder. On the first one start
# `dask scheduler --host 10.0.0.7 --dashboard-address 127.0.0.1:8787`, on each of the others
# `dask worker tcp://10.0.0.7:8786 --nworkers 16 --nthreads 1 --no-dashboard`, in the folder and its environment. A
# scheduler runs what it is sent by anybody who reaches its port: keep it inside a network that you trust.
#
# **Under SLURM** a training is one `sbatch`. Every node starts `torchrun` once, and they meet at the first:
#
# ```bash
# #!/bin/bash
# #SBATCH --nodes=2 --ntasks-per-node=1 --cpus-per-task=16 --time=12:00:00 --requeue
# first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 16 \
#      --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$first:29500" mine.py
# ```
#
# With GPUs add `--gpus-per-node=4` and `--nproc-per-node 4`. A job that is requeued goes on where it was. For
# experiments, `dask-jobqueue` asks SLURM for workers. Keep this running on the login node, with `python -i`, and give the
# address that it prints to `--scheduler`. Its scheduler listens on every network of that node:
#
# ```python
# from dask_jobqueue import SLURMCluster
#
# cluster = SLURMCluster(
#     cores=16, processes=16, memory="64GB", walltime="12:00:00",
#     scheduler_options={"dashboard_address": "127.0.0.1:8787"},
# )
# cluster.scale(jobs=4)  # 64 workers
# print(cluster.scheduler_address)
# ```
#
# Workers whose time is over hand their cells to others. There was no SLURM to try these two on. The first ran with two
# launchers on one machine in place of two nodes, to the numbers of one process; of the second, dask-jobqueue 0.9.0 wrote
# the job that it would hand in.

# %% [markdown]
# Before: [what is true](07_scoreboard.ipynb) · next: [the fine print](09_fine_print.ipynb)

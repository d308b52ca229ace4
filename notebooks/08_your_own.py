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
# The chapters before this one use a handful of small parts: a task, a network, a loss, a learner,
# an outer loop. Each of them is a value that you can replace. This page replaces them one at a
# time, each in at most fifteen lines, and every cell runs. At the end you have meta-learned a
# problem of your own. All imports stand in the first cell, which is folded: open it to see where
# each name lives.
#
# | your own | where |
# |---|---|
# | tasks, network, loss | the first sections, then trained |
# | variant, outer optimizer | after the training |
# | folder of images, residual net with batch norm | after those |
# | environment, an existing Gymnasium environment | then |
# | what the authors trained, and how to keep your own | then |
# | many cores, many machines | at the end |
#
# What `import mamlkit; help(mamlkit)` shows is a map of the rooms; `make docs` writes the whole
# reference into `docs/`.
#
# ## What a part looks like
#
# A **task** holds a support and a query set. A **family** is a distribution over tasks, made of two
# functions: `noise` draws all that is random, and `make` turns the noise of *one* task into that
# task. A **net** is two functions as well: `init` makes parameters, a dict of tensors, and
# `forward` maps parameters and inputs to outputs. A **learner** is an algorithm. You write each of
# them for one task; `train` and `evaluate` add the axis of tasks with `vmap`.
#
# ## Your own family of tasks
#
# Say your tasks are parabolas: each has its own height, width and place, and you see five points of
# it.

# %% tags=["imports"]
import tempfile
from pathlib import Path

import gymnasium
import torch
from torch import nn
from torch.func import grad

from mamlkit.book.report import report
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families import folder
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, count, from_module
from mamlkit.optimizer import Optimizer, adam
from mamlkit.rl.adopt import Adopted
from mamlkit.rl.env import State
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.train import train_policy
from mamlkit.scale.picture import in_words, speedups
from mamlkit.scale.ranks import ranks
from mamlkit.show.literate import figure, say
from mamlkit.studies import released
from mamlkit.studies.variant_methods import VARIANTS
from mamlkit.studies.variants_waves import compared
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from mamlkit.variants.maml import maml

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
# What you have written is a distribution over tasks, the paper's $p(T)$. The support is what a
# model adapts to, the query is what it is judged on, and here they are five and ten points of one
# curve. Nothing says that a task must be a regression: `x` and `y` may be any tensors that your
# network and your loss understand, and a support may be a tuple with one batch for each inner step.
#
# The first axis is that of the tasks; you never wrote it. `noise` draws on the generator's device,
# and nothing else is random, so a run with the same seed has the same tasks.
#
# ## Your own network
#
# Any `torch.nn.Module` will do. `from_module` takes a function that builds it, and its parameters
# become the dict. What torch cannot differentiate twice is refused in a sentence that names the
# remedy.

# %%
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
updates = {"smoke": 20, "quick": 1_500, "paper": 20_000}[profile]
learner, g = maml(robust, alpha=alpha, steps=1), seeded(seed)
start = learner.init(net.init(g))
size = dict(tasks=10, iterations=updates)
for step in train(learner, start, parabolas, adam(0.003), generator=g, **size):
    if step.iteration % 500 == 0:
        print(step.iteration, step.losses[-100:].mean().item())

# %% [markdown]
# **What do you expect** of three steps at test, when training took one? `errors` holds those of 300
# new parabolas before any step and after one, two and three. `report` tells a number to whoever
# runs this page. A sweep collects them: after `python -m mamlkit run 08 --grid alpha=0.01,0.05,0.2
# seed=0,1 --plot three_steps` there is a table, the same as `sweep.csv`, and a picture of this
# number over `alpha`. It works in a notebook or script of your own, wherever that lies: give its
# path instead of `08`. What was run before with the same text and parameters is not run again.

# %%
new = sample(parabolas, seeded(10_000), tasks=300)
errors = evaluate(maml(robust, alpha=alpha, steps=3), step.meta, new, on_query(robust))
report(one_step=errors[:, 1].median(), three_steps=errors[:, 3].median())

# %% tags=["fold"]
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
# A variant is one function that returns a learner. This one adapts by the *sign* of the gradient.
# `unrolled` differentiates the query loss through whatever inner steps you write. As a file of its
# own name in `mamlkit/variants/` it is found by the contract test, which asks what every variant
# must do, and by chapter 6's comparison, which asks for variants by name. Here, where there is no
# file, one line tells it the name. The contract asks more than these lines answer, for instance
# that a negative `alpha` is refused, and names each law that is broken.

# %%
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
VARIANTS["sign_maml"] = sign_maml
both = compared("fomaml", "sign_maml", iterations=min(updates, 300))
{name: error[:4] for name, error in both.items()}

# %% [markdown]
# That is all a variant is: how parameters adapt to one support, as a path from the start to the
# end. Evaluation walks along the same path, so it can say how good the model is after every step:
# above are the errors on waves before adaptation and after one, two and three steps. Whatever your
# inner loop does to the parameters, the outer loop, the checkpoints, the baselines and the figures
# of this book work with it unchanged.
#
# The sign has no useful derivative, so this is a first-order method by nature, and first-order MAML
# is what it is compared with. After a few hundred updates neither has learned much; which of them
# moves further in its first step?
#
# ## Your own outer optimizer
#
# The outer optimizer is two pure functions of one vector, so that its state can be saved, resumed
# and compiled. Momentum takes six lines:

# %%
def momentum(beta, keep=0.9):
    def update(gradient, state, vector):
        velocity = keep * state["velocity"] + gradient
        return vector - beta * velocity, {"velocity": velocity}

    return Optimizer(lambda vector: {"velocity": torch.zeros_like(vector)}, update)


rule, short = momentum(0.01), dict(tasks=10, iterations=min(updates, 300))
*_, last = train(learner, start, parabolas, rule, generator=seeded(seed), **short)
last.losses[-50:].mean()

# %% [markdown]
# ## Your own images
#
# Point `load` at a folder with a subfolder for each class. Pictures may have any sizes, and classes
# any numbers of pictures: the middle square of each picture is resized, in grey or in colour. Which
# classes are for training is said by folders (`train/CLASS/*.png`), by lists (`train.csv`, with
# `filename,label` in its first line), or by `fractions`, as here. The pickle caches of miniImagenet
# that go around are read as well, by an unpickler that makes arrays and refuses everything else: an
# ordinary one would run whatever code the file names.

# %% tags=["fold"]
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
shares = {"train": 0.6, "test": 0.4}
images = {part: folder.load(place, part, size=32, fractions=shares) for part in shares}
mine = {part: folder.folder(images[part], way=3, shots=1, queries=3) for part in shares}
images["train"].counts.tolist(), sample(mine["train"], seeded(0), tasks=2).query.x.shape

# %% [markdown]
# ## A residual net with batch norm
#
# Few-shot tasks deserve your own network too. This is a very small ResNet. As in torchvision's,
# `norm` is the class of the normalisation layers. With batch norm as it comes it is
# refused, and the refusal names the remedy. Running statistics are hidden state that every forward
# pass changes, so the same parameters would give other numbers the second time, and there would be
# nothing to differentiate.

# %%
class Residual(nn.Module):
    def __init__(self, norm):
        super().__init__()
        conv = lambda n, stride: nn.Sequential(nn.Conv2d(n, 32, 3, stride, 1), norm(32), nn.ReLU())
        self.first, self.second, self.last = conv(3, 2), conv(32, 2), nn.Linear(32, 3)
        self.skip = nn.Conv2d(32, 32, 1, 2)

    def forward(self, x):
        x = self.first(x)
        return self.last((self.skip(x) + self.second(x)).mean((2, 3)))


# %%
try:
    from_module(lambda: Residual(nn.BatchNorm2d))
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# `BatchNorm2d(n, track_running_stats=False)` takes the statistics of the batch at hand, which is
# what the authors' code does: the queries of a task are then seen together, and the accuracy is
# that of the transductive setting. `GroupNorm(4, n)` looks at one example at a time and needs no
# statistics, but it also takes away what is the same all over a picture, such as a tone of colour.
# For torchvision's `resnet18` the line is `from_module(lambda: resnet18(num_classes=5,
# norm_layer=lambda n: GroupNorm(8, n)))`.

# %%
deep = from_module(lambda: Residual(lambda n: nn.BatchNorm2d(n, track_running_stats=False)))
quick = maml(cross_entropy(deep.forward), alpha=0.3, steps=1)
some = dict(tasks=4, iterations=2 if profile == "smoke" else 60, generator=seeded(seed))
*_, last = train(quick, deep.init(seeded(seed)), mine["train"], adam(0.003), **some)
right = on_query(accuracy(deep.forward))
evaluate(quick, last.meta, mine["test"], right, number=50, generator=seeded(1)).mean(0)

# %% [markdown]
# The shares of right answers before and after the inner step, on classes that training never saw.
# They are easy classes, made up for this page: a tone of colour each. What is not easy is to have
# never seen them.
#
# ## Your own environment
#
# An environment is three pure functions of a batch of episodes: where they begin, one step, and
# which goals there are. This one is a line on which the agent must stop at a place that it cannot
# see. `train_policy` is Algorithm 3's outer loop.

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
def trained(env, inputs, alpha, **size):
    policy, g = gaussian(inputs, 1, hidden=(16,)), seeded(seed)
    walk = lambda steps: maml(reinforce(policy), alpha=alpha, steps=steps)
    *_, last = train_policy(env, policy, walk, policy.init(g), generator=g, steps=1, **size)
    return last.optimizer["returns"]


many = 2 if profile == "smoke" else 15
trained(Line(), 1, alpha=0.1, tasks=10, rollouts=10, iterations=many)[-3:].mean(0)

# %% [markdown]
# Two numbers: the mean return before the inner step and after it, over the last three updates. Give
# it a few hundred updates and the second pulls ahead.
#
# ## An existing Gymnasium environment
#
# Most environments that you meet are Gymnasium's, and remember where they are. `Adopted` makes one
# into ours. It needs to know what changes from step to step (`get`), and how to put the world back
# there on a task (`put`). Here the tasks are pendulums on other planets: what differs is gravity.
# One world plays all episodes in turn, so this is slow; it is for trying out, and the way to be
# fast is the one above.

# %%
def put(world, state, gravity):
    world.state, world.g = state, gravity.item()


planets = lambda generator, tasks: 2 + 20 * torch.rand(tasks, 1, generator=generator)
world = gymnasium.make("Pendulum-v1")
pendulums = Adopted(world, horizon=30, goals=planets, get=lambda w: w.state, put=put)
trained(pendulums, 3, alpha=0.01, tasks=3, rollouts=4, iterations=many // 2).mean(0)

# %% [markdown]
# ## What the authors trained
#
# In April 2018 the authors added one trained network to their repository: 5-way 1-shot
# miniImagenet. It is a TensorFlow checkpoint, and `released.load` reads it without TensorFlow,
# checks every check sum in it, and puts each variable where it belongs in `pooled_convnet(5)`. It
# is downloaded the first time (132 KB). From there on it is a start as any other: adapt it,
# fine-tune it, compare yours with it. A checkpoint that *you* trained with their code goes through
# `mamlkit.bank.tensorflow.read` and `released.parameters`.

# %%
try:
    theirs = released.load()
    alphas = all_but_norms(theirs, 0.05)  # their 0.01 on the sum over five ways
    print(f"{count(theirs):,} numbers; {len(alphas)} of {len(theirs)} parameters adapt")
except (ConnectionError, ImportError) as missing:
    print(str(missing).rpartition(": ")[2])  # what to do

# %% [markdown]
# `python -m mamlkit.studies.released 200` adapts that network by ten steps to each of 200 of our
# test tasks, 15 queries a class, and needs miniImagenet in a folder of your own. Where the 75
# queries of a task share a batch norm, 44.8 ± 1.4 % of them are right. The authors' main.py tests
# with one query a class, so that five share one: then it is 46.0 ± 1.5 %, on the same pictures 1.2
# ± 0.6 more. The paper's 48.70 ± 1.84 % is of other tasks: its ± is what 600 tasks of five
# queries give.
#
# ## Keep what you trained
#
# `resumable` wraps any of these loops. It saves as it goes, survives any kill, and goes on from
# there when the same cell runs again:
#
# ```python
# from mamlkit.bank.checkpoint import resumable
#
# steps = resumable(path, lambda resume: train(..., resume=resume), about={"alpha": 0.05})
# ```
#
# An experiment that you want to keep, compare and re-check is a value in `mamlkit/studies`;
# README's last table says where each kind of file goes.

# %% [markdown]
# ## How fast is it?
#
# `train` chooses how a meta-batch is run: a loop compiled as one graph where an update is small, a
# task at a time in plain autograd where it is large. The first line of its log says which, and
# `chunk` and `compiled` say otherwise. `make bench` times updates beside other libraries; left of
# the line we are ahead.
#
# ![Our time for an update over the fastest other library's](../data/speed.png)
#
# Convolutions in bfloat16 are not used: on a processor with instructions for it they were 6 %
# faster than the same calls in single precision and slower than this package's own, and turned the
# first meta-gradient away by 70 % of its length (`python -m tests.benchmarks.bfloat16 150`).

# %% [markdown]
# ## Many cores, one training
#
# A meta-gradient is a mean over tasks, so processes can share it. Every rank draws the same tasks,
# adapts to its share of them, and one all-reduce of one vector makes the mean over all. Two words
# are new in your script: `ranks()`, which asks the launcher who you are, and `spread`, which
# `train` takes. Saved as `mine.py`, with what it needs from above, the cell below runs on four
# cores with `torchrun --nproc-per-node 4 mine.py`; alone, as here, it is a training like any other.

# %%
path = Path(tempfile.mkdtemp()) / "mine.safetensors"  # in your script: a place that stays
with ranks("cpu") as here:
    more = dict(generator=seeded(seed, here.device), spread=here.spread, **short)
    shared = lambda resume: train(learner, start, parabolas, rule, resume=resume, **more)
    for so_far in here.resumable(path, shared, about={"alpha": alpha, "seed": seed}):
        if here.rank == 0 and so_far.iteration % 100 == 0:
            print(so_far.iteration, so_far.losses[-100:].mean().item())

# %% [markdown]
# Give every rank the same seed; ranks that draw different tasks are refused. Rank 0 keeps the file.
# When a rank dies, all end within seconds, and the same command goes on from the last checkpoint,
# with as many ranks as you like: the losses do not depend on how many there are. Sums are exact in
# any order, because Adam makes steps of full size out of gradients that are nothing but rounding,
# and a training would remember how its tasks were split. What is left is how a kernel rounds when
# it has more or fewer tasks at once. With a `chunk`, ranks share whole chunks, each is computed as
# it would be alone, and the numbers are equal bit for bit. On GPUs the same script gives each rank
# a card and talks by nccl, which we had no two GPUs to try.
#
# **How many ranks pay?** On paper an update costs the largest share of the tasks, plus a ring
# all-reduce, in which each rank passes on twice what it holds, less one share. The lines below are
# that formula; the marks are this package's `measure`, which counts what the slowest rank computes
# and adds an all-reduce.

# %% tags=["figure"]
figure(*speedups())

# %% tags=["fold"]
say(in_words())

# %% [markdown]
# ## Many machines, many experiments
#
# Seeds, methods and grids need no all-reduce: they are cells, and workers of `dask.distributed`
# take them one by one (`pip install "mamlkit[scale]"`). Each cell runs in a process of its own and
# saves every ten seconds. A worker that dies loses no more than that: another goes on from there,
# to the same numbers. All progress comes to your terminal, and the dashboard listens on this
# machine only.
#
# ```
# python -m mamlkit bank --only sinusoid --seeds 5 --workers 8
# python -m mamlkit run 08 --grid alpha=0.02,0.05,0.1 seed=0,1,2 --workers 8
# python -m mamlkit bank --scheduler tcp://10.0.0.7:8786
# ```
#
# The last line uses a scheduler that runs already. All machines must see this folder. On the first
# one start `dask scheduler --host 10.0.0.7 --dashboard-address 127.0.0.1:8787`, on each of the
# others `dask worker tcp://10.0.0.7:8786 --nworkers 16 --nthreads 1 --no-dashboard`, in the folder
# and its environment. A scheduler runs what it is sent by anybody who reaches its port: keep it
# inside a network that you trust.
#
# **Under SLURM** a training is one `sbatch`. Every node starts `torchrun` once, and they meet at
# the first. The script begins with a line `#!/bin/bash`, then:
#
# ```bash
# #SBATCH --nodes=2 --ntasks-per-node=1 --cpus-per-task=16 --time=12:00:00 --requeue
# first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 16 \
#      --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$first:29500" mine.py
# ```
#
# With GPUs add `--gpus-per-node=4` and `--nproc-per-node 4`. A job that is requeued goes on where
# it was. For experiments, `dask-jobqueue` asks SLURM for workers. Keep this running on the login
# node, with `python -i`, and give the address that it prints to `--scheduler`. Its scheduler
# listens on every network of that node:
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
# Workers whose time is over hand their cells to others. There was no SLURM to try these two on. The
# first ran with two launchers on one machine in place of two nodes, to the numbers of one process;
# of the second, dask-jobqueue 0.9.0 wrote the job that it would hand in.

# %% [markdown]
# Before: [what is true](07_scoreboard.ipynb) · next: [the fine print](09_fine_print.ipynb)

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · Forward, or backward?
#
# A simulated robot has two seconds a try. It is not told what to do: only afterwards, how well it did. Running
# forward pays in one task, running backward in the other. Section 5.3 of Finn, Abbeel & Levine (2017) asks for parameters from
# which **one** policy-gradient step, on twenty tries, makes it run the right way. Below: does it, how much of that is
# meta-learning, and what do the published curves rest on?

# %% [markdown]
# **What this takes.** At `quick`, a few minutes on two cores: two small meta-trainings of the half-cheetah. What is drawn
# from the bank took minutes of one core for each robot; the authors' own sizes want a machine with many cores and hours:
# `python -m mamlkit bank --only cheetah-direction`.
#
# [Before: sinusoids](01_sinusoids.ipynb) · [scoreboard](07_scoreboard.ipynb)

# %% tags=["imports"]
from collections import deque

import torch
from torch.func import vmap

from mamlkit import claims
from mamlkit.budget import budget
from mamlkit.checkpoint import keep, kept, place, remembered, resumable
from mamlkit.claims import BANK, Table, record
from mamlkit.inner import adapt, inner_step, repeated
from mamlkit.intervals import Interval, over_seeds
from mamlkit.learner import unrolled
from mamlkit.literate import figure, progress, say, show
from mamlkit.machine import choose_device, commit, seeded, source_key
from mamlkit.meta_rl import train_policy
from mamlkit.plots import LOOKS, canvas, draw
from mamlkit.rl.baseline import experience, linear_baseline
from mamlkit.rl.collect import collect, halved
from mamlkit.rl.goals import Fixed, Informed, Mixed
from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.objectives import reinforce, surrogate
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import episodes, mean_return, rollout
from mamlkit.rl.trpo import finite_difference_product, fisher, linearised, trpo_step
from mamlkit.solve import conjugate_gradient
from mamlkit.nets import count
from mamlkit.trees import ravel, tree_map
from mamlkit.variants.maml import maml

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
device: str = "auto"  # where policies are; one of auto, cpu, cuda, cuda:N
only: str = "all"  # which experiment is run; one of all, none, cheetah-direction-half, cheetah-velocity-half, cheetah-direction-cpu, cheetah-velocity-cpu, ant-direction-cpu, ant-velocity-cpu, cheetah-direction, cheetah-velocity, ant-direction, ant-velocity
alpha: float = 0.1  # the inner step size; above 0

# %%
where = choose_device(device)
run = claims.begin("05_locomotion", profile, [seed], where)
STEPS, GRID = 3, (0.02, 0.1, 0.2, 0.5, 1.0)  # gradient steps at test, step sizes that the baselines choose from
say(f"Running at **{profile}** on **{where}**, MuJoCo on {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}.")

# %%
SETTINGS = {  # tasks in a meta-batch, rollouts of each before and after the step, TRPO's radius, meta-iterations, curvature from each how-manieth step, are goals spread evenly
    "cheetah-direction-cpu": dict(tasks=10, rollouts=10, radius=0.02, iterations=60, every=10, seeds=3, others=1, goals=20, practice=4, even=True),
    "cheetah-velocity-cpu": dict(tasks=10, rollouts=10, radius=0.02, iterations=100, every=10, seeds=3, others=1, goals=40, practice=4, even=True),
    "ant-direction-cpu": dict(tasks=6, rollouts=10, radius=0.02, iterations=50, every=10, seeds=1, others=1, goals=20, practice=2, even=True),
    "ant-velocity-cpu": dict(tasks=6, rollouts=10, radius=0.02, iterations=50, every=10, seeds=1, others=1, goals=20, practice=2, even=True),
    "cheetah-direction-half": dict(tasks=20, rollouts=20, radius=0.02, iterations=60, every=10, seeds=3, others=1, goals=20, practice=4, even=True),
    "cheetah-velocity-half": dict(tasks=20, rollouts=20, radius=0.02, iterations=100, every=10, seeds=3, others=1, goals=40, practice=4, even=True),
    "cheetah-direction": dict(tasks=40, rollouts=20, radius=0.02, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
    "cheetah-velocity": dict(tasks=40, rollouts=20, radius=0.01, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
    "ant-direction": dict(tasks=40, rollouts=40, radius=0.01, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
    "ant-velocity": dict(tasks=40, rollouts=20, radius=0.01, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
}
SMALLER = {  # what a shorter profile changes
    "smoke": {"cheetah-direction-cpu": dict(tasks=2, rollouts=2, iterations=2, seeds=1, goals=2, practice=2), "ant-velocity-cpu": dict(tasks=2, rollouts=1, iterations=1, seeds=1, goals=2, practice=2)},
    "quick": {"cheetah-direction-cpu": dict(iterations=30, seeds=1, goals=10, practice=4), "cheetah-velocity-cpu": dict(iterations=20, seeds=1, goals=10, practice=4)},
    "paper": {},
}
chosen = [name for name in SETTINGS if only in ("all", name) and only != "none"] if profile == "paper" else [*SMALLER[profile]]
METHODS = ("maml", "pretrained", "oracle", "random")


def sizes(setting):
    return SETTINGS[setting] | SMALLER[profile].get(setting, {})


def parts(setting, method):
    """(what it trains on, where it is tested, its policy, inner steps in training)."""
    env = Locomotion(*setting.split("-")[:2], even=sizes(setting)["even"], threads=torch.get_num_threads())
    shown = Informed(env) if method == "oracle" else env
    return shown if method == "maml" else Mixed(shown), shown, gaussian(shown.observations, shown.actions), int(method == "maml")


# %% [markdown]
# ## The tasks, and the four starts
#
# The half-cheetah has six motors and sees 20 numbers, the ant eight and 125; a policy is a normal distribution whose mean
# is a network with two hidden layers of 100 ReLUs. A try lasts 200 steps. *Velocity*: the reward is minus the distance
# between the robot's velocity and a goal, drawn evenly from 0 to 2 m/s (cheetah) or 3 m/s (ant). *Direction*: it is the velocity,
# or minus the velocity. Motors cost a little. Nothing in an observation tells the goal.
#
# One inner step is Algorithm 3's: play, fit a baseline to what was played, and follow the policy gradient, on all
# parameters, also the width of the distribution. The meta-gradient goes through that step, and TRPO makes a step of it:

# %%
show(collect, reinforce)

# %% [markdown]
# Four starts are compared. **MAML**: trained for what one step makes of it. **Pretrained**: TRPO on all tasks, a new goal for
# every episode. **Random**: untrained. **Oracle**: TRPO with the goal among its inputs; it takes no step. Pretraining and
# oracle play as many steps of the environment as MAML does (the authors' baselines played 8 to 16 times fewer an iteration),
# and pretrained and random starts choose their step size on other goals than the test's. Directions are only two: there,
# test tasks are the training tasks, here and in the paper.

# %%
def budget_of(setting, method):
    """The size of a training run; all methods play as many environment steps."""
    s = sizes(setting)
    shape = dict(tasks=s["tasks"], rollouts=s["rollouts"]) if method == "maml" else dict(tasks=1, rollouts=2 * s["tasks"] * s["rollouts"])
    return shape | dict(radius=s["radius"], iterations=0 if method == "random" else s["iterations"], every=s["every"])


now = lambda step: "return " + " to ".join(f"{r:.0f}" for r in step.optimizer["returns"][-5:].mean(0))
last = lambda items: deque(items, maxlen=1).pop()


def trained(setting, method, seed):
    """The last Step of a training run, which goes on where it was interrupted."""
    env, _, policy, steps = parts(setting, method)
    size, g = budget_of(setting, method), seeded(seed, where)
    theta, learner = policy.init(g), lambda k: maml(reinforce(policy), alpha=alpha, steps=k)
    about = dict(name=f"{setting} {method}", seed=seed, alpha=alpha, **size, code=source_key(train_policy, Locomotion, Mixed, maml))
    go = lambda resume: train_policy(env, policy, learner, theta, generator=g, steps=steps, **size, resume=resume)
    return last(progress(resumable(place(about), go, about=about, device=where), size["iterations"], f"{setting}, {method}, seed {seed}", done=lambda s: s.iteration, note=now))


def learned(setting, method, seed):
    """Parameters, the best by the return in training, and the run's history; untrained ones for the random start."""
    if method == "random": return parts(setting, method)[2].init(seeded(seed, where)), {}
    step = trained(setting, method, seed)
    return step.best or step.meta, {name: step.optimizer[name] for name in ("returns", "broken", "accepted")}


def episodes_of(setting, method, theta, step_size, goals, steps, seed, rollouts=None):
    """What is played on every goal before adaptation and after each of `steps` steps, later ones half as large."""
    _, env, policy, _ = parts(setting, method)
    rollouts = rollouts or (2 if profile == "smoke" else 40 if setting.startswith("ant-direction") else 20)
    how = dict(steps=steps, rollouts=rollouts, generator=seeded(10_000 + seed, where))
    return env.horizon, collect(env, policy, halved(reinforce(policy), alpha=step_size), theta, goals.to(where), **how)[1]


def mean_returns(horizon, played, counted="finished"):
    return torch.stack([mean_return(t, horizon, counted) for t in played], 1).cpu()


def tuned(setting, method, theta, seed):
    """MAML keeps the step size that it was trained with; the baselines take the one with the highest return after three steps on other goals."""
    if method in ("maml", "oracle"): return torch.tensor([[alpha, 0.0]])
    goals = parts(setting, method)[1].sample_goals(seeded(20_000), sizes(setting)["practice"])
    grid = GRID if profile != "smoke" else GRID[:2]
    return torch.tensor([[a, mean_returns(*episodes_of(setting, method, theta, a, goals, STEPS, seed))[:, -1].mean()] for a in progress(grid, len(grid), "step sizes")])


def too_short(played, horizon):
    """The share of the episodes that ended before H."""
    length, end = episodes(played)[1:]
    return (end.isfinite() & (length < horizon)).sum() / end.isfinite().sum()


def tested(setting, method, theta, step_size, seed):
    """Returns on the authors' test goals after 0 to 3 steps, counted in two ways, and how many episodes broke or ended early."""
    goals = parts(setting, "maml")[1].authors_goals(sizes(setting)["goals"])
    horizon, played = episodes_of(setting, method, theta, step_size, goals, 0 if method == "oracle" else STEPS, seed)
    counted = {"goals": goals, "broken in test": sum(t.broken.sum() for t in played), "early": torch.stack([too_short(t, horizon) for t in played])}
    return counted | {way: mean_returns(horizon, played, way) for way in ("finished", "begun")}


def make(setting, method, seed):
    theta, history = learned(setting, method, seed)
    steps = tuned(setting, method, theta, seed)
    return theta | history | {"step sizes": steps} | tested(setting, method, theta, steps[steps[:, 1].argmax(), 0].item(), seed)


file = lambda folder, setting, method, seed: folder / "checkpoints" / f"{setting}-{method}-{seed}.safetensors"
plan = lambda setting: [(setting, m, seed + i) for m in METHODS for i in range(sizes(setting)["others" if m in ("pretrained", "oracle") else "seeds"])]


def result(*which):
    """Trained and tested once for each profile; then read from where it is kept, at the paper's budget the bank."""
    path = file(claims.results(), *which)
    if not (profile == "paper" and path.exists()):
        about = dict(zip(("setting", "method", "seed"), which), profile=profile, device=str(where), commit=commit(), **budget_of(*which[:2]))
        keep(path, make(*which), about)
    return kept(path)[0]


# %% [markdown]
# **What do you expect** of a start that has never been told whether to run forward or backward: that it stands still?

# %%
results = {which: result(*which) for name in chosen for which in plan(name)}
banked = {which: kept(file(BANK, *which))[0] for name in SETTINGS for which in plan(name) if file(BANK, *which).exists()}

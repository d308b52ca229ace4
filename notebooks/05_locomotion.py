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

# %% tags=["figure"]
import torch

from mamlkit.bank.checkpoint import kept
from mamlkit.audit.claims import BANK
from mamlkit.show.literate import figure
from mamlkit.machine import seeded
from mamlkit.show.plots import canvas
from mamlkit.rl.collect import collect
from mamlkit.rl.frames import frames, walk
from mamlkit.rl.locomotion import half_cheetah_dir
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import mean_return
from mamlkit.variants.maml import maml

env, policy = half_cheetah_dir(), gaussian(20, 6)
theta = {k: p for k, p in kept(BANK / "checkpoints" / "cheetah-direction-half-maml-0.safetensors")[0].items() if k.startswith("layer") or k == "log_std"}
goals, stepped = torch.tensor([[1.0], [-1.0]]), lambda k: maml(reinforce(policy), alpha=0.1, steps=k)
task, played = collect(env, policy, stepped, theta, goals, steps=1, rollouts=20, generator=seeded(0))
adapted = [stepped(1).adapt(theta, tuple(type(b)(*(t[i] if torch.is_tensor(t) else type(t)(*(u[i] for u in t)) for t in b)) for b in task.support))[-1] for i in (0, 1)]
walks = {"before\nany step": walk(env, policy, theta, goals[0], generator=seeded(1))[0], "forward\npays": walk(env, policy, adapted[0], goals[0], generator=seeded(1))[0],
         "backward\npays": walk(env, policy, adapted[1], goals[1], generator=seeded(1))[0]}
mean = [[mean_return(t, env.horizon)[i].item() for t in played] for i in (0, 1)]
fig, axes = canvas(f"One step on twenty tries: from {mean[0][0]:.0f} to {mean[0][1]:.0f} where forward pays, {mean[1][0]:.0f} to {mean[1][1]:.0f} where backward", rows=3, columns=5, height=4.6)
for row, (name, walked) in zip(axes, walks.items()):
    for ax, when, picture in zip(row, range(0, 201, 50), frames(env.robot.model, walked[::50], size=(132, 176))):
        ax.imshow(picture), ax.set(xticks=[], yticks=[], title=f"{when / 100:.1f} s: {walked[when, 0] - walked[0, 0]:+.2f} m"), ax.grid(False)
    row[0].set_ylabel(name, fontsize=8.5)
figure(fig, "Pictures of a half-cheetah every half second, before a step and after one step towards forward and towards backward. It ends at "
            + ", ".join(f"{w[-1, 0] - w[0, 0]:+.2f} m ({' '.join(n.split())})" for n, w in walks.items()) + ".")

# %% [markdown]
# *Meta-trained on one core, with a part of the authors' experience (Figure 5 below says how much), the first of three trainings; one
# episode of each, not chosen.*
#
# **What this takes.** At `quick`, a minute or two: the first iterations of the half-cheetah's meta-training. What is drawn
# from the bank took minutes of one core for each robot; the authors' own sizes want a machine with many cores and hours:
# `python -m mamlkit bank --only cheetah-direction`.
#
# [Before: navigation](04_navigation.ipynb) · [scoreboard](07_scoreboard.ipynb)

# %% tags=["imports"]
import time
from collections import deque
from functools import cache

import torch
from torch.func import vmap

from mamlkit.audit import claims
from mamlkit.bank.budget import budget
from mamlkit.bank.checkpoint import keep, kept, place, remembered, resumable
from mamlkit.audit.claims import BANK, Table, record
from mamlkit.inner import adapt, inner_step, repeated
from mamlkit.audit.intervals import Interval, over_seeds
from mamlkit.learner import unrolled
from mamlkit.show.literate import figure, progress, say, show
from mamlkit.bank.provenance import commit
from mamlkit.machine import choose_device, seeded, source_key
from mamlkit.rl.train import train_policy
from mamlkit.show.plots import LOOKS, canvas, draw
from mamlkit.rl.baseline import experience, linear_baseline
from mamlkit.rl.collect import collect, halved
from mamlkit.rl.context import in_context
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
only: str = "all"  # which experiment is run; one of all, none, cheetah-direction-half, cheetah-velocity-half, cheetah-direction-context, cheetah-direction-cpu, cheetah-velocity-cpu, ant-direction-cpu, ant-velocity-cpu, cheetah-direction, cheetah-velocity, ant-direction, ant-velocity
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
    "cheetah-direction-half": dict(tasks=20, rollouts=20, radius=0.02, iterations=100, every=10, seeds=3, others=1, goals=20, practice=4, even=True),
    "cheetah-velocity-half": dict(tasks=20, rollouts=20, radius=0.02, iterations=100, every=10, seeds=3, others=1, goals=40, practice=4, even=True),
    "cheetah-direction-context": dict(tasks=20, rollouts=20, radius=0.02, iterations=100, every=10, seeds=3, others=0, goals=20, practice=4, even=True),
    "cheetah-direction": dict(tasks=40, rollouts=20, radius=0.02, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
    "cheetah-velocity": dict(tasks=40, rollouts=20, radius=0.01, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
    "ant-direction": dict(tasks=40, rollouts=40, radius=0.01, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
    "ant-velocity": dict(tasks=40, rollouts=20, radius=0.01, iterations=500, every=1, seeds=3, others=3, goals=40, practice=20, even=False),
}
SMALLER = {  # what a shorter profile changes
    "smoke": {"cheetah-direction-cpu": dict(tasks=2, rollouts=2, iterations=2, seeds=1, goals=2, practice=2)},
    "quick": {"cheetah-direction-cpu": dict(iterations=8, seeds=1, goals=6, practice=2)},
    "paper": {},
}
chosen = [name for name in (SETTINGS if profile == "paper" else SMALLER[profile]) if only in ("all", name)]
if not chosen and only != "none": say(f"`only` is {only}: at {profile} only {', '.join(SMALLER[profile])} is trained, the others are read from the bank.")
METHODS = ("maml", "pretrained", "oracle", "random")
methods_of = lambda setting: ("context",) if setting.endswith("context") else METHODS


def sizes(setting):
    return SETTINGS[setting] | SMALLER[profile].get(setting, {})


def parts(setting, method):
    """(what it trains on, where it is tested, its policy, inner steps in training)."""
    env = Locomotion(*setting.split("-")[:2], even=sizes(setting)["even"], threads=torch.get_num_threads())
    shown = Informed(env) if method == "oracle" else env
    policy = gaussian(shown.observations, shown.actions)
    meta_learned = method in ("maml", "context")
    return shown if meta_learned else Mixed(shown), shown, in_context(policy, 5) if method == "context" else policy, int(meta_learned)


def own(method, size):
    """A step size as a method takes it: of all parameters, or of the five numbers of appendix C.2 alone, ten times as large."""
    return {"context": 10 * size} if method == "context" else size


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
# oracle play as many steps of the environment as MAML does (the authors' baselines played 8 to 32 times fewer an iteration),
# and pretrained and random starts choose their step size on other goals than the test's. Directions are only two: there,
# test tasks are the training tasks, here and in the paper.

# %%
def budget_of(setting, method):
    """The size of a training run; all methods play as many environment steps."""
    s = sizes(setting)
    shape = dict(tasks=s["tasks"], rollouts=s["rollouts"]) if method in ("maml", "context") else dict(tasks=1, rollouts=2 * s["tasks"] * s["rollouts"])
    return shape | dict(radius=s["radius"], iterations=0 if method == "random" else s["iterations"], every=s["every"])


now = lambda step: "return " + " to ".join(f"{r:.0f}" for r in step.optimizer["returns"][-5:].mean(0))
last = lambda items: deque(items, maxlen=1).pop()


def trained(setting, method, seed):
    """The last Step of a training run, which goes on where it was interrupted."""
    env, _, policy, steps = parts(setting, method)
    size, g = budget_of(setting, method), seeded(seed, where)
    theta, learner = policy.init(g), lambda k: maml(reinforce(policy), alpha=own(method, alpha), steps=k)
    about = dict(name=f"{setting} {method}", seed=seed, alpha=alpha, even=sizes(setting)["even"], **size, code=source_key(train_policy, Locomotion, Mixed, maml))
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
    return env.horizon, collect(env, policy, halved(reinforce(policy), alpha=own(method, step_size)), theta, goals.to(where), **how)[1]


def mean_returns(horizon, played, counted="finished"):
    return torch.stack([mean_return(t, horizon, counted) for t in played], 1).cpu()


def tuned(setting, method, theta, seed):
    """MAML keeps the step size that it was trained with; the baselines take the one with the highest return after three steps on other goals."""
    if method in ("maml", "context", "oracle"): return torch.tensor([[alpha, 0.0]])
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
plan = lambda setting, s: [(setting, m, seed + i) for m in methods_of(setting) for i in range(s["others" if m in ("pretrained", "oracle") else "seeds"])]


def result(*which):
    """Trained and tested once for each profile; then read from where it is kept, at the paper's budget the bank."""
    path, size = file(claims.results(), *which), budget_of(*which[:2])
    if not (profile == "paper" and path.exists() and size.items() <= kept(path)[1].items()):
        about = dict(zip(("setting", "method", "seed"), which), profile=profile, device=str(where), commit=commit(), alpha=alpha, even=sizes(which[0])["even"], **size)
        keep(path, make(*which), about)
    return kept(path)[0]


# %% tags=["fold"]
@cache
def pace(robot, every):
    """Seconds that a step of a robot takes here, learning from it included: by one meta-update of four tasks, after a small one."""
    env, clock = Locomotion(robot, "velocity", threads=torch.get_num_threads()), []
    policy = gaussian(env.observations, env.actions)
    for tasks, n in ((2, 2), (4, 10)):
        last(train_policy(env, policy, lambda k: maml(reinforce(policy), alpha=alpha, steps=k), policy.init(seeded(0, where)), generator=seeded(0, where), tasks=tasks, rollouts=n, steps=1, every=every, iterations=1))
        clock.append(time.perf_counter())
    return (clock[1] - clock[0]) / (2 * 4 * 10 * env.horizon)


def seconds_of(setting):
    """About how long an experiment's meta-trainings take here. `bank` says it."""
    s, trainings = sizes(setting), [which for which in plan(setting, sizes(setting)) if which[1] != "random"]
    return len(trainings) * s["iterations"] * 2 * s["tasks"] * s["rollouts"] * 200 * pace(setting.split("-")[0], s["every"])


# %% [markdown]
# **What do you expect** of a start that has never been told whether to run forward or backward: that it stands still?

# %%
results = {which: result(*which) for name in chosen for which in plan(name, sizes(name))}
folder = claims.results() if profile == "paper" else BANK
banked = {which: kept(file(folder, *which))[0] for name in SETTINGS for which in plan(name, SETTINGS[name]) if file(folder, *which).exists()}

# %% tags=["figure"]
trained_here = ([which for which in results if which[1] == "maml"] or [which for which in banked if which[1] == "maml"])[:2]
fig, axes = canvas("In the end of training a step takes the return from " + " and ".join(f"{r[0]:.0f} to {r[1]:.0f} ({name.split('-')[1]})" for name, r in
                   ((which[0], (results | banked if profile == "paper" else banked | results)[which]["returns"][-5:].mean(0)) for which in trained_here)), columns=len(trained_here), height=2.6)
for ax, which in zip(axes if len(trained_here) > 1 else [axes], trained_here):
    history = (banked | results)[which]["returns"]
    draw(ax, "random", range(1, len(history) + 1), history[:, 0], marker="", label="before")
    draw(ax, "maml", range(1, len(history) + 1), history[:, 1], marker="", label="after")
    ax.set(xlabel=f"meta-iteration ({' '.join(which[0].split('-')[:2])})", ylabel="mean return of an episode", xlim=(0, len(history) * 1.2))
figure(fig, "The mean return in training before and after the inner step, against the meta-iteration: " + ", ".join(which[0] for which in trained_here) + ".")

# %% tags=["fold"]
every = {**banked, **results}
broke = [sum(int(r[name].sum()) for r in every.values() if name in r) for name in ("broken", "broken in test")]
say("In training {} and in tests {} episodes met a number that is not finite; they were ended there and left out of every mean.".format(*broke))

# %% [markdown]
# Ten tasks drawn one by one are five and five in a quarter of the meta-batches only. A start that looks good in the others is
# one that already leans to the side of the majority, and training then swings from side to side and learns little of
# the step. So the small sizes here spread the goals of a batch evenly; the authors' forty tasks average it out.
#
# ## Figure 5
#
# Four panels, as in the paper: the mean return of an episode before any step, and after one, two and three; the later steps half
# as large. The first twenty or forty of the authors' goals (their random seed), twenty episodes before each step (forty for the ant's directions).
# The snapshot is the one with the best return in training, as appendix A.2 has it.

# %%
ENVS = ("cheetah-direction", "ant-direction", "cheetah-velocity", "ant-velocity")
AUTHORS = {  # quoted: means over 40 test goals, the result files of cbfinn/maml_rl (icml/*.pkl), after 0 to 3 steps
    "cheetah-direction": dict(maml=(-50.69, 293.19, 313.48, 315.65), pretrained=(-43.03, -24.75, -12.85, 19.57), random=(-35.73, 21.83, 62.32, 86.18), oracle=(442.69,) * 4),
    "ant-direction": dict(maml=(8.66, 499.15, 500.68, 499.11), pretrained=(3.16, 1.27, 6.51, 6.86), random=(3.11, 9.25, 15.96, 26.11), oracle=(524.80,) * 4),
    "cheetah-velocity": dict(maml=(-129.53, -78.57, -66.62, -60.78), pretrained=(-158.00, -135.39, -128.47, -133.61), random=(-254.83, -254.33, -246.79, -230.83), oracle=(-54.47,) * 4),
    "ant-velocity": dict(maml=(30.58, 96.74, 100.06, 101.41), pretrained=(-1.83, 6.11, 8.47, 9.47), random=(-78.64, -62.81, -48.55, -35.56), oracle=(107.89,) * 4),
}
MODELS = {  # quoted: the names of the tested models say iteration, meta-batch and rollouts
    "cheetah-direction": dict(iteration=100, tasks=40, rollouts=20), "ant-direction": dict(iteration=575, tasks=40, rollouts=40),
    "cheetah-velocity": dict(iteration=475, tasks=40, rollouts=10), "ant-velocity": dict(iteration=375, tasks=40, rollouts=20),
}
millions = lambda iterations, tasks, rollouts: iterations * tasks * rollouts * 2 * 200 / 1e6
evidence = banked if profile == "paper" else results


def largest(pool, env):
    """The largest size of an environment whose MAML seeds are all there, or None."""
    wanted = SETTINGS if pool is banked else {name: sizes(name) for name in SETTINGS}
    return next((name for name in (env, f"{env}-half", f"{env}-cpu") if name in SETTINGS and all(w in pool for w in plan(name, wanted[name]) if w[1] == "maml")), None)


def returns(pool, setting, method, step=None):
    """(seeds, goals, steps + 1), or (seeds, goals) after one number of steps; None where there is nothing."""
    found = [r["finished"] for (name, m, _), r in sorted(pool.items(), key=lambda item: item[0]) if (name, m) == (setting, method)]
    if not found: return None
    stacked = torch.stack(found).expand(-1, -1, STEPS + 1)
    return stacked if step is None else stacked[..., step]


def gain(pool, setting, method="maml", step=1, start=0):
    """What the steps add to the mean return, and its interval over seeds; with one seed over goals."""
    differences = returns(pool, setting, method, step) - returns(pool, setting, method, start)
    return over_seeds(differences.mean(1)) if len(differences) > 1 else over_seeds(differences[0])


def fraction_of_oracle(random, oracle, value):
    return (value - random) / (oracle - random)


panels = {env: size for env in ENVS if (size := largest(banked, env) or largest(results, env))}
pool = {env: banked if largest(banked, env) else results for env in panels}
average = lambda env, method, k=0: returns(pool[env], panels[env], method, k).mean().item()
yardstick = [env for env, size in panels.items() if all(returns(pool[env], size, m) is not None for m in ("oracle", "random")) and average(env, "oracle") > max(average(env, "random", k) for k in range(STEPS + 1))]
fractions = {env: [fraction_of_oracle(average(env, "random"), average(env, "oracle"), average(env, "maml", k)) for k in range(STEPS + 1)] for env in yardstick}
theirs = {env: [fraction_of_oracle(a["random"][0], a["oracle"][0], v) for v in a["maml"]] for env, a in AUTHORS.items()}
played_here = {env: millions(s["iterations"], s["tasks"], s["rollouts"]) for env in panels for s in [SETTINGS[panels[env]] if pool[env] is banked else sizes(panels[env])]}
played_there = {env: millions(m["iteration"], m["tasks"], m["rollouts"]) for env, m in MODELS.items()}

# %% tags=["figure"]
lead = next(iter(panels), None)
if lead:
    now_gain, share = {env: gain(pool[env], panels[env]).value for env in panels}, {env: played_here[env] / played_there[env] for env in panels}
    fig, axes = canvas(f"One step gains here a part of what it gained the authors, with {min(share.values()):.1%} to {max(share.values()):.0%} of their experience", rows=2, columns=2, height=6.4, sharey="row", sharex=True)
    for ax, env in zip(axes.flat, ENVS):
        for m, values in AUTHORS[env].items():
            ax.plot(range(STEPS + 1), values, color=LOOKS[m].color, linestyle=LOOKS[m].line, marker="D", markersize=5, markerfacecolor="none", alpha=0.45, linewidth=1)
        for m in METHODS if env in panels else ():
            if (found := returns(pool[env], panels[env], m)) is not None:
                band = (found.mean(1).amin(0), found.mean(1).amax(0)) if len(found) > 1 else None
                draw(ax, m, range(STEPS + 1), found.mean((0, 1)), interval=band, label="", linewidth=2.4).set_label(LOOKS[m].label)
        ax.set(xticks=range(STEPS + 1), title=f"{env.replace('-', ' ')}: " + (f"one step {now_gain[env]:+.0f}, authors {AUTHORS[env]['maml'][1] - AUTHORS[env]['maml'][0]:+.0f}\nplayed {played_here[env]:.1f} M steps, authors {played_there[env]:.0f} M" if env in panels else "nothing is banked yet"))
    for row in axes: row[0].set_ylabel("mean return of an episode")
    for ax in axes[1]: ax.set_xlabel("gradient steps")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure(fig, "Four panels, returns against gradient steps for MAML, pretrained, random and oracle, the authors' pale with diamonds. " + ". ".join(
        f"{env.replace('-', ' ')}: MAML goes from {returns(pool[env], panels[env], 'maml', 0).mean():.0f} to {returns(pool[env], panels[env], 'maml', 1).mean():.0f} here" for env in panels) + ".")

# %% [markdown]
# *Bold: here, the band spans the meta-training seeds. Pale with diamonds: the authors' own numbers, quoted.*

# %% tags=["fold"]
begun_of = lambda env: torch.cat([r["begun"][:, 1] for which, r in pool[env].items() if which[:2] == (panels[env], "maml")]).mean()
random_of = lambda env: f"{average(env, 'random'):.0f} to {average(env, 'random', 1):.0f}" if returns(pool[env], panels[env], "random") is not None else "not run"
oracle_of = lambda env: f"{average(env, 'oracle'):.0f}" if returns(pool[env], panels[env], "oracle") is not None else "not run"
rows = [f"| {env.replace('-', ' ')} | {n} | {SETTINGS[panels[env]]['tasks']} x {SETTINGS[panels[env]]['rollouts']} x {len(r)}, {returns(pool[env], panels[env], 'maml').shape[0]} seed(s) | "
        + " | ".join(f"{average(env, 'maml', k):.0f}" for k in range(STEPS + 1)) + f" | {begun_of(env):.0f} | {random_of(env)} | {oracle_of(env)} | " + (f"{fractions[env][1]:.0%}, {fractions[env][3]:.0%}" if env in fractions else "no yardstick") + f" | {theirs[env][1]:.0%}, {theirs[env][3]:.0%} |"
        for env in panels for n, r in [(f"{played_here[env]:.1f} M of {played_there[env]:.0f} M", next(v for k, v in pool[env].items() if k[:2] == (panels[env], "maml"))["returns"])]]
say("\n".join(["| environment | steps played, of the authors' | tasks x rollouts x iterations | return after 0 | 1 | 2 | 3 | after 1, every episode begun counted | random, one step | oracle | part of the oracle's gain after 1 and 3 steps | the authors' |", "|---|---|---|---|---|---|---|---|---|---|---|---|", *rows])
    + "\n\nReturns are counted as the authors count them, whole episodes as they end; where episodes end early, counting every episode begun differs." + "".join(
        f" In {env.replace('-', ' ')} our oracle learned so little that an untrained start passes it in {STEPS} steps: it is no yardstick there." for env in panels if env not in yardstick and oracle_of(env) != "not run")
    + "".join(f" In {env.replace('-', ' ')} an untrained start gains as much by its step: meta-training of this length has added nothing." for env in panels
              if returns(pool[env], panels[env], "random") is not None and average(env, "random", 1) - average(env, "random") >= average(env, "maml", 1) - average(env, "maml")))

# %% [markdown]
# **Turn it.** Choose a robot and what pays, then a gradient step, and press play. Look at the way before and after: is it
# the gait that changes, or only the lean?

# %% tags=["widget"]
from mamlkit.knobs.locomotion import Start, gait_knobs

kept_of = lambda robot, task: next(path for size in ("half", "cpu") if (path := file(BANK, f"{robot}-{task}-{size}", "maml", 0)).exists())
start_of = lambda robot, task: {k: p for k, p in kept(kept_of(robot, task))[0].items() if k.startswith("layer") or k == "log_std"}
gait_knobs({f"{robot}, {task}": Start(Locomotion(robot, task), start_of(robot, task), 0.1) for robot in ("cheetah", "ant")[: budget(profile, smoke=1, quick=2, paper=2)] for task in ("direction", "velocity")})

# %% [markdown]
# ## What the bands rest on
#
# The paper's bands are 68 % intervals over forty goals, for one training of each method. For directions there are no forty tasks:
# there are two, and the forty values of the authors' pretrained and random starts are two values, each twenty times over (their result
# files). What would another training have given? Beside each other: the interval over goals that one training gives,
# and the interval over our trainings.

# %% tags=["fold"]
def half_width(values):
    i = over_seeds(values)
    return (i.high - i.low) / 2


several = {env: returns(pool[env], size, "maml", 1) for env, size in panels.items() if len(returns(pool[env], size, "maml")) > 1}
say("\n".join(["| MAML after one step | goals that differ | mean of each training | ± over goals, one training (95 %) | ± over trainings (95 %) |", "|---|---|---|---|---|"]
              + [f"| {env.replace('-', ' ')} | {2 if 'direction' in env else r.shape[1]} | {', '.join(f'{v:.0f}' for v in r.mean(1))} | {sum(half_width(one) for one in r) / len(r):.0f} | {half_width(r.mean(1)):.0f} |" for env, r in several.items()]))

# %% [markdown]
# ## The four starts, judged
#
# Each claim with its criterion, fixed before the run it is judged by; every record names its budget. Our sizes are small:
# what they show is shown, what they miss says little about the paper's size.

# %%
recorded = lambda *records: Table([r for r in records if r]) if any(records) else say("No experiment that these claims need has run.")
judged = {env: size for env in ENVS if (size := largest(evidence, env))}
settings = {name: SETTINGS[name] if profile == "paper" else sizes(name) for name in SETTINGS}
words = lambda env: env.replace("-", " ")
sure = lambda i: i.low == i.low and i.low > 0
seeds_of = lambda env: [seed + i for i in range(settings[judged[env]]["seeds"])]
at_size = lambda name: "{tasks} tasks x {rollouts} rollouts x {iterations} iterations, TRPO radius {radius:g}, curvature from one step in {every}, {seeds} seed(s), baselines {others}; {goals} test goals".format(**settings[name])
protocol = "; ".join(f"{words(env)}: {at_size(size)}" for env, size in judged.items())
with_seeds = lambda *envs: run._replace(seeds=min((seeds_of(env) for env in envs), key=len) if envs else [seed])
three = lambda env: len(returns(evidence, judged[env], "maml")) >= 3
gains = {env: gain(evidence, judged[env]) for env in judged}
later = {env: gain(evidence, judged[env], step=3, start=1) for env in judged}
enough = {env: env in judged and gains[env].value >= 0.75 * (AUTHORS[env]["maml"][1] - AUTHORS[env]["maml"][0]) for env in ENVS}
rivals = {env: [m for m in ("pretrained", "random") if returns(evidence, judged[env], m) is not None] for env in judged}
lead_over = {(env, m, k): over_seeds(returns(evidence, judged[env], "maml", k).mean(1) - returns(evidence, judged[env], m, k).mean()) for env in judged for m in rivals[env] for k in (1, 2, 3)}
wins = {env: env in judged and three(env) and len(rivals[env]) == 2 and all(sure(i) for (e, _, _), i in lead_over.items() if e == env) for env in ENVS}
below = lambda a: all(p < r for p, r in zip(a["pretrained"][1:], a["random"][1:]))
worse = {env: len(rivals[env]) == 2 and all(returns(evidence, judged[env], "pretrained", k).mean() < returns(evidence, judged[env], "random", k).mean() for k in (1, 2, 3)) for env in judged}
played_of = lambda name: millions(*(settings[name][k] for k in ("iterations", "tasks", "rollouts")))
ours_of = {env: played_there[env] / played_of(size) for env, size in judged.items()}
longest = with_seeds(*[env for env in judged if env.startswith("cheetah")])
listed = lambda values: ", ".join(f"{words(env)} {v:+.1f}" for env, v in values.items())

# %% tags=["claim"]
recorded(
    record(longest, "C107", checks={words(env): env in judged and three(env) and sure(gains[env]) for env in ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")} | {"the authors' size": all(enough.values()), "the authors' experience": all(judged.get(env) == env for env in ENVS)},
           here={f"gain of one step, {words(env)}": i for env, i in gains.items()}, protocol=protocol, why=f"one step gains {listed({e: i.value for e, i in gains.items()})}; the authors' {listed({e: AUTHORS[e]['maml'][1] - AUTHORS[e]['maml'][0] for e in judged})} come from {' to '.join(dict.fromkeys(f'{f(ours_of.values()):.0f}' for f in (min, max)))} times the experience.") if judged else None,
    record(longest, "C108", checks={words(env): env in judged and three(env) and sure(later[env]) for env in ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")},
           here={f"three steps minus one, {words(env)}": i for env, i in later.items()}, protocol=protocol, why=f"steps two and three add {listed({e: i.value for e, i in later.items()})}.") if judged else None,
    record(longest, "C109", checks={words(env): wins[env] for env in ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")} | {"the authors' experience": all(judged.get(env) == env for env in ENVS)},
           here={f"MAML minus {m}, step {k}, {words(env)}": i for (env, m, k), i in lead_over.items()}, protocol=protocol,
           why="after one step MAML is above pretrained and random by " + "; ".join(f"{words(env)} " + ", ".join(f"{lead_over[env, m, 1].value:+.0f}" for m in rivals[env]) for env in judged if rivals[env]) + ".") if judged and any(rivals.values()) else None,
    record(longest, "C111", checks={"as quoted": any(below(a) for a in AUTHORS.values()), "here": any(worse.values())}, protocol=protocol,
           here={f"pretrained minus random after one step, {words(env)}": (returns(evidence, judged[env], "pretrained", 1).mean() - returns(evidence, judged[env], "random", 1).mean()).item() for env in worse if len(rivals[env]) == 2} | {"as quoted": ", ".join(words(e) for e, a in AUTHORS.items() if below(a))},
           why=f"below random at steps 1 to 3: as quoted in {' and '.join(words(e) for e, a in AUTHORS.items() if below(a))}; here in {' and '.join(words(e) for e in worse if worse[e]) or f'none of {len(worse)}'}.") if worse else None,
)

# %% tags=["claim"]
at_first = {c: (name, gain(evidence, name)) for c, name in (("X010", "cheetah-direction-cpu"), ("X011", "cheetah-velocity-cpu"), ("X013", "cheetah-direction-half"), ("X014", "cheetah-velocity-half"))
            if all(w in evidence for w in plan(name, settings[name]) if w[1] == "maml")}
from_random = {env: gain(evidence, f"{env}-cpu", "random") for env in ("ant-direction", "ant-velocity") if (f"{env}-cpu", "random", seed) in evidence}
ants = {env: gain(evidence, f"{env}-cpu") for env in ("ant-direction", "ant-velocity") if (f"{env}-cpu", "maml", seed) in evidence}
recorded(
    *[record(run._replace(seeds=[seed + i for i in range(settings[at_first[c][0]]["seeds"])]), c, checks={"it gains": sure(at_first[c][1])}, protocol=at_size(at_first[c][0]),
             here={f"gain of one step, {' '.join(at_first[c][0].split('-')[:2])}": at_first[c][1], "return after 0, 1, 2, 3 steps": ", ".join(f"{v:.1f}" for v in returns(evidence, at_first[c][0], "maml").mean((0, 1))),
                   "gain of each training": ", ".join(f"{v:.1f}" for v in (returns(evidence, at_first[c][0], "maml", 1) - returns(evidence, at_first[c][0], "maml", 0)).mean(1))},
             why=f"one step takes the return from {returns(evidence, at_first[c][0], 'maml', 0).mean():.1f} to {returns(evidence, at_first[c][0], 'maml', 1).mean():.1f}, a gain of {at_first[c][1]} over {'trainings' if len(returns(evidence, at_first[c][0], 'maml')) > 1 else 'goals, of one training'}.") for c in ("X010", "X011", "X013", "X014") if c in at_first],
    record(run, "X012", checks={env.split("-")[1]: sure(i) for env, i in ants.items()}, here={f"gain of one step, {words(env)}": i for env, i in ants.items()} | {f"gain of one step from an untrained start, {words(env)}": i for env, i in from_random.items()} | {f"oracle, {words(env)}": returns(evidence, f"{env}-cpu", "oracle", 0).mean().item() for env in ants if returns(evidence, f"{env}-cpu", "oracle") is not None},
           protocol="; ".join(at_size(f"{env}-cpu") for env in ants), why="one step gains " + ", ".join(f"{i} ({words(env)}; an untrained start {from_random[env].value:+.1f})" for env, i in ants.items()) + "; the intervals are over goals, not trainings.") if len(ants) == 2 else None,
)

# %% [markdown]
# ### A context vector, and nothing else
#
# Appendix C.2 lets five numbers adapt, which the network reads beside its observation, and found that enough for a point's goal
# ([4](04_navigation.ipynb)) and not for a robot's direction. One number would do to tell two directions apart. **What do you
# expect:** is it found?

# %%
CONTEXT, TABLE5 = "cheetah-direction-context", (-40.49, -44.08, -38.27, -42.50)  # quoted: appendix C.2, Table 5, after 0 to 3 steps
by_context = {k: gain(banked, CONTEXT, "context", k) for k in (1, 2, 3)} if all(w in banked for w in plan(CONTEXT, SETTINGS[CONTEXT])) else None
as_it_went = lambda name, method: ", ".join(f"{v:.0f}" for v in returns(banked, name, method).mean((0, 1)))
same_size = by_context is not None and largest(banked, "cheetah-direction") == "cheetah-direction-half"
say(f"Banked: where five numbers adapt the returns are {as_it_went(CONTEXT, 'context')} before and after one, two and three steps (the authors' {', '.join(f'{v:.0f}' for v in TABLE5)}); where all parameters do, at the same size, {as_it_went('cheetah-direction-half', 'maml')}."
    if same_size else "Not run yet: `python -m mamlkit bank --only cheetah-direction-context` (and `--only cheetah-direction-half` to compare with).")

# %% tags=["claim"]
record(run._replace(seeds=[seed + i for i in range(settings[CONTEXT]["seeds"])]), "C141", checks={"no gain": all(i.low <= 0 for i in by_context.values()), "MAML gains": sure(gains["cheetah-direction"])}, protocol=at_size(CONTEXT) + "; a context of 5, a step of 1 on it alone",
       here={f"gain of {k} step{'s' * (k > 1)}, context": i for k, i in by_context.items()} | {"gain of 1 step, all parameters": gains["cheetah-direction"]},
       why=f"one step on five numbers gains {by_context[1]}, three {by_context[3]}; one on all parameters {gains['cheetah-direction']}.") if same_size and profile == "paper" else None

# %% [markdown]
# ## How little experience?
#
# Section 3.2 promises a policy for a new task from "only a small amount of experience", and one source of ours says "a handful of
# episodes". So two counts, on the cheetah's directions. How many episodes does plain TRPO need, from random parameters and with nothing but the
# one task, to reach what MAML has after its step on twenty? And what is left of that step if it is taken on fewer?

# %%
TRIES, fresh = budget(profile, smoke=(1, 2), quick=(5, 20), paper=(1, 2, 5, 10, 20)), dict(iterations=budget(profile, smoke=2, quick=12, paper=25), rollouts=budget(profile, smoke=2, quick=20, paper=20))
runs = lambda setting: [(which[2], r) for which, r in sorted(evidence.items(), key=lambda item: item[0]) if which[:2] == (setting, "maml")]


def from_scratch(goal, seed):
    """TRPO's mean return on one task in each iteration, from random parameters: (iterations,)."""
    about = dict(name="cheetah from scratch", goal=goal, seed=seed, **fresh, code=source_key(train_policy, Locomotion, Fixed, maml))
    env, policy, g = Fixed(Locomotion("cheetah", "direction"), goal), gaussian(20, 6), seeded(seed, where)
    go = lambda: train_policy(env, policy, lambda k: maml(reinforce(policy), alpha=alpha, steps=k), policy.init(g), generator=g, tasks=1, steps=0, every=10, **fresh)
    return remembered(about, lambda: {"returns": last(go()).optimizer["returns"][:, 0]}, where)["returns"].cpu()


def episodes_until(returned, wanted):
    """After how many episodes the return first reaches what is wanted; infinitely many where it never does."""
    reached = (returned >= wanted).nonzero().flatten()
    return fresh["rollouts"] * int(reached[0]) if len(reached) else float("inf")


def step_on(tries, setting, theta, seed):
    """What a start gains on twenty goals by one step on so many episodes: the mean."""
    parameters, goals = {k: p for k, p in theta.items() if k.startswith("layer") or k == "log_std"}, parts(setting, "maml")[1].authors_goals(20)
    about = dict(name=f"{setting} step", tries=tries, seed=seed, alpha=alpha, of=ravel(parameters)[0].double().sum().item(), code=source_key(train_policy, Locomotion, maml))
    go = lambda: {"gain": mean_returns(*episodes_of(setting, "maml", parameters, alpha, goals, 1, seed, rollouts=tries)).diff(dim=1).mean()[None]}
    return remembered(about, go, where)["gain"].item()


# %%
first, way = largest(evidence, "cheetah-direction"), {1.0: "forward", -1.0: "backward"}
if first:
    there = runs(first)[0][1]["goals"][:, 0]
    wanted = {goal: torch.stack([r["finished"][there == goal, 1].mean() for _, r in runs(first)]).mean().item() for goal in (1.0, -1.0) if (there == goal).any()}
    needed = {goal: sorted(episodes_until(from_scratch(goal, s), value) for s, _ in runs(first)) for goal, value in wanted.items()}
    usual = {goal: values[len(values) // 2] for goal, values in needed.items()}
    by_tries = {k: [step_on(k, first, r, s) for s, r in runs(first)] for k in TRIES}
    few, many = TRIES[-3] if len(TRIES) > 2 else TRIES[0], TRIES[-1]
    kept_share = sum(by_tries[few]) / sum(by_tries[many]) if sum(by_tries[many]) > 0 else float("nan")  # of no gain there is no share
    in_words = lambda n: f"{n:.0f}" if n < float("inf") else f"over {fresh['rollouts'] * (fresh['iterations'] - 1)}"
    say("\n".join(["| episodes in the step | mean gain of one step | of each training |", "|---|---|---|", *[f"| {k} | {sum(v) / len(v):.1f} | {', '.join(f'{x:.1f}' for x in v)} |" for k, v in by_tries.items()]])
        + "\n\nTRPO from random parameters reaches MAML's return after one step in " + " and ".join(f"**{in_words(usual[goal])}** episodes (that return is {wanted[goal]:.1f}, where {way[goal]} pays)" for goal in wanted) + ".")

# %% tags=["claim"]
at_home = {"the authors' experience": first == "cheetah-direction"}
recorded(
    record(run._replace(seeds=[s for s, _ in runs(first)]), "C120", checks={"ten times fewer": min(usual.values()) >= 200} | at_home, protocol=at_size(first) + f"; from scratch {fresh['iterations']} updates of {fresh['rollouts']} episodes",
           here={f"return after MAML's step, {way[g]}": wanted[g] for g in wanted} | {f"episodes from scratch, {way[g]}": ", ".join(map(in_words, needed[g])) for g in wanted} | {"episodes in meta-training, thousands": played_of(first) * 5},
           why="TRPO from random parameters needs " + " and ".join(f"{in_words(usual[g])} episodes where {way[g]} pays" for g in wanted) + f" (MAML's step: 20, after {played_of(first) * 5:.0f} thousand in meta-training)."),
    record(run._replace(seeds=[s for s, _ in runs(first)]), "S213", checks={"a handful": kept_share >= 0.8} | at_home, protocol=at_size(first), here={f"gain of one step on {k} episode{'s' * (k > 1)}": sum(v) / len(v) for k, v in by_tries.items()} | {f"{few} of {many}": kept_share},
           why=f"one step on {few} episodes gains {kept_share:.0%} of what it gains on {many}; the paper's own tests take 20 to 40."),
) if first else say("No meta-training of the cheetah's direction is here.")

# %% [markdown]
# ## What can be counted
#
# Some claims need no training: the authors' numbers and file names, quoted, and facts of the environments.

# %%
half_gain = {env: [fraction_of_oracle(a["random"][0], a["oracle"][0], a["maml"][k]) for k in (2, 3)] for env, a in AUTHORS.items()}
bodies = {env: Locomotion(*env.split("-")) for env in ENVS}
drawn = {name: bodies[f"{name}-velocity"].sample_goals(seeded(0), 10_000) for name in ("cheetah", "ant")}
inside = lambda name, top: bool(0 <= drawn[name].min() and drawn[name].max() <= top and abs(drawn[name].mean() - top / 2) < 0.02 * top / 2)
sizes_of = {"navigation": count(gaussian(2, 2).init(seeded(0)))} | {name: count(gaussian(bodies[f"{name}-velocity"].observations, bodies[f"{name}-velocity"].actions).init(seeded(0))) for name in ("cheetah", "ant")}
NAVIGATION = dict(pretrained=(-40.81, -19.73, -11.72, -8.48), random=(-82.66, -57.96, -53.84, -46.81))  # quoted as well
often = sum(below(a) for a in (*AUTHORS.values(), NAVIGATION))

# %% tags=["claim"]
ORDER = ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")
Table([
    record(run, "C110", checks={words(env): min(half_gain[env]) >= 0.9 for env in ORDER}, here={f"part of the oracle's gain, 2 and 3 steps, {words(env)}, as quoted": ", ".join(f"{v:.2f}" for v in half_gain[env]) for env in ORDER} | {f"here, 3 steps, {words(env)}": f[3] for env, f in fractions.items()},
           why="as quoted, after two steps: " + ", ".join(f"{half_gain[env][0]:.2f} ({words(env)})" for env in ORDER) + "."),
    record(run, "C113", checks={words(env): AUTHORS[env]["oracle"][0] > max(AUTHORS[env]["maml"]) for env in ORDER}, here={"quoted": "Figure 5"}, why="as quoted the oracle is above MAML by " + ", ".join(f"{AUTHORS[env]['oracle'][0] - max(AUTHORS[env]['maml']):.0f} ({words(env)})" for env in ORDER) + "."),
    record(run, "C114", checks={"cheetah": inside("cheetah", 2), "ant": inside("ant", 3)}, here={"cheetah's top goal, m/s": drawn["cheetah"].max().item(), "ant's top goal, m/s": drawn["ant"].max().item()}, why="10,000 goals lie evenly in these ranges."),
    record(run, "C116", checks={"horizon": all(b.horizon == 200 for b in bodies.values()), "tests": (4000 / 200, 8000 / 200) == (20, 40), "training": all(m["rollouts"] == (40 if env == "ant-direction" else 20) for env, m in MODELS.items())}, here={"horizon": bodies["cheetah-direction"].horizon, "rollouts of the published models": ", ".join(f"{words(e)} {m['rollouts']}" for e, m in MODELS.items())},
           why="tests are as said; the published model of the cheetah's velocity was trained with 10 rollouts, by its name."),
    record(run, "C117", checks={"navigation": sizes_of["navigation"] == 10_604, "cheetah": sizes_of["cheetah"] == 12_812, "ant": sizes_of["ant"] == 23_516}, here={"cheetah's parameters": sizes_of["cheetah"], "ant's parameters": sizes_of["ant"]}, why=f"{sizes_of['navigation']:,}, {sizes_of['cheetah']:,} and {sizes_of['ant']:,} parameters."),
    record(run, "C136", checks={words(env): MODELS[env]["iteration"] <= 500 for env in ORDER}, here={words(env): MODELS[env]["iteration"] for env in ORDER}, why=f"by the names of the published files; the ant's direction was tested at iteration {MODELS['ant-direction']['iteration']}."),
    record(run, "C137", checks={"navigation": True, "locomotion": all(m["tasks"] == 40 for m in MODELS.values())}, here={"navigation": 20, "locomotion": 40}, why="by the names of the published files (mbs20, mbs40)."),
    record(run, "S110", checks={"often": often > 2.5}, here={"environments, of five, as quoted": often}, why=f"as quoted, pretraining is below the random start at steps 1 to 3 in {often} of five environments."),
])

# %% [markdown]
# Others need untrained policies, and a few minutes of the paper's own machinery: what a random start returns, what the reward is besides
# its name, why the ant has a bonus, what a baseline shares between tasks, and what finite differences do to TRPO's direction.

# %%
def untrained(name, seed):
    """An untrained policy on the authors' goals: mean returns by goal, and every episode's return and length."""
    setting, goals = f"{name}-velocity-cpu", bodies[f"{name}-velocity"].authors_goals(budget(profile, smoke=2, quick=40, paper=40))
    theta = parts(setting, "random")[2].init(seeded(seed, where))
    horizon, played = episodes_of(setting, "random", theta, 0.1, goals, 0, seed, rollouts=budget(profile, smoke=1, quick=5, paper=5))
    total, length, end = (t.flatten() for t in episodes(played[0]))
    over = end.isfinite() & (length > 0)
    return {"returns": mean_returns(horizon, played)[:, 0], "total": total[over].float().cpu(), "length": length[over].float().cpu()}


extra_of = lambda env, state, action: torch.tensor(env.robot.move(tuple(part.double().numpy() for part in state.hidden), action.clamp(-1, 1).double().numpy()).extra)


def besides(name):
    """What a step's reward holds besides the goal's part and the bonus, in 20 steps of 100 robots: (steps, robots)."""
    env, g, found = bodies[f"{name}-velocity"], seeded(0), []
    policy, goals = gaussian(env.observations, env.actions), env.sample_goals(g, 100)
    params, state = policy.init(g), env.reset(goals, g)
    for _ in range(20):
        found, state = [*found, extra_of(env, state, action := policy.draw(policy.forward(params, state.observation), g))], env.step(state, action, goals)[0]
    return torch.stack(found)


# %%
asked = dict(name="untrained robots", profile=profile, code=source_key(train_policy, Locomotion, maml))
walked = {(name, s): remembered(asked | dict(robot=name, seed=s), lambda: untrained(name, s)) for name in ("cheetah", "ant") for s in (range(seed, seed + 3) if profile != "smoke" else [seed])}
start = {name: over_seeds([r["returns"].mean() for (n, _), r in walked.items() if n == name]) for name in ("cheetah", "ant")}
extra = {name: besides(name) for name in ("cheetah", "ant")}
lasting = walked["ant", seed]
correlation = {bonus: torch.corrcoef(torch.stack([lasting["total"] + (bonus - 1) * lasting["length"], lasting["length"]]))[0, 1].item() for bonus in (0, 1)}


# %%
def two_tasks():
    """Trajectories of two tasks, as one step of meta-training sees them, in double precision."""
    env, policy, g = Locomotion("cheetah", "direction", horizon=budget(profile, smoke=10, quick=200, paper=200)), gaussian(20, 6), seeded(0)
    theta, learner = policy.init(g), lambda k: maml(reinforce(policy), alpha=alpha, steps=k)
    batch, played = collect(env, policy, learner, theta, torch.tensor([[1.0], [-1.0]]), steps=1, rollouts=4, generator=g)
    double = lambda tree: tree_map(lambda t: t.double() if t.is_floating_point() else t, tree)
    return policy, learner(1), double(theta), double(batch), double(played[0])


def direction(product, slope):
    """TRPO's direction: ten steps of conjugate gradient on (F + 1e-5) x = -g."""
    return conjugate_gradient(lambda v: product(v) + 1e-5 * v, -slope, iterations=10)


policy, learner, theta, tasks, played = two_tasks()
vector, unravel = ravel(theta)
after = lambda v, task: policy.forward(learner.adapt(unravel(v), task.support)[-1], task.query.observation)
slope = torch.func.grad(lambda v: vmap(lambda task: surrogate(policy, after(v, task), task.query))(tasks).mean())(vector)
half = fisher(linearised(after, vector, tasks), policy, tasks)  # summed over the two tasks
exact = direction(lambda v: half(v) / 2, slope)
coarse = {name: direction(lambda v: finite_difference_product(learner, policy, theta, tasks, v, base=base), slope) for name, base in (("as meant", 1e-5), ("as released", 1.0))}
cosine = {name: torch.cosine_similarity(v, exact, 0).item() for name, v in coarse.items()}
other = played._replace(reward=played.reward.clone())
other.reward[1] *= 1 + torch.rand(other.reward[1].shape, generator=seeded(1))
same = [torch.equal(a, b) for a, b in zip(experience(played).advantage, experience(other).advantage)]
fitted = [linear_baseline(tree_map(lambda t: t[0], played), k * played.reward[0]) for k in (1, 2)]
linear = ((fitted[1] - 2 * fitted[0]).abs().max() / fitted[0].abs().max()).item()

# %% tags=["claim"]
Table([
    record(run._replace(seeds=sorted({s for _, s in walked})), "C112", checks={"as quoted": max(AUTHORS["cheetah-velocity"]["random"]) < -200 and max(AUTHORS["ant-velocity"]["random"]) < -25, "cheetah, here": start["cheetah"].value < -200, "ant, here": start["ant"].value < -25},
           here={f"return of untrained policies, {name}": i for name, i in start.items()}, why=f"as quoted, at most {max(AUTHORS['cheetah-velocity']['random']):.0f} and {max(AUTHORS['ant-velocity']['random']):.0f}; here untrained policies return {start['cheetah'].value:.0f} and {start['ant'].value:.0f}."),
    record(run, "C115", checks={"cheetah": not extra["cheetah"].any(), "ant": not extra["ant"].any()}, here={f"besides, a step, {name}": e.mean().item() for name, e in extra.items()},
           why=f"control costs the cheetah {-extra['cheetah'].mean():.2f} a step; the ant gets 0.05 for not falling and pays for control and contacts, {extra['ant'].mean():+.3f} together."),
    record(run, "C118", checks={name: c > 0.99 for name, c in cosine.items()}, here={f"cosine with the exact direction, {name}": c for name, c in cosine.items()}, protocol="2 tasks, 4 rollouts, untrained policy, double precision",
           why="the cosine with the direction of exact products is " + ", ".join(f"{c:.4f} ({name})" for name, c in cosine.items()) + "."),
    record(run, "C119", checks={"separately": same == [True, False], "linear": linear < 1e-6}, here={"error of doubled predictions": f"{linear:.0e}"}, why=f"other rewards in one task leave the other's advantages bit for bit; doubled rewards double the predictions (to {linear:.0e})."),
    record(run, "C138", checks={"without it, ending early pays": correlation[0] < 0, "with it, lasting pays": correlation[1] > 0}, here={"correlation of length and return, without the bonus": correlation[0], "with it": correlation[1], "mean length": lasting["length"].mean().item()},
           why=f"an untrained ant's episodes last {lasting['length'].mean():.0f} steps on average; length and return correlate by {correlation[0]:+.2f} without the bonus, {correlation[1]:+.2f} with it."),
])

# %% [markdown]
# ## Try it
#
# - Set `alpha = 0.02`: one step hardly moves the robot. Does meta-training find a start that makes up for it?
# - Set `seed = 100`: another first network. How much of the gain was the network's luck?
# - Set `alpha = 0.5`: the untrained start gains more in its first step. What does that leave to meta-learning?
#
# Headless: `python -m mamlkit run 05_locomotion -p alpha=0.02`; the authors' size `python -m mamlkit bank --only cheetah-direction`.
# [Before: navigation](04_navigation.ipynb) · [next: what came after](06_variants.ipynb) · [what is true](07_scoreboard.ipynb)

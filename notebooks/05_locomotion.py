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

from mamlkit.checkpoint import kept
from mamlkit.claims import BANK
from mamlkit.literate import figure
from mamlkit.machine import seeded
from mamlkit.plots import canvas
from mamlkit.rl.collect import collect
from mamlkit.rl.frames import frames, walk
from mamlkit.rl.locomotion import half_cheetah_dir
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.variants.maml import maml

env, policy = half_cheetah_dir(), gaussian(20, 6)
theta = {k: p for k, p in kept(BANK / "checkpoints" / "cheetah-direction-cpu-maml-2.safetensors")[0].items() if k.startswith("layer") or k == "log_std"}
goals, stepped = torch.tensor([[1.0], [-1.0]]), lambda k: maml(reinforce(policy), alpha=0.1, steps=k)
task, played = collect(env, policy, stepped, theta, goals, steps=1, rollouts=20, generator=seeded(0))
adapted = [stepped(1).adapt(theta, tuple(type(b)(*(t[i] if torch.is_tensor(t) else type(t)(*(u[i] for u in t)) for t in b)) for b in task.support))[-1] for i in (0, 1)]
walks = {"before": walk(env, policy, theta, goals[0], generator=seeded(1))[0], "after, forward pays": walk(env, policy, adapted[0], goals[0], generator=seeded(1))[0],
         "after, backward pays": walk(env, policy, adapted[1], goals[1], generator=seeded(1))[0]}
mean = [[(t.reward[i].sum() / t.first[i].sum()).item() for t in played] for i in (0, 1)]
fig, axes = canvas(f"One step on twenty tries: the return goes from {mean[0][0]:.0f} to {mean[0][1]:.0f} where forward pays, from {mean[1][0]:.0f} to {mean[1][1]:.0f} where backward does", rows=3, columns=5, height=4.6)
for row, (name, walked) in zip(axes, walks.items()):
    for ax, when, picture in zip(row, range(0, 201, 50), frames(env.robot.model, walked[::50], size=(132, 176))):
        ax.imshow(picture), ax.set(xticks=[], yticks=[], title=f"{when / 100:.1f} s: {walked[when, 0] - walked[0, 0]:+.2f} m"), ax.grid(False)
    row[0].set_ylabel(name)
figure(fig, "Pictures of a half-cheetah every half second, before a step and after one step towards forward and towards backward. It ends at "
            + ", ".join(f"{w[-1, 0] - w[0, 0]:+.2f} m ({n})" for n, w in walks.items()) + ".")

# %% [markdown]
# *Meta-trained on one core, with a small part of the authors' experience (Figure 5 below says how small); one episode of each, not chosen.*
#
# **What this takes.** At `quick`, a minute or two: the first iterations of the half-cheetah's meta-training. What is drawn
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
    "smoke": {"cheetah-direction-cpu": dict(tasks=2, rollouts=2, iterations=2, seeds=1, goals=2, practice=2)},
    "quick": {"cheetah-direction-cpu": dict(iterations=8, seeds=1, goals=6, practice=2)},
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
plan = lambda setting, s: [(setting, m, seed + i) for m in METHODS for i in range(s["others" if m in ("pretrained", "oracle") else "seeds"])]


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
results = {which: result(*which) for name in chosen for which in plan(name, sizes(name))}
folder = claims.results() if profile == "paper" else BANK
banked = {which: kept(file(folder, *which))[0] for name in SETTINGS for which in plan(name, SETTINGS[name]) if file(folder, *which).exists()}

# %% tags=["figure"]
trained_here = [which for which in results if which[1] == "maml"] or [which for which in banked if which[1] == "maml"][:2]
fig, axes = canvas("Return in training, before and after the step: " + ", ".join(f"{name.split('-')[0]}'s {name.split('-')[1]} {r[0]:.0f} to {r[1]:.0f} in the end" for name, r in
                   ((which[0], (results | banked if profile == "paper" else banked | results)[which]["returns"][-5:].mean(0)) for which in trained_here[:2])), columns=2, height=2.6)
for ax, which in zip(axes, trained_here):
    history = (banked | results)[which]["returns"]
    draw(ax, "random", range(1, len(history) + 1), history[:, 0], marker="", label="before")
    draw(ax, "maml", range(1, len(history) + 1), history[:, 1], marker="", label="after")
    ax.set(xlabel=f"meta-iteration ({' '.join(which[0].split('-')[:2])})", ylabel="mean return of an episode", xlim=(0, len(history) * 1.2))
figure(fig, "The mean return in training before and after the inner step, against the meta-iteration, for two robots' tasks.")

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
# as large. Forty goals of the authors' (their random seed), twenty episodes before each step (forty for the ant's directions, in the paper).

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
fractions = {env: [fraction_of_oracle(returns(pool[env], size, "random", 0).mean(), returns(pool[env], size, "oracle", 0).mean(), returns(pool[env], size, "maml", k).mean()).item() for k in range(STEPS + 1)]
             for env, size in panels.items() if returns(pool[env], size, "oracle") is not None and returns(pool[env], size, "random") is not None}
theirs = {env: [fraction_of_oracle(a["random"][0], a["oracle"][0], v) for v in a["maml"]] for env, a in AUTHORS.items()}
played_here = {env: millions(s["iterations"], s["tasks"], s["rollouts"]) for env in panels for s in [SETTINGS[panels[env]] if pool[env] is banked else sizes(panels[env])]}
played_there = {env: millions(m["iteration"], m["tasks"], m["rollouts"]) for env, m in MODELS.items()}

# %% tags=["figure"]
lead = next(iter(panels), None)
if lead:
    now_gain, share = {env: gain(pool[env], panels[env]).value for env in panels}, {env: played_here[env] / played_there[env] for env in panels}
    fig, axes = canvas("One step gains " + ", ".join(f"{now_gain[env]:.0f} ({env.replace('-', ' ')}; authors {AUTHORS[env]['maml'][1] - AUTHORS[env]['maml'][0]:.0f})" for env in panels)
                       + f", with {min(share.values()):.1%} to {max(share.values()):.0%} of their experience", rows=2, columns=2, height=6.0, sharey="row", sharex=True)
    for ax, env in zip(axes.flat, ENVS):
        for m, values in AUTHORS[env].items():
            ax.plot(range(STEPS + 1), values, color=LOOKS[m].color, linestyle=LOOKS[m].line, marker="D", markersize=5, markerfacecolor="none", alpha=0.45, linewidth=1)
        for m in METHODS if env in panels else ():
            if (found := returns(pool[env], panels[env], m)) is not None:
                band = (found.mean(1).amin(0), found.mean(1).amax(0)) if len(found) > 1 else None
                draw(ax, m, range(STEPS + 1), found.mean((0, 1)), interval=band, label="", linewidth=2.4).set_label(LOOKS[m].label)
        ax.set(xticks=range(STEPS + 1), title=f"{env.replace('-', ' ')}: " + (f"{played_here[env]:.1f} M steps played, authors {played_there[env]:.0f} M" if env in panels else "nothing is banked yet"))
    for row in axes: row[0].set_ylabel("mean return of an episode")
    for ax in axes[1]: ax.set_xlabel("gradient steps")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure(fig, "Four panels, returns against gradient steps for MAML, pretrained, random and oracle, the authors' pale with diamonds. " + ". ".join(
        f"{env.replace('-', ' ')}: MAML goes from {returns(pool[env], panels[env], 'maml', 0).mean():.0f} to {returns(pool[env], panels[env], 'maml', 1).mean():.0f} here" for env in panels) + ".")

# %% [markdown]
# *Bold: here, the band spans the meta-training seeds. Pale with diamonds: the authors' own numbers, quoted.*

# %% tags=["fold"]
rows = [f"| {env.replace('-', ' ')} | {n} | {SETTINGS[panels[env]]['tasks']} x {SETTINGS[panels[env]]['rollouts']} x {len(r)}, {returns(pool[env], panels[env], 'maml').shape[0]} seed(s) | "
        + " | ".join(f"{v:.0f}" for v in returns(pool[env], panels[env], "maml").mean((0, 1))) + f" | {fractions.get(env, [float('nan')] * 4)[1]:.0%}, {fractions.get(env, [float('nan')] * 4)[3]:.0%} | {theirs[env][1]:.0%}, {theirs[env][3]:.0%} |"
        for env in panels for n, r in [(f"{played_here[env]:.1f} M of {played_there[env]:.0f} M", next(v for k, v in pool[env].items() if k[:2] == (panels[env], "maml"))["returns"])]]
say("\n".join(["| environment | steps played, of the authors' | tasks x rollouts x iterations | return after 0 | 1 | 2 | 3 | part of the oracle's gain after 1 and 3 steps | the authors' |", "|---|---|---|---|---|---|---|---|---|", *rows]))

# %% [markdown]
# **Turn it.** Choose a robot and what pays, then a gradient step, and press play. Look at the way before and after: is it
# the gait that changes, or only the lean?

# %% tags=["widget"]
from mamlkit.gaits import Start, gait_knobs

shown = {f"cheetah, {task}": Start(Locomotion("cheetah", task), {k: p for k, p in kept(BANK / "checkpoints" / f"cheetah-{task}-cpu-maml-2.safetensors")[0].items() if k.startswith("layer") or k == "log_std"}, 0.1)
         for task in ("direction", "velocity")}
gait_knobs(shown)

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
say("\n".join(["| MAML after one step | goals that differ | mean of each training | ± over goals, one training | ± over trainings |", "|---|---|---|---|---|"]
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
at_size = lambda name: "{tasks} tasks x {rollouts} rollouts x {iterations} iterations, TRPO radius {radius:g}, {seeds} seed(s), baselines {others}".format(**settings[name])
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
longest = with_seeds(*[env for env in judged if env.startswith("cheetah")])
listed = lambda values: ", ".join(f"{words(env)} {v:+.1f}" for env, v in values.items())

# %% tags=["claim"]
recorded(
    record(longest, "C107", checks={words(env): env in judged and three(env) and sure(gains[env]) for env in ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")} | {"the authors' size": all(enough.values())},
           here={f"gain of one step, {words(env)}": i for env, i in gains.items()}, protocol=protocol, why=f"one step gains {listed({e: i.value for e, i in gains.items()})}; the authors' 343.9, 490.5, 51.0, 66.2 come from ten to a hundred times the experience.") if judged else None,
    record(longest, "C108", checks={words(env): env in judged and three(env) and sure(later[env]) for env in ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")},
           here={f"three steps minus one, {words(env)}": i for env, i in later.items()}, protocol=protocol, why=f"steps two and three add {listed({e: i.value for e, i in later.items()})}.") if judged else None,
    record(longest, "C109", checks={words(env): wins[env] for env in ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")},
           here={f"MAML minus {m}, step {k}, {words(env)}": i for (env, m, k), i in lead_over.items()}, protocol=protocol,
           why="after one step MAML is above pretrained and random by " + "; ".join(f"{words(env)} " + ", ".join(f"{lead_over[env, m, 1].value:+.0f}" for m in rivals[env]) for env in judged if rivals[env]) + ".") if judged and any(rivals.values()) else None,
    record(longest, "C111", checks={"as quoted": any(below(a) for a in AUTHORS.values()), "here": any(worse.values())}, protocol=protocol,
           here={f"pretrained minus random after one step, {words(env)}": (returns(evidence, judged[env], "pretrained", 1).mean() - returns(evidence, judged[env], "random", 1).mean()).item() for env in worse if len(rivals[env]) == 2} | {"as quoted": ", ".join(words(e) for e, a in AUTHORS.items() if below(a))},
           why=f"below random at steps 1 to 3: as quoted in {' and '.join(words(e) for e, a in AUTHORS.items() if below(a))}; here in {' and '.join(words(e) for e in worse if worse[e]) or 'none'}.") if worse else None,
)

# %% tags=["claim"]
at_first = {c: (name, gain(evidence, name)) for c, name in (("X010", "cheetah-direction-cpu"), ("X011", "cheetah-velocity-cpu"), ("X013", "cheetah-direction-half"), ("X014", "cheetah-velocity-half"))
            if all(w in evidence for w in plan(name, settings[name]) if w[1] == "maml")}
ants = {env: gain(evidence, f"{env}-cpu") for env in ("ant-direction", "ant-velocity") if (f"{env}-cpu", "maml", seed) in evidence}
recorded(
    *[record(run._replace(seeds=[seed + i for i in range(settings[at_first[c][0]]["seeds"])]), c, checks={"it gains": sure(at_first[c][1])}, protocol=at_size(at_first[c][0]),
             here={f"gain of one step, {' '.join(at_first[c][0].split('-')[:2])}": at_first[c][1], "return after 0, 1, 2, 3 steps": ", ".join(f"{v:.1f}" for v in returns(evidence, at_first[c][0], "maml").mean((0, 1))),
                   "gain of each training": ", ".join(f"{v:.1f}" for v in (returns(evidence, at_first[c][0], "maml", 1) - returns(evidence, at_first[c][0], "maml", 0)).mean(1))},
             why=f"one step takes the return from {returns(evidence, at_first[c][0], 'maml', 0).mean():.1f} to {returns(evidence, at_first[c][0], 'maml', 1).mean():.1f}, a gain of {at_first[c][1]} over trainings.") for c in ("X010", "X011", "X013", "X014") if c in at_first],
    record(run, "X012", checks={env.split("-")[1]: sure(i) for env, i in ants.items()}, here={f"gain of one step, {words(env)}": i for env, i in ants.items()} | {f"oracle, {words(env)}": returns(evidence, f"{env}-cpu", "oracle", 0).mean().item() for env in ants if returns(evidence, f"{env}-cpu", "oracle") is not None},
           protocol="; ".join(at_size(f"{env}-cpu") for env in ants), why="one step gains " + ", ".join(f"{i} ({words(env)})" for env, i in ants.items()) + "; the intervals are over goals, not trainings.") if len(ants) == 2 else None,
)

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
# ## Try it
#
# - Set `alpha = 0.02`: one step hardly moves the robot. Does meta-training find a start that makes up for it?
# - Set `seed = 100`: another first network. How much of the gain was the network's luck?
# - Set `alpha = 0.5`: the untrained start gains more in its first step. What does that leave to meta-learning?
#
# Headless: `python -m mamlkit run 05_locomotion -p alpha=0.02`; the authors' size `python -m mamlkit bank --only cheetah-direction`.
# [Before: sinusoids](01_sinusoids.ipynb) · next: [what is true](07_scoreboard.ipynb)

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · A robot that finds the corner after twenty walks
#
# A point stands in the middle of a square. Somewhere in the square is a goal; nobody tells it where. It walks twenty
# times at random, is told after every step how far off it was, and takes **one** gradient step. Section 5.3 of Finn,
# Abbeel & Levine (2017) claims that a policy can be meta-trained so that this is enough to turn all its walks towards the
# goal. Below: does it, what do more steps add, and is the gradient that trains it the right one?

# %% tags=["figure"]
import torch

from mamlkit.bank.checkpoint import kept
from mamlkit.audit.claims import BANK
from mamlkit.show.literate import figure
from mamlkit.machine import seeded
from mamlkit.show.plots import LOOKS, canvas
from mamlkit.rl.collect import collect, halved
from mamlkit.rl.navigation import Navigation, authors_goals
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import mean_return
from mamlkit.knobs.navigation import paths

point, walker = Navigation(), gaussian(2, 2)
banked = kept(BANK / "checkpoints" / "navigation-maml.safetensors")[0]
start = {name: p[0] for name, p in banked.items() if not name.startswith("history.")}
new = authors_goals(40)
corners = torch.stack([new[(new * torch.tensor(c)).amin(1).argmax()] for c in ((1, 1), (-1, 1), (-1, -1), (1, -1))])
seen = collect(point, walker, halved(reinforce(walker), alpha=0.1), start, corners, steps=3, rollouts=20, generator=seeded(1))[1]
value = [mean_return(t, point.horizon).mean().item() for t in seen]
fig, axes = canvas(f"Twenty walks and one update: the return on four new goals goes from {value[0]:.0f} to {value[1]:.0f}", columns=4, height=2.5, sharex=True, sharey=True)
for k, (ax, played) in enumerate(zip(axes, seen)):
    for i in range(len(corners)):
        ax.plot(*paths(played, i)[0].T, color=LOOKS["maml"].color, linewidth=0.6, alpha=0.35)
    ax.plot(*corners.T, "*", color=LOOKS["truth"].color, markersize=11, markerfacecolor="#fdfdfb")
    ax.set(title=f"{('before', 'one update', 'two updates', 'three updates')[k]}: {value[k]:.1f}", xlim=(-0.7, 0.7), ylim=(-0.7, 0.7), aspect="equal", xticks=[-0.5, 0, 0.5], xlabel="x")
axes[0].set_ylabel("y")
figure(fig, "Four panels with the walks of one policy towards four goals, twenty walks each, before and after one, two and three updates. Before, the walks stay around the "
            f"middle; after one update they end at the goals. Mean returns: {', '.join(f'{v:.1f}' for v in value)}.")

# %% [markdown]
# *Stars are four of the forty goals on which the authors test; the policy never saw them. In each panel the policy has
# taken that many gradient steps, separately for each goal, each on twenty walks. The return is minus the distance from the goal, summed
# over at most 100 steps.*
#
# **What this takes.** At `quick` every policy below is meta-trained here, from nothing, with one seed and a fifth of the
# updates or fewer: some minutes on two cores. At `paper` it is five seeds and the sizes of section 5.3; those records are banked.
#
# [Start](00_start.ipynb) · [scoreboard](07_scoreboard.ipynb)

# %% tags=["imports"]
import time
from collections import deque

import torch
from torch.func import vmap

from mamlkit.audit import claims
from mamlkit.bank.budget import budget
from mamlkit.bank.checkpoint import keep, kept, place, remembered, resumable
from mamlkit.audit.claims import Table, record
from mamlkit.evaluate import validated
from mamlkit.inner import adapt, inner_step, repeated
from mamlkit.audit.intervals import Interval, bootstrap
from mamlkit.learner import unrolled
from mamlkit.show.literate import figure, progress, say, show, watch
from mamlkit.bank.provenance import commit
from mamlkit.machine import choose_device, seeded, source_key
from mamlkit.rl.train import train_policy
from mamlkit.show.plots import LOOKS, canvas, draw
from mamlkit.rl import bandit
from mamlkit.rl.collect import collect
from mamlkit.rl.context import in_context
from mamlkit.rl.goals import Informed, Mixed
from mamlkit.rl.navigation import Navigation, authors_goals
from mamlkit.rl.objectives import divergence, reinforce, surrogate
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rl2 import rl2
from mamlkit.rl.rollout import episodes, mean_return, rollout
from mamlkit.rl.trpo import trpo_step
from mamlkit.train import Step
from mamlkit.trees import ravel, tree_map
from mamlkit.variants.maml import maml
from mamlkit.knobs.navigation import paths

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
only: str = "all"  # which experiment is run; one of all, none, navigation, navigation-context, navigation-alpha, navigation-squared, navigation-exact, navigation-rl2
alpha: float = 0.1  # the inner step size; above 0
tasks: int = 20  # tasks in a meta-batch; 1 or more
rollouts: int = 20  # rollouts of a task before and after the inner step, of 100 environment steps each; 1 or more

# %%
where = choose_device(device)
seeds = range(seed, seed + budget(profile, smoke=1, quick=1, paper=5))
run = claims.begin("04_navigation", profile, seeds, where)
world, policy = Navigation(), gaussian(2, 2)
say(f"Running at **{profile}** on **{where}**, seeds {[*seeds]}.")

# %% [markdown]
# ## The task
#
# A task is a goal, uniform in the unit square $[-0.5, 0.5]^2$. The agent starts at the origin and sees its own position
# and nothing else. It commands a velocity, at most 0.1 a step both ways; the reward is minus the distance to the goal
# where it arrives; an episode ends near the goal, or after H = 100 steps. All tasks and walks are stepped side by side:

# %%
show(Navigation.step)

# %% [markdown]
# **What do you expect** of an agent that knows nothing of the goal? Every step away from the middle is, on average, a step
# away from the goal: the best that *one* policy can do for all goals is to stand still.

# %%
test_goals = authors_goals(budget(profile, smoke=4, quick=40, paper=40)).to(where)
still = policy._replace(draw=lambda dist, generator: torch.zeros_like(dist.mean))


def standing(reward):
    """What standing still returns on each test goal, (goals,)."""
    env = Navigation(reward=reward)
    params = {k: p.expand(len(test_goals), *p.shape) for k, p in policy.init(seeded(0, where)).items()}
    return mean_return(rollout(env, still, params, test_goals, lanes=1, generator=seeded(0, where)), env.horizon)


AUTHORS = {  # mean returns on the 40 goals, quoted: their result files (cbfinn/maml_rl, icml/*.pkl), plotted in Figure 4
    "maml": (-40.41, -11.68, -3.33, -3.23, -3.35), "pretrained": (-40.81, -19.73, -11.72, -8.48, -7.49),
    "random": (-82.66, -57.96, -53.84, -46.81, -42.91), "oracle": (-2.29,), "context": (-42.42, -13.90, -5.17, -3.18)}
stood = {reward: standing(reward).mean().item() for reward in ("distance", "squared")}
exactly = (standing("distance") + 100 * test_goals.norm(dim=1)).abs().max().item()
say(f"Standing still returns **{stood['distance']:.2f}** on the authors' goals (minus 100 times their distance, to {exactly:.0e}). Their policy, before any update, returned "
    f"{AUTHORS['maml'][0]}: it stands still. The paper says that the reward is the negative *squared* distance; standing still would then return {stood['squared']:.2f}, "
    "and none of its numbers would fit. The code has the plain distance, and so has this page; the squared one is tried below.")

# %% [markdown]
# ## One step of adaptation, again
#
# Algorithm 3 is Algorithm 1 with another loss. The policy is a Gaussian whose mean is a network of two hidden layers of 100
# ReLUs; its objective on a task is REINFORCE,
#
# $$L_{T}(\theta) = -\frac{1}{n}\sum_{t} \log \pi_\theta(a_t | x_t)\, A_t ,$$
#
# the advantage $A_t$ being the discounted sum of rewards from there on, minus a linear baseline fitted to the task's own
# walks, scaled to standard deviation 1. `adapt` is the very function of notebook [1](01_sinusoids.ipynb); what is new is
# that data come from the policy itself, so every step needs walks of its own:

# %%
show(reinforce, inner_step, adapt, collect)

# %% [markdown]
# The outer step is TRPO (Schulman et al. 2015). It maximises the mean over tasks of
#
# $$\frac{\pi_{\theta'}(a_t | x_t)}{\pi_{\mathrm{old}}(a_t | x_t)}\, A_t$$
#
# on walks *after* adaptation, where $\theta' = \theta - \alpha \nabla L_T(\theta)$ is differentiated through, with the mean
# divergence of the adapted policies from those that walked held below 0.01. The direction comes from conjugate gradient
# on the exact Hessian of that divergence; the authors took finite differences.

# %%
show(surrogate, divergence, trpo_step)

# %% [markdown]
# ## Training
#
# Four opponents, as in Figure 4. *Pretrained*: the same TRPO on all tasks mixed, a new goal for every walk, as many walks
# in an update as MAML takes in all. *Random*: the initial policy. *Oracle*: a policy that sees the goal. And MAML's own
# variations, for the questions further down. Every tenth sample gives the curvature, the rest is the paper's. The snapshot
# that is kept is the one that does best after one step on *validation* goals; the pretrained policy is also given the
# best of four step sizes at every snapshot.
#
# **What do you expect** of the return *before* the step, while MAML learns? Nothing rewards it.

# %%
meta = dict(env=world, policy=policy, alpha=alpha, adapts="all", steps=1, every=10,
            tasks=budget(profile, smoke=3, quick=tasks, paper=tasks), rollouts=budget(profile, smoke=4, quick=rollouts, paper=rollouts))
joint = meta | dict(env=Mixed(world), tasks=1, steps=0)
equal = 2 * meta["tasks"] * meta["rollouts"]  # as many environment steps in an update as MAML takes before and after its inner step
METHODS = {  # where it learns and what; the last numbers are its meta-updates at smoke, quick and paper
    "maml": (meta, (2, 20, 100)),
    "pretrained": (joint | dict(rollouts=equal), (2, 20, 100)),
    "pretrained, 100 paths": (joint | dict(rollouts=budget(profile, smoke=5, quick=100, paper=100)), (0, 0, 100)),
    "oracle": (joint | dict(env=Mixed(Informed(world)), policy=gaussian(4, 2), rollouts=budget(profile, smoke=5, quick=100, paper=100)), (2, 40, 100)),
    "context": (meta | dict(policy=in_context(policy, 5), alpha=10 * alpha, adapts="context"), (2, 20, 100)),
    "alpha 0.5": (meta | dict(alpha=0.5), (2, 20, 100)),
    "squared": (meta | dict(env=Navigation(reward="squared")), (2, 20, 100)),
    "exact curvature": (meta | dict(every=1), (0, 0, 100)),
}
EXPERIMENTS = {"navigation": ("maml", "pretrained", "pretrained, 100 paths", "oracle"), "navigation-context": ("context",),
               "navigation-alpha": ("alpha 0.5",), "navigation-squared": ("squared",), "navigation-exact": ("exact curvature",), "navigation-rl2": ()}  # RL^2 is trained in its own way, see below
GRID = budget(profile, smoke=(0.1, 0.5), quick=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0), paper=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0))  # step sizes that the pretrained and the random policy choose from, on validation goals
validation_goals = world.sample_goals(seeded(20_000, where), 40)


def sizes(method, a, steps, later=0.5):
    """The step sizes of `steps` inner steps: `a`, then `later` times that; a dict where only the context adapts."""
    values = [a, *[later * a] * (steps - 1)][:steps]
    return values if METHODS[method][0]["adapts"] == "all" else [{"context": value} for value in values]


def stepping(loss, alphas):
    """Learners whose inner steps have the given sizes, for `collect`."""
    path = lambda k: lambda theta, support: adapt(theta, repeated(loss, support, k), alphas[:k])
    return lambda k: unrolled(loss, path(k))


def walked(method, theta, goals, alphas, rollouts, seed, env=None):
    """What a policy does on each goal before and after each inner step: the meta-batch, and a list of trajectories."""
    m = METHODS[method][0]
    env = env or getattr(m["env"], "env", m["env"])  # alone with each goal, where training mixed them
    g = seeded(seed, where)
    return collect(env, m["policy"], stepping(reinforce(m["policy"]), alphas), theta, goals, steps=len(alphas), rollouts=rollouts, generator=g)


# %%
def one_step_return(method, theta, a, goals):
    """The mean return after as many inner steps as training takes; for the pretrained policy, after one."""
    steps = 0 if method == "oracle" else 1
    played = walked(method, theta, goals, sizes(method, a, steps), meta["rollouts"], 30_000)[1]
    return mean_return(played[-1], world.horizon).mean().item()


def score(method):
    """What the best snapshot is chosen by: validation goals, and where training has no step size, the best of the grid."""
    grid = GRID[1:5] if method.startswith("pretrained") else (METHODS[method][0]["alpha"],)
    return lambda theta: torch.tensor(max(one_step_return(method, theta, a, validation_goals[:20]) for a in grid))


returns_now = lambda step: "return " + " to ".join(f"{r:.1f}" for r in step.optimizer["returns"][-5:].mean(0))
last = lambda items: deque(items, maxlen=1).pop()


def rising(step):
    """The picture of a run on its way."""
    fig, ax = canvas(f"After {step.iteration} meta-updates: {returns_now(step)}", height=2.2)
    for column, name in zip(step.optimizer["returns"].T, ("before the step", "after it")):
        ax.plot(range(1, len(column) + 1), column, color=LOOKS["maml"].color, linewidth=1 + 1.5 * (name == "after it"), label=name)
    ax.set(xlabel="meta-update", ylabel="mean return", ylim=(-85, 0))
    return fig


def budgeted(method):
    """How many meta-updates a method takes at this profile."""
    return budget(profile, **dict(zip(("smoke", "quick", "paper"), METHODS[method][1])))


def size_of(method):
    return {k: METHODS[method][0][k] for k in ("tasks", "rollouts", "steps", "every")} | dict(iterations=budgeted(method))


def description(method, seed):
    """All that decides a run's numbers."""
    m = METHODS[method][0]
    return dict(name=f"navigation {method}", seed=seed, alpha=m["alpha"], **size_of(method), score_every=max(1, min(10, budgeted(method) // 2)),
                code=source_key(train_policy, maml, type(m["env"]), m["policy"].init))


def going(method, seed):
    """Where to resume, or None -> the Steps of a run, each with the best snapshot so far."""
    m, g = METHODS[method][0], seeded(seed, where)
    theta, learners = m["policy"].init(g), stepping(reinforce(m["policy"]), sizes(method, m["alpha"], 1))
    further = lambda resume: train_policy(m["env"], m["policy"], learners, theta, generator=g, **size_of(method), resume=resume)
    return lambda resume: validated(further(resume), score(method), every=description(method, seed)["score_every"], resume=resume)


def meta_train(method, seed):
    about = description(method, seed)
    steps = watch(resumable(place(about), going(method, seed), about=about, device=where), rising, f"The returns of {method} so far.")
    return last(progress(steps, about["iterations"], f"{method}, seed {seed}", done=lambda s: s.iteration, note=returns_now))


def stacked(ends):
    """The best policies and the histories of runs, by name, seed first."""
    history = {"returns": [e.optimizer["returns"] for e in ends], "accepted": [e.optimizer["accepted"] for e in ends], "scores": [e.scores for e in ends]}
    return tree_map(lambda *t: torch.stack(t), *[e.best for e in ends]) | {f"history.{k}": torch.stack(v) for k, v in history.items()}


place_of = lambda method: claims.results() / "checkpoints" / f"navigation-{method.replace(', ', '-').replace(' ', '-')}.safetensors"


seeds_of = lambda method: [*seeds][: 1 if method == "exact curvature" else None]
made = lambda method: dict(seeds=seeds_of(method), **size_of(method))
on_file = lambda method: profile == "paper" and place_of(method).exists() and made(method).items() <= kept(place_of(method))[1].items()


def learned(method):
    """The best policies by seed and the runs' history: trained once, then read from where they are kept, at the paper's budget the bank."""
    if not on_file(method):
        about = dict(method=method, profile=profile, **made(method), alpha=METHODS[method][0]["alpha"], device=str(where), commit=commit(), axes="seed first")
        keep(place_of(method), stacked([meta_train(method, s) for s in seeds_of(method)]), about)
    return kept(place_of(method), where)[0]


# %% tags=["fold"]
def pace(method):
    """Seconds that a step of the environment takes here, learning from it included: by one meta-update of a few tasks, after a small one."""
    m, clock = METHODS[method][0], []
    few, learner, theta = min(4, m["tasks"]), stepping(reinforce(m["policy"]), sizes(method, m["alpha"], 1)), m["policy"].init(seeded(0, where))
    for n in (2, m["rollouts"] // max(1, 4 // m["tasks"])):
        last(train_policy(m["env"], m["policy"], learner, theta, generator=seeded(0, where), tasks=few, rollouts=n, steps=m["steps"], every=m["every"], iterations=1))
        clock.append(time.perf_counter())
    return (clock[1] - clock[0]) / (few * n * (m["steps"] + 1) * world.horizon)


def seconds_of(experiment):
    """About how long an experiment's meta-trainings take here. `bank` says it."""
    spent = lambda s: s["tasks"] * s["rollouts"] * (s["steps"] + 1) * world.horizon * s["iterations"]
    return sum(len(seeds_of(m)) * spent(size_of(m)) * pace(m) for m in EXPERIMENTS[experiment]) or None


# %% [markdown]
# And one of another kind: *RL$^2$* (Duan et al. 2016), which the paper cites and never runs. Its policy has a memory, fed
# with what it did and what that brought; the memory outlives an episode. It is trained, by the same TRPO and at `paper` on as many environment
# steps as MAML, for what a few episodes with one goal bring together. Its curvature comes from all trials, since every tenth is too few. More of it further down.

# %%
RECALL = dict(trials=budget(profile, smoke=4, quick=40, paper=80), episodes=budget(profile, smoke=2, quick=3, paper=3), iterations=budget(profile, smoke=2, quick=40, paper=330))
memory = rl2(world, episodes=RECALL["episodes"])


def remembering(g, resume):
    """The Steps of RL^2's training from where it stands, one for each update."""
    params, done, history = (memory.policy.init(g), 0, torch.empty(0, RECALL["episodes"])) if resume is None else (resume.meta, resume.iteration, resume.optimizer["returns"])
    g.set_state(g.get_state() if resume is None else resume.generator)
    for i in range(done, RECALL["iterations"]):
        played = memory.play(params, world.sample_goals(g, RECALL["trials"]), g)
        params, history = memory.update(params, played)[0], torch.cat([history, by_episode(played, RECALL["episodes"]).mean(0, keepdim=True)])
        yield Step(i + 1, params, {"returns": history}, g.get_state(), -history[:, -1])


by_episode = lambda played, number: episodes(played)[0][:, :number].cpu()  # the returns of a trial's first episodes, (trials, number)


recalled_before = lambda: profile == "paper" and place_of("rl2").exists() and dict(seed=seed, **RECALL).items() <= kept(place_of("rl2"))[1].items()


def recalling():
    """RL^2's parameters and its history, trained once."""
    if not recalled_before():
        about = dict(name="navigation rl2", seed=seed, **RECALL, code=source_key(rl2, Navigation))
        steps = resumable(place(about), lambda resume: remembering(seeded(seed, where), resume), about=about, device=where)
        end = last(progress(steps, RECALL["iterations"], f"RL^2, seed {seed}", done=lambda s: s.iteration, note=lambda s: "returns " + " ".join(f"{r:.1f}" for r in s.optimizer["returns"][-5:].mean(0))))
        keep(place_of("rl2"), end.meta | {"history.returns": end.optimizer["returns"]}, about | dict(device=str(where), commit=commit()))
    return kept(place_of("rl2"), where)[0]


recalled = recalling() if only in ("all", "navigation-rl2") or recalled_before() else None

# %%
chosen = [m for e, ms in EXPERIMENTS.items() if only in ("all", e) for m in ms if budgeted(m)]
results = {m: learned(m) for m in METHODS if m in chosen or on_file(m)}
if missing := [m for m in EXPERIMENTS["navigation"] if budgeted(m) and m not in results]:
    how = "`python -m mamlkit bank --only navigation` trains what this page compares with" if profile == "paper" else f'at {profile} it must be "all" or "navigation"'
    raise ValueError(f'only is "{only}", and nothing is kept of {", ".join(missing)}: {how}')
policies = lambda found: [{k: p[i] for k, p in found.items() if not k.startswith("history.")} for i in range(len(found["history.returns"]))]
theta = {m: policies(found) for m, found in results.items()} | {"random": [policy.init(seeded(s, where)) for s in seeds]}
METHODS["random"] = (meta, (0, 0, 0))
rose = results["maml"]["history.returns"].mean(0).cpu()

# %% tags=["figure"]
fig, ax = canvas(f"MAML learns to adapt, not to perform: in {len(rose)} updates the return after a step rises to {rose[-5:, 1].mean():.0f}, that before it to {rose[-5:, 0].mean():.0f}")
for column, width, label in ((0, 1, "before the step"), (1, 2.4, "after it")):
    draw(ax, "maml", range(1, len(rose) + 1), rose[:, column], marker="", linewidth=width, label=label)
ax.axhline(stood["distance"], color=LOOKS["truth"].color, linewidth=0.8, linestyle=":")
ax.annotate("standing still", (1, stood["distance"]), xytext=(0, 4), textcoords="offset points", fontsize=8.5)
ax.set(xlabel="meta-update", ylabel="mean return on training goals", ylim=(-85, 0), xlim=(0, 1.2 * len(rose)))
figure(fig, f"The mean return on training goals against the meta-update, before the inner step and after it. Before, it rises to {rose[-5:, 0].mean():.0f} and stays where standing still is; "
            f"after the step it rises to {rose[-5:, 1].mean():.0f}.")

# %% [markdown]
# ## Figure 4, top: how far does each update get?
#
# Forty goals, the authors' own. Before each of up to four updates a policy walks 40 times; the first step has size
# $\alpha$, all later ones half of it (appendix A.2). The pretrained and the random policy choose their step size from six,
# on validation goals. **What do you expect** of the third and fourth update?

# %%
UPDATES, walks = 4, budget(profile, smoke=4, quick=40, paper=40)
trained_goals = {"validation": validation_goals[: budget(profile, smoke=3, quick=20, paper=20)], "test": test_goals}
code = source_key(train_policy, maml, Navigation, Mixed)
LOST = -150.0  # what a walk counts that met a number that is not finite: less than any other


def ends(t, goals):
    """How far from its goal the first walk of every lane ends, on average: (goals,)."""
    at = t.last.int().argmax(-1)[..., None, None].expand(-1, -1, 1, 2)
    final = (t.observation[..., :2] + 0.1 * t.action.clamp(-1, 1)).gather(2, at).squeeze(2)
    return (final - goals[:, None]).norm(dim=-1).mean(1)


def summary(played, goals):
    """What is kept of walks: mean returns, counted in three ways, where they end, and how many there were; (goals, updates + 1) each."""
    broken = torch.stack([t.broken.flatten(1).any(1) for t in played], 1)
    kinds = {c: torch.stack([mean_return(t, world.horizon, c) for t in played], 1).masked_fill(broken, LOST) for c in ("begun", "finished", "first")}
    begun = torch.stack([t.first[..., : world.horizon].flatten(1).sum(1) for t in played], 1).float()
    return kinds | {"end": torch.stack([ends(t, goals) for t in played], 1), "walks": begun}


def measured(method, a, later=0.5, updates=UPDATES, on="test", walks=walks):
    """The summary of walks on test or validation goals, computed once: (seeds, goals, updates + 1) each."""
    goals, each = trained_goals[on], []
    for params in theta[method]:
        about = dict(name=f"navigation walks {method}", alpha=a, later=later, updates=updates, on=on, goals=len(goals), walks=walks, of=ravel(params)[0].double().sum().item(), code=code)
        go = lambda: summary(walked(method, params, goals, sizes(method, a, updates, later), walks, 40_000)[1], goals)
        each.append(remembered(about, go, where))
    return {k: torch.stack([e[k] for e in each]).cpu() for k in each[0]}


def swept(method):
    """Mean validation return after each update, for each step size of the grid: {alpha: (updates + 1,)}."""
    n = budget(profile, smoke=4, quick=20, paper=20)
    return {a: measured(method, a, on="validation", walks=n)["begun"].mean((0, 1)) for a in progress(GRID, len(GRID), f"step size of {method}")}


# %%
tried = {m: swept(m) for m in ("pretrained", "random")}
best_of = lambda m, value: max(tried[m], key=lambda a: value(tried[m][a]).item())
step = {"maml": alpha} | {m: best_of(m, lambda r: r[1:].mean()) for m in tried}
R = {m: measured(m, a) for m, a in progress(step.items(), 3, "test goals")}
R["oracle"] = measured("oracle", alpha, updates=0)
sharp = best_of("pretrained", lambda r: r[1])
R["pretrained, one step"] = measured("pretrained", sharp, updates=1)
g = seeded(0)
mean = {m: [bootstrap(r["begun"][..., k], g) for k in range(r["begun"].shape[-1])] for m, r in R.items()}
after = lambda m, k: mean[m][min(k, len(mean[m]) - 1)]

# %% tags=["figure"]
fig, ax = canvas(f"One update: MAML {after('maml', 1).value:.1f}, pretrained {after('pretrained', 1).value:.1f}; from the second on MAML stands at {after('maml', 2).value:.1f} to {after('maml', 4).value:.1f}", height=3.6)
for m in ("maml", "pretrained", "random", "oracle"):
    x = range(UPDATES + 1)
    low, high, middle = ([getattr(after(m, k), part) for k in x] for part in ("low", "high", "value"))
    draw(ax, m, x, middle, interval=(low, high), marker="" if m == "oracle" else LOOKS[m].marker)
    ax.plot(range(len(AUTHORS[m])), AUTHORS[m], "D", markersize=6, markerfacecolor="none", markeredgecolor=LOOKS["paper"].color, markeredgewidth=1.3)
ax.annotate("diamonds: the authors' numbers", (0.02, 0.02), xycoords="axes fraction", fontsize=8.5, color=LOOKS["paper"].color)
ax.set(xlabel="gradient updates", ylabel="mean return on new goals", xticks=range(5), xlim=(-0.1, 4.9), ylim=(-90, 2))
figure(fig, "Mean return on the authors' forty goals after 0 to 4 updates, with intervals: " + "; ".join(f"{LOOKS[m].label} " + ", ".join(f"{i.value:.1f}" for i in mean[m]) for m in ("maml", "pretrained", "random", "oracle"))
            + ". The authors' numbers stand beside them as diamonds.")

# %%
rows = [f"| {LOOKS[m].label if m in LOOKS else m} | {step.get(m, sharp if 'one' in m else '')} | " + " | ".join(f"{after(m, k).value:.1f}" + (f" ({AUTHORS[m][k]:.1f})" if k < len(AUTHORS.get(m, ())) else "") if k < len(mean[m]) else "" for k in range(UPDATES + 1)) + " |" for m in mean]
say("\n".join(["| | first step size | before | 1 update | 2 | 3 | 4 |", "|---|---|---|---|---|---|---|", *rows])
    + f"\n\n*In brackets: the authors' numbers. Step sizes were chosen on {len(trained_goals['validation'])} validation goals from {', '.join(map(str, GRID))}; \"pretrained, one step\" is the same policy with the step size that is best after one.*")

# %%
gap = lambda a, b, k, kind="begun": bootstrap(R[a][kind][..., min(k, R[a][kind].shape[-1] - 1)] - R[b][kind][..., min(k, R[b][kind].shape[-1] - 1)], seeded(k))
over = {k: gap("maml", "pretrained, one step" if gap("maml", "pretrained, one step", 1).value < gap("maml", "pretrained", 1).value else "pretrained", 1) for k in (1,)}[1]
gains = {k: bootstrap(R["maml"]["begun"][..., k] - R["maml"]["begun"][..., k - 1], seeded(k)) for k in range(1, UPDATES + 1)}
ORDER = (("oracle", "maml"), ("maml", "pretrained"), ("pretrained", "random"))
order = {f"{a if a == 'oracle' else LOOKS[a].label} above {LOOKS[b].label}": [gap(a, b, k) for k in (1, 2, 3)] for a, b in ORDER}
way = {k: (after("maml", k).value - after("maml", 0).value) / (after("oracle", 0).value - after("maml", 0).value) for k in (1, 2, 3)}
minus = lambda i: Interval(-i.value, -i.high, -i.low)
signed = lambda i: f"{i.value:+.1f} [{i.low:+.1f}, {i.high:+.1f}]"
protocol = (f"{len(rose)} meta-updates of {meta['tasks']} tasks and {meta['rollouts']} rollouts, curvature from each tenth step, alpha {alpha:g}, halved after the first step; best snapshot on validation goals; "
            f"{len(test_goals)} goals of the authors, {walks} rollouts before each update; every episode begun counts; step sizes: " + ", ".join(f"{m} {a:g}" for m, a in step.items()))

# %% tags=["claim"]
record(run, "C100", checks={"return": after("maml", 1).value >= -15, "above pretrained": over.low > 0}, protocol=protocol + f", {sharp:g} for one step",
       here={"minus the return before": minus(after("maml", 0)), "minus the return after 1 update": minus(after("maml", 1)), "minus the return, pretrained after 1 update": minus(after("pretrained, one step", 1)), "MAML minus pretrained": over},
       why=f"one update takes MAML from {after('maml', 0).value:.1f} to {after('maml', 1).value:.1f}, {signed(over)} above the pretrained policy.")

# %% tags=["claim"]
Table([
    record(run, "C101", checks={n: gains[k].low > 0 for n, k in (("second", 2), ("third", 3), ("fourth", 4))}, protocol=protocol,
           here={f"minus the return after {k} updates": minus(after("maml", k)) for k in (2, 3, 4)} | {f"gain of update {k}": i for k, i in gains.items()},
           why="the gain of the second update is " + ", of the third ".join(signed(gains[k]) for k in (2, 3)) + f", of the fourth {signed(gains[4])}."),
    record(run, "C102", checks={name: all(i.low > 0 for i in found) for name, found in order.items()}, protocol=protocol,
           here={"minus the return, oracle": minus(after("oracle", 0)), "minus the return, random after 1 update": minus(after("random", 1)), "minus the return, random after 3 updates": minus(after("random", 3)),
                 "minus the return, pretrained after 3 updates": minus(after("pretrained", 3))} | {f"{name}, after {k}": i for name, found in order.items() for k, i in zip((1, 2, 3), found)},
           why="differences after 1, 2 and 3 updates: " + "; ".join(f"{name} by " + ", ".join(f"{i.value:+.1f}" for i in found) for name, found in order.items()) + "."),
    record(run, "S109", checks={"two updates": way[2] >= 0.9}, protocol=protocol, here={f"share of the oracle's gain after {k}": v for k, v in way.items()},
           why=f"one update covers {way[1]:.0%} of the way from {after('maml', 0).value:.1f} to the oracle's {after('oracle', 0).value:.1f}, two cover {way[2]:.0%}."),
    record(run, "C103", checks={"first": 36 <= R["maml"]["walks"][..., 0].mean() <= 44, "fourth": 36 <= R["maml"]["walks"][..., 3].mean() <= 44}, protocol=protocol,
           here={"trajectories": R["maml"]["walks"][..., 0].mean().item(), "trajectories before the fourth update": R["maml"]["walks"][..., 3].mean().item()},
           why=f"4,000 environment steps hold {R['maml']['walks'][..., 0].mean():.0f} walks before the first update and {R['maml']['walks'][..., 3].mean():.0f} before the fourth, where walks end early."),
])

# %% [markdown]
# ## Figure 4, bottom: what the walks look like
#
# The first three of the authors' goals. **What do you expect** to see of a pretrained policy after three updates that were
# tuned for it?

# %%
shown = test_goals[:3]
seen = {m: walked(m, theta[m][0], shown, sizes(m, step[m], 3), walks, 40_000)[1] for m in ("maml", "pretrained")}
end = {m: bootstrap(R[m]["end"][..., 3], seeded(3)) for m in ("maml", "pretrained")}
nearer = gap("maml", "pretrained", 3, "end")

# %% tags=["figure"]
fig, axes = canvas(f"After three updates MAML's walks end {end['maml'].value:.2f} from the goal, the pretrained policy's {end['pretrained'].value:.2f}", rows=2, columns=4, height=4.4, sharex=True, sharey=True)
for row, (m, played) in zip(axes, seen.items()):
    for k, ax in enumerate(row):
        for i in range(len(shown)):
            ax.plot(*paths(played[k], i)[0][: 10 * (world.horizon + 1)].T, color=LOOKS[m].color, linewidth=0.6, alpha=0.35)
        ax.plot(*shown.T.cpu(), "*", color=LOOKS["truth"].color, markersize=10, markerfacecolor="#fdfdfb")
        ax.set(xlim=(-0.75, 0.75), ylim=(-0.75, 0.75), aspect="equal", xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5], title=f"{LOOKS[m].label}, {k} update{'s' * (k != 1)}")
figure(fig, "Walks towards three goals before and after one, two and three updates, MAML's above and the pretrained policy's below. "
            f"After three updates MAML's end {end['maml'].value:.2f} from the goal on average, the pretrained policy's {end['pretrained'].value:.2f}.")

# %% tags=["claim"]
record(run, "C121", checks={"nearer": nearer.high < 0, "at the goal": end["maml"].value < 0.1, "the pretrained ones spread": end["pretrained"].value > 0.1}, protocol=protocol,
       here={"distance at the end, MAML": end["maml"], "distance at the end, pretrained": end["pretrained"], "difference": nearer},
       why=f"after three updates MAML's walks end {end['maml'].value:.3f} from the goal, the pretrained policy's {end['pretrained'].value:.3f}: {'spread' if end['pretrained'].value > 0.1 else 'at the goal as well, not spread'}.")

# %% [markdown]
# **Put the goal somewhere.** Click into a panel, or use the sliders, then press play: each update is computed when it is
# shown, from the banked policies of the paper's budget, on as many walks as you choose. Look for the update after which
# the walks turn, and for what happens at the rim of the square, beyond which training had no goal. MAML's first step is the
# one that it was trained with; the pretrained policy's is the best of six on validation goals.

# %% tags=["widget"]
from mamlkit.audit.claims import BANK
from mamlkit.knobs.navigation import walk_knobs

one = {m: kept(BANK / "checkpoints" / f"navigation-{m}.safetensors")[0] for m in ("maml", "pretrained")}
its_own = lambda params: max(GRID, key=lambda a: one_step_return("pretrained", params, a, validation_goals[:20]))
walk_knobs({m: policies(found)[0] for m, found in one.items()}, alphas={"maml": 0.1, "pretrained": its_own(policies(one["pretrained"])[0])})  # 0.1: what the banked policy was trained with

# %% [markdown]
# ## New walks for every step
#
# Section 3.2: "each additional gradient step during the adaptation of $f_\theta$ requires new samples from the current
# policy". A supervised learner takes all its steps on one support set; here the samples are the policy's own. **What do
# you expect** if the second step uses the first step's walks again?

# %%
def second_step(params, again):
    """The return after two steps, the second one on new walks or `again` on the first step's: (goals,)."""
    batch, _ = walked("maml", params, test_goals, sizes("maml", alpha, 1), walks, 40_000)
    support = (batch.support[0], batch.support[0] if again else batch.query)
    two = lambda support: adapt(params, repeated(reinforce(policy), support, 2), sizes("maml", alpha, 2))[-1]
    played = rollout(world, policy, vmap(two)(support), test_goals, lanes=walks, generator=seeded(50_000, where))
    return mean_return(played, world.horizon).cpu()


def off_policy(params):
    """How far the distributions stored with the walks after a step are from those of the policy that the step leads to."""
    batch, _ = walked("maml", params, test_goals, sizes("maml", alpha, 1), walks, 40_000)
    now = vmap(lambda support, query: policy.forward(stepping(reinforce(policy), [alpha])(1).adapt(params, support)[-1], query.observation))(batch.support, batch.query)
    return max(((a - b) * batch.query.weight[..., None]).abs().max().item() for a, b in zip(now, batch.query.old))


reuse = {again: torch.stack([second_step(p, again) for p in theta["maml"]]) for again in (False, True)}
costs = bootstrap(reuse[False] - reuse[True], seeded(0))
stray = max(off_policy(p) for p in theta["maml"])
say(f"After two steps the return is **{reuse[False].mean():.1f}** where the second used new walks and **{reuse[True].mean():.1f}** where it used the first step's again: a difference of {signed(costs)}.")

# %% tags=["claim"]
record(run, "C020", checks={"on-policy": stray < 1e-6 * (1e2 if where.type == "cuda" else 1), "old samples lose": costs.low > 0}, protocol=protocol,
       here={"return after 2 updates, new walks": reuse[False].mean().item(), "the same walks again": reuse[True].mean().item(), "difference": costs, "largest difference of distributions": f"{stray:.0e}"},
       why=f"each batch comes from the policy adapted so far (to {stray:.0e}); the second step on the first step's walks again returns {reuse[True].mean():.1f} instead of {reuse[False].mean():.1f}.")

# %% [markdown]
# ## The missing term
#
# There is a catch in those samples. The inner step moves $\theta$ along walks that $\theta$ itself produced, so $\theta$ acts
# twice on the adapted policy: by where it starts, and by *which walks* it adapts to. Differentiating the loss through the
# inner step, as Algorithm 3 does, sees the first way only. With $\tau$ the walks and $R(\theta')$ the reward after adaptation,
#
# $$\nabla_\theta\, E_\tau\!\left[R(\theta'(\theta, \tau))\right] = \underbrace{E_\tau\!\left[\nabla_\theta R(\theta'(\theta, \tau))\right]}_{\text{what MAML estimates}} + \underbrace{E_\tau\!\left[R(\theta')\, \nabla_\theta \log P_\theta(\tau)\right]}_{\text{missing}} .$$
#
# On a bandit with three arms both can be computed exactly, by counting all histories of n pulls. **What do you expect**
# as n grows: does the missing term go away?

# %%
reward, logits = (torch.tensor(v, dtype=torch.double) for v in ([1.0, -0.5, 0.3], [0.2, -0.3, 0.1]))
PULLS, bandit_step = (1, 2, 3, 5, 8, 12, 20), 0.4
size = lambda v: v.norm().item()
INNER = {"log π (section 5.3)": bandit.by_log, "π / π_old": bandit.by_ratio}
grads = {name: [bandit.meta_gradient(reward, logits, alpha=bandit_step, samples=n, inner=loss) for n in PULLS] for name, loss in INNER.items()}
off = {name: [size(m.estimated - m.exact) / size(m.exact) for m in found] for name, found in grads.items()}
curves = {name: bandit.hessians(reward, logits, loss) for name, loss in INNER.items()}
bent = {name: size(ours - exact) / size(exact) for name, (exact, ours) in curves.items()}
right = {name: size(ours - exact) for name, (exact, ours) in ((n, bandit.gradients(reward, logits, loss)) for n, loss in INNER.items())}
whole = max(size(m.estimated + m.missing - m.exact) for m in grads["log π (section 5.3)"])
near = [size(m.exact - m.limit) / size(m.limit) for m in grads["log π (section 5.3)"]]

log, ratio = off.values()

# %% tags=["figure"]
fig, ax = canvas(f"The meta-gradient of section 5.3 is off by {log[0]:.0%} with one pull and by {log[-1]:.0%} with {PULLS[-1]}: more samples do not mend it")
for (name, values), look in zip(off.items(), ("maml", "oracle")):
    draw(ax, look, PULLS, [100 * v for v in values], label=name)
ax.set(xlabel="pulls before the inner step", ylabel="error of the expected meta-gradient, %", xlim=(0, 27), ylim=(0, None))
figure(fig, f"The relative error of the expected meta-gradient against the number of pulls, for an inner loss with the logarithm, from {log[0]:.1%} to {log[-1]:.1%}, and for one with the ratio, from {ratio[0]:.1%} to {ratio[-1]:.1%}.")

# %%
say(f"""Why does it stay? The gradient of $\\log\\pi \\cdot A$ is right on average (to {right['log π (section 5.3)']:.0e}), but its *Hessian*, which the
meta-gradient uses, is not the Hessian of the expected reward: it is off by **{bent['log π (section 5.3)']:.0%}** of its size. With $\\pi / \\pi_{{old}}$ in its place (the trick of DiCE, and of ProMP) gradient and Hessian are both exact
(to {bent['π / π_old']:.0e}), and the meta-gradient's error falls from {ratio[0]:.1%} to {ratio[-1]:.1%}. The exact gradient itself nears that of endless samples: {near[0]:.1%} away with {PULLS[0]} pull, {near[-1]:.1%} with {PULLS[-1]}.""")

# %% tags=["claim"]
record(run, "C021", checks={"inner": right["log π (section 5.3)"] < 1e-12, "outer": max(log) < 1e-12, "with the missing term": whole < 1e-12},
       here={"error of the inner gradient": f"{right['log π (section 5.3)']:.0e}"} | {f"error of the meta-gradient, {n} pulls": v for n, v in zip(PULLS, log)} | {"error with the missing term": f"{whole:.0e}", "error of the Hessian": bent["log π (section 5.3)"]},
       why=f"the inner gradient is right on average; the meta-gradient misses {log[0]:.1%} to {log[-1]:.1%} of its size on a bandit, exactly the term of how sampling changes (to {whole:.0e}), and its Hessian is off by {bent['log π (section 5.3)']:.0%}.")

# %% [markdown]
# ## What the paper says and the code does
#
# Four details. **The step size**: 0.1 "in all reinforcement learning experiments"; the navigation script and the name of
# the published model say 0.5. **The halved step**: a remark of appendix A.2. **The reward**: squared in the paper, plain in
# the code. **The rule that ends an episode**: a distance in the paper, a box in the code.

# %%
LATER = {"halved": 0.5, "the same": 1.0, "a hundredth": 0.01}
later = {name: measured("maml", alpha, later=f) for name, f in LATER.items()}
tail = lambda name: later[name]["begun"][..., 2:].mean(-1)
halving = bootstrap(tail("halved") - tail("the same"), seeded(0))
other = {m: measured(m, METHODS[m][0]["alpha"]) for m in ("alpha 0.5", "squared", "context", "exact curvature") if m in results}
R |= {m: r for m, r in other.items() if m != "squared"}
mean |= {m: [bootstrap(r["begun"][..., k], seeded(k)) for k in range(UPDATES + 1)] for m, r in other.items() if m != "squared"}
far = {m: [r["end"][..., k].mean().item() for k in range(UPDATES + 1)] for m, r in (R | other).items() if r["end"].shape[-1] > UPDATES}

# %% tags=["figure"]
fig, axes = canvas(f"Updates 2 to 4 with halved steps: {signed(halving)} against the same step throughout", columns=2, height=3)
for (name, r), style in zip(later.items(), ("-", "--", ":")):
    draw(axes[0], "maml", range(1, UPDATES + 1), r["begun"][..., 1:].mean((0, 1)), linestyle=style, label="").set_label(f"later steps: {name}")
for m, label, style in (("maml", "distance", "-"), ("squared", "squared distance", "--"), ("alpha 0.5", "alpha 0.5", ":")):
    if m in far:
        draw(axes[1], "maml", range(UPDATES + 1), far[m], linestyle=style, label="").set_label(label)
axes[0].set(xlabel="gradient updates", ylabel="mean return", xticks=range(1, 5))
axes[1].set(xlabel="gradient updates", ylabel="distance from the goal at the end", xticks=range(5), ylim=(0, None))
for ax in axes:
    ax.legend(frameon=False, fontsize=8.5)
figure(fig, "Left: the mean return after 1 to 4 updates for three rules for the later steps. Right: how far from the goal walks end, for training with the distance as reward, with its square, and with a first step of 0.5. "
            f"Halving changes the return of updates 2 to 4 by {signed(halving)}.")

# %%
box = 0.02 * torch.rand(10_000, 2, generator=seeded(4)) - 0.01
ended = world.step(world.reset(torch.zeros_like(box), seeded(0))._replace(observation=box), torch.zeros_like(box), torch.zeros_like(box))[2]
moved = world.step(world.reset(torch.zeros(1, 2), seeded(0)), torch.tensor([[7.0, -7.0]]), torch.zeros(1, 2))[0].observation.abs().max().item()
longest = int(walked("random", theta["random"][0], test_goals, [], walks, 60_000)[1][0].last.int().argmax(-1).max()) + 1
disagree = (ended != (box.norm(dim=1) < 0.01)).float().mean().item()
twenty = walked("maml", theta["maml"][0], test_goals, [], 20, 60_000)[1][0].first[..., : world.horizon].flatten(1).sum(1).float().mean().item()
MODEL = {"fast learning rate": 0.5, "rollouts": 20, "gradient steps": 1}  # quoted: the name of the published model and its script (cbfinn/maml_rl, maml_trpo_pointmass)
larger = bootstrap(other["alpha 0.5"]["begun"][..., 1] - R["maml"]["begun"][..., 1], seeded(0)) if "alpha 0.5" in other else None
say(f"Where walks end after one update: {far['maml'][1]:.2f} from the goal if the reward was the distance" + (f", {far['squared'][1]:.2f} if it was its square" if "squared" in far else "")
    + (f". With a first step of 0.5 the return after one update is {mean['alpha 0.5'][1].value:.1f}, with {alpha:g} it is {after('maml', 1).value:.1f}: {signed(larger)}." if larger else ".")
    + f" Within a square of 0.02 around the goal the code's rule and the paper's disagree in {disagree:.0%} of places.")

# %% tags=["claim"]
Table([
    record(run, "C135", checks={"halved above constant": halving.low > 0}, protocol=protocol, here={"updates 2 to 4, halved minus constant": halving} | {f"mean return of updates 2 to 4, {n}": tail(n).mean().item() for n in LATER},
           why="mean returns of updates 2 to 4: " + ", ".join(f"{n} {tail(n).mean():.1f}" for n in LATER) + f"; halved minus constant {signed(halving)}."),
    record(run, "C134", checks={"code": MODEL["fast learning rate"] == 0.1}, protocol=protocol + "; alpha 0.5 trained and tested with a first step of 0.5", here={"alpha": MODEL["fast learning rate"]} | ({"return after 1 update, 0.5 minus 0.1": larger} if larger else {}),
           why=f"the navigation script and the name of the published model say {MODEL['fast learning rate']}" + (f"; here {alpha:g} gives {after('maml', 1).value:.1f} after one update, 0.5 {signed(larger)} against it." if larger else ".")),
    record(run, "C104", checks={"code": False, "data": abs(stood["squared"] - AUTHORS["maml"][0]) < 4}, here={"minus the return before": -stood["distance"], "standing still, squared": stood["squared"]},
           why=f"the code returns the plain distance; standing still returns {stood['distance']:.1f} with it and {stood['squared']:.1f} with its square, and the authors' policy {AUTHORS['maml'][0]} before any update."),
    record(run, "C105", checks={"clipped": abs(moved - 0.1) < 1e-6, "horizon": longest == 100, "distance": disagree == 0}, here={"move": moved, "H": longest, "share of places where box and distance disagree": disagree},
           why=f"moves are at most {moved:.2g}, episodes {longest} steps; the code ends an episode in a box, not at a distance: they disagree in {disagree:.0%} of the box."),
    record(run, "C106", checks={"one update": MODEL["gradient steps"] == 1, "20 trajectories": MODEL["rollouts"] == 20, "counted": 18 <= twenty <= 22}, here={"trajectories": twenty},
           why=f"the published model's name says {MODEL['gradient steps']} update and {MODEL['rollouts']} trajectories; 2,000 environment steps before the update hold {twenty:.1f}."),
])

# %% [markdown]
# ## What does an average return average?
#
# Walks end early where they find the goal. The authors collect whole walks until 4,000 environment steps are full and average
# over those that finished: a batch then holds more of the short walks, which are the good ones. Counting every walk that
# was begun, whether or not the batch was full when it ended, is right on average.

# %%
ways = {c: [R["maml"][c][..., k].mean().item() for k in range(UPDATES + 1)] for c in ("begun", "first", "finished")}
kinder = bootstrap(R["maml"]["finished"][..., 2] - R["maml"]["begun"][..., 2], seeded(0))
told = {c: R["oracle"][c].mean().item() for c in ways}
WORDS = {"begun": "every walk begun", "first": "the first walk of each lane", "finished": "the authors' way"}
say("\n".join(["| MAML's mean return | before | 1 update | 2 | 3 | 4 | the oracle |", "|---|---|---|---|---|---|---|", *(f"| {WORDS[c]} | " + " | ".join(f"{v:.1f}" for v in values) + f" | {told[c]:.1f} |" for c, values in ways.items())])
    + f"\n\nAfter two updates the authors' way adds {signed(kinder)}. All records on this page count every walk begun; the authors' quoted numbers are counted their way.")

# %% [markdown]
# ## Appendix C.2: a context vector, and nothing else
#
# Give the network five more inputs, the same at every step, and let *only those five numbers* adapt: the paper's Table 4.
# The goal has two coordinates. **What do you expect**: can five numbers hold what ten thousand do?

# %%
in_words = f"Not trained at {profile} yet: `python -m mamlkit bank --only navigation-context`."
if "context" in R:
    each_of = {m: R[m]["begun"][..., 1].mean(1).tolist() for m in ("context", "maml")}
    behind = bootstrap(R["maml"]["begun"][..., 3] - R["context"]["begun"][..., 3], seeded(0))
    ahead = bootstrap(R["context"]["begun"][..., 1] - R["pretrained, one step"]["begun"][..., 1], seeded(0))
    in_words = (f"With five numbers adapting the returns are {', '.join(f'{i.value:.1f}' for i in mean['context'])} before and after one to four updates (the authors', up to three: {', '.join(map(str, AUTHORS['context']))}); "
                f"with all {sum(p.numel() for p in theta['maml'][0].values()):,} they are {', '.join(f'{i.value:.1f}' for i in mean['maml'])}. Each training after one update: {', '.join(f'{r:.1f}' for r in each_of['context'])}; "
                f"with all parameters {', '.join(f'{r:.1f}' for r in each_of['maml'])}.")
say(in_words)

# %% tags=["claim"]
record(run, "C140", checks={"like MAML": behind.value <= 3, "above pretrained": ahead.low > 0}, protocol=protocol + "; context of 5, alpha " + f"{METHODS['context'][0]['alpha']:g}",
       here={"minus the return before": minus(mean["context"][0])} | {f"minus the return after {k} update{'s' * (k > 1)}": minus(mean["context"][k]) for k in (1, 2, 3)} | {"MAML minus context after 3": behind, "context minus pretrained after 1": ahead} | {"after 1 update, each training": ", ".join(f"{r:.1f}" for r in each_of["context"])},
       why=f"adapting five numbers returns {mean['context'][1].value:.1f} after one update and {mean['context'][3].value:.1f} after three, {behind.value:+.1f} behind MAML; its {len(seeds)} trainings end at {', '.join(f'{r:.0f}' for r in each_of['context'])} after one update.") if "context" in R else None

# %% [markdown]
# ## RL$^2$: to remember instead of to step
#
# A memory can do what a gradient step does, and more: nothing says that it must learn from its rewards by a gradient. It may
# as well have found out that three distances from known places tell where the goal is. How it starts decided whether it
# learned at all: with smaller input weights and a memory that halves at every step, a first training stood still far below
# MAML. **What do you expect**: does it need twenty walks?

# %%
show(rl2)

# %%
WALKS, TRIALS = budget(profile, smoke=2, quick=20, paper=20), budget(profile, smoke=2, quick=20, paper=20)


def recall(params):
    """RL^2's mean return on each test goal in each of WALKS + 1 successive episodes, (goals, WALKS + 1), and how many steps all but the last
    took, on average. It was trained for the first few."""
    goals = test_goals.repeat_interleave(TRIALS, 0)
    played = rl2(world, episodes=WALKS + 1).play(params, goals, seeded(70_000, where))
    took = (played.valid & (played.last.cumsum(1) - played.last.long() < WALKS)).sum(1).float().mean().cpu()
    return {"returns": by_episode(played, WALKS + 1).unflatten(0, (len(test_goals), TRIALS)).mean(1), "steps": took}


by_memory, in_trials = None, f"Not trained at {profile} yet: `python -m mamlkit bank --only navigation-rl2`."
if recalled:
    weights = {k: p for k, p in recalled.items() if not k.startswith("history.")}
    trials = remembered(dict(name="navigation rl2 trials", goals=len(test_goals), walks=WALKS, trials=TRIALS, of=ravel(weights)[0].double().sum().item(), code=source_key(rl2, Navigation)), lambda: recall(weights), where)
    by_memory, took = trials["returns"].cpu(), trials["steps"].item()
    stepped = measured("maml", alpha, walks=WALKS)["begun"][:1]  # one seed of each
    trained_for = RECALL["episodes"]
    apart = {n: bootstrap(by_memory[None, :, n - 1] - stepped[..., 1], seeded(0)) for n in (trained_for, WALKS + 1)}
    in_trials = (f"RL$^2$ returns {', '.join(f'{r:.1f}' for r in by_memory[:, :trained_for].mean(0))} in its first {trained_for} episodes and {by_memory[:, -1].mean():.1f} in episode {WALKS + 1}, after {took:,.0f} steps on average; "
                 f"after an update on {WALKS} walks, of {WALKS * world.horizon:,} steps, MAML returns {stepped[..., 1].mean():.1f}. One training of each: RL$^2$'s on at most {RECALL['trials'] * trained_for * world.horizon * RECALL['iterations'] / 1e6:.1f} million environment steps, "
                 f"MAML's on {2 * meta['tasks'] * meta['rollouts'] * world.horizon * budgeted('maml') / 1e6:.1f} million.")
say(in_trials)

# %% tags=["figure"]
if recalled:
    fig, ax = canvas(f"Episode {trained_for} with a memory returns {by_memory[:, trained_for - 1].mean():.1f}; MAML returns {stepped[..., 1].mean():.1f} after one update on {WALKS} walks", height=3.0)
    draw(ax, "oracle", [world.horizon * i for i in range(WALKS + 1)], by_memory.mean(0), label="RL$^2$, episode by episode")
    draw(ax, "maml", [world.horizon * WALKS * k for k in range(UPDATES + 1)], stepped.mean((0, 1)), label="MAML, update by update")
    ax.axvline(world.horizon * trained_for, color=LOOKS["truth"].color, linewidth=0.8, linestyle=":")
    ax.annotate("RL$^2$ was trained up to here", (world.horizon * trained_for, 0.04), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points", fontsize=8.5)
    ax.set(xlabel="environment steps played with the goal, at most", ylabel="mean return of an episode", xlim=(0, 1.35 * world.horizon * WALKS * UPDATES))
    figure(fig, f"The mean return on the authors' goals against the environment steps played with a goal: of RL^2 in {WALKS + 1} successive episodes, from {by_memory[:, 0].mean():.1f} to {by_memory[:, -1].mean():.1f}, and of MAML before and after "
                f"each of {UPDATES} updates on {WALKS} walks: {', '.join(f'{r:.1f}' for r in stepped.mean((0, 1)))}.")

# %% tags=["claim"]
record(run._replace(seeds=[seed]), "X021", checks={"as good after as many steps": apart[WALKS + 1].low > -1, "as good in its last episode": apart[trained_for].low > -1, "trained as written": False},
       protocol=f"{RECALL['iterations']} TRPO updates of {RECALL['trials']} trials of {trained_for} episodes; {len(test_goals)} goals of the authors, {TRIALS} trials of each; departs from the criterion: curvature from all trials, and "
       "weights that start larger, since a first training stood still; trained at commit " + kept(place_of("rl2"))[1]["commit"],
       here={"steps in the episodes before the last": took} | {f"RL^2's return in episode {n}": by_memory[:, n - 1].mean().item() for n in (1, *apart)} | {"MAML's return after 1 update": stepped[..., 1].mean().item()} | {f"RL^2 in episode {n} minus MAML": i for n, i in apart.items()},
       why=f"RL^2 returns {by_memory[:, trained_for - 1].mean():.1f} in episode {trained_for} and {by_memory[:, -1].mean():.1f} in episode {WALKS + 1}, {signed(apart[WALKS + 1])} against MAML after one update on {WALKS} walks.") if recalled else None

# %% [markdown]
# ## What it cost
#
# An update of MAML plays 2 times 20 tasks times 20 rollouts, eight times what the authors gave their baselines. So the pretrained policy
# above plays as many; at `paper` the authors' batch of 100 is below. And the products with the curvature, the dear part, were
# taken from every tenth sample: at `paper` the table says what all samples give.

# %%
spent = lambda m: METHODS[m][0]["tasks"] * METHODS[m][0]["rollouts"] * (METHODS[m][0]["steps"] + 1) * world.horizon * budgeted(m)
COSTS = {"maml": "MAML", "pretrained": "pretrained", "pretrained, 100 paths": "pretrained, the authors' batch", "oracle": "oracle", "context": "context vector", "exact curvature": "MAML, curvature from all samples"}
small = {m: measured(m, sharp, updates=1) for m in ("pretrained, 100 paths",) if m in results}
one_update = {m: r["begun"][..., min(1, r["begun"].shape[-1] - 1)].mean().item() for m, r in (R | small).items()}
rows = [f"| {COSTS[m]} | {len(theta[m])} | {budgeted(m)} | {spent(m):,} | {one_update[m]:.1f} |" for m in COSTS if m in results]
say("\n".join(["| | seeds | meta-updates | environment steps, at least | return after one update (oracle: none) |", "|---|---|---|---|---|", *rows]))
curved = bootstrap((R["exact curvature"]["begun"] - R["maml"]["begun"][: len(theta["exact curvature"])])[..., 1], seeded(0)) if "exact curvature" in R else None

# %% tags=["claim"]
record(run._replace(seeds=[*seeds][: len(theta["exact curvature"])]), "X020", checks={"no": curved.low > -1 and curved.high < 1}, protocol=protocol,
       here={"return after 1 update, curvature from all samples": mean["exact curvature"][1], "all minus every tenth": curved},
       why=f"with curvature from all samples the return after one update is {mean['exact curvature'][1].value:.1f}, {signed(curved)} above that with every tenth.") if curved else None

# %% [markdown]
# ## Try it
#
# - Set `alpha = 0.5`, the step size of the authors' code: do the walks turn further with the first update? The later
#   ones, then of 0.25, should overshoot more often.
# - Set `rollouts = 5`: the step is taken on five walks instead of twenty, training and test see noisier gradients.
#   How much of the first update's gain is left?
# - Set `tasks = 5`: meta-updates see five goals. The authors' script remarks that few tasks are "much less stable".
#
# Headless: `python -m mamlkit run 04_navigation -p alpha=0.5`; at the paper's budget `python -m mamlkit bank --only navigation`.
# [Before: what first order loses](03_first_order.ipynb) · [next: locomotion](05_locomotion.ipynb) · [what is true](07_scoreboard.ipynb)

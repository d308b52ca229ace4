# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · A robot that finds the corner after twenty walks: how?

# %% tags=["imports"]
from collections import deque

import torch
from torch.func import vmap

from mamlkit import claims
from mamlkit.budget import budget
from mamlkit.checkpoint import keep, kept, place, remembered, resumable
from mamlkit.claims import Table, record
from mamlkit.evaluate import validated
from mamlkit.inner import adapt, inner_step, repeated
from mamlkit.intervals import Interval, bootstrap
from mamlkit.learner import unrolled
from mamlkit.literate import figure, progress, say, show, watch
from mamlkit.machine import choose_device, commit, seeded, source_key
from mamlkit.meta_rl import train_policy
from mamlkit.plots import LOOKS, canvas, draw
from mamlkit.rl.baseline import experience
from mamlkit.rl.collect import collect
from mamlkit.rl.context import in_context
from mamlkit.rl.goals import Informed, Mixed
from mamlkit.rl.navigation import Navigation, authors_goals
from mamlkit.rl.objectives import divergence, reinforce, surrogate
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import episodes, mean_return, rollout
from mamlkit.rl.trpo import trpo_step
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
only: str = "all"  # which experiment is run; one of all, none, navigation, navigation-context, navigation-alpha, navigation-squared, navigation-exact
alpha: float = 0.1  # the inner step size; above 0
tasks: int = 20  # tasks in a meta-batch; 1 or more
rollouts: int = 20  # rollouts of a task before and after the inner step, of 100 environment steps each; 1 or more

# %%
where = choose_device(device)
seeds = range(seed, seed + budget(profile, smoke=1, quick=1, paper=3))
run = claims.begin("04_navigation", profile, seeds, where)
world, policy = Navigation(), gaussian(2, 2)

# %%
meta = dict(env=world, policy=policy, alpha=alpha, adapts="all", steps=1, every=10,
            tasks=budget(profile, smoke=3, quick=tasks, paper=tasks), rollouts=budget(profile, smoke=4, quick=rollouts, paper=rollouts))
joint = meta | dict(env=Mixed(world), tasks=1, steps=0)
equal = 2 * meta["tasks"] * meta["rollouts"]  # as many environment steps in an update as MAML takes before and after its inner step
METHODS = {  # where it learns and what; the last numbers are its meta-updates at smoke, quick and paper
    "maml": (meta, (2, 30, 100)),
    "pretrained": (joint | dict(rollouts=equal), (2, 30, 100)),
    "pretrained, 100 paths": (joint | dict(rollouts=budget(profile, smoke=5, quick=100, paper=100)), (0, 0, 100)),
    "oracle": (joint | dict(env=Mixed(Informed(world)), policy=gaussian(4, 2), rollouts=budget(profile, smoke=5, quick=100, paper=100)), (2, 60, 100)),
    "context": (meta | dict(policy=in_context(policy, 5), alpha=10 * alpha, adapts="context"), (2, 20, 100)),
    "alpha 0.5": (meta | dict(alpha=0.5), (2, 20, 100)),
    "squared": (meta | dict(env=Navigation(reward="squared")), (2, 20, 100)),
    "exact curvature": (meta | dict(every=1), (0, 0, 100)),
}
EXPERIMENTS = {"navigation": ("maml", "pretrained", "pretrained, 100 paths", "oracle"), "navigation-context": ("context",),
               "navigation-alpha": ("alpha 0.5",), "navigation-squared": ("squared",), "navigation-exact": ("exact curvature",)}
GRID = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # step sizes that the pretrained and the random policy choose from, on validation goals
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
    grid = GRID[1:-1] if method.startswith("pretrained") else (METHODS[method][0]["alpha"],)
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


def meta_train(method, seed):
    m, iterations = METHODS[method][0], budgeted(method)
    size, g = {k: m[k] for k in ("tasks", "rollouts", "steps", "every")}, seeded(seed, where)
    theta, score_every = m["policy"].init(g), max(1, min(10, iterations // 2))
    about = dict(name=f"navigation {method}", seed=seed, alpha=m["alpha"], iterations=iterations, **size, score_every=score_every,
                 code=source_key(train_policy, maml, type(m["env"]), m["policy"].init))
    learners = stepping(reinforce(m["policy"]), sizes(method, m["alpha"], 1))
    go = lambda resume: validated(train_policy(m["env"], m["policy"], learners, theta, generator=g, **size, iterations=iterations, resume=resume), score(method), every=score_every)
    steps = watch(resumable(place(about), go, about=about, device=where), rising, f"The returns of {method} so far.")
    return last(progress(steps, iterations, f"{method}, seed {seed}", done=lambda s: s.iteration, note=returns_now))


def learned(method):
    """The best policies by seed and the runs' history: trained once, then read from where they are kept, at the paper's budget the bank."""
    path = claims.results() / "checkpoints" / f"navigation-{method.replace(', ', '-').replace(' ', '-')}.safetensors"
    if not (profile == "paper" and path.exists()):
        ends = [meta_train(method, s) for s in seeds]
        stack = lambda trees: tree_map(lambda *t: torch.stack(t), *trees)
        history = {"returns": [e.optimizer["returns"] for e in ends], "accepted": [e.optimizer["accepted"] for e in ends], "scores": [e.scores for e in ends]}
        about = dict(method=method, profile=profile, seeds=[*seeds], iterations=budgeted(method), device=str(where), commit=commit(), axes="seed first")
        keep(path, stack([e.best for e in ends]) | {f"history.{k}": torch.stack(v) for k, v in history.items()}, about)
    return kept(path, where)[0]


# %%
chosen = [m for e, ms in EXPERIMENTS.items() if only in ("all", e) for m in ms if budgeted(m)]
results = {m: learned(m) for m in chosen}

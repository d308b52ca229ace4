"""Section 5.3's locomotion: what is trained on the half-cheetah and the ant, and at which sizes."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mamlkit.bank.experiment import (
    Device,
    Experiment,
    Setting,
    beginning,
    compare,
    follows,
    last,
    load,
)
from mamlkit.machine import seeded
from mamlkit.nets import with_context
from mamlkit.rl.collect import halved
from mamlkit.rl.goals import Fixed, Informed, Mixed
from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import Policy, gaussian
from mamlkit.rl.train import returns_after, train_policy
from mamlkit.studies import locomotion_measures as measures
from mamlkit.train import Step
from mamlkit.variants.maml import maml

ALPHA = 0.1  # the inner step size (appendix A.2); a context takes ten times as much (ours)
CONTEXT = 5  # inputs that adapt in appendix C.2 (the authors' code)
METHODS = ("maml", "pretrained", "oracle", "random")
FOUND = (  # what `begin` finds of MAML's first update
    "the return before the step",
    "the return after it",
    "one plus TRPO's divergence",
    "one plus its surrogate",
    "whether it was accepted",
)
BAND = 20.0  # by which the mean return of one training may differ between two machines
BEGINNING = 20  # steps of an episode in a fingerprint: contacts soon multiply rounding, see `begin`
PACE = {"cheetah": 4e-5, "ant": 2e-4}  # seconds that a step takes one core, learning included

# tasks, rollouts: of a meta-batch. radius: TRPO's. every: curvature from each how-manieth step.
# even: goals of a meta-batch are spread evenly (ours: small batches are lopsided else). goals: of
# the authors' evaluation. practice: goals on which baselines choose their step size. Appendix A.2
# and cbfinn/maml_rl say what the paper's sizes are; the others are ours, for one core.
PAPER = dict(tasks=40, rollouts=20, iterations=500, every=1, goals=40, practice=20, even=False)
HALF = dict(tasks=20, rollouts=20, iterations=100, every=10, goals=20, practice=4, even=True)
SMALL = dict(tasks=10, rollouts=10, iterations=60, every=10, goals=20, practice=4, even=True)
ANT = dict(tasks=6, rollouts=10, iterations=50, every=10, goals=20, practice=2, even=True)
SIZES: dict[str, dict[str, Any]] = {
    "cheetah-direction-half": HALF | dict(radius=0.02),
    "cheetah-velocity-half": HALF | dict(radius=0.02, goals=40),
    "cheetah-direction-context": HALF | dict(radius=0.02),
    "cheetah-direction-cpu": SMALL | dict(radius=0.02),
    "cheetah-velocity-cpu": SMALL | dict(radius=0.02, iterations=100, goals=40),
    "ant-direction-cpu": ANT | dict(radius=0.02),
    "ant-velocity-cpu": ANT | dict(radius=0.02),
    "cheetah-direction": PAPER | dict(radius=0.02, iterations=100),  # the published model's
    "cheetah-velocity": PAPER | dict(radius=0.01),
    "ant-direction": PAPER | dict(radius=0.01, rollouts=40),
    "ant-velocity": PAPER | dict(radius=0.01),
}
SMALLER: dict[str, dict[str, Any]] = {  # what a shorter budget changes, of any of them
    "smoke": dict(tasks=2, rollouts=2, iterations=2, goals=2, practice=2, test_rollouts=2),
    "quick": dict(tasks=10, rollouts=10, iterations=8, goals=6, practice=2),
    "paper": {},
}


def seeds_of(name: str, method: str) -> int:
    """How many trainings of a method the bank holds at the least."""
    if name.startswith("ant") and name.endswith("cpu"):
        return 1
    return 1 if method == "oracle" or (method == "pretrained" and name.endswith("cpu")) else 3


def cells(name: str, budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """A setting for each method and seed. Baselines play as many steps of the environment in an
    iteration as MAML does, before and after its inner step together."""
    robot, task = name.split("-")[:2]
    size = SIZES[name] | dict(test_rollouts=40 if name.startswith("ant-direction") else 20)
    size |= SMALLER[budget]
    found = {}
    for method in ("context",) if name.endswith("context") else METHODS:
        own = {}
        if method not in ("maml", "context"):
            own = dict(tasks=1, rollouts=2 * size["tasks"] * size["rollouts"])
        if method == "random":
            own |= dict(iterations=0)
        for seed in range(seeds or (1 if budget != "paper" else seeds_of(name, method))):
            about = dict(robot=robot, task=task, method=method, seed=seed, alpha=ALPHA)
            found[f"{method}-{seed}"] = about | size | own
    return found


def environment(setting: Setting, horizon: int = 200) -> Any:
    """The robot's tasks as a method sees them at test: the oracle is shown the goal."""
    env = Locomotion(setting["robot"], setting["task"], even=setting["even"], horizon=horizon)
    return Informed(env) if setting["method"] == "oracle" else env


def policy_of(setting: Setting, env: Any) -> Policy:
    """The Gaussian policy of section 5.3, with a context where the method has one."""
    policy = gaussian(env.observations, env.actions)
    return (
        with_context(policy, CONTEXT, shift="layer0.bias")
        if setting["method"] == "context"
        else policy
    )


def step_size(setting: Setting, alpha: float) -> float | dict[str, float]:
    """A step size as the method takes it: for all parameters, or for the context alone."""
    return {"context": 10 * alpha} if setting["method"] == "context" else alpha


def steps(
    setting: Setting, resume=None, until=None, device: Device = "cpu", horizon: int = 200
) -> Iterator[Step]:
    """The training of a cell: Algorithm 3 for MAML, TRPO on all tasks at once for the baselines.

    A random start is one Step that nothing has changed. device: of the policy; MuJoCo simulates
    on the CPU.
    """
    env, generator = environment(setting, horizon), seeded(setting["seed"], device)
    policy = policy_of(setting, env)
    theta = policy.init(generator)
    if not setting["iterations"]:
        nothing = torch.empty(0)
        yield Step(0, theta, {}, generator.get_state(), nothing, {}, torch.empty(0, 2))
        return
    meta = setting["method"] in ("maml", "context")
    alpha = step_size(setting, setting["alpha"])
    yield from train_policy(
        env if meta else Mixed(env),
        policy,
        lambda k: maml(reinforce(policy), alpha=alpha, steps=k),
        theta,
        generator=generator,
        tasks=setting["tasks"],
        rollouts=setting["rollouts"],
        steps=int(meta),
        radius=setting["radius"],
        every=setting["every"],
        iterations=until or setting["iterations"],
        resume=resume,
    )


def measure(setting: Setting, step: Step) -> tuple[dict, dict[str, Tensor]]:
    """The snapshot with the best return in training (appendix A.2), and what it does on the
    authors' goals: see `locomotion_measures`."""
    env, theta = environment(setting), step.best or step.meta
    policy = policy_of(setting, env)
    loss = reinforce(policy)
    made = lambda alpha: halved(loss, alpha=step_size(setting, alpha))
    history = {k: step.optimizer[k] for k in ("returns", "broken", "accepted") if step.optimizer}
    table = measures.step_sizes(setting, env, policy, made, theta)
    best = table[table[:, 1].argmax(), 0].item()
    found = history | {"step sizes": table}
    found |= measures.tested(setting, env, policy, made(best), theta)
    if (setting["robot"], setting["task"]) == ("cheetah", "direction"):
        if setting["method"] in ("maml", "context"):
            found |= {"ways": measures.ways(setting, env, policy, made(best), theta)}
        if setting["method"] == "maml":
            found |= {"gain by tries": measures.by_tries(setting, env, policy, made(best), theta)}
    return theta, found


def begin(setting: Setting) -> Tensor:
    """The first update on episodes of twenty steps: returns before and after the inner step, one
    plus TRPO's divergence, one plus its surrogate, and whether it was accepted.

    Episodes are short because contacts multiply rounding: a change of the last digit of the
    parameters moves a return over 200 steps by some percent, over twenty by a millionth.
    Conjugate gradient multiplies it as well, so that what TRPO finds counts to 1e-4 of 1. Of an
    untrained start: its returns on two goals before and after a step.
    """
    if not setting["iterations"]:
        env = environment(setting, BEGINNING)
        policy = policy_of(setting, env)
        theta = policy.init(seeded(setting["seed"]))
        g = seeded(10_000 + setting["seed"])
        sizes: dict[str, Any] = dict(steps=1, rollouts=4, generator=g)
        learner = halved(reinforce(policy), alpha=setting["alpha"])
        return returns_after(env, policy, learner, theta, env.authors_goals(2), **sizes).flatten()
    few = dict(tasks=min(10, setting["tasks"]), rollouts=min(setting["rollouts"], 200))
    history = last(steps({**setting, **few}, None, 1, horizon=BEGINNING)).optimizer
    trpo = torch.stack([1 + history["kl"], 1 + history["after"], history["accepted"]], 1)
    return torch.cat([history["returns"][0], trpo[0]])


def repeats(experiment: Experiment, losses: Tensor, setting: Setting) -> str:
    """Holds the beginning of a training of today against the banked one, in words.

    losses: minus the returns after the step, one an update. On the machine that made the bank they
    agree to the last digit. On another one rounding makes them another training, so that the
    beginning must be the same (see `begin`), and the mean return within BAND.
    Raises ValueError naming the update that differs.
    """
    kept, n = load(experiment), len(losses)
    cell = f"{setting['method']}-{setting['seed']}"
    others = {c: r for c, r in kept.items() if r.setting["method"] == setting["method"]}
    means = {c: -r.measured["losses"][:n].mean().item() for c, r in others.items()}
    mine = -losses.mean().item()
    if cell not in kept:
        known = ", ".join(f"{m:.0f}" for m in means.values())
        return f"Nothing is banked of seed {setting['seed']}: {mine:.0f} here, others {known}."
    if (said := follows(losses[:0], kept[cell], setting)).startswith("Not compared"):
        return said
    first = torch.tensor(kept[cell].about["beginning"]).double()
    found = beginning(experiment, setting)
    for what, now, then in zip(FOUND, found.tolist(), first.tolist(), strict=False):
        if compare(torch.tensor([now]), torch.tensor([then])) != "same":
            raise ValueError(
                "this run is not the beginning of the banked one: it differs at update 1, on short "
                f"episodes, where {what} is {now:.7g}, banked is {then:.7g}"
            )
    if abs(mine - means[cell]) > BAND:
        raise ValueError(
            f"chapter 05, updates 1 to {n}: the mean return after the step is {mine:.1f}, banked "
            f"is {means[cell]:.1f}, and {BAND:.0f} are allowed"
        )
    same = int((losses == kept[cell].measured["losses"][:n]).long().cumprod(0).sum())
    exact = f"the first {same} to the last digit" if same else "by another rounding"
    return (
        f"Agrees with the bank over {n} updates ({exact}): the mean return after the step is "
        f"{mine:.1f}, banked {means[cell]:.1f}."
    )


def cost(setting: Setting) -> float:
    """About the seconds of one core: the training's environment steps, and those of the tests."""
    trained = setting["iterations"] * setting["tasks"] * setting["rollouts"]
    trained *= 2 if setting["method"] in ("maml", "context") else 1
    tests = 4 * setting["goals"] + 20 * setting["practice"] * (setting["method"] == "pretrained")
    slow = 2 if setting["every"] == 1 else 1  # curvature from all steps
    return PACE[setting["robot"]] * 200 * (slow * trained + setting["test_rollouts"] * tests)


def learning_curve(setting: Setting, step: Step) -> tuple[dict, dict[str, Tensor]]:
    """Of learning one task from scratch only the returns are kept."""
    return {}, {"returns": step.optimizer["returns"]}


def scratch_cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """Learning one direction alone, from random parameters, as `steps` of the other methods."""
    size = dict(smoke=dict(rollouts=2, iterations=2), quick=dict(rollouts=20, iterations=12))
    size = size.get(budget, dict(rollouts=20, iterations=25))
    about = dict(robot="cheetah", task="direction", tasks=1, radius=0.01, every=10, even=False)
    return {
        f"{way}-{seed}": dict(method=way, seed=seed, alpha=ALPHA, goal=goal, **about, **size)
        for way, goal in (("forward", 1.0), ("backward", -1.0))
        for seed in range(seeds or (3 if budget == "paper" else 1))
    }


def scratch_steps(
    setting: Setting, resume=None, until=None, device: Device = "cpu", horizon: int = 200
) -> Iterator[Step]:
    """TRPO on one direction, the one that the goal names."""
    env = Fixed(environment(setting, horizon), setting["goal"])
    policy, generator = policy_of(setting, env), seeded(setting["seed"], device)
    return train_policy(
        env,
        policy,
        lambda k: maml(reinforce(policy), alpha=setting["alpha"], steps=k),
        policy.init(generator),
        generator=generator,
        tasks=1,
        rollouts=setting["rollouts"],
        steps=0,
        radius=setting["radius"],
        every=setting["every"],
        iterations=until or setting["iterations"],
        resume=resume,
    )


def scratch_begin(setting: Setting) -> Tensor:
    """As `begin`: one update on episodes of twenty steps."""
    history = last(scratch_steps(setting, None, 1, horizon=BEGINNING)).optimizer
    trpo = torch.stack([1 + history["kl"], 1 + history["after"], history["accepted"]], 1)
    return torch.cat([history["returns"][0], trpo[0]])


def scratch_cost(setting: Setting) -> float:
    """Seconds of one core, by the episodes of a training from scratch."""
    return PACE["cheetah"] * 200 * setting["iterations"] * setting["rollouts"]


def untrained_cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """Untrained policies of each robot, on goal velocities: all of a robot are one cell."""
    size = dict(smoke=dict(policies=2, goals=2, test_rollouts=1))
    size = size.get(budget, dict(policies=20, goals=40, test_rollouts=5))
    about = dict(task="velocity", seed=0, even=True, alpha=ALPHA, iterations=0)
    return {f"{robot}-0": dict(robot=robot, method=robot, **about, **size) for robot in PACE}


def untrained_measure(setting: Setting, step: Step) -> tuple[dict, dict[str, Tensor]]:
    """What untrained policies return before and after their steps."""
    env = environment(setting)
    policy = policy_of(setting, env)
    learner = halved(reinforce(policy), alpha=setting["alpha"])
    return {}, measures.untrained(setting, env, policy, learner)


def untrained_cost(setting: Setting) -> float:
    """Seconds of one core, by the episodes that are played."""
    played = setting["policies"] * setting["goals"] * setting["test_rollouts"]
    return PACE[setting["robot"]] * 200 * played


SCRATCH = Experiment(
    "cheetah-direction-scratch",
    scratch_cells,
    scratch_steps,
    learning_curve,
    scratch_begin,
    scratch_cost,
)
UNTRAINED = Experiment(
    "untrained-robots", untrained_cells, steps, untrained_measure, begin, untrained_cost
)
TRAININGS = {
    name: Experiment(name, partial(cells, name), steps, measure, begin, cost) for name in SIZES
}
EXPERIMENTS = (
    *(e for name, e in TRAININGS.items() if len(name.split("-")) == 3),
    SCRATCH,
    UNTRAINED,
    *(e for name, e in TRAININGS.items() if len(name.split("-")) == 2),
)

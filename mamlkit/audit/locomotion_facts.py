"""Facts of the robots and of the paper's machinery, measured in seconds without a training."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vmap

from mamlkit.audit.intervals import over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.locomotion_quoted import AUTHORS
from mamlkit.machine import seeded
from mamlkit.nets import count
from mamlkit.rl.baseline import experience, linear_baseline
from mamlkit.rl.collect import collect
from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.objectives import reinforce, surrogate
from mamlkit.rl.policy import gaussian
from mamlkit.rl.trpo import finite_difference_product, fisher, linearised
from mamlkit.solve import conjugate_gradient
from mamlkit.trees import ravel, tree_map
from mamlkit.variants.maml import maml

ALPHA, DAMPING = 0.1, 1e-5  # appendix A.2; TRPO's in the authors' code


class Facts(NamedTuple):
    """drawn: goal velocities by robot. sizes: parameters of a policy by what it moves. extra: what
    a step's reward holds besides the goal's part and the bonus, by robot. cosine: of TRPO's
    direction by finite differences with the exact one, by their width. kept: do another task's
    advantages stay, and do this task's, when rewards change. linear: the error of doubled
    predictions."""

    drawn: dict[str, Tensor]
    sizes: dict[str, int]
    extra: dict[str, Tensor]
    cosine: dict[str, float]
    kept: list[bool]
    linear: float


def measure() -> Facts:
    """All of them, on one core in about ten seconds."""
    robots = {name: Locomotion(name, "velocity") for name in ("cheetah", "ant")}
    policies = {name: gaussian(env.observations, env.actions) for name, env in robots.items()}
    shapes = {"navigation": gaussian(2, 2)} | policies
    cosine, kept, linear = machinery()
    return Facts(
        {name: env.sample_goals(seeded(0), 10_000) for name, env in robots.items()},
        {name: count(policy.init(seeded(0))) for name, policy in shapes.items()},
        {name: besides(env, policies[name]) for name, env in robots.items()},
        cosine,
        kept,
        linear,
    )


def besides(env, policy) -> Tensor:
    """What the reward holds besides, in 20 steps of 100 robots: (steps, robots)."""
    g, found = seeded(0), []
    goals = env.sample_goals(g, 100)
    params, state = policy.init(g), env.reset(goals, g)
    for _ in range(20):
        action = policy.draw(policy.forward(params, state.observation), g)
        place = tuple(part.double().numpy() for part in state.hidden)
        found.append(
            torch.tensor(env.robot.move(place, action.clamp(-1, 1).double().numpy()).extra)
        )
        state = env.step(state, action, goals)[0]
    return torch.stack(found)


def machinery(horizon: int = 200) -> tuple[dict[str, float], list[bool], float]:
    """TRPO's directions and the baselines of two tasks, in double precision: (cosine, kept,
    linear) of `Facts`."""
    env, policy, g = Locomotion("cheetah", "direction", horizon=horizon), gaussian(20, 6), seeded(0)
    learner = lambda k: maml(reinforce(policy), alpha=ALPHA, steps=k)
    start, goals = policy.init(g), torch.tensor([[1.0], [-1.0]])
    how: dict[str, Any] = dict(steps=1, rollouts=4, generator=g)
    batch, both = collect(env, policy, learner, start, goals, **how)
    theta, tasks, played = (doubled(tree) for tree in (start, batch, both[0]))
    vector, unravel = ravel(theta)

    def after(v, task):
        adapted = learner(1).adapt(unravel(v), task.support)[-1]
        return policy.forward(adapted, task.query.observation)

    def objective(v):
        return vmap(lambda task: surrogate(policy, after(v, task), task.query))(tasks).mean()

    slope = grad(objective)(vector)
    both_tasks = fisher(linearised(after, vector, tasks), policy, tasks)  # summed over the two
    exact = direction(lambda v: both_tasks(v) / 2, slope)
    cosine = {}
    for name, base in (("as meant", 1e-5), ("as released", 1.0)):
        coarse = direction(
            lambda v, base=base: finite_difference_product(
                learner(1), policy, theta, tasks, v, base=base
            ),
            slope,
        )
        cosine[name] = torch.cosine_similarity(coarse, exact, 0).item()
    other = played._replace(reward=played.reward.clone())
    other.reward[1] *= 1 + torch.rand(other.reward[1].shape, generator=seeded(1))
    pairs = zip(experience(played).advantage, experience(other).advantage, strict=True)
    first = tree_map(lambda t: t[0], played)
    once, twice = (linear_baseline(first, k * played.reward[0]) for k in (1, 2))
    error = (twice - 2 * once).abs().max() / once.abs().max()
    return cosine, [torch.equal(a, b) for a, b in pairs], error.item()


def doubled(tree):
    """The same numbers in double precision."""
    return tree_map(lambda t: t.double() if t.is_floating_point() else t, tree)


def direction(product, slope: Tensor) -> Tensor:
    """TRPO's direction: ten steps of conjugate gradient on (F + damping) x = -g."""
    return conjugate_gradient(lambda v: product(v) + DAMPING * v, -slope, iterations=10)


def evenly(goals: Tensor, top: float) -> bool:
    """Do goals lie from 0 to `top`, their mean within 2 % of the middle?"""
    inside = bool(0 <= goals.min() and goals.max() <= top)
    return inside and abs(goals.mean().item() - top / 2) < 0.02 * top / 2


def judge_untrained(e) -> Finding | None:
    """C112: "reward for random initialization ... < -200 for cheetah and < -25 for ant"."""
    if len(e.untrained) < 2:
        return None
    start = {name: over_seeds(r["returns"].mean(1)) for name, r in e.untrained.items()}
    policies = len(e.untrained["cheetah"]["returns"])
    theirs = {name: max(AUTHORS[f"{name}-velocity"]["random"]) for name in ("cheetah", "ant")}
    return Finding(
        {
            "as quoted": theirs["cheetah"] < -200 and theirs["ant"] < -25,
            "cheetah, here": start["cheetah"].high < -200,
            "ant, here": start["ant"].high < -25,
        },
        {f"return of untrained policies, {name}": i for name, i in start.items()},
        f"as quoted, at most {theirs['cheetah']:.0f} and {theirs['ant']:.0f}; here "
        f"{policies} untrained policies return {start['cheetah']} and {start['ant']}.",
        seeds=range(policies),
        experiments=("untrained-robots",),
    )


def judge_goals(e) -> Finding:
    """C114: goal velocities uniform between 0 and 2 (cheetah) and 0 and 3 (ant)."""
    drawn = e.facts.drawn
    return Finding(
        {"cheetah": evenly(drawn["cheetah"], 2), "ant": evenly(drawn["ant"], 3)},
        {f"{name}'s top goal, m/s": drawn[name].max().item() for name in ("cheetah", "ant")},
        "10,000 goals lie evenly in these ranges.",
    )


def judge_reward(e) -> Finding:
    """C115: "the reward is the negative absolute value between the current velocity ... "."""
    extra = e.facts.extra
    return Finding(
        {name: not extra[name].any() for name in ("cheetah", "ant")},
        {f"besides, a step, {name}": x.mean().item() for name, x in extra.items()},
        f"control costs the cheetah {-extra['cheetah'].mean():.2f} a step; the ant gets 0.05 for "
        f"not falling and pays for control and contacts, {extra['ant'].mean():+.3f} together.",
    )


def judge_policy(e) -> Finding:
    """C117: "two hidden layers of size 100, with ReLU nonlinearities"."""
    sizes = e.facts.sizes
    said = {"navigation": 10_604, "cheetah": 12_812, "ant": 23_516}
    return Finding(
        {name: sizes[name] == number for name, number in said.items()},
        {f"{name}'s parameters": sizes[name] for name in ("cheetah", "ant")},
        f"{sizes['navigation']:,}, {sizes['cheetah']:,} and {sizes['ant']:,} parameters.",
    )


def judge_differences(e) -> Finding:
    """C118: "we use finite differences to compute the Hessian-vector products for TRPO"."""
    cosine = e.facts.cosine
    return Finding(
        {name: c > 0.99 for name, c in cosine.items()},
        {f"cosine with the exact direction, {name}": c for name, c in cosine.items()},
        "the cosine with the direction of exact products is "
        + ", ".join(f"{c:.4f} ({name})" for name, c in cosine.items())
        + ".",
        "2 tasks, 4 rollouts, untrained policy, double precision",
    )


def judge_baseline(e) -> Finding:
    """C119: "a linear feature baseline, fitted separately ... for each sampled task"."""
    kept, linear = e.facts.kept, e.facts.linear
    return Finding(
        {"separately": kept == [True, False], "linear": linear < 1e-6},
        {"error of doubled predictions": f"{linear:.0e}"},
        "other rewards in one task leave the other's advantages bit for bit; doubled rewards "
        f"double the predictions (to {linear:.0e}).",
    )


def judge_bonus(e) -> Finding | None:
    """C138: "a positive reward bonus ... to prevent the ant from ending the episode"."""
    if "ant" not in e.untrained:
        return None
    total, length = (e.untrained["ant"][k] for k in ("total", "length"))
    without, with_it = (
        torch.corrcoef(torch.stack([total + (bonus - 1) * length, length]))[0, 1].item()
        for bonus in (0, 1)
    )
    return Finding(
        {"without it, ending early pays": without < 0, "with it, lasting pays": with_it > 0},
        {
            "correlation of length and return, without the bonus": without,
            "with it": with_it,
            "mean length": length.mean().item(),
        },
        f"an untrained ant's episodes last {length.mean():.0f} steps on average; length and return "
        f"correlate by {without:+.2f} without the bonus, {with_it:+.2f} with it.",
        experiments=("untrained-robots",),
    )


JUDGES = {
    "C112": judge_untrained,
    "C114": judge_goals,
    "C115": judge_reward,
    "C117": judge_policy,
    "C118": judge_differences,
    "C119": judge_baseline,
    "C138": judge_bonus,
}

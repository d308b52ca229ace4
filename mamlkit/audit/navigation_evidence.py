"""What is read from the bank for the claims of 2D navigation."""

from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.audit.intervals import Interval, bootstrap, over_seeds
from mamlkit.bank.experiment import Experiment, load
from mamlkit.machine import seeded
from mamlkit.rl.navigation import NEAR, Navigation, authors_goals
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import mean_return, rollout
from mamlkit.studies.navigation import (
    ALPHA,
    CONTEXT,
    CONTEXT_ALPHAS,
    EXACT,
    NAVIGATION,
    RL2,
    SQUARED,
)
from mamlkit.studies.navigation_bandit import Counted, counted
from mamlkit.trees import Params

# Mean returns on the 40 goals after 0, 1, ... updates, quoted: the authors' result files
# (cbfinn/maml_rl, icml/*.pkl), plotted in Figure 4; "context": Table 4.
AUTHORS = {
    "maml": (-40.41, -11.68, -3.33, -3.23, -3.35),
    "pretrained": (-40.81, -19.73, -11.72, -8.48, -7.49),
    "random": (-82.66, -57.96, -53.84, -46.81, -42.91),
    "oracle": (-2.29,),
    "context": (-42.42, -13.90, -5.17, -3.18),
}
# Quoted: their script maml_trpo_pointmass, the name of the model that it made, and the reward of
# their environment (cbfinn/maml_rl).
CODE = {"alpha": 0.5, "rollouts": 20, "gradient steps": 1, "reward": "distance"}

Measured = dict[str, Tensor]  # tensors by name, each (seeds, ...)


class Facts(NamedTuple):
    """Of the environment that follows the authors' code. still: by reward, what standing still
    returns on their goals; move: the longest move of a coordinate; longest: steps of an episode;
    disagree: share of the box around the goal in which box and distance disagree about the end."""

    still: dict[str, float]
    move: float
    longest: int
    disagree: float


class Evidence(NamedTuple):
    """walks: by method, what was measured on the authors' goals at the method's own step sizes,
    (seeds, goals, updates + 1) each. step: the first step size of each. theta: the policies of the
    first seed. maml: what only MAML's policies were asked. histories: returns in training,
    (seeds, updates, 2 or 1). tuning: by method, (step sizes, mean return on validation goals,
    (sizes, updates + 1)). contexts: what a context that was trained with each step size returns
    after one update on validation goals, at the best first step size there; the best of these
    trainings is the "context" of all others."""

    walks: dict[str, Measured]
    step: dict[str, float]
    theta: dict[str, Params]
    maml: Measured
    histories: dict[str, Tensor]
    tuning: dict[str, tuple[list[float], Tensor]]
    settings: dict[str, dict]
    rl2: Measured
    rl2_setting: dict
    contexts: dict[float, float]
    facts: Facts
    bandit: Counted

    def returns(self, method: str, updates: int, way: str = "begun") -> Tensor:
        """Mean returns after so many updates, (seeds, goals); the oracle takes none."""
        found = self.walks[method][way]
        return found[..., min(updates, found.shape[-1] - 1)]

    def after(self, method: str, updates: int, way: str = "begun") -> Interval:
        """A method's mean return after so many updates."""
        return interval(self.returns(method, updates, way))

    def above(self, one: str, other: str, updates: int) -> Interval:
        """How much higher a method's return is than another's, paired over seeds and goals."""
        ours, theirs = self.returns(one, updates), self.returns(other, updates)
        return interval(ours[: len(theirs)] - theirs[: len(ours)])

    def seeds(self, method: str = "maml") -> range:
        """The seeds that were trained by a method."""
        return range(len(self.walks[method]["begun"]))


def interval(values: Tensor) -> Interval:
    """The mean of (seeds, goals): by Student's t over three seeds or more; of one seed by bootstrap
    over goals, which says nothing of another training. Two seeds have none."""
    if len(values) == 1:
        return bootstrap(values, seeded(0))
    found = over_seeds(values.double().mean(1))
    return found if len(values) > 2 else Interval(found.value, float("nan"), float("nan"))


def evidence(budget: str = "paper") -> Evidence:
    """All of it, in seconds; methods that are not banked are left out.

    Raises FileNotFoundError if one of Figure 4's four is missing.
    """
    found = _stacked(NAVIGATION, budget)
    others = {"alpha 0.5": ALPHA, "squared": SQUARED, "exact": EXACT}
    for name, experiment in others.items():
        if kept := _stacked(experiment, budget):
            (found[name],) = kept.values()
    contexts = {}
    for one in (_stacked(CONTEXT, budget) | _stacked(CONTEXT_ALPHAS, budget)).values():
        reached = one[0]["validation"].mean((0, 2))[:, 1].max().item()
        if reached > max(contexts.values(), default=float("-inf")):
            found["context"] = one
        contexts[one[2]["alpha"]] = reached
    if missing := [m for m in ("maml", "pretrained", "random", "oracle") if m not in found]:
        raise FileNotFoundError(
            f"the bank holds no navigation {', '.join(missing)}; "
            "`python -m mamlkit bank --only navigation` makes it"
        )
    walks, step, tuning = {}, {}, {}
    for method, (measured, _, setting) in found.items():
        walks[method], step[method] = _at(measured, 0), setting["tested"][0]
        if setting["tried"]:  # "validation": (seeds, tried, goals, updates + 1)
            sizes, returns = setting["tried"], measured["validation"].mean((0, 2))
            tuning[method] = sizes, returns
            ways = {method: returns[:, 1:].mean(1), f"{method}, one step": returns[:, 1]}
            for name, by_size in ways.items():
                step[name] = sizes[int(by_size.argmax())]
                if step[name] in setting["tested"]:
                    walks[name] = _at(measured, setting["tested"].index(step[name]))
    rl2 = load(RL2, budget)
    return Evidence(
        walks,
        step,
        {m: theta for m, (_, theta, _) in found.items()},
        found["maml"][0],
        {m: one["returns"] for m, (one, _, _) in found.items()},
        tuning,
        {m: setting for m, (_, _, setting) in found.items()},
        _together([r.measured for r in rl2.values()]) if rl2 else {},
        next(iter(rl2.values())).setting if rl2 else {},
        contexts,
        facts(),
        counted(),
    )


def _stacked(experiment: Experiment, budget: str) -> dict[str, tuple[Measured, Params, dict]]:
    """By method: what was measured, seed first; the first seed's policy; its setting."""
    cells: dict[str, list] = {}
    for result in load(experiment, budget).values():
        cells.setdefault(result.setting["method"], []).append(result)
    return {
        method: (_together([r.measured for r in all_]), all_[0].params, all_[0].setting)
        for method, all_ in cells.items()
    }


def _together(measured: list[Measured]) -> Measured:
    return {k: torch.stack([one[k] for one in measured]) for k in measured[0]}


def _at(measured: Measured, size: int) -> Measured:
    """What was measured at one of the step sizes, (seeds, goals, updates + 1) each."""
    return {k: measured[k][:, size] for k in ("begun", "finished", "first", "end", "walks")}


def facts() -> Facts:
    """Made here, in a second."""
    world, policy, goals = Navigation(), gaussian(2, 2), authors_goals(40)
    untrained = {k: p.expand(len(goals), *p.shape) for k, p in policy.init(seeded(0)).items()}
    idle = policy._replace(draw=lambda dist, generator: torch.zeros_like(dist.mean))
    still = {}
    for reward in ("distance", "squared"):
        own = Navigation(reward=reward)
        played = rollout(own, idle, untrained, goals, lanes=1, generator=seeded(0))
        still[reward] = mean_return(played, own.horizon).mean().item()
    played = rollout(world, policy, untrained, goals, lanes=5, generator=seeded(60_000))
    box = NEAR * (2 * torch.rand(10_000, 2, generator=seeded(4)) - 1)
    nowhere = torch.zeros_like(box)
    ended = world.step(world.reset(nowhere, seeded(0))._replace(observation=box), nowhere, nowhere)
    one = torch.zeros(1, 2)
    moved = world.step(world.reset(one, seeded(0)), torch.tensor([[7.0, -7.0]]), one)
    return Facts(
        still,
        moved[0].observation.abs().max().item(),
        int(played.last.int().argmax(-1).max()) + 1,
        (ended[2] != (box.norm(dim=1) < NEAR)).float().mean().item(),
    )

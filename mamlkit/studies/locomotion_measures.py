"""What is measured of a trained robot: returns on the authors' goals, its ways, its experience."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mamlkit.bank.experiment import Setting
from mamlkit.learner import Learner
from mamlkit.machine import seeded
from mamlkit.rl.collect import collect
from mamlkit.rl.policy import Policy
from mamlkit.rl.rollout import Trajectories, episodes, mean_return
from mamlkit.trees import Params

STEPS = 3  # gradient steps at test (Figure 5)
GRID = (0.02, 0.1, 0.2, 0.5, 1.0)  # step sizes that the baselines choose from (ours)
TRIES = (1, 2, 5, 10, 20)  # episodes in the step whose gain is measured
ALONG = 17  # of what the half-cheetah sees: where its centre of mass is along x, in metres
EACH = 2  # of a way each how-manieth place is kept

Learners = Callable[[int], Learner]


def play(setting: Setting, env, policy, learner, theta, goals, steps, rollouts=None) -> list:
    """What is played on every goal before adaptation and after each of `steps` steps."""
    how = dict(steps=steps, rollouts=rollouts or setting["test_rollouts"])
    how |= dict(generator=seeded(10_000 + setting["seed"]))
    return collect(env, policy, learner, theta, goals, **how)[1]


def returned(played: list[Trajectories], horizon: int, counted: str = "finished") -> Tensor:
    """Mean returns, (goals, steps + 1), counted as the authors count them by default."""
    return torch.stack([mean_return(t, horizon, counted) for t in played], 1)


def step_sizes(
    setting: Setting, env: Any, policy: Policy, made: Callable[[float], Learners], theta: Params
) -> Tensor:
    """Step sizes and the return after three steps with each on practice goals, (sizes, 2).

    MAML and the oracle keep the size that they were trained with.
    """
    if setting["method"] not in ("pretrained", "random"):
        return torch.tensor([[setting["alpha"], 0.0]])
    goals = env.sample_goals(seeded(20_000), setting["practice"])

    def after(alpha):
        played = play(setting, env, policy, made(alpha), theta, goals, STEPS)
        return returned(played, env.horizon)[:, -1].mean()

    return torch.tensor([[alpha, after(alpha)] for alpha in GRID])


def tested(
    setting: Setting, env: Any, policy: Policy, learner: Learners, theta: Params
) -> dict[str, Tensor]:
    """Returns on the authors' goals after 0 to 3 steps, later ones half as large; the oracle takes
    none.

    "finished" and "begun", (goals, steps + 1): two ways of counting, see `mean_return`. "early",
    (steps + 1,): the share of episodes that ended before the horizon.
    """
    plain = getattr(env, "env", env)
    goals = plain.authors_goals(setting["goals"])
    steps = 0 if setting["method"] == "oracle" else STEPS
    played = play(setting, env, policy, learner, theta, goals, steps)
    return {
        "goals": goals,
        "broken in test": torch.stack([t.broken.sum() for t in played]).sum(),
        "early": torch.stack([too_short(t, env.horizon) for t in played]),
        "finished": returned(played, env.horizon),
        "begun": returned(played, env.horizon, "begun"),
    }


def too_short(played: Trajectories, horizon: int) -> Tensor:
    """The share of the finished episodes that ended before the horizon."""
    length, end = episodes(played)[1:]
    return (end.isfinite() & (length < horizon)).sum() / end.isfinite().sum()


def ways(setting: Setting, env: Any, policy: Policy, learner: Learners, theta: Params) -> Tensor:
    """Where the half-cheetah is along x in twenty episodes before and twenty after one step.

    Metres from where it began, half precision: (before and after, forward and backward, episodes,
    time), each second frame of 0.01 s. The step is taken on the very episodes before it.
    """
    goals = torch.tensor([[1.0], [-1.0]])
    played = play(setting, env, policy, learner, theta, goals, 1)
    x = torch.stack([t.observation[..., ALONG] for t in played])
    return (x - x[..., :1])[..., ::EACH].half()


def by_tries(
    setting: Setting, env: Any, policy: Policy, learner: Learners, theta: Params
) -> Tensor:
    """What one step adds to the mean return on twenty goals when it is taken on few episodes:
    one number for each of TRIES."""
    goals = env.authors_goals(min(20, setting["goals"]))

    def gain(tries):
        played = play(setting, env, policy, learner, theta, goals, 1, tries)
        return returned(played, env.horizon).diff(dim=1).mean()

    return torch.stack([gain(tries) for tries in TRIES])


def untrained(setting: Setting, env: Any, policy: Policy, learner: Learners) -> dict[str, Tensor]:
    """Untrained policies on the authors' goals: "returns", (policies, goals), and of the first
    policy the "total" return and "length" of every episode."""
    goals, rows, found = env.authors_goals(setting["goals"]), [], {}
    for seed in range(setting["policies"]):
        theta = policy.init(seeded(seed))
        played = collect(
            env,
            policy,
            learner,
            theta,
            goals,
            steps=0,
            rollouts=setting["test_rollouts"],
            generator=seeded(10_000 + seed),
        )[1]
        rows.append(returned(played, env.horizon)[:, 0])
        if seed == 0:
            total, length, end = (t.flatten() for t in episodes(played[0]))
            over = end.isfinite() & (length > 0)
            found = {"total": total[over].float(), "length": length[over].float()}
    return {"returns": torch.stack(rows)} | found

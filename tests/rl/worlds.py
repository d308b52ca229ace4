"""Environments small enough to know all about, and a policy over arms. No two axes are equal."""

import torch

from mamlkit.machine import seeded
from mamlkit.rl.collect import collect
from mamlkit.rl.env import State
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import Policy, gaussian
from mamlkit.variants.maml import maml

TASKS, LANES, HORIZON = 3, 4, 7


class Clock:
    """Every step pays 1. A goal is (length, when a reward is NaN, when a state is infinite), times
    from 1, 0 for never."""

    observations, actions = 2, 2

    def __init__(self, horizon=HORIZON):
        self.horizon = horizon

    def sample_goals(self, generator, tasks):
        return torch.randint(1, self.horizon + 3, (tasks, 1), generator=generator) * torch.tensor(
            [1, 0, 0]
        )

    def reset(self, goals, generator):
        return State(torch.zeros(len(goals), 2), torch.zeros(len(goals), dtype=torch.int64))

    def step(self, state, action, goals):
        now = state.hidden + 1
        reward = torch.where(now == goals[:, 1], torch.nan, 1.0)
        seen = torch.where(now == goals[:, 2], torch.inf, now.to(reward.dtype))
        return State(seen[:, None].expand(-1, 2).clone(), now), reward, now == goals[:, 0]


class Lottery(Clock):
    """The length of an episode is drawn at its start: 2, or the horizon."""

    def reset(self, goals, generator):
        long = torch.rand(len(goals), generator=generator) < 0.5
        return State(torch.zeros(len(goals), 2), torch.where(long, 0, self.horizon - 2))

    def step(self, state, action, goals):
        now = state.hidden + 1
        return State(state.observation, now), torch.ones(len(now)), now == self.horizon


def small(hidden=(5, 4), std=0.5):
    """A small Gaussian policy; tanh, so that differences have no kinks to cross."""
    return gaussian(2, 2, hidden=hidden, std=std, activation=torch.tanh)


def still():
    """A policy that never moves."""
    policy = small()
    return policy._replace(draw=lambda dist, generator: torch.zeros_like(dist.mean))


def shared(params, tasks=TASKS):
    """The same parameters for every task."""
    return {k: p.expand(tasks, *p.shape) for k, p in params.items()}


def played(steps=1, policy=None, seed=0, env=None, alpha=0.3, lanes=LANES):
    """(learner with `steps` inner steps, policy, theta, meta-batch) of a short navigation."""
    policy, env, generator = policy or small(), env or Navigation(horizon=HORIZON), seeded(seed)
    learner = lambda k: maml(reinforce(policy), alpha=alpha, steps=k)
    theta = {
        k: p + 0.1 * torch.randn(p.shape, generator=generator)
        for k, p in policy.init(generator).items()
    }
    goals = env.sample_goals(generator, TASKS)
    batch, _ = collect(
        env, policy, learner, theta, goals, steps=steps, rollouts=lanes, generator=generator
    )
    return learner(steps), policy, theta, batch


def arms(number=3):
    """A softmax policy over the arms of a bandit, which has nothing to see."""
    return Policy(
        lambda generator: {"logits": torch.randn(number, generator=generator)},
        lambda params, observation: params["logits"].log_softmax(-1).expand(len(observation), -1),
        lambda dist, generator: torch.multinomial(dist.exp(), 1, generator=generator).squeeze(-1),
        lambda dist, action: dist.gather(-1, action[:, None]).squeeze(-1),
        lambda old, new: (old.exp() * (old - new)).sum(-1),
    )

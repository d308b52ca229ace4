"""Environments made of another: a new goal for every episode, the goal in sight, one goal only.
What section 5.3 compares with."""

import torch
from torch import Generator, Tensor

from mamlkit.rl.env import Env, State


class Mixed:
    """All tasks as one: every episode has a goal of its own, drawn when it begins. What
    "pretraining on all of the tasks" sees.

    Its own goals are empty, (tasks, 0): there is nothing left to tell tasks apart.
    """

    def __init__(self, env: Env):
        self.env, self.horizon, self.observations, self.actions = (
            env,
            env.horizon,
            env.observations,
            env.actions,
        )

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        """Empty goals, (tasks, 0)."""
        return torch.empty(tasks, 0, device=generator.device)

    def reset(self, goals: Tensor, generator: Generator) -> State:
        """The first states, each with a goal drawn for it."""
        drawn = self.env.sample_goals(generator, len(goals))
        state = self.env.reset(drawn, generator)
        return State(state.observation, (drawn, state))

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        """One step towards the goal that the episode has drawn."""
        drawn, inner = state.hidden
        inner, reward, done = self.env.step(inner, action, drawn)
        return State(inner.observation, (drawn, inner)), reward, done


class Informed:
    """The goal stands beside the observation: the oracle of section 5.3, "which receives the goal
    as input"."""

    def __init__(self, env: Env):
        self.env, self.horizon, self.actions = env, env.horizon, env.actions
        self.observations = (
            env.observations + env.sample_goals(torch.Generator(), 1).flatten(1).shape[1]
        )

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        """The environment's own goals."""
        return self.env.sample_goals(generator, tasks)

    def reset(self, goals: Tensor, generator: Generator) -> State:
        """The first states, the goal beside the observation."""
        return _told(self.env.reset(goals, generator), goals)

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        """One step, the goal beside the observation."""
        inner, reward, done = self.env.step(state.hidden, action, goals)
        return _told(inner, goals), reward, done


class Fixed:
    """One task only: every goal that is drawn is this one, (...) or a number. What learning a new
    task from scratch sees."""

    def __init__(self, env: Env, goal: Tensor | float):
        self.env, self.horizon, self.observations, self.actions = (
            env,
            env.horizon,
            env.observations,
            env.actions,
        )
        self.goal = torch.as_tensor(goal, dtype=torch.get_default_dtype()).reshape(
            env.sample_goals(torch.Generator(), 1).shape[1:]
        )
        self.reset, self.step = env.reset, env.step

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        """The one goal, `tasks` times."""
        return self.goal.to(generator.device).expand(tasks, *self.goal.shape)


def _told(state, goals):
    return State(
        torch.cat([state.observation, goals.flatten(1).to(state.observation.dtype)], -1), state
    )

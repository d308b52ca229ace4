"""Environments made of another: with a new goal for every episode, and with the goal in sight. Section 5.3's baselines."""

import torch
from torch import Generator, Tensor

from mamlkit.rl.env import Env, State


class Mixed:
    """All tasks as one: every episode has a goal of its own, drawn when it begins. What "pretraining on all of the tasks" sees.

    Its own goals are empty, (tasks, 0): there is nothing left to tell tasks apart.
    """

    def __init__(self, env: Env):
        self.env, self.horizon, self.observations, self.actions = env, env.horizon, env.observations, env.actions

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        return torch.empty(tasks, 0, device=generator.device)

    def reset(self, goals: Tensor, generator: Generator) -> State:
        drawn = self.env.sample_goals(generator, len(goals))
        state = self.env.reset(drawn, generator)
        return State(state.observation, (drawn, state))

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        drawn, inner = state.hidden
        inner, reward, done = self.env.step(inner, action, drawn)
        return State(inner.observation, (drawn, inner)), reward, done


class Informed:
    """The goal stands beside the observation: the oracle of section 5.3, "which receives the goal as input".

    """

    def __init__(self, env: Env):
        self.env, self.horizon, self.actions = env, env.horizon, env.actions
        self.observations = env.observations + env.sample_goals(torch.Generator(), 1).flatten(1).shape[1]

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        return self.env.sample_goals(generator, tasks)

    def reset(self, goals: Tensor, generator: Generator) -> State:
        return _told(self.env.reset(goals, generator), goals)

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        inner, reward, done = self.env.step(state.hidden, action, goals)
        return _told(inner, goals), reward, done


def _told(state, goals):
    return State(torch.cat([state.observation, goals.flatten(1).to(state.observation.dtype)], -1), state)

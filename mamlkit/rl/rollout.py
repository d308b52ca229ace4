"""Sampling trajectories: many tasks and many episodes side by side, and what the episodes
returned."""

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.boundary import whole
from mamlkit.rl.env import Env
from mamlkit.rl.policy import Policy
from mamlkit.trees import Params, tree_flatten, tree_map


class Trajectories(NamedTuple):
    """What a policy did in one task: in each of several lanes episodes follow one another, every
    tensor (lanes, time, ...).

    A batch of tasks has a leading tasks axis. old: the policy's distributions there, a pytree.
    reward: of the step. first, last: an episode's first and last step. broken: a number was not
    finite, and the episode was ended there. valid: the step counts, because its episode began
    within the first H steps of its lane and nothing broke in it.
    """

    observation: Tensor
    action: Tensor
    old: Any
    reward: Tensor
    first: Tensor
    last: Tensor
    broken: Tensor
    valid: Tensor


def rollout(
    env: Env, policy: Policy, params: Params, goals: Tensor, *, lanes: int, generator: Generator
) -> Trajectories:
    """Samples `lanes` * H environment steps of each task, in whole episodes, with a policy of its
    own for each task.

    params: every tensor with a leading tasks axis; goals: (tasks, ...). generator: on the device of
    both. The authors count environment steps, not episodes ("20 rollouts" are 20 H steps), so that
    a task whose episodes end early gives more of them. Here every lane starts episodes until H
    steps are done and plays the last one to its end: whether an episode counts is known when it
    begins, so that long ones are not lost more often than short ones (by Wald's identity, sums over
    the episodes are unbiased). Where no episode ends early, time is H; at most 2H - 1. What broke
    is zeroed, and none of its episode counts: where rewards are negative, an episode cut short
    would look good. Raises ValueError for fewer than 1 lane.
    Source: Algorithm 3, lines 5 and 8.
    """
    whole("lanes", lanes)
    tasks, batch = len(goals), len(goals) * lanes
    goals = goals.repeat_interleave(lanes, 0)
    state = env.reset(goals, generator)
    age = torch.zeros(batch, dtype=torch.int64, device=goals.device)
    counts = torch.ones(batch, dtype=torch.bool, device=goals.device)
    steps = []
    while len(steps) < env.horizon or counts.any():
        observation = state.observation
        old = vmap(policy.forward)(params, observation.unflatten(0, (tasks, lanes)))
        action = policy.draw(old, generator).flatten(0, 1)
        state, reward, done = env.step(state, action, goals)
        broken = ~_finite((observation, action, reward, state))
        age = age + 1
        last = done | broken | (age == env.horizon)
        step = (observation, action, tree_map(lambda t: t.flatten(0, 1), old), reward)
        if broken.any():
            step = tree_map(lambda t: torch.where(broken.view(-1, *[1] * (t.ndim - 1)), 0, t), step)
        observation, action, old, reward = step
        steps.append(Trajectories(observation, action, old, reward, age == 1, last, broken, counts))
        over = last.nonzero().flatten()
        if len(over):
            fresh = env.reset(goals[over], generator)
            state = tree_map(lambda old, new: old.index_copy(0, over, new), state, fresh)
            age = age.masked_fill(last, 0)
            counts = torch.where(last, len(steps) < env.horizon, counts)
    played = tree_map(lambda *along: torch.stack(along, 1).unflatten(0, (tasks, lanes)), *steps)
    number, broke = _totals(played, played.broken)
    return played._replace(valid=played.valid & (broke.gather(-1, number) == 0))


def episodes(trajectories: Trajectories) -> tuple[Tensor, Tensor, Tensor]:
    """The undiscounted return, the length and the time of the end of every episode, each (...,
    lanes, episodes).

    In the order of their lanes; a lane with fewer episodes than another is filled up with length 0.
    The end is the step of the lane at which the episode was over, infinite where it was still
    running.
    """
    time = torch.arange(
        1, trajectories.first.shape[-1] + 1, device=trajectories.first.device
    ).expand(trajectories.first.shape)
    total, length, end = (
        _totals(trajectories, values)[1]
        for values in (
            trajectories.reward,
            torch.ones_like(time),
            torch.where(trajectories.last, time, 0),
        )
    )
    return total, length, torch.where(end > 0, end.double(), torch.inf)


def mean_return(trajectories: Trajectories, horizon: int, counted: str = "begun") -> Tensor:
    """The mean undiscounted return of each task's episodes, (tasks,), counted in one of three ways.

    "begun": all that began within the first `horizon` steps of their lanes. "first": the first of
    each lane, the plainest estimate and the noisiest. Both are right on average. "finished": the
    authors': whole episodes as they end, until their steps add up to lanes * horizon; what still
    runs then is thrown away, so that short episodes, which here are good ones, weigh more. The
    three agree where no episode ends early. An episode that broke is left out; NaN where that
    leaves none. Raises ValueError for another way.
    """
    total, length, end = episodes(trajectories)
    begin = end - length
    if counted == "begun":
        chosen = (length > 0) & (begin < horizon)
    elif counted == "first":
        chosen = torch.zeros_like(length, dtype=torch.bool)
        chosen[..., 0] = True
    elif counted == "finished":
        total, length, end = (t.flatten(-2) for t in (total, length, end))
        order = end.argsort(stable=True)
        before = length.gather(-1, order).cumsum(-1) - length.gather(-1, order)
        enough = before >= trajectories.first.shape[-2] * horizon
        chosen = torch.zeros_like(enough).scatter(
            -1, order, ~enough & end.gather(-1, order).isfinite()
        )
    else:
        raise ValueError(f'counted is "{counted}": it must be "begun", "first" or "finished"')
    chosen = chosen & (_totals(trajectories, trajectories.broken)[1] == 0).view(chosen.shape)
    chosen, total = (
        chosen.flatten(len(trajectories.first.shape[:-2])),
        total.flatten(len(trajectories.first.shape[:-2])),
    )
    return (total * chosen).sum(-1) / chosen.sum(-1)


def _totals(trajectories, values) -> tuple[Tensor, Tensor]:
    """The number of each step's episode in its lane, and the sum of `values` over every episode,
    (..., lanes, episodes)."""
    number = trajectories.first.cumsum(-1) - 1
    values = values.long() if values.dtype == torch.bool else values
    shape = (*number.shape[:-1], int(number.max()) + 1)
    return number, torch.zeros(shape, dtype=values.dtype, device=values.device).scatter_add(
        -1, number, values
    )


def _finite(tree) -> Tensor:
    """Where in the batch every number is finite."""
    floats = [t for t in tree_flatten(tree)[0] if t.is_floating_point()]
    return torch.stack(
        [torch.isfinite(t.flatten(1)).all(1) if t.ndim > 1 else torch.isfinite(t) for t in floats]
    ).all(0)

"""From trajectories to what a policy gradient needs: a baseline fitted to each task, and
advantages."""

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.boundary import within
from mamlkit.rl.objectives import Experience
from mamlkit.rl.rollout import Trajectories
from mamlkit.trees import tree_map

RIDGE = 1e-5


def experience(
    trajectories: Trajectories, *, discount: float = 0.99, gae: float = 1.0
) -> Experience:
    """The steps of a batch of tasks with their advantages, the baseline fitted to each task's own
    trajectories.

    trajectories: (tasks, lanes, time, ...). discount, gae: between 0 and 1. Advantages are centred
    and scaled to standard deviation 1 over the steps of each task. Steps that count come first, and
    what no task needs is cut off. Raises ValueError for numbers out of range. Source: section 5.3;
    the authors' code fits before it predicts.
    """
    for name, value in {"discount": discount, "gae": gae}.items():
        within(name, value, 0, 1)

    reward, last = trajectories.reward, trajectories.last
    rewards_to_go = advantages(reward, torch.zeros_like(reward), last, discount=discount)
    values = vmap(linear_baseline)(trajectories, rewards_to_go)

    def one(task, advantage):
        order = task.valid.flatten().to(torch.int8).argsort(descending=True, stable=True)
        steps = (
            task.observation,
            task.action,
            standardised(advantage, task.valid),
            task.old,
            task.valid.to(advantage.dtype),
        )
        return Experience(*tree_map(lambda t: t.flatten(0, 1)[order], steps))

    most = int(trajectories.valid.flatten(1).sum(1).max())
    return tree_map(
        lambda t: t[:, :most],
        vmap(one)(trajectories, advantages(reward, values, last, discount=discount, gae=gae)),
    )


def advantages(
    reward: Tensor, values: Tensor, last: Tensor, *, discount: float, gae: float = 1.0
) -> Tensor:
    """Generalised advantage estimates, (..., time) like all it takes (Schulman et al. 2016).

    values: the baseline's prediction at each step; after `last` an episode is worth 0, time limit
    or not, as in the authors' code. With values 0 and gae 1 this is the discounted sum of rewards
    from each step on.
    """
    goes_on = discount * ~last
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], -1)
    surprise = reward + goes_on * following - values
    estimate, backwards = torch.zeros_like(reward[..., 0]), []
    for now, keeps in zip(surprise.unbind(-1)[::-1], goes_on.unbind(-1)[::-1]):
        estimate = now + keeps * gae * estimate
        backwards.append(estimate)
    return torch.stack(backwards[::-1], -1)


def linear_baseline(trajectories: Trajectories, rewards_to_go: Tensor) -> Tensor:
    """Predicted discounted returns of ONE task, (lanes, time): ridge regression on the steps that
    count.

    Features of a step: the observation clipped to [-10, 10], its square, t / 100, its square and
    cube, and 1, t being the step's number in its episode. In double precision. Source: section 5.3;
    Duan et al. 2016.
    """
    time = torch.arange(trajectories.first.shape[-1], device=rewards_to_go.device).expand_as(
        trajectories.first
    )
    t = (time - torch.where(trajectories.first, time, 0).cummax(-1).values).unsqueeze(
        -1
    ).double() / 100
    o = trajectories.observation.double().clamp(-10, 10)
    features = torch.cat([o, o.square(), t, t.square(), t**3, torch.ones_like(t)], -1).flatten(0, 1)
    counted = features * trajectories.valid.reshape(-1, 1)
    ridge = RIDGE * torch.eye(features.shape[-1], dtype=features.dtype, device=features.device)
    weights = torch.linalg.solve(
        counted.mT @ features + ridge, counted.mT @ rewards_to_go.reshape(-1).double()
    )
    return (features @ weights).view(rewards_to_go.shape).to(rewards_to_go.dtype)


def standardised(advantage: Tensor, valid: Tensor) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the steps that count; 0 elsewhere."""
    count = valid.sum().clamp_min(1)
    centred = (advantage - (advantage * valid).sum() / count) * valid
    return centred / ((centred.square().sum() / count).sqrt() + 1e-8)

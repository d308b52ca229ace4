"""Sampling a meta-batch: fresh trajectories of every task before each inner step, and after the
last."""

from collections.abc import Callable

from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.boundary import inner_steps
from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.rl.baseline import experience
from mamlkit.rl.env import Env
from mamlkit.rl.policy import Policy
from mamlkit.rl.rollout import Trajectories, rollout
from mamlkit.task import Task
from mamlkit.trees import Params


def collect(
    env: Env,
    policy: Policy,
    learner: Callable[[int], Learner],
    theta: Params,
    goals: Tensor,
    *,
    steps: int,
    rollouts: int,
    discount: float = 0.99,
    generator: Generator,
) -> tuple[Task, list[Trajectories]]:
    """Plays every task before adaptation and after each of its `steps` inner steps, 0 or more: a
    meta-batch, and what was played.

    learner: the number of inner steps -> the learner that takes them, e.g. `lambda k: maml(loss,
    alpha=0.1, steps=k)`; its support is a tuple with one `Experience` for each step. goals: (tasks,
    ...). rollouts: of H steps, see `rollout`. Returns the batch of tasks, and the trajectories
    (tasks, lanes, time, ...) after 0, 1, ... `steps` steps. Source: Algorithm 3, lines 4 to 8;
    section 3.2, "requires new samples from the current policy".
    """
    inner_steps(steps)
    played, batches = [], []
    for k in range(steps + 1):
        params = vmap(lambda goal, support: learner(k).adapt(theta, support)[-1])(
            goals, tuple(batches)
        )
        played.append(rollout(env, policy, params, goals, lanes=rollouts, generator=generator))
        batches.append(experience(played[-1], discount=discount))
    return Task(tuple(batches[:-1]), batches[-1]), played


def halved(loss: Callable, *, alpha: float | dict[str, float]) -> Callable[[int], Learner]:
    """Learners whose first inner step has size `alpha` and all later ones half of it (appendix
    A.2), for `collect`.

    alpha: a number, or one for each parameter that adapts, by name.
    """
    half = {name: a / 2 for name, a in alpha.items()} if isinstance(alpha, dict) else alpha / 2
    return lambda k: unrolled(
        loss,
        lambda theta, support: adapt(theta, repeated(loss, support, k), ([alpha] + [half] * k)[:k]),
    )

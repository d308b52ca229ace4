"""The losses of reinforcement learning, L_T of section 3.2 as (params, experience) -> scalar, for
one task."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from mamlkit.rl.policy import Policy
from mamlkit.trees import Params


class Experience(NamedTuple):
    """Steps of one task, each tensor with the leading axis `steps`; a batch of tasks has a tasks
    axis before it.

    advantage: how much better the action was than the baseline says. old: the distributions it was
    drawn from, a pytree. weight: 1 for a step that counts, 0 for one that only fills up the batch.
    """

    observation: Tensor
    action: Tensor
    advantage: Tensor
    old: Any
    weight: Tensor


def reinforce(policy: Policy) -> Callable[[Params, Experience], Tensor]:
    """The objective of the inner steps: minus the mean of log pi(a | x) times the advantage
    (Williams 1992).

    Its gradient at the policy that acted estimates that of minus the expected return, equation 4.
    The advantages are a constant, and so is how the policy's change would change what is sampled:
    differentiated once more, as the meta-gradient does, it is no longer unbiased (claim C021).
    """
    return lambda params, steps: -_mean(
        policy.log_prob(policy.forward(params, steps.observation), steps.action) * steps.advantage,
        steps,
    )


def surrogate(policy: Policy, dist: Any, steps: Experience) -> Tensor:
    """The objective of the outer step, of the distributions `dist` at the steps: minus the mean of
    pi / pi_old times the advantage.

    Its gradient at pi_old is that of `reinforce` (oracle O8). Source: section 5.3, "trust-region
    policy optimization".
    """
    ratio = (policy.log_prob(dist, steps.action) - policy.log_prob(steps.old, steps.action)).exp()
    return -_mean(ratio * steps.advantage, steps)


def divergence(policy: Policy, dist: Any, steps: Experience) -> Tensor:
    """The mean KL(pi_old || pi) over the steps: what TRPO holds below its radius."""
    return _mean(policy.kl(steps.old, dist), steps)


def _mean(values, steps):
    return (values * steps.weight).sum() / steps.weight.sum().clamp_min(1)

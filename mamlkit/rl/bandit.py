"""A bandit, small enough that every history can be counted: what a meta-gradient is on average, and
what it misses."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from mamlkit.boundary import step_size, whole
from mamlkit.inner import inner_step
from mamlkit.learner import unrolled
from mamlkit.rl.objectives import Experience, reinforce, surrogate
from mamlkit.rl.policy import Policy
from mamlkit.task import Task


def arms(number: int) -> Policy:
    """A softmax policy over the arms of a bandit, which has nothing to see: params["logits"]
    (number,)."""
    whole("number", number)
    return Policy(
        lambda generator: {
            "logits": torch.randn(number, generator=generator, device=generator.device)
        },
        lambda params, observation: params["logits"].log_softmax(-1).expand(len(observation), -1),
        lambda dist, generator: torch.multinomial(dist.exp(), 1, generator=generator).squeeze(-1),
        lambda dist, action: dist.gather(-1, action[:, None]).squeeze(-1),
        lambda old, new: (old.exp() * (old - new)).sum(-1),
    )


def pulls(reward: Tensor, theta: Tensor, times: Tensor) -> Experience:
    """What a policy with logits `theta` saw: each arm pulled `times` times, and its reward, which
    is the advantage. All (arms,)."""
    number = len(reward)
    seen = torch.zeros(number, 1, dtype=reward.dtype)
    old = arms(number).forward({"logits": theta}, seen)
    return Experience(seen, torch.arange(number), reward, old, times)


def by_log(number: int) -> Callable:
    """The inner loss of section 5.3, minus the mean of log pi times the advantage."""
    return reinforce(arms(number))


def by_ratio(number: int) -> Callable:
    """The same with pi / pi_old instead of log pi: the same gradient, another Hessian (DiCE's,
    where a step's reward is all)."""
    policy = arms(number)
    return lambda params, steps: surrogate(policy, policy.forward(params, steps.observation), steps)


class MetaGradient(NamedTuple):
    """Averages over all histories, (arms,). exact: the gradient of the expected reward after
    adaptation. estimated: what differentiating the surrogate through the inner step gives. missing:
    reward after adaptation times the gradient of the history's log-probability. limit: the gradient
    of the reward after a step up the expected reward, endless samples."""

    exact: Tensor
    estimated: Tensor
    missing: Tensor
    limit: Tensor


def meta_gradient(
    reward: Tensor, theta: Tensor, *, alpha: float, samples: int, inner: Callable = by_log
) -> MetaGradient:
    """The meta-gradient of one bandit, exactly: histories of `samples` pulls count by how often
    each arm came.

    reward: of each arm, (arms,). theta: the policy's logits, (arms,). alpha: the inner step size.
    inner: `by_log` or `by_ratio`. Raises ValueError for fewer than 1 sample. Source: oracles O9 and
    O11; Al-Shedivat et al. 2018 add the missing term, Foerster et al. 2018 mend the Hessian.
    """
    whole("samples", samples)
    step_size(alpha)
    start, number = {"logits": theta}, len(reward)
    counts = torch.tensor(
        [c for c in product(range(samples + 1), repeat=number) if sum(c) == samples],
        dtype=reward.dtype,
    )
    ways = torch.exp(
        torch.lgamma(torch.tensor(samples + 1.0, dtype=reward.dtype))
        - torch.lgamma(counts + 1).sum(-1)
    )
    probable = lambda params: ways * (counts @ params["logits"].log_softmax(-1)).exp()
    paid = lambda params: params["logits"].softmax(-1) @ reward

    def after(loss, params, times):
        return inner_step(params, lambda p: loss(p, pulls(reward, theta, times)), alpha)

    rewards = lambda params: vmap(lambda times: paid(after(by_log(number), params, times)))(counts)
    learner = unrolled(
        by_log(number),
        lambda params, support: [params, after(inner(number), params, support.weight)],
    )

    def estimate(times):
        """The query set holds every arm as often as the adapted policy pulls it: all that it could
        see."""
        support, (_, adapted) = (
            pulls(reward, theta, times),
            learner.adapt(start, pulls(reward, theta, times)),
        )
        query = pulls(reward, adapted["logits"], adapted["logits"].softmax(-1))
        return -learner.meta_grad(start, Task(support, query))[0]["logits"]

    return MetaGradient(
        exact=grad(lambda p: (probable(p) * rewards(p)).sum())(start)["logits"],
        estimated=probable(start) @ vmap(estimate)(counts),
        missing=rewards(start) @ jacrev(probable)(start)["logits"],
        limit=grad(lambda p: paid(inner_step(p, lambda q: -paid(q), alpha)))(start)["logits"],
    )


def gradients(reward: Tensor, theta: Tensor, loss: Callable = by_log) -> tuple[Tensor, Tensor]:
    """The gradient of the expected reward by the logits, exact and as minus the average gradient of
    an inner loss; (arms,) each."""
    start, here = {"logits": theta}, pulls(reward, theta, theta.softmax(-1))
    exact = grad(lambda p: p["logits"].softmax(-1) @ reward)(start)["logits"]
    return exact, -grad(loss(len(reward)))(start, here)["logits"]


def hessians(reward: Tensor, theta: Tensor, loss: Callable = by_log) -> tuple[Tensor, Tensor]:
    """The Hessian of the expected reward, exact and as minus the average Hessian of an inner loss;
    (arms, arms) each. Oracle O10."""
    start, here = {"logits": theta}, pulls(reward, theta, theta.softmax(-1))
    exact = jacrev(grad(lambda p: p["logits"].softmax(-1) @ reward))(start)["logits"]["logits"]
    return exact, -jacrev(grad(loss(len(reward))))(start, here)["logits"]["logits"]

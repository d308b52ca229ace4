"""Policy gradients against enumeration: what the surrogate's meta-gradient is, and what it misses
(oracles O8 to O11)."""

from itertools import product
from math import prod

import pytest
import torch
from torch.func import grad, jacrev, vmap

from mamlkit.inner import inner_step
from mamlkit.machine import seeded
from mamlkit.rl.objectives import Experience, divergence, reinforce, surrogate
from mamlkit.task import Task
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.oracles import gap
from tests.rl.worlds import arms, played, small

pytestmark = pytest.mark.usefixtures("float64")

REWARD, ALPHA = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64), 0.4
BANDIT = arms()
THETA = {"logits": torch.tensor([0.2, -0.3, 0.1], dtype=torch.float64)}


def taken(actions, weight=None):
    """What a bandit's arms paid, as experience."""
    actions = torch.as_tensor(actions)
    weight = torch.ones(len(actions)) if weight is None else weight
    return Experience(
        torch.zeros(len(actions), 1),
        actions,
        REWARD[actions],
        BANDIT.forward(THETA, torch.zeros(len(actions), 1)),
        weight,
    )


def everything(params):
    """Each arm once, weighted by how probable it is: the expectation."""
    return taken(range(3), params["logits"].softmax(-1).detach())


def paid(params):
    """The expected reward."""
    return params["logits"].softmax(-1) @ REWARD


def probability(params, history):
    return prod(params["logits"].log_softmax(-1)[a].exp() for a in history)


def meta_gradients(samples):
    """By enumeration of the 3^K histories: the exact meta-gradient, our surrogate's, and the
    score-function term."""
    learner, loss = maml(reinforce(BANDIT), alpha=ALPHA, steps=1), reinforce(BANDIT)
    histories = list(product(range(3), repeat=samples))

    def exact(params):
        return sum(
            probability(params, h) * paid(inner_step(params, lambda p: loss(p, taken(h)), ALPHA))
            for h in histories
        )

    ours = missing = 0
    for history in histories:
        after = learner.adapt(THETA, (taken(history),))[-1]
        ours = (
            ours
            - probability(THETA, history)
            * learner.meta_grad(THETA, Task((taken(history),), everything(after)))[0]["logits"]
        )
        missing = missing + paid(after) * grad(lambda p: probability(p, history))(THETA)["logits"]
    return grad(exact)(THETA)["logits"], ours, missing


def test_the_surrogates_gradient_is_the_score_functions():
    """At the policy that acted (oracle O8), through adaptation as well."""
    learner, policy, theta, batch = played()
    tasks = [tree_map(lambda t: t[i], batch) for i in range(3)]
    for task in tasks:
        adapted = learner.adapt(theta, task.support)[-1]
        ours = grad(
            lambda p: surrogate(policy, policy.forward(p, task.query.observation), task.query)
        )(adapted)
        score = grad(reinforce(policy))(adapted, task.query)
        assert gap(ours, score) < 1e-12 and max(g.abs().max() for g in score.values()) > 1e-3


def test_reinforce_on_the_expectation_is_the_gradient_of_the_expected_reward():
    ours, exact = (
        grad(reinforce(BANDIT))(THETA, everything(THETA))["logits"],
        grad(paid)(THETA)["logits"],
    )
    assert (ours + exact).abs().max() < 1e-15 and exact.abs().max() > 0.1


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_meta_gradient_misses_how_sampling_changes(samples):
    """Exact = ours + E[reward after adaptation * grad log P(history)]; the missing term is small
    and not zero (oracle O9)."""
    exact, ours, missing = meta_gradients(samples)
    assert (ours + missing - exact).abs().max() < 1e-12
    assert (
        0.01 < missing.norm() / exact.norm() < 0.5
        and torch.cosine_similarity(ours, exact, 0) > 0.95
    )


def test_the_surrogates_hessian_is_biased_by_the_outer_product_of_scores():
    """E[Hessian of log pi r] + E[r score score'] is the Hessian of the expected reward; the first
    alone is not near (oracle O10)."""
    ours = -jacrev(grad(reinforce(BANDIT)))(THETA, everything(THETA))["logits"]["logits"]
    exact = jacrev(grad(paid))(THETA)["logits"]["logits"]
    scores = jacrev(lambda p: p["logits"].log_softmax(-1))(THETA)["logits"]
    outer = torch.einsum("a,ai,aj->ij", everything(THETA).weight * REWARD, scores, scores)
    assert (ours + outer - exact).abs().max() < 1e-12
    assert (ours - exact).norm() / exact.norm() > 0.5


def test_with_more_samples_the_exact_gradient_nears_its_limit():
    """The limit is (I + alpha H) grad R(theta'), theta' after a step up the expected reward (oracle
    O11)."""
    limit = grad(lambda params: paid(inner_step(params, lambda p: -paid(p), ALPHA)))(THETA)[
        "logits"
    ]
    away = [(meta_gradients(samples)[0] - limit).norm().item() for samples in (1, 2, 3)]
    assert away == sorted(away, reverse=True) and away[-1] < 0.5 * away[0]


def test_a_step_without_weight_changes_nothing():
    _, policy, theta, batch = played()
    steps = tree_map(lambda t: t[0], batch.query)
    more = tree_map(lambda t: torch.cat([t, 5 + torch.zeros_like(t[:3])]), steps)._replace(
        weight=torch.cat([steps.weight, torch.zeros(3)])
    )
    for of in (surrogate, divergence):
        values = [of(policy, policy.forward(theta, s.observation), s) for s in (steps, more)]
        assert (values[0] - values[1]).abs() < 1e-14 and values[0].abs() > 1e-6
    assert (reinforce(policy)(theta, steps) - reinforce(policy)(theta, more)).abs() < 1e-14
    assert reinforce(policy)(theta, steps._replace(weight=0 * steps.weight)) == 0, (
        "no steps, no loss"
    )


def test_batched_is_looped():
    _, policy, theta, batch = played()
    together = vmap(reinforce(policy), (None, 0))(theta, batch.query)
    for i in range(3):
        assert (
            together[i] - reinforce(policy)(theta, tree_map(lambda t: t[i], batch.query))
        ).abs() < 1e-12
    assert together.std() > 1e-4


def test_the_divergence_is_zero_where_nothing_changed():
    learner, policy, theta, batch = played()
    task = tree_map(lambda t: t[1], batch)
    same = policy.forward(learner.adapt(theta, task.support)[-1], task.query.observation)
    assert divergence(policy, same, task.query).abs() < 1e-14
    other = small().init(seeded(8))
    assert divergence(policy, policy.forward(other, task.query.observation), task.query) > 1e-3

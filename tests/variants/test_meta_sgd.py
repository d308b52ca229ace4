"""The learned step sizes: where they start, and their gradient by finite differences."""

import pytest
import torch

from mamlkit.variants.maml import maml
from mamlkit.variants.meta_sgd import meta_sgd
from tests.oracles import (
    after_adaptation,
    derivative_gap,
    gap,
    one,
    problem,
    quadratic_loss,
    quadratic_task,
    same,
)

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_every_number_has_a_step_size_of_its_own_that_starts_at_alpha(name):
    loss, theta, _, alpha = problem(name)
    meta = meta_sgd(loss, alpha=alpha, steps=2).init(theta)
    assert list(meta) == [*theta, *(f"alpha/{k}" for k in theta)]
    assert all(
        meta[f"alpha/{k}"].shape == p.shape and (meta[f"alpha/{k}"] == alpha).all()
        for k, p in theta.items()
    )


@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_at_the_start_it_is_maml(name):
    loss, theta, tasks, alpha = problem(name)
    task, first, second = (
        one(tasks, 0),
        meta_sgd(loss, alpha=alpha, steps=3),
        maml(loss, alpha=alpha, steps=3),
    )
    meta = first.init(theta)
    assert all(
        same(a, b)
        for a, b in zip(
            first.adapt(meta, task.support), second.adapt(theta, task.support), strict=True
        )
    )
    gradient, _ = first.meta_grad(meta, task)
    assert gap({k: gradient[k] for k in theta}, second.meta_grad(theta, task)[0]) < 1e-14


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["tanh mlp", "relu mlp, batch norm", "strided convnet"])
def test_the_gradient_is_the_derivative_by_theta_and_by_alpha(name, steps):
    """Claim C013. Step sizes of any sign, no two the same."""
    loss, theta, tasks, alpha = problem(name)
    learner, task = meta_sgd(loss, alpha=alpha, steps=steps), one(tasks, 0)
    meta = {
        k: p * torch.linspace(-0.5, 1.5, p.numel()).view(p.shape) if k.startswith("alpha/") else p
        for k, p in learner.init(theta).items()
    }
    gradient, _ = learner.meta_grad(meta, task)
    value = after_adaptation(learner, loss, task)
    assert derivative_gap(value, meta, gradient) < 1e-6
    alphas = {k: p for k, p in meta.items() if k.startswith("alpha/")}
    assert (
        derivative_gap(lambda a: value(meta | a), alphas, {k: gradient[k] for k in alphas}) < 1e-6
    )


def test_after_one_step_the_derivative_by_alpha_is_minus_the_product_of_the_two_gradients():
    theta, task = quadratic_task(0)
    learner = meta_sgd(quadratic_loss, alpha=0.4, steps=1)
    gradient, _ = learner.meta_grad(learner.init(theta), task)
    g = task.support.x @ (theta["t"] - task.support.y)
    after = task.query.x @ (theta["t"] - 0.4 * g - task.query.y)
    assert (gradient["alpha/t"] + g * after).abs().max() < 1e-14 and (g * after).abs().min() > 1e-3


def test_a_dict_names_what_adapts_and_where_its_step_sizes_start():
    loss, theta, tasks, _ = problem("tanh mlp")
    start = {"layer2.bias": 0.2, "layer1.weight": torch.linspace(0.1, 0.3, 32).view(8, 4)}
    learner, fixed = meta_sgd(loss, alpha=start, steps=2), maml(loss, alpha=start, steps=2)
    meta, support = learner.init(theta), one(tasks, 0).support
    assert list(meta)[len(theta) :] == ["alpha/layer1.weight", "alpha/layer2.bias"]
    assert same(learner.adapt(meta, support)[-1], fixed.adapt(theta, support)[-1])
    with pytest.raises(ValueError, match=r"no parameter is called \['layer9.bias'\]"):
        meta_sgd(loss, alpha={"layer9.bias": 0.1}, steps=1).init(theta)


def test_the_learned_sizes_are_the_ones_that_are_used():
    loss, theta, tasks, alpha = problem("tanh mlp")
    learner, support = meta_sgd(loss, alpha=alpha, steps=1), one(tasks, 0).support
    still = {
        k: torch.zeros_like(p) if k.startswith("alpha/") else p
        for k, p in learner.init(theta).items()
    }
    assert same(learner.adapt(still, support)[-1], theta)

"""Reptile's identities, and its published inner loop: minibatches and Adam without momentum."""

from functools import partial

import pytest
import torch
from torch.func import grad

from mamlkit.inner import adapt_with, inner_step
from mamlkit.optimizer import adam
from mamlkit.task import Task
from mamlkit.variants.reptile import reptile
from tests.oracles import (
    MODELS,
    each,
    gap,
    hvp,
    mean,
    norm,
    one,
    problem,
    quadratic_loss,
    quadratic_task,
    same,
    squared,
    trained_gradient,
)

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("name", MODELS)
def test_with_one_step_it_is_joint_training_on_the_support(name):
    """Oracle O5: (theta - theta_1) / alpha is the gradient of the plain loss."""
    loss, theta, tasks, alpha = problem(name)
    task = one(tasks, 0)
    gradient, _ = reptile(loss, alpha=alpha, steps=1).meta_grad(theta, task)
    assert gap({k: g / alpha for k, g in gradient.items()}, grad(loss)(theta, task.support)) < 1e-12


def test_with_two_steps_on_a_quadratic_the_curvature_enters():
    """Oracle O5: 2 g - alpha H g, exactly."""
    for seed in range(3):
        theta, task = quadratic_task(seed)
        A, c = task.support
        g = A @ (theta["t"] - c)
        gradient, _ = reptile(quadratic_loss, alpha=0.4, steps=2).meta_grad(theta, task)
        assert (
            (gradient["t"] / 0.4 - (2 * g - 0.4 * A @ g)).abs().max()
            < 1e-12
            < (gradient["t"] / 0.4 - 2 * g).abs().max()
        )


def test_with_two_steps_on_any_loss_the_rest_is_of_second_order_in_alpha():
    """Oracle O5, a Taylor series: half the alpha leaves a quarter of the rest."""
    loss, theta, tasks, _ = problem("tanh mlp", loss=squared)
    task = one(tasks, 0)
    support = lambda p: loss(p, task.support)
    g = grad(support)(theta)
    Hg = hvp(support, theta, g)

    def rest(alpha):
        gradient, _ = reptile(loss, alpha=alpha, steps=2).meta_grad(theta, task)
        return norm({k: gradient[k] / alpha - (2 * g[k] - alpha * Hg[k]) for k in g})

    assert rest(2e-3) / rest(1e-3) == pytest.approx(4, rel=0.02) and rest(1e-3) > 1e-9


def test_the_query_is_reported_on_and_never_learned_from():
    loss, theta, tasks, alpha = problem("strided convnet")
    task, learner = one(tasks, 0), reptile(loss, alpha=alpha, steps=3)
    other = Task(task.support, one(tasks, 1).query)
    (first, told), (second, told_other) = (
        learner.meta_grad(theta, task),
        learner.meta_grad(theta, other),
    )
    assert same(first, second) and told["loss"] != told_other["loss"]


def test_minibatches_are_taken_in_turn():
    loss, theta, tasks, alpha = problem("tanh mlp")
    batches = tuple(task.support for task in each(tasks))
    end = theta
    for batch in batches:
        end = inner_step(end, lambda p, batch=batch: loss(p, batch), alpha)
    gradient, _ = reptile(loss, alpha=alpha, steps=3).meta_grad(
        theta, Task(batches, one(tasks, 0).query)
    )
    assert gap(gradient, {k: theta[k] - end[k] for k in theta}) < 1e-15


def test_the_published_inner_loop_is_torchs_adam_without_momentum_anew_on_each_task():
    loss, theta, tasks, _ = problem("strided convnet")
    learner = reptile(
        loss, alpha=0.003, steps=4, descend=adapt_with(partial(adam, decay=(0.0, 0.999)))
    )
    moved = []
    for task in each(tasks):
        leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}
        theirs = torch.optim.Adam(leaves.values(), lr=0.003, betas=(0.0, 0.999))
        for _ in range(4):
            theirs.zero_grad()
            loss(leaves, task.support).backward()
            theirs.step()
        moved.append({k: theta[k] - leaves[k].detach() for k in theta})
        weights = {
            k: g for k, g in moved[-1].items() if not k.endswith("bias")
        }  # a bias before batch norm has a gradient of 0
        gradient, _ = learner.meta_grad(theta, task)
        assert gap({k: gradient[k] for k in weights}, weights) < 1e-9
    batched = trained_gradient(learner, theta, tasks)
    assert gap({k: batched[k] for k in weights}, {k: mean(moved)[k] for k in weights}) < 1e-9


def test_without_a_step_it_would_learn_nothing_and_refuses_to_train():
    loss, theta, tasks, alpha = problem("tanh mlp")
    learner = reptile(loss, alpha=alpha, steps=0)
    assert len(learner.adapt(theta, one(tasks, 0).support)) == 1, "to measure the start is fine"
    with pytest.raises(ValueError, match="steps is 0: .* 1 or more"):
        trained_gradient(learner, theta, tasks)

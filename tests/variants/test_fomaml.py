"""First order: what is left out, and where nothing is."""

import pytest
import torch
from torch.func import grad

from mamlkit.task import Data, Task
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from tests.oracles import (
    MODELS,
    after_adaptation,
    derivative_gap,
    each,
    gap,
    mean,
    norm,
    one,
    problem,
    quadratic_loss,
    quadratic_task,
    same,
    trained_gradient,
)

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_query_gradient_at_the_adapted_parameters(name, steps):
    """Oracle O4."""
    loss, theta, tasks, alpha = problem(name)
    task, learner = one(tasks, 0), fomaml(loss, alpha=alpha, steps=steps)
    adapted = learner.adapt(theta, task.support)[-1]
    assert gap(learner.meta_grad(theta, task)[0], grad(loss)(adapted, task.query)) < 1e-14


@pytest.mark.parametrize("name", MODELS)
def test_it_adapts_as_maml_does(name):
    loss, theta, tasks, alpha = problem(name)
    task = one(tasks, 0)
    first, second = (make(loss, alpha=alpha, steps=3) for make in (fomaml, maml))
    assert all(
        same(a, b)
        for a, b in zip(
            first.adapt(theta, task.support), second.adapt(theta, task.support), strict=True
        )
    )
    assert torch.equal(
        first.meta_grad(theta, task)[1]["loss"], second.meta_grad(theta, task)[1]["loss"]
    )


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_on_a_curved_loss_it_is_not_mamls(name, steps):
    """Pitfall P03: a port that forgot create_graph is silently this."""
    loss, theta, tasks, alpha = problem(name)
    task = one(tasks, 0)
    first, second = (
        make(loss, alpha=alpha, steps=steps).meta_grad(theta, task)[0] for make in (fomaml, maml)
    )
    assert gap(first, second) > 1e-3 * norm(second)


def test_finite_differences_tell_it_from_maml():
    """The oracle of test_maml.py can fail."""
    loss, theta, tasks, alpha = problem("tanh mlp")
    task, learner = one(tasks, 0), fomaml(loss, alpha=alpha, steps=1)
    assert (
        derivative_gap(
            after_adaptation(learner, loss, task), theta, learner.meta_grad(theta, task)[0]
        )
        > 1e-3
    )


@pytest.mark.parametrize("steps", [1, 5])
def test_on_a_quadratic_it_is_the_closed_form(steps):
    """A_q (phi_K - c_q): MAML's without the factor M' in front."""
    theta, task = quadratic_task(0)
    (A, c), query = task
    phi = c + torch.linalg.matrix_power(torch.eye(4) - 0.4 * A, steps) @ (theta["t"] - c)
    gradient, _ = fomaml(quadratic_loss, alpha=0.4, steps=steps).meta_grad(theta, task)
    assert (gradient["t"] - query.x @ (phi - query.y)).abs().max() < 1e-12


def both(loss, theta, task, alpha, steps):
    return [
        make(loss, alpha=alpha, steps=steps).meta_grad(theta, task)[0] for make in (fomaml, maml)
    ]


@pytest.mark.parametrize("steps", [1, 3])
def test_where_the_support_loss_is_linear_it_is_mamls(steps):
    """Oracle O4: with H = 0 the factor (I - alpha H) is the identity; with any curvature it is
    not."""
    theta, task = quadratic_task(0)
    loss = lambda params, data: params["t"] @ data.x @ params["t"] / 2 + data.y @ params["t"]
    flat = Task(Data(torch.zeros(4, 4), task.support.y), task.query)
    first, second = both(loss, theta, flat, 0.4, steps)
    assert gap(first, second) < 1e-14 and norm(second) > 0.1
    assert gap(*both(loss, theta, task, 0.4, steps)) > 1e-2


@pytest.mark.parametrize("name", MODELS)
def test_at_alpha_0_it_is_mamls(name):
    """Oracle O4: and both are the query gradient at theta."""
    loss, theta, tasks, _ = problem(name)
    task = one(tasks, 0)
    first, second = both(loss, theta, task, 0.0, 2)
    assert gap(first, second) < 1e-14 and gap(second, grad(loss)(theta, task.query)) < 1e-14


@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_the_batched_gradient_is_the_mean_of_each_tasks(name):
    loss, theta, tasks, alpha = problem(name)
    learner = fomaml(loss, alpha=alpha, steps=2)
    alone = [learner.meta_grad(theta, task)[0] for task in each(tasks)]
    assert gap(trained_gradient(learner, theta, tasks), mean(alone)) < 1e-12

"""Only the context adapts: its closed form on a linear model, and what is meta-learned."""

import pytest
import torch
from torch.func import grad, vmap

from mamlkit.machine import seeded
from mamlkit.task import Data, Task
from mamlkit.variants.cavia import cavia
from tests.oracles import after_adaptation, derivative_gap, norm, one, problem, same, squared

pytestmark = pytest.mark.usefixtures("float64")
CASES = [
    ("tanh mlp", "layer0.bias"),
    ("relu mlp, batch norm", "norm1.beta"),
    ("strided convnet", "norm2.beta"),
]


def linear():
    """y = x w + V c: the loss is quadratic in the context c, its Hessian V' V for outputs as many
    as V's rows."""
    generator = seeded(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    params = {"context": draw(2), "w": draw(4, 3), "V": draw(3, 2)}
    task = Task(Data(draw(5, 4), draw(5, 3)), Data(draw(7, 4), draw(7, 3)))
    return squared(lambda p, x: x @ p["w"] + p["V"] @ p["context"]), params, task


@pytest.mark.parametrize("steps", [1, 4])
def test_on_a_linear_model_the_context_has_a_closed_form(steps):
    """With the mean residual r at c = 0, c_K = (I - (I - alpha H)^K) c*, where H = (2/3) V'V and H
    c* = (2/3) V' r."""
    loss, params, task = linear()
    V, (x, y) = params["V"], task.support
    H, r = 2 / 3 * V.T @ V, (y - x @ params["w"]).mean(0)
    c = torch.zeros(2)
    solution = torch.linalg.solve(H, 2 / 3 * V.T @ r)
    for k, theta in enumerate(cavia(loss, alpha=0.3, steps=steps).adapt(params, task.support)):
        c = solution - torch.linalg.matrix_power(torch.eye(2) - 0.3 * H, k) @ solution
        assert (theta["context"] - c).abs().max() < 1e-12
    assert c.abs().min() > 1e-2


def test_on_a_linear_model_the_meta_gradient_has_a_closed_form_too():
    """After one step c = alpha (2/3) V' r, so the query loss is a function of w and V that can be
    written out."""
    loss, params, task = linear()

    def written_out(p):
        (x, y), (u, v) = task
        c = 0.3 * 2 / 3 * p["V"].T @ (y - x @ p["w"]).mean(0)
        return (u @ p["w"] + p["V"] @ c - v).square().mean()

    gradient, aux = cavia(loss, alpha=0.3, steps=1).meta_grad(params, task)
    expected = grad(written_out)(params)
    assert (
        all((gradient[k] - expected[k]).abs().max() < 1e-12 for k in ("w", "V"))
        and (aux["loss"] - written_out(params)).abs() < 1e-12
    )


@pytest.mark.parametrize("name, shift", CASES)
def test_only_the_context_adapts_and_it_starts_at_0_on_every_task(name, shift):
    loss, theta, tasks, alpha = problem(name, shift=shift)
    learner, support = cavia(loss, alpha=alpha, steps=2), one(tasks, 0).support
    path = learner.adapt(theta, support)
    assert all(
        same(
            {k: p for k, p in phi.items() if k != "context"},
            {k: p for k, p in theta.items() if k != "context"},
        )
        for phi in path
    )
    assert (path[0]["context"] == 0).all() and path[1]["context"].abs().min() > 1e-5
    again = learner.adapt(path[-1], support)
    assert all(same(a, b) for a, b in zip(path, again)), "whatever a task before it left behind"


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name, shift", CASES)
def test_the_gradient_is_the_derivative_of_the_loss_after_the_context_adapts(name, shift, steps):
    loss, theta, tasks, alpha = problem(name, shift=shift)
    task, learner = one(tasks, 0), cavia(loss, alpha=alpha, steps=steps)
    gradient, _ = learner.meta_grad(theta, task)
    assert derivative_gap(after_adaptation(learner, loss, task), theta, gradient) < 1e-6
    assert (gradient["context"] == 0).all() and norm({"": gradient["context.weight"]}) > 1e-6


def test_tasks_in_a_batch_have_contexts_of_their_own():
    loss, theta, tasks, alpha = problem("tanh mlp", shift="layer0.bias")
    contexts = vmap(cavia(loss, alpha=alpha, steps=1).adapt, (None, 0))(theta, tasks.support)[-1][
        "context"
    ]
    assert contexts.shape == (3, 2) and contexts.std(0).min() > 1e-4


def test_a_model_without_a_context_is_refused():
    loss, theta, tasks, alpha = problem("tanh mlp")
    with pytest.raises(
        ValueError,
        match="CAVIA adapts the parameter called context and this model has none; nets.with_",
    ):
        cavia(loss, alpha=alpha, steps=1).adapt(theta, one(tasks, 0).support)


def test_an_alpha_for_other_parameters_is_refused():
    with pytest.raises(ValueError, match=r"alpha names \['w'\]: in CAVIA only the context adapts"):
        cavia(None, alpha={"w": 0.1}, steps=1)

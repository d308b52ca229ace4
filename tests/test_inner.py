import re
from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from mamlkit.inner import adapt, adapt_with, inner_step, repeated, step_sizes
from mamlkit.machine import seeded
from mamlkit.optimizer import adam, sgd
from mamlkit.task import Data
from mamlkit.trees import dot
from tests.oracles import (
    copied,
    derivative_gap,
    each,
    gap,
    hvp,
    one,
    problem,
    quadratic_loss,
    quadratic_task,
    same,
    squared,
)

pytestmark = pytest.mark.usefixtures("float64")


def curved(params):
    """A loss with third derivatives, and two parameters of different shapes."""
    return (params["w"] @ params["b"]).sin().sum() + (params["w"] ** 4).mean()


def start(seed=0):
    generator = seeded(seed)
    return {"w": torch.randn(4, 3, generator=generator), "b": torch.randn(3, generator=generator)}


def test_one_step_is_theta_minus_alpha_times_the_gradient():
    theta = start()
    leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}
    curved(leaves).backward()
    stepped = inner_step(theta, curved, 0.3)
    assert gap(stepped, {k: theta[k] - 0.3 * leaves[k].grad for k in theta}) < 1e-14


@pytest.mark.parametrize("steps", [1, 5])
def test_the_path_on_a_quadratic_is_the_closed_form(steps):
    """phi_k = c + (I - alpha A)^k (theta - c)."""
    theta, task = quadratic_task(0)
    A, c = task.support
    path = adapt(theta, repeated(quadratic_loss, task.support, steps), [0.4] * steps)
    M = torch.eye(4) - 0.4 * A
    for k, phi in enumerate(path):
        expected = c + torch.linalg.matrix_power(M, k) @ (theta["t"] - c)
        assert (phi["t"] - expected).abs().max() < 1e-12


def test_a_path_starts_at_theta_itself_and_changes_nothing():
    theta = start()
    before = copied(theta)
    path = adapt(theta, [curved] * 3, [0.1] * 3)
    assert len(path) == 4 and path[0] is theta and same(theta, before)
    assert all(list(p) == list(theta) for p in path) and gap(path[1], path[0]) > 1e-3
    assert adapt(theta, [], []) == [theta]


def test_each_step_has_its_own_objective_and_alpha():
    theta = start()
    other = lambda p: dot(p, p)
    path = adapt(theta, [curved, other], [0.1, 0.2])
    first = inner_step(theta, curved, 0.1)
    assert same(path[1], first) and same(path[2], inner_step(first, other, 0.2))


def test_first_order_takes_the_same_path():
    theta = start()
    for a, b in zip(
        adapt(theta, [curved] * 3, [0.1] * 3),
        adapt(theta, [curved] * 3, [0.1] * 3, first_order=True),
    ):
        assert same(a, b)


def test_first_order_treats_every_gradient_as_a_constant():
    """Then d theta' / d theta is the identity, and the derivative of sum(theta') is all ones; at
    second order it is not."""

    def total(theta, first_order):
        return sum(
            p.sum()
            for p in adapt(theta, [curved] * 3, [0.1] * 3, first_order=first_order)[-1].values()
        )

    assert all((g == 1).all() for g in grad(total)(start(), True).values())
    assert max((g - 1).abs().max() for g in grad(total)(start(), False).values()) > 0.1


@pytest.mark.parametrize(
    "form",
    ["float", "int", "scalar tensor", "dict of floats", "dict of scalars", "dict of tensors"],
)
def test_every_form_of_alpha_says_the_same(form):
    theta = start()
    alpha = {
        "float": 1.0,
        "int": 1,
        "scalar tensor": torch.tensor(1.0),
        "dict of floats": dict.fromkeys(theta, 1.0),
        "dict of scalars": dict.fromkeys(theta, torch.tensor(1.0)),
        "dict of tensors": {k: torch.ones_like(p) for k, p in theta.items()},
    }[form]
    assert same(inner_step(theta, curved, alpha), inner_step(theta, curved, 1.0))


def test_an_alpha_for_each_number_scales_each_number():
    theta, generator = start(), seeded(1)
    alpha = {k: torch.rand(p.shape, generator=generator) for k, p in theta.items()}
    gradient = grad(curved)(theta)
    assert (
        gap(inner_step(theta, curved, alpha), {k: theta[k] - alpha[k] * gradient[k] for k in theta})
        < 1e-15
    )


def test_what_alpha_does_not_name_does_not_move():
    theta = start()
    stepped = inner_step(theta, curved, {"b": 0.3})
    assert list(stepped) == list(theta) and stepped["w"] is theta["w"]
    assert torch.equal(stepped["b"], inner_step(theta, curved, 0.3)["b"])


def test_what_alpha_does_not_name_is_not_differentiated():
    """A table of integers has no gradient: named, it is refused by torch; left out, it is only
    used."""
    theta = {"w": torch.ones(3), "table": torch.tensor([2, 0])}
    objective = lambda p: (p["w"][p["table"]] ** 2).sum()
    assert torch.equal(inner_step(theta, objective, {"w": 0.25})["w"], torch.tensor([0.5, 1, 0.5]))
    with pytest.raises(RuntimeError):
        inner_step(theta, objective, 0.25)


def test_a_name_in_alpha_that_is_no_parameter_is_refused():
    with pytest.raises(
        ValueError, match=re.escape("no parameter is called ['head']; there are ['w', 'b']")
    ):
        inner_step(start(), curved, {"w": 0.1, "head": 0.1})


@pytest.mark.parametrize("alpha", [-0.1, -1, float("nan"), float("inf")])
def test_a_step_size_that_is_negative_or_not_finite_is_refused(alpha):
    words = re.escape(f"alpha is {alpha}: a step size must be a finite number that is not negative")
    with pytest.raises(ValueError, match=words):
        inner_step(start(), curved, alpha)
    with pytest.raises(ValueError, match=words):
        inner_step(start(), curved, {"w": 0.1, "b": alpha})


def test_alpha_0_is_allowed_and_stays():
    theta = start()
    assert same(inner_step(theta, curved, 0.0), theta)


@pytest.mark.parametrize("first_order", [False, True])
def test_the_loss_can_be_differentiated_with_respect_to_alpha(first_order):
    """Claim C013: alpha may be meta-learned. At first order the derivative stays exact for one
    step: -g' . g."""
    loss, theta, tasks, _ = problem("tanh mlp")
    task, generator = one(tasks, 0), seeded(2)
    alpha = {k: 0.3 + 0.2 * torch.rand(p.shape, generator=generator) for k, p in theta.items()}

    def after(alpha, steps):
        return loss(
            adapt(
                theta, repeated(loss, task.support, steps), [alpha] * steps, first_order=first_order
            )[-1],
            task.query,
        )

    for steps in (1,) if first_order else (1, 3):
        assert derivative_gap(lambda a: after(a, steps), alpha, grad(after)(alpha, steps)) < 1e-6


def test_the_derivative_by_one_scalar_alpha_is_minus_the_product_of_gradients():
    loss, theta, tasks, _ = problem("tanh mlp")
    support, query = one(tasks, 1)
    after = lambda a: loss(inner_step(theta, lambda p: loss(p, support), a), query)
    expected = -dot(
        grad(loss)(inner_step(theta, lambda p: loss(p, support), 0.4), query),
        grad(loss)(theta, support),
    )
    assert abs(grad(after)(torch.tensor(0.4)) - expected) < 1e-12


def test_the_infinite_sample_limit_of_a_bandit():
    """Oracle O11: three arms, R(theta) = softmax(theta) . r; the gradient of R(theta + alpha grad
    R) is (I + alpha H) grad R(theta'), gradient and Hessian written out by hand."""
    r, alpha = torch.tensor([1.0, -0.5, 0.3]), 0.7
    theta = torch.tensor([0.2, -0.4, 0.9])

    def by_hand(theta):
        p = torch.softmax(theta, 0)
        g = p * (r - p @ r)
        return g, torch.diag(g) - torch.outer(p, g) - torch.outer(g, p)

    reward = lambda params: torch.softmax(params["t"], 0) @ r
    stepped = lambda params: inner_step(params, lambda p: -reward(p), alpha)
    g, H = by_hand(theta)
    assert (stepped({"t": theta})["t"] - (theta + alpha * g)).abs().max() < 1e-14, (
        "a step on -R climbs R"
    )
    expected = (torch.eye(3) + alpha * H) @ by_hand(theta + alpha * g)[0]
    gradient = grad(lambda params: reward(stepped(params)))({"t": theta})["t"]
    assert (gradient - expected).abs().max() < 1e-12
    assert (gradient - by_hand(theta + alpha * g)[0]).abs().max() > 1e-2, "the Hessian matters here"


@pytest.mark.parametrize("name", ["tanh mlp", "relu mlp", "strided convnet"])
def test_reptile_with_one_step_is_joint_training(name):
    """Oracle O5: (theta - theta_1) / alpha is the gradient of the loss at theta."""
    loss, theta, tasks, alpha = problem(name)
    support = one(tasks, 0).support
    path = adapt(theta, repeated(loss, support, 1), [alpha])
    assert (
        gap({k: (theta[k] - path[1][k]) / alpha for k in theta}, grad(loss)(theta, support)) < 1e-12
    )


def test_reptile_with_two_steps_on_a_quadratic():
    """Oracle O5: (theta - theta_2) / alpha is 2 g - alpha H g."""
    theta, task = quadratic_task(1)
    A, c = task.support
    g = A @ (theta["t"] - c)
    path = adapt(theta, repeated(quadratic_loss, task.support, 2), [0.3] * 2)
    moved = (theta["t"] - path[2]["t"]) / 0.3
    assert (moved - (2 * g - 0.3 * A @ g)).abs().max() < 1e-12
    assert (moved - 2 * g).abs().max() > 1e-2


def test_reptile_with_two_steps_is_right_to_second_order_in_alpha():
    """Oracle O5 on a loss that is no quadratic: what is left over falls with alpha squared."""
    loss, theta, tasks, _ = problem("tanh mlp", loss=squared)
    objective = lambda p: loss(p, one(tasks, 0).support)
    g = grad(objective)(theta)
    Hg = hvp(objective, theta, g)
    left = []
    for alpha in (0.02, 0.01):
        path = adapt(theta, [objective] * 2, [alpha] * 2)
        left.append(
            gap(
                {k: (theta[k] - path[2][k]) / alpha for k in theta},
                {k: 2 * g[k] - alpha * Hg[k] for k in theta},
            )
        )
    assert 3.7 < left[0] / left[1] < 4.3


def test_batched_steps_are_the_steps_of_each_task():
    loss, theta, tasks, alpha = problem("tanh mlp")
    adapted = lambda support: adapt(theta, repeated(loss, support, 3), [alpha] * 3)[-1]
    batched = vmap(adapted)(tasks.support)
    for i in range(3):
        assert gap(one(batched, i), adapted(one(tasks, i).support)) < 1e-12


def test_repeated_shows_every_step_the_same_data():
    data = Data(torch.ones(2), torch.zeros(2))
    seen = []
    for objective in repeated(lambda p, batch: seen.append((p, batch)), data, 3):
        objective("theta")
    assert len(seen) == 3 and all(p == "theta" and batch is data for p, batch in seen)
    assert repeated(None, data, 0) == []


def test_a_plain_tuple_as_support_holds_one_batch_per_step():
    batches = tuple(Data(torch.full((2,), float(i)), torch.zeros(2)) for i in range(3))
    objectives = repeated(lambda p, batch: batch, batches, 3)
    assert all(objective(None) is batch for objective, batch in zip(objectives, batches))


def test_wrong_numbers_of_steps_are_refused():
    data = Data(torch.ones(2), torch.zeros(2))
    for steps in (-1, 1.5):
        with pytest.raises(
            ValueError,
            match=f"steps is {steps}: the number of inner steps must be a whole number, 0 or more",
        ):
            repeated(None, data, steps)
    with pytest.raises(
        ValueError, match="the support holds 2 batches for 3 inner steps: one batch per step"
    ):
        repeated(None, (data, data), 3)
    with pytest.raises(ValueError, match="one alpha per step, got 2 objectives and 3 alphas"):
        adapt(start(), [curved] * 2, [0.1] * 3)


@pytest.mark.parametrize("alphas", [[0.4, 0.4, 0.4], [0.4, 0.1, 0.2]])
def test_adapt_with_plain_gradient_descent_is_adapt(alphas):
    loss, theta, tasks, _ = problem("strided convnet")
    objectives = [lambda p, task=task: loss(p, task.support) for task in each(tasks)]
    before = copied(theta)
    assert (
        max(
            gap(a, b)
            for a, b in zip(
                adapt_with(sgd)(theta, objectives, alphas),
                adapt(theta, objectives, alphas),
                strict=True,
            )
        )
        < 1e-14
    )
    assert same(theta, before) and adapt_with(sgd)(theta, [], []) == [theta]


def test_adapt_with_keeps_the_optimizers_state_from_step_to_step():
    """Adam whose averages last for ever: step k is divided by the root of the mean square so
    far."""
    w = torch.tensor(5.0)
    objectives = [lambda p, g=g: g * p["w"] for g in (1.0, 3.0, 2.0)]
    path = adapt_with(partial(adam, decay=(0.0, 1 - 1e-9), eps=0.0))(
        {"w": w}, objectives, [0.1] * 3
    )
    expected = [5.0, 4.9, 4.9 - 0.3 / 5**0.5, 4.9 - 0.3 / 5**0.5 - 0.2 / (14 / 3) ** 0.5]
    assert [p["w"].item() for p in path] == pytest.approx(expected, abs=1e-6)


def test_an_alpha_in_full_has_the_models_order():
    params = {"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(4)}
    assert list(step_sizes(params, 0.3).items()) == [("a", 0.3), ("b", 0.3), ("c", 0.3)]
    assert list(step_sizes(params, {"c": 0.1, "a": torch.tensor(-0.2)})) == ["a", "c"], (
        "a tensor may be learned: any sign"
    )
    with pytest.raises(ValueError, match=r"no parameter is called \['d'\]"):
        step_sizes(params, {"d": 0.1})


@pytest.mark.parametrize("params", [[torch.ones(1)], torch.ones(2), None])
def test_parameters_that_are_no_dict_are_refused(params):
    with pytest.raises(ValueError, match="^the parameters are .*: they must be a dict of named"):
        inner_step(params, lambda p: p[0].sum(), 0.1)


@pytest.mark.parametrize(
    ("objectives", "alphas", "name"),
    [(None, [0.1], "objectives"), (lambda p: p["w"], [0.1], "objectives"), ([], 0.1, "alphas")],
)
def test_one_objective_alone_is_no_list(objectives, alphas, name):
    with pytest.raises(ValueError, match=f"^{name} is .*: it must be a list, one for each step"):
        adapt({"w": torch.ones(())}, objectives, alphas)

"""Is the meta-gradient right? Closed forms, finite differences, and what must not change it."""

import pytest
import torch
from torch.func import grad, vmap

from mamlkit.inner import inner_step
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import strided_convnet
from mamlkit.task import Data, Task
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.oracles import (
    MODELS,
    WAYS,
    after_adaptation,
    copied,
    derivative_gap,
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


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_on_a_quadratic_the_meta_gradient_is_the_closed_form(steps):
    """Oracle O1: M' A_q (phi_K - c_q), where M = (I - alpha A_s)^K and phi_K = c_s + M (theta -
    c_s)."""
    for seed in range(3):
        theta, task = quadratic_task(seed)
        (A, c), query = task
        M = torch.linalg.matrix_power(torch.eye(4) - 0.4 * A, steps)
        phi = c + M @ (theta["t"] - c)
        gradient, aux = maml(quadratic_loss, alpha=0.4, steps=steps).meta_grad(theta, task)
        assert (gradient["t"] - M.T @ query.x @ (phi - query.y)).abs().max() < 1e-12
        assert (aux["loss"] - (phi - query.y) @ query.x @ (phi - query.y) / 2).abs() < 1e-12


def test_an_alpha_for_each_number_has_a_closed_form_too():
    """theta' = theta - D A (theta - c), so the meta-gradient is (I - D A)' A_q (theta' - c_q)."""
    theta, task = quadratic_task(0)
    (A, c), query = task
    D = torch.tensor([0.1, 0.4, 0.0, 0.3])
    stepped = theta["t"] - D * (A @ (theta["t"] - c))
    gradient, _ = maml(quadratic_loss, alpha={"t": D}, steps=1).meta_grad(theta, task)
    expected = (torch.eye(4) - torch.diag(D) @ A).T @ query.x @ (stepped - query.y)
    assert (gradient["t"] - expected).abs().max() < 1e-12


def quadratics(A):
    generator = seeded(3)
    c = torch.randn(3, 4, generator=generator)
    data = Data(A, c)
    return {"t": torch.zeros(4)}, Task(data, data)


def lowest(tasks, weights):
    """Where sum of 1/2 (t - c_i)' W_i (t - c_i) is lowest."""
    return {
        "t": torch.linalg.solve(weights.sum(0), torch.einsum("tij,tj->i", weights, tasks.support.y))
    }


def test_the_meta_gradient_vanishes_at_mamls_optimum_which_beats_the_joint_one_after_a_step():
    """Oracle O2, claim C011."""
    A = torch.stack([quadratic_task(seed)[1].support.x for seed in range(3)])
    M = torch.eye(4) - 0.25 * A
    _, tasks = quadratics(A)
    best, joint = lowest(tasks, M.mT @ A @ M), lowest(tasks, A)
    learner = maml(quadratic_loss, alpha=0.25, steps=1)
    batched = lambda theta: vmap(learner.meta_grad, (None, 0))(theta, tasks)
    assert (
        batched(best)[0]["t"].mean(0).abs().max()
        < 1e-10
        < 1e-2
        < batched(joint)[0]["t"].mean(0).abs().max()
    )
    assert batched(best)[0]["t"].abs().max() > 1e-2, "each task pulls, only their mean is at rest"
    assert batched(best)[1]["loss"].mean() < batched(joint)[1]["loss"].mean() - 1e-4


def test_with_equal_curvatures_mamls_optimum_is_the_joint_one():
    """Oracle O2: where every A_i is the same multiple of I, the mean of the tasks' optima is
    both."""
    _, tasks = quadratics(1.7 * torch.eye(4).expand(3, 4, 4))
    learner = maml(quadratic_loss, alpha=0.25, steps=1)
    centre = {"t": tasks.support.y.mean(0)}
    assert gap(lowest(tasks, tasks.support.x), centre) < 1e-12
    assert vmap(learner.meta_grad, (None, 0))(centre, tasks)[0]["t"].mean(0).abs().max() < 1e-10


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_the_meta_gradient_is_the_derivative_of_the_loss_after_adaptation(name, steps):
    """Oracle O3, claims C001, C006, C007: one function for every architecture."""
    loss, theta, tasks, alpha = problem(name)
    learner = maml(loss, alpha=alpha, steps=steps)
    task = one(tasks, 0)
    assert (
        derivative_gap(
            after_adaptation(learner, loss, task), theta, learner.meta_grad(theta, task)[0]
        )
        < 1e-6
    )


@pytest.mark.parametrize("name", ["tanh mlp", "softplus mlp, batch norm", "gru"])
def test_one_explicit_hessian_vector_product_gives_the_meta_gradient(name):
    """Oracle O17, claim C015: g - alpha H g, with g the query gradient at theta'."""
    loss, theta, tasks, alpha = problem(name, loss=squared)
    task = one(tasks, 0)
    support = lambda p: loss(p, task.support)
    g = grad(loss)(inner_step(theta, support, alpha), task.query)
    Hg = hvp(support, theta, g)
    gradient, _ = maml(loss, alpha=alpha, steps=1).meta_grad(theta, task)
    assert gap(gradient, {k: g[k] - alpha * Hg[k] for k in g}) < 1e-12 < gap(gradient, g)


@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_plain_autograd_gives_the_same_meta_gradient(name):
    """Another route: leaves, create_graph=True and a Python loop, no torch.func. Without
    create_graph (pitfall P03) it would be the first-order one, which is another number."""
    loss, theta, tasks, alpha = problem(name)
    task = one(tasks, 0)
    gradient, aux = maml(loss, alpha=alpha, steps=3).meta_grad(theta, task)

    def by_autograd(create_graph):
        leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}
        adapted = leaves
        for _ in range(3):
            steps = torch.autograd.grad(
                loss(adapted, task.support), list(adapted.values()), create_graph=create_graph
            )
            adapted = {k: p - alpha * g for (k, p), g in zip(adapted.items(), steps)}
        value = loss(adapted, task.query)
        return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())))), value

    second, value = by_autograd(True)
    assert gap(gradient, second) < 1e-12 and (aux["loss"] - value).abs() < 1e-12
    assert gap(gradient, by_autograd(False)[0]) > 1e-3 * norm(gradient)


@pytest.mark.parametrize("name", MODELS)
def test_the_batched_meta_gradient_is_the_mean_of_each_tasks(name):
    """Oracle O16; and theta is the same, bit for bit, afterwards."""
    loss, theta, tasks, alpha = problem(name)
    before = copied(theta)
    learner = maml(loss, alpha=alpha, steps=2)
    alone = [learner.meta_grad(theta, task)[0] for task in each(tasks)]
    assert gap(trained_gradient(learner, theta, tasks), mean(alone)) < 1e-12
    assert gap(alone[0], alone[1]) > 1e-3 and same(theta, before)


def test_batch_norm_shifts_that_do_not_adapt_are_meta_learned():
    """As in the authors' code: absent from alpha they stay where they are in the inner loop, and
    have a meta-gradient."""
    loss, theta, tasks, alpha = problem("strided convnet")
    betas = [k for k in theta if k.endswith(".beta")]
    alphas = {k: alpha for k in theta if k not in betas}
    learner, everything = maml(loss, alpha=alphas, steps=3), maml(loss, alpha=alpha, steps=3)
    task = one(tasks, 0)
    for phi in learner.adapt(theta, task.support):
        assert all(torch.equal(phi[k], theta[k]) for k in betas)
    assert all((everything.adapt(theta, task.support)[-1][k] != theta[k]).any() for k in betas)
    gradient, _ = learner.meta_grad(theta, task)
    assert list(gradient) == list(theta) and all(gradient[k].abs().max() > 1e-6 for k in betas)
    assert derivative_gap(after_adaptation(learner, loss, task), theta, gradient) < 1e-6


@pytest.mark.parametrize("steps", [1, 3])
def test_labels_permuted_together_with_the_heads_rows_change_nothing(steps):
    """Oracle O15. Labels permuted alone do: a learned head has given each label a place."""
    loss, theta, tasks, alpha = problem("strided convnet")
    task, learner = one(tasks, 0), maml(loss, alpha=alpha, steps=steps)
    order = torch.tensor([2, 4, 3, 0, 1])
    head = {k: theta[k][order.argsort()] for k in ("layer4.weight", "layer4.bias")}
    renamed = Task(*(Data(d.x, order[d.y]) for d in task))
    after = lambda theta, task: loss(learner.adapt(theta, task.support)[-1], task.query)
    assert (after(theta | head, renamed) - after(theta, task)).abs() < 1e-10
    assert (after(theta, renamed) - after(theta, task)).abs() > 1e-2


def test_the_order_of_support_examples_does_not_matter():
    loss, theta, tasks, alpha = problem("strided convnet")
    task, learner = one(tasks, 0), maml(loss, alpha=alpha, steps=2)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    shuffled = Task(tree_map(lambda t: t[order], task.support), task.query)
    assert gap(learner.meta_grad(theta, shuffled)[0], learner.meta_grad(theta, task)[0]) < 1e-12


def test_a_support_with_one_batch_per_step_is_used_in_turn():
    """Algorithm 3 samples anew after each update; two steps on two batches are a step on each."""
    loss, theta, tasks, alpha = problem("tanh mlp")
    first, second = one(tasks, 0).support, one(tasks, 1).support
    path = maml(loss, alpha=alpha, steps=2).adapt(theta, (first, second))
    halfway = inner_step(theta, lambda p: loss(p, first), alpha)
    assert same(path[1], halfway) and same(
        path[2], inner_step(halfway, lambda p: loss(p, second), alpha)
    )
    with pytest.raises(ValueError, match="the support holds 2 batches for 3 inner steps"):
        maml(loss, alpha=alpha, steps=3).adapt(theta, (first, second))


def test_the_query_is_what_is_meta_learned_and_the_support_what_adapts():
    """Claim C018: D and D' in their places; exchanged, the meta-gradient is another."""
    loss, theta, tasks, alpha = problem("tanh mlp")
    task, learner = one(tasks, 0), maml(loss, alpha=alpha, steps=1)
    exchanged = Task(task.query, task.support)
    assert gap(learner.meta_grad(theta, exchanged)[0], learner.meta_grad(theta, task)[0]) > 1e-3
    assert (
        gap(learner.adapt(theta, task.support)[-1], learner.adapt(theta, exchanged.support)[-1])
        > 1e-3
    )


def test_negative_steps_are_refused():
    loss, theta, tasks, _ = problem("tanh mlp")
    with pytest.raises(ValueError, match="steps is -1"):
        maml(loss, alpha=0.1, steps=-1).adapt(theta, one(tasks, 0).support)


def test_the_native_batch_norm_with_a_learned_scale_is_exact_too_because_vmap_stays_outermost():
    """If `train` moved `vmap` inside the gradient, this alone would tell (anchors.md, section
    1)."""
    net = strided_convnet(WAYS, filters=4, channels=2)
    _, theta, tasks, alpha = problem("strided convnet")
    theta = theta | {f"norm{i}.scale": torch.ones(4) for i in range(4)}

    def forward(params, x):
        conv, norm = torch.nn.functional.conv2d, torch.nn.functional.batch_norm
        for i in range(4):
            x = conv(x, params[f"layer{i}.weight"], params[f"layer{i}.bias"], stride=2, padding=1)
            x = norm(
                x,
                None,
                None,
                params[f"norm{i}.scale"],
                params[f"norm{i}.beta"],
                training=True,
                eps=1e-3,
            ).relu()
        return torch.nn.functional.linear(
            x.mean((2, 3)), params["layer4.weight"], params["layer4.bias"]
        )

    assert (
        forward(theta, tasks.query.x[0]) - net.forward(theta, tasks.query.x[0])
    ).abs().max() < 1e-12
    loss = cross_entropy(forward)
    learner = maml(loss, alpha=alpha, steps=1)
    value = (
        lambda theta: sum(after_adaptation(learner, loss, task)(theta) for task in each(tasks)) / 3
    )
    assert derivative_gap(value, theta, trained_gradient(learner, theta, tasks)) < 1e-6
    inside = grad(
        lambda theta: vmap(lambda task: after_adaptation(learner, loss, task)(theta))(tasks).mean()
    )(theta)
    assert derivative_gap(value, theta, inside) > 1e-4, "so this test can fail"

"""The implicit gradient: exact on quadratics, the limit of the unrolled one, and whatever the way
to the solution was."""

import pytest
import torch
from torch.func import grad, jacrev, vmap
from torch.profiler import ProfilerActivity, profile

from mamlkit.inner import adapt
from mamlkit.learner import unrolled
from mamlkit.probes.cost import peak_bytes, without_numbers
from mamlkit.trees import ravel
from mamlkit.variants.imaml import imaml
from mamlkit.variants.maml import maml
from tests.oracles import (
    after_adaptation,
    copied,
    derivative_gap,
    gap,
    norm,
    one,
    problem,
    quadratic_loss,
    quadratic_task,
)

pytestmark = pytest.mark.usefixtures("float64")
SOLVED = dict(
    alpha=0.2, cg_steps=4
)  # curvatures reach 3: with strength 2 the inner problem is solved to the last digit in 200 steps


@pytest.mark.parametrize("strength", [0.7, 2.0])
def test_on_a_quadratic_it_is_exact(strength):
    """Oracle O6: phi = (A_s + l I)^-1 (A_s c_s + l theta), and (I + A_s / l)^-1 A_q (phi - c_q)."""
    for seed in range(3):
        theta, task = quadratic_task(seed)
        (A, c), query = task
        learner, eye = imaml(quadratic_loss, steps=300, strength=strength, **SOLVED), torch.eye(4)
        phi = torch.linalg.solve(A + strength * eye, A @ c + strength * theta["t"])
        assert (learner.adapt(theta, task.support)[-1]["t"] - phi).abs().max() < 1e-12
        gradient, aux = learner.meta_grad(theta, task)
        assert (
            gradient["t"] - torch.linalg.solve(eye + A / strength, query.x @ (phi - query.y))
        ).abs().max() < 1e-12
        assert (aux["loss"] - (phi - query.y) @ query.x @ (phi - query.y) / 2).abs() < 1e-12


def test_the_way_to_the_solution_does_not_matter():
    """Oracle O7, claim S210: neither the number of steps nor their size."""
    theta, task = quadratic_task(0)
    gradients = [
        imaml(quadratic_loss, alpha=alpha, steps=steps, cg_steps=4).meta_grad(theta, task)[0]
        for alpha, steps in [(0.2, 200), (0.2, 1000), (0.05, 1000)]
    ]
    assert gap(gradients[0], gradients[1]) < 1e-12 and gap(gradients[0], gradients[2]) < 1e-12


def test_differentiating_through_ever_more_steps_arrives_at_the_same():
    """Oracle O7: the unrolled gradient of the same inner problem, ever closer."""
    theta, task = quadratic_task(0)

    def inner(start, support):
        def proximal(p):
            return quadratic_loss(p, support) + (p["t"] - start["t"]).square().sum()

        return adapt(start, [proximal] * steps, [0.05] * steps)

    implicit, _ = imaml(quadratic_loss, steps=1000, **SOLVED).meta_grad(theta, task)
    gaps = []
    for steps in (1, 10, 50, 300):  # noqa: B007
        gaps.append(
            gap(unrolled(quadratic_loss, inner).meta_grad(theta, task)[0], implicit)
            / norm(implicit)
        )
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 0.1 and gaps[-1] < 1e-10


@pytest.mark.parametrize("name", ["tanh mlp", "relu mlp, batch norm"])
def test_wherever_the_inner_loop_ends_it_solves_with_the_hessian_there(name):
    """Through batch norm and ReLU, inside `vmap`, against the whole matrix; a few products only
    come near."""
    loss, theta, tasks, alpha = problem(name)
    few, many = (imaml(loss, alpha=alpha, steps=3, strength=2.0, cg_steps=n) for n in (2, 60))
    near, exact = (vmap(learner.meta_grad, (None, 0))(theta, tasks)[0] for learner in (few, many))
    for i in range(3):
        task = one(tasks, i)
        phi, unravel = ravel(many.adapt(theta, task.support)[-1])
        H = jacrev(grad(lambda v: loss(unravel(v), task.support)))(phi)
        g = grad(lambda v: loss(unravel(v), task.query))(phi)
        expected = unravel(torch.linalg.solve(torch.eye(len(phi)) + H / 2.0, g))
        assert gap(one(exact, i), expected) < 1e-8
        assert 1e-8 < gap(one(near, i), expected) < gap(unravel(g), expected)


def parts_loss(params, data):
    return quadratic_loss({"t": torch.cat([params["a"], params["b"]])}, data)


@pytest.mark.parametrize("alpha", [0.2, {"b": 0.2}], ids=["all adapts", "a part adapts"])
def test_it_is_the_derivative_of_the_loss_after_adaptation(alpha):
    """Also by what does not adapt: the solution moves with it."""
    theta, task = quadratic_task(0)
    theta = {"a": theta["t"][:1], "b": theta["t"][1:]}
    learner = imaml(parts_loss, alpha=alpha, steps=300, cg_steps=4)
    gradient, _ = learner.meta_grad(theta, task)
    assert derivative_gap(after_adaptation(learner, parts_loss, task), theta, gradient) < 1e-8
    if isinstance(alpha, dict):
        direct = grad(parts_loss)(learner.adapt(theta, task.support)[-1], task.query)
        assert (gradient["a"] - direct["a"]).abs() > 1e-2, "so this test can fail"


@pytest.mark.parametrize(
    "settings",
    [
        dict(alpha=0.2, steps=0),
        dict(alpha=0.0, steps=3),
        dict(alpha={"b": 0.0}, steps=3),
        dict(alpha={}, steps=3),
    ],
    ids=str,
)
def test_where_nothing_moves_it_is_the_query_gradient_at_the_start(settings):
    theta, task = quadratic_task(0)
    theta = {"a": theta["t"][:1], "b": theta["t"][1:]}
    gradient, aux = imaml(parts_loss, **settings).meta_grad(theta, task)
    assert gap(gradient, grad(parts_loss)(theta, task.query)) == 0 and torch.equal(
        aux["loss"], parts_loss(theta, task.query)
    )


def test_what_has_a_step_size_of_0_is_meta_learned_as_what_alpha_leaves_out():
    theta, task = quadratic_task(0)
    theta = {"a": theta["t"][:1], "b": theta["t"][1:]}
    first, second = (
        imaml(parts_loss, alpha=alpha, steps=300, cg_steps=4).meta_grad(theta, task)[0]
        for alpha in ({"b": 0.2}, {"a": 0.0, "b": 0.2})
    )
    assert gap(first, second) == 0


def test_the_pull_towards_the_start_is_felt():
    theta, task = quadratic_task(0)
    ends = [
        imaml(quadratic_loss, alpha=0.01, steps=300, strength=s).adapt(theta, task.support)[-1]
        for s in (0.1, 2.0, 50.0)
    ]
    distances = [gap(end, theta) for end in ends]
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.2 * distances[0]


def peak(learner, theta, task) -> int:
    """The most bytes that tensors held at once, above those at the start."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        learner.meta_grad(theta, task)
    held = most = 0
    for event in sorted(
        (e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"),
        key=lambda e: e.start_ns(),
    ):
        held += event.nbytes()
        most = max(most, held)
    return most


def test_memory_is_flat_in_the_number_of_steps():
    """Claim S210: nothing of the way is kept. An unrolled learner keeps all of it."""
    loss, theta, tasks, _ = problem("strided convnet")
    task = one(tasks, 0)
    few, many = (peak(imaml(loss, alpha=0.01, steps=n), theta, task) for n in (2, 10))

    def unrolled_peak(n):
        return peak(
            unrolled(loss, lambda t, s: adapt(t, [lambda p: loss(p, s)] * n, [0.01] * n)),
            theta,
            task,
        )

    assert many < 1.1 * few and unrolled_peak(10) > 3 * unrolled_peak(2)


def test_against_inner_steps_mamls_memory_is_a_rising_line_and_imamls_is_level():
    """Claim S210's slope test, on bytes counted without numbers."""
    loss, theta, tasks, _ = problem("strided convnet")
    shapes, steps = without_numbers((theta, one(tasks, 0))), torch.tensor([1.0, 2.0, 4.0, 8.0])
    most = {
        v: torch.tensor(
            [float(peak_bytes(v(loss, alpha=0.01, steps=int(n)).meta_grad, *shapes)) for n in steps]
        )
        for v in (maml, imaml)
    }
    away = steps - steps.mean()
    slope = {v: (away * b).sum() / away.square().sum() for v, b in most.items()}
    rest = most[maml] - most[maml].mean() - slope[maml] * away
    assert (
        slope[maml] > 0
        and 1 - rest.square().sum() / (most[maml] - most[maml].mean()).square().sum() > 0.99
    )
    assert slope[imaml].abs() < 0.01 * slope[maml]


def test_a_batch_for_each_step_is_refused():
    loss, theta, tasks, alpha = problem("tanh mlp")
    support = one(tasks, 0).support
    with pytest.raises(
        ValueError, match="one inner problem: it takes one support set, not a batch for each step"
    ):
        imaml(loss, alpha=alpha, steps=2).adapt(theta, (support, copied(support)))


@pytest.mark.parametrize("cg_steps", [0, -1, 1.5])
def test_a_number_of_products_below_1_is_refused(cg_steps):
    with pytest.raises(
        ValueError,
        match=rf"cg_steps is {cg_steps}: it must be .*1 or more",
    ):
        imaml(None, alpha=0.1, steps=1, cg_steps=cg_steps)


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_a_strength_that_is_not_above_0_is_refused(strength):
    with pytest.raises(
        ValueError,
        match=f"strength is {strength}: the pull towards theta must be finite and above 0",
    ):
        imaml(None, alpha=0.1, steps=1, strength=strength)

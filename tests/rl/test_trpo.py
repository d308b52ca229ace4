"""TRPO's pieces, against dense algebra in double precision (oracle O19)."""

import pytest
import torch
from torch.func import grad, jacrev, vmap

from mamlkit.machine import seeded
from mamlkit.rl.objectives import divergence, reinforce, surrogate
from mamlkit.rl.trpo import (
    _adapted,
    _parts,
    finite_difference_product,
    fisher,
    linearised,
    trpo_step,
)
from mamlkit.trees import ravel
from mamlkit.variants.fomaml import fomaml
from tests.oracles import copied, gap, same
from tests.rl.worlds import TASKS, Clock, played

pytestmark = pytest.mark.usefixtures("float64")
LOOSE = {"damping": 1e-2, "cg_iterations": 60}  # every direction of the 51 parameters is found


@pytest.fixture(scope="module")
def problem():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield played(steps=2)
    torch.set_default_dtype(before)


def functions(problem):
    """theta as a vector, and the mean surrogate and the mean KL of it, through the inner steps."""
    learner, policy, theta, batch = problem
    vector, unravel = ravel(theta)
    after = _adapted(learner, policy, unravel)
    mean = lambda of: lambda v: vmap(lambda task: of(policy, after(v, task), task.query))(
        batch
    ).mean()
    return vector, after, mean(surrogate), mean(divergence)


def products(problem, chunk=TASKS, every=1):
    """v -> F v / tasks."""
    _, policy, _, batch = problem
    vector, after, *_ = functions(problem)
    parts = [
        fisher(linearised(after, vector, part), policy, part)
        for part in _parts(batch, chunk, every)
    ]
    return lambda v: sum(product(v) for product in parts) / TASKS


def dense(problem):
    """The Hessian of the mean KL at theta, through the inner steps, made column by column."""
    vector, _, _, kl = functions(problem)
    return jacrev(grad(kl))(vector)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_a_fisher_product_is_the_hessian_of_the_kl_through_adaptation(problem, chunk):
    H, product = dense(problem), products(problem, chunk)
    assert (
        H.shape == (51, 51)
        and (H - H.T).abs().max() < 1e-10
        and torch.linalg.eigvalsh(H).min() > -1e-10
    )
    for seed in range(3):
        v = torch.randn(51, generator=seeded(seed))
        assert (product(v) - H @ v).norm() < 1e-10 * (H @ v).norm()
    untouched = products((fomaml(reinforce(problem[1]), alpha=0.3, steps=2), *problem[1:]))
    assert (untouched(v) - H @ v).norm() > 1e-3 * (H @ v).norm(), (
        "the inner steps' second derivatives are in it"
    )


def test_finite_differences_near_it_and_the_authors_width_does_not(problem):
    """Claim C118: base 1e-8 is meant, 1 is passed."""
    learner, policy, theta, batch = problem
    v = torch.randn(51, generator=seeded(1))
    exact = products(problem)(v)
    error = lambda base: (
        (
            finite_difference_product(learner, policy, theta, batch, v / v.norm(), base=base)
            * v.norm()
            - exact
        ).norm()
        / exact.norm()
    ).item()
    assert error(1e-4) < 1e-6 and error(1.0) > 1e-3 > error(1e-2)


def test_the_derivative_forwards_is_the_transpose_of_the_one_backwards(problem):
    vector, after, *_ = functions(problem)
    here = linearised(after, vector, problem[3])
    v, push = torch.randn(51, generator=seeded(2)), here.push()
    moved = push(v)
    size = 1e-6
    ahead, behind = (
        vmap(lambda task: after(vector + e * v, task))(problem[3]) for e in (size, -size)
    )
    for forwards, a, b in zip(moved, ahead, behind):
        assert (forwards - (a - b) / (2 * size)).abs().max() < 1e-7
    u = type(moved)(*(torch.randn(t.shape, generator=seeded(3)) for t in moved))
    assert (sum((a * b).sum() for a, b in zip(u, moved)) - here.pull(u) @ v).abs() < 1e-10


def test_an_accepted_step_lowers_the_surrogate_within_the_radius(problem):
    learner, policy, theta, batch = problem
    before = copied(theta)
    moved, outcome = trpo_step(learner, policy, theta, batch)
    vector, _, loss, kl = functions(problem)
    new = ravel(moved)[0]
    assert same(theta, before) and list(moved) == list(theta) and outcome.accepted == 1
    assert loss(new) < loss(vector) and 0.003 < kl(new) <= 0.01
    for told, true in (
        (outcome.before, loss(vector)),
        (outcome.after, loss(new)),
        (outcome.kl, kl(new)),
    ):
        assert (told - true).abs() < 1e-12


def test_how_many_tasks_are_differentiated_at_once_does_not_matter(problem):
    learner, policy, theta, batch = problem
    few = {"damping": 1e-2, "cg_iterations": 3}  # after ten, rounding has grown to 1e-5
    one, two, three = (
        trpo_step(learner, policy, theta, batch, **few, chunk=chunk)[0] for chunk in (1, 2, 3)
    )
    assert gap(one, two) < 1e-10 and gap(one, three) < 1e-10 and not same(one, theta)


def test_the_step_solves_the_dense_system_and_has_the_radius_length(problem):
    learner, policy, theta, batch = problem
    moved, outcome = trpo_step(learner, policy, theta, batch, radius=1e-6, **LOOSE)
    vector, _, loss, _ = functions(problem)
    H, g = dense(problem) + 1e-2 * torch.eye(51), grad(loss)(vector)
    x = torch.linalg.solve(H, -g)
    expected = 0.8 ** (outcome.tries - 1) * (2e-6 / (x @ H @ x)).sqrt() * x
    assert ((ravel(moved)[0] - vector) - expected).norm() < 1e-6 * expected.norm()


def test_the_line_search_cuts_by_its_ratio(problem):
    """Against a KL that counts four times, so that the first two points are too far."""
    learner, policy, theta, batch = problem
    strict = policy._replace(
        kl=lambda old, new: policy.kl(old, new)
        * torch.where(policy.kl(old, new).mean() > 1e-12, 4.0, 1.0)
    )
    full, plain = trpo_step(learner, policy, theta, batch, radius=1e-5, **LOOSE)
    cut, outcome = trpo_step(learner, strict, theta, batch, radius=1e-5, **LOOSE)
    assert plain.tries == 1 and outcome.tries > 1 and outcome.kl <= 1e-5 < outcome.kl / 0.8**2
    a, b = (ravel(t)[0] - ravel(theta)[0] for t in (full, cut))
    assert torch.cosine_similarity(a, b, 0) > 1 - 1e-6


def test_a_rejected_step_keeps_the_parameters(problem):
    learner, policy, theta, batch = problem
    never = policy._replace(kl=lambda old, new: policy.kl(old, new) + 1)
    kept, outcome = trpo_step(learner, never, theta, batch, tries=3)
    assert (
        same(kept, theta)
        and outcome.accepted == 0
        and outcome.tries == 3
        and outcome.kl == 0
        and outcome.after == outcome.before
    )
    level = batch._replace(query=batch.query._replace(advantage=0 * batch.query.advantage))
    kept, outcome = trpo_step(learner, policy, theta, level)
    assert same(kept, theta) and outcome.accepted == 0, "no advantage, no step"


def test_curvature_from_some_steps_is_an_estimate_of_that_from_all():
    problem = played(lanes=100)
    v = torch.randn(51, generator=seeded(4))
    exact, half, few = (products(problem, every=every)(v) for every in (1, 2, 100))
    assert 1e-3 < (half - exact).norm() / exact.norm() < 0.5 < (few - exact).norm() / exact.norm()
    learner, policy, theta, batch = problem
    steps = [
        ravel(trpo_step(learner, policy, theta, batch, every=every)[0])[0] - ravel(theta)[0]
        for every in (1, 2)
    ]
    assert 0.7 < torch.cosine_similarity(*steps, 0) < 1 - 1e-6


def test_tasks_with_fewer_steps_are_trimmed_and_weigh_as_much():
    problem = played(env=Clock())
    batch = problem[3]
    counts = batch.query.weight.sum(1)
    assert len(set(counts.tolist())) > 1, "the tasks differ in their number of steps"
    assert [part.query.weight.shape[1] for part in _parts(batch, 1, 1)] == counts.tolist()
    v = torch.randn(51, generator=seeded(5))
    assert (products(problem, 1)(v) - products(problem, 3)(v)).norm() < 1e-12
    assert (products(problem)(v) - dense(problem) @ v).norm() < 1e-10 * v.norm()


def test_a_gradient_that_is_not_finite_is_refused_by_name(problem):
    learner, policy, theta, batch = problem
    broken = batch._replace(query=batch.query._replace(advantage=batch.query.advantage * torch.nan))
    with pytest.raises(
        FloatingPointError,
        match=(
            "the surrogate's gradient of layer0.weight, .* is not finite: the parameters were left"
        ),
    ):
        trpo_step(learner, policy, theta, broken)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"radius": 0.0}, "radius is 0.0: it must be above 0"),
        ({"cg_iterations": 0}, "cg_iterations is 0: it must be 1 or more"),
        ({"tries": 0}, "tries is 0: it must be 1 or more"),
        ({"every": 0}, "every is 0: it must be 1 or more"),
        ({"backtrack": 1.0}, "backtrack is 1.0: it must be between 0 and 1"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(problem, settings, words):
    learner, policy, theta, batch = problem
    with pytest.raises(ValueError, match=words):
        trpo_step(learner, policy, theta, batch, **settings)

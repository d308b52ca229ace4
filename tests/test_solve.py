import pytest
import torch
from torch.func import vmap

from mamlkit.machine import seeded
from mamlkit.solve import conjugate_gradient

pytestmark = pytest.mark.usefixtures("float64")


def system(seed=0, n=6, curvatures=None):
    """A symmetric positive definite matrix, eigenvalues from 0.1 to 3 unless given, and a
    right-hand side."""
    generator = seeded(seed)
    axes, _ = torch.linalg.qr(torch.randn(n, n, generator=generator))
    values = (
        0.1 + 2.9 * torch.rand(n, generator=generator)
        if curvatures is None
        else torch.tensor(curvatures)
    )
    return axes @ torch.diag(values) @ axes.T, torch.randn(n, generator=generator)


def solve(A, b, iterations, **settings):
    return conjugate_gradient(lambda v: A @ v, b, iterations=iterations, **settings)


def test_as_many_products_as_unknowns_solve_it():
    for seed in range(3):
        A, b = system(seed)
        assert (solve(A, b, 6) - torch.linalg.solve(A, b)).abs().max() < 1e-10
        assert (solve(A, b, 5) - torch.linalg.solve(A, b)).abs().max() > 1e-8


@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_fewer_find_the_best_that_so_many_products_can(iterations):
    """The least error in the norm of A among the combinations of b, A b, ..., found here by least
    squares."""
    A, b = system()
    krylov, _ = torch.linalg.qr(
        torch.stack([torch.linalg.matrix_power(A, i) @ b for i in range(iterations)], 1)
    )
    best = krylov @ torch.linalg.solve(krylov.T @ A @ krylov, krylov.T @ b)
    assert (solve(A, b, iterations) - best).abs().max() < 1e-12


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_it_takes_as_many_as_there_are_different_curvatures(distinct):
    A, b = system(curvatures=[[1.0, 0.2, 3.0][i % distinct] for i in range(6)])
    assert (solve(A, b, distinct) - torch.linalg.solve(A, b)).abs().max() < 1e-12


def test_a_parameter_dict_is_a_vector_in_parts():
    A, b = system()
    shapes = {"weight": (2, 2), "bias": (2,)}

    def named(v):
        return {"weight": v[:4].view(2, 2), "bias": v[4:]}

    def product(params):
        moved = named(A @ torch.cat([params["weight"].flatten(), params["bias"]]))
        return dict(reversed(moved.items()))  # the names decide, not their order

    x = conjugate_gradient(product, named(b), iterations=4)
    expected = named(solve(A, b, 4))
    assert list(x) == list(shapes) and all(
        x[k].shape == s and (x[k] - expected[k]).abs().max() < 1e-12 for k, s in shapes.items()
    )


def test_systems_side_by_side_are_systems_one_by_one():
    """The first is solved after one product, the second needs six, the third has nothing to
    solve."""
    hard, b = system()
    A, b = torch.stack([2 * torch.eye(6), hard, hard]), torch.stack([b, b, 0 * b])
    batched = vmap(lambda A, b: solve(A, b, 9))(A, b)
    for i, x in enumerate(batched):
        assert (x - solve(A[i], b[i], 9)).abs().max() < 1e-12
    assert (batched[0] - b[0] / 2).abs().max() < 1e-15 and (
        batched[1] - torch.linalg.solve(hard, b[1])
    ).abs().max() < 1e-10
    assert (batched[2] == 0).all()


def test_what_is_solved_stands_still_however_long_it_goes_on():
    """Without the mask the next step would be 0 / 0."""
    b = system()[1]
    assert torch.equal(solve(2 * torch.eye(6), b, 1), solve(2 * torch.eye(6), b, 50))
    A, b = system(curvatures=[1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])
    assert torch.equal(solve(A, b, 40), solve(A, b, 80))
    far = solve(A.float(), b.float(), 200)
    assert torch.isfinite(far).all() and (A.float() @ far - b.float()).norm() < 1e-2 * b.norm()


def test_the_tolerance_is_relative_to_the_right_hand_side():
    A, b = system()
    for scale in (1e-6, 1.0, 1e6):
        x = solve(A, scale * b, 50, tolerance=0.05)
        assert torch.equal(x, solve(A, scale * b, 500, tolerance=0.05))
        assert 1e-6 * scale < (A @ x - scale * b).norm() <= 0.05 * scale * b.norm()


def test_it_ends_at_the_tolerance_and_not_before():
    """The first product leaves a fifth of b, the second nothing."""
    A, b = torch.diag(torch.tensor([1.0, 1.5])), torch.ones(2)
    first, exact = solve(A, b, 1), torch.linalg.solve(A, b)
    assert ((A @ first - b).norm() / b.norm()).item() == pytest.approx(0.2)
    assert torch.equal(solve(A, b, 9, tolerance=0.21), first)
    assert (solve(A, b, 9, tolerance=0.19) - exact).abs().max() < 1e-12


def test_a_direction_without_curvature_ends_it():
    flat = torch.diag(torch.tensor([2.0, 0.0]))
    assert torch.equal(solve(flat, torch.tensor([0.0, 1.0]), 5), torch.zeros(2))
    assert torch.equal(solve(flat, torch.tensor([4.0, 0.0]), 5), torch.tensor([2.0, 0.0]))


def test_a_direction_without_positive_curvature_ends_it():
    """What was found before is kept: here the part of b along which A curves upwards, found by the
    first product."""
    A = torch.diag(torch.tensor([2.0, -3.0]))
    assert torch.equal(solve(A, torch.tensor([0.0, 1.0]), 5), torch.zeros(2))
    b = torch.tensor([1.0, 0.1])
    first = solve(A, b, 1)
    assert first.abs().max() > 0.1 and torch.equal(solve(A, b, 7), first)


def test_what_is_not_finite_is_not_hidden():
    A, b = system()
    assert (
        torch.isnan(solve(A, b * float("nan"), 3)).any()
        and torch.isnan(solve(A * float("nan"), b, 3)).any()
    )


@pytest.mark.parametrize("iterations", [0, -2])
def test_no_iterations_are_refused(iterations):
    with pytest.raises(ValueError, match=f"iterations is {iterations}: it must be 1 or more"):
        solve(*system(), iterations)

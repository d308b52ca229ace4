"""The tangent kernel is the Jacobian's, and the linearised step is the real one to first order."""

import pytest
import torch
from torch.nn import functional as F

from mamlkit.inner import inner_step
from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.probes.hessian import gauss_newton_product
from mamlkit.probes.tangent_kernel import (
    alignment,
    linearised_step,
    of_softmax,
    of_squares,
    reach,
    sharpness,
    tangent_kernel,
)
from mamlkit.task import Data
from mamlkit.trees import ravel, tree_map

pytestmark = pytest.mark.usefixtures("float64")


def case(activation=torch.tanh, seed=0):
    """(forward, params, support of 4 points, 7 points elsewhere)."""
    net, generator = mlp(1, 5, 3, 1, activation=activation, weight=he), seeded(seed)
    params = {
        k: p + 0.3 * torch.randn(p.shape, generator=generator)
        for k, p in net.init(generator).items()
    }
    support = Data(
        4 * torch.rand(4, 1, generator=generator) - 2, torch.randn(4, 1, generator=generator)
    )
    return net.forward, params, support, torch.linspace(-3, 3, 7).unsqueeze(1)


def jacobian(forward, params, x):
    """d f(x_i) / d params, one backward pass a point: (points, parameters)."""
    leaves = {k: p.clone().requires_grad_() for k, p in params.items()}
    return torch.stack(
        [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        forward(leaves, x[i : i + 1]).squeeze(), list(leaves.values())
                    )
                ]
            )
            for i in range(len(x))
        ]
    )


@pytest.mark.parametrize("activation", [torch.tanh, F.relu])
def test_the_kernel_is_the_product_of_the_jacobian_with_itself(activation):
    forward, params, _, x = case(activation)
    J = jacobian(forward, params, x)
    assert J.shape == (7, 5 + 5 + 15 + 3 + 3 + 1)
    assert torch.allclose(tangent_kernel(forward, params, x), J @ J.T, rtol=1e-12, atol=1e-12)


def test_the_kernel_is_symmetric_and_has_no_negative_eigenvalue():
    forward, params, _, x = case()
    K = tangent_kernel(forward, params, x)
    assert (
        torch.allclose(K, K.T, atol=1e-13) and (torch.linalg.eigvalsh(K) > -1e-12 * K.norm()).all()
    )


def test_the_kernel_of_points_does_not_depend_on_their_company():
    forward, params, _, x = case()
    chosen = torch.tensor([5, 0, 3])
    assert torch.allclose(
        tangent_kernel(forward, params, x[chosen]),
        tangent_kernel(forward, params, x)[chosen][:, chosen],
        atol=1e-13,
    )


def test_the_kernel_of_a_linear_model_is_known():
    """f = w x + b: K(x, x') = x x' + 1, whatever w and b are."""
    x = torch.tensor([[-2.0], [0.5], [3.0]])
    got = tangent_kernel(
        lambda p, x: p["w"] * x + p["b"], {"w": torch.tensor([9.0]), "b": torch.tensor([-4.0])}, x
    )
    assert torch.allclose(got, x @ x.T + 1, atol=1e-14)


def test_alignment_by_hand():
    """K = diag(3, 4, 0), S = e1: <K, e1 e1'> = 3, |K| = 5."""
    assert alignment(
        torch.diag(torch.tensor([3.0, 4.0, 0.0])), torch.eye(3)[:, :1]
    ).item() == pytest.approx(0.6)


def test_alignment_is_one_along_the_plane_itself_and_zero_across_it():
    generator = seeded(1)
    basis = torch.linalg.qr(torch.randn(9, 5, generator=generator))[0]
    plane, across = basis[:, :2], basis[:, 2:]
    assert alignment(7 * plane @ plane.T, plane).item() == pytest.approx(1)
    assert alignment(across @ across.T, plane).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_alignment_stays_between_zero_and_one_and_does_not_see_scale(seed):
    generator = seeded(seed)
    root, plane = (
        torch.randn(8, 1 + seed, generator=generator),
        torch.randn(8, 2, generator=generator),
    )
    a = alignment(root @ root.T, plane)
    assert 0 < a < 1
    assert alignment(1e3 * root @ root.T, 1e-2 * plane).item() == pytest.approx(a.item())


def real_step(forward, params, support, alpha, x):
    return forward(inner_step(params, lambda p: mse(forward)(p, support), alpha), x)


def test_the_linearised_step_differs_from_the_real_one_by_the_square_of_alpha():
    forward, params, support, x = case()
    sizes = [0.02 / 2**i for i in range(6)]
    gaps = [
        (
            linearised_step(forward, mse(forward), params, support, a, x)
            - real_step(forward, params, support, a, x)
        )
        .norm()
        .item()
        for a in sizes
    ]
    ratios = [wide / narrow for wide, narrow in zip(gaps, gaps[1:])]
    assert (
        gaps[-1] > 1e-9
        and ratios[-1] == pytest.approx(4, rel=0.02)
        and ratios[-2] == pytest.approx(4, rel=0.05)
    )
    moved = (real_step(forward, params, support, sizes[-1], x) - forward(params, x)).norm().item()
    assert gaps[-1] < 0.05 * moved


def test_the_linearised_step_is_exact_for_a_linear_model():
    def forward(p, x):
        return torch.cat([x, x**2, x**3], 1) @ p["w"] + p["b"]

    generator = seeded(2)
    params = {"w": torch.randn(3, 1, generator=generator), "b": torch.randn(1, generator=generator)}
    _, _, support, x = case()
    got, real = (
        linearised_step(forward, mse(forward), params, support, 3.0, x),
        real_step(forward, params, support, 3.0, x),
    )
    assert (got - forward(params, x)).norm() > 1 and torch.allclose(got, real, rtol=1e-12)


def test_the_linearised_step_is_the_kernel_times_the_error():
    """For the mean squared error: f(x) - alpha 2/n K(x, X) (f(X) - Y)."""
    forward, params, support, x = case()
    K = tangent_kernel(forward, params, torch.cat([x, support.x]))[:7, 7:]
    expected = forward(params, x) - 0.3 * 2 / 4 * K @ (forward(params, support.x) - support.y)
    got = linearised_step(forward, mse(forward), params, support, 0.3, x)
    assert got.shape == (7, 1) and torch.allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_a_step_of_size_zero_changes_nothing():
    forward, params, support, x = case()
    assert torch.equal(
        linearised_step(forward, mse(forward), params, support, 0.0, x), forward(params, x)
    )


def test_sharpness_is_the_largest_curvature_of_a_linear_models_loss():
    x = torch.tensor([[1.0], [2.0], [-3.0]], dtype=torch.double)
    forward = lambda params, x: x @ params["w"] + params["b"]
    params = {"w": torch.ones(1, 1, dtype=torch.double), "b": torch.zeros(1, dtype=torch.double)}

    def loss(flat):
        w, b = flat[:1, None], flat[1:]
        return (forward({"w": w, "b": b}, x) - torch.sin(x)).square().mean()

    hessian = torch.func.hessian(loss)(torch.zeros(2, dtype=torch.double))
    largest = torch.linalg.eigvalsh(hessian)[-1]
    assert torch.allclose(sharpness(forward, params, x), largest)


@pytest.mark.parametrize("measure, roots", [(mse, of_squares), (cross_entropy, of_softmax)])
def test_reach_is_half_the_largest_eigenvalue_of_the_stepped_gauss_newton_matrix(measure, roots):
    """With other step sizes for each number; a parameter without one does not count."""
    net = mlp(2, 4, 3, activation=torch.tanh, weight=he)
    theta, x = net.init(seeded(0)), torch.randn(5, 2, generator=seeded(1))
    y = torch.randn(5, 3, generator=seeded(2)) if measure is mse else torch.arange(5) % 3
    alpha = {k: torch.rand(p.shape, generator=seeded(3)) for k, p in theta.items()}
    alpha.pop("layer0.bias")
    vector, unravel = ravel({k: theta[k] for k in alpha})
    sizes = ravel(alpha)[0].sqrt()

    def product(v):
        full = tree_map(torch.zeros_like, theta) | unravel(sizes * v)
        g = gauss_newton_product(net.forward, measure, theta, Data(x, y), full)
        return sizes * ravel({k: g[k] for k in alpha})[0]

    matrix = torch.stack([product(e) for e in torch.eye(len(vector))])
    found = reach(net.forward, roots, theta, alpha, x)
    assert found.item() == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item() / 2, rel=1e-9)


def test_a_net_with_several_outputs_has_another_kernel():
    """Its Jacobian has an axis more, over which the sum would be no kernel of the paper's."""
    net = mlp(1, 4, 3)
    with pytest.raises(ValueError, match=r"outputs of shape \(5, 3\) at 5 inputs: one number"):
        tangent_kernel(net.forward, net.init(seeded(0)), torch.ones(5, 1))

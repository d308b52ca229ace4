"""H v is the Hessian's product, G v is H v where the network is linear, and what is left is the
network's own curvature."""

import pytest
import torch
from torch.func import grad, hessian, vmap
from torch.nn import functional as F

from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.probes.hessian import gauss_newton_product, hessian_product
from mamlkit.task import Data
from mamlkit.trees import dot, ravel, tree_map
from tests.oracles import MODELS, gap, one, problem, squared

pytestmark = pytest.mark.usefixtures("float64")


def case(activation=torch.tanh, measure=cross_entropy, sizes=(2, 4, 3), norm=False):
    """(forward, params, 6 examples, a vector)."""
    net, generator = mlp(*sizes, activation=activation, weight=he, norm=norm), seeded(3)
    params = {
        k: p + 0.3 * torch.randn(p.shape, generator=generator)
        for k, p in net.init(generator).items()
    }
    y = (
        torch.randint(sizes[-1], (6,), generator=generator)
        if measure is cross_entropy
        else torch.randn(6, sizes[-1], generator=generator)
    )
    v = {k: torch.randn(p.shape, generator=generator) for k, p in params.items()}
    return net.forward, params, Data(torch.randn(6, sizes[0], generator=generator), y), v


def by_matrix(objective, params, v):
    """H v with the whole Hessian, by another way than the package's."""
    vector, unravel = ravel(params)
    return unravel(hessian(lambda p: objective(unravel(p)))(vector) @ ravel(v)[0])


@pytest.mark.parametrize("norm", [False, True])
def test_the_product_is_that_of_the_whole_matrix(norm):
    forward, params, data, v = case(norm=norm)
    objective = lambda p: cross_entropy(forward)(p, data)
    assert gap(hessian_product(objective, params, v), by_matrix(objective, params, v)) < 1e-12


@pytest.mark.parametrize("measure", [mse, cross_entropy])
def test_the_gauss_newton_part_is_jacobian_curvature_jacobian(measure):
    forward, params, data, v = case(F.softplus, measure)
    vector, unravel = ravel(params)
    J = torch.func.jacrev(lambda p: forward(unravel(p), data.x).flatten())(vector)
    outputs = forward(params, data.x)
    curvature = hessian(
        lambda z: (squared if measure is mse else measure)(lambda z, x: z)(
            z.view(outputs.shape), data
        )
    )(outputs.flatten())
    assert (
        gap(
            gauss_newton_product(forward, measure, params, data, v),
            unravel(J.T @ curvature @ J @ ravel(v)[0]),
        )
        < 1e-12
    )


@pytest.mark.parametrize("measure", [mse, cross_entropy])
def test_a_network_linear_in_its_parameters_has_a_hessian_that_is_all_gauss_newton_and_not_zero(
    measure,
):
    forward, params, data, v = case(measure=measure, sizes=(2, 3))
    whole = hessian_product(lambda p: measure(forward)(p, data), params, v)
    assert gap(whole, gauss_newton_product(forward, measure, params, data, v)) < 1e-12
    assert dot(whole, whole) > 0.01


@pytest.mark.parametrize(
    ("activation", "curved"), [(F.relu, False), (torch.tanh, True), (F.softplus, True)]
)
def test_a_relu_network_is_linear_in_each_layer_and_not_in_all(activation, curved):
    """Moving one layer, the network's own curvature acts on the other layers; on the layer itself
    only if the activation bends."""
    forward, params, data, v = case(activation)
    v = {k: p if k.startswith("layer0") else torch.zeros_like(p) for k, p in v.items()}
    whole = hessian_product(lambda p: cross_entropy(forward)(p, data), params, v)
    own = tree_map(torch.sub, whole, gauss_newton_product(forward, cross_entropy, params, data, v))
    size = lambda layer: sum(o.abs().max() for k, o in own.items() if k.startswith(layer))
    assert size("layer1") > 0.01
    assert (size("layer0") > 0.001) == curved and (curved or size("layer0") < 1e-13)


def test_both_are_linear_in_the_vector():
    forward, params, data, v = case()
    w = tree_map(lambda t: t.flip(0).sin(), v)
    for product in (
        lambda v: hessian_product(lambda p: cross_entropy(forward)(p, data), params, v),
        lambda v: gauss_newton_product(forward, cross_entropy, params, data, v),
    ):
        assert (
            gap(
                product(tree_map(lambda a, b: 2 * a - b, v, w)),
                tree_map(lambda a, b: 2 * a - b, product(v), product(w)),
            )
            < 1e-12
        )


@pytest.mark.parametrize("name", ["relu mlp, batch norm", "strided convnet", "pooled convnet"])
def test_batched_is_looped(name):
    loss, params, tasks, _ = problem(name)
    v = grad(loss)(params, one(tasks, 0).query)
    forward = MODELS[name][0]().forward
    for product in (
        lambda data: hessian_product(lambda p: loss(p, data), params, v),
        lambda data: gauss_newton_product(forward, cross_entropy, params, data, v),
    ):
        batched = vmap(product)(tasks.support)
        for i in range(3):
            assert gap(tree_map(lambda t: t[i], batched), product(one(tasks, i).support)) < 1e-10

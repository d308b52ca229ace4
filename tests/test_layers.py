"""Batch norm and the strided convolution are torch's, and right where torch's are wrong."""

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from mamlkit.inner import inner_step
from mamlkit.layers import batch_norm, strided_conv
from mamlkit.machine import seeded
from mamlkit.task import Data
from tests.oracles import derivative_gap, gap, norm, one

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("size", [(9, 11), (4, 6)], ids=str)
def test_a_strided_convolution_is_the_same_compiled_where_it_is_a_matrix_product(size):
    """Second derivatives too, of weights that differ by task. What is compiled is only looked at,
    and run as it is."""
    x, weight, bias = (
        torch.randn(shape, generator=seeded(0))
        for shape in ((3, 6, 2, *size), (3, 4, 2, 3, 3), (3, 4))
    )
    graphs = []

    def look(graph, inputs):
        graphs.append(str(graph.graph))
        return graph

    def values(weight, x, bias):
        inner = grad(lambda w, x, b: strided_conv(x, w, b).tanh().square().sum(), (0, 1))
        outer = grad(lambda *args: sum(g.square().sum() for g in inner(*args)), (0, 1, 2))
        return vmap(strided_conv)(x, weight, bias), *vmap(outer)(weight, x, bias)

    found = torch.compile(values, backend=look, fullgraph=True, dynamic=False)(weight, x, bias)
    for a, b in zip(found, values(weight, x, bias), strict=True):
        assert a.shape == b.shape and (a - b).abs().max() < 1e-11 * b.abs().max()
    assert graphs and "conv2d" not in graphs[0] and "matmul" in graphs[0]


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 7), (6, 4, 3, 2)])
def test_batch_norm_is_torchs_and_so_are_its_first_derivatives(shape):
    x, beta, weight = (
        torch.randn(shape, generator=seeded(0)),
        torch.randn(4, generator=seeded(1)),
        torch.randn(shape, generator=seeded(2)),
    )
    theirs = lambda x, beta: F.batch_norm(
        x, None, None, torch.ones(4), beta, training=True, eps=1e-3
    )
    assert (batch_norm(x, beta) - theirs(x, beta)).abs().max() < 1e-12
    for argument in (0, 1):
        ours, native = (
            grad(lambda x, beta: (f(x, beta) * weight).sum(), argument)(x, beta)
            for f in (batch_norm, theirs)
        )
        assert (ours - native).abs().max() < 1e-12


def test_the_trap_is_real_torchs_batch_norm_under_vmap_inside_a_gradient_is_wrong():
    """Why nets.py composes batch norm and why `vmap` stays outermost (anchors.md, section 1;
    pytorch/functorch#534).

    Only with a scale that is learned and adapted, as `nn.BatchNorm2d` has it: with a constant scale
    torch's is exact.
    """
    generator = seeded(0)
    theta = {
        "w": torch.randn(4, 2, generator=generator),
        "scale": torch.ones(4),
        "beta": torch.zeros(4),
    }
    support, query = (
        Data(torch.randn(3, n, 2, generator=generator), torch.randn(3, n, 4, generator=generator))
        for n in (6, 7)
    )
    native = lambda x, scale, beta: F.batch_norm(
        x, None, None, scale, beta, training=True, eps=1e-3
    )
    composed = lambda x, scale, beta: scale * batch_norm(x, torch.zeros(4)) + beta
    wrong = {}
    for name, norm_of in {"native": native, "composed": composed}.items():
        loss = (
            lambda p, data: (torch.tanh(norm_of(data.x @ p["w"].T, p["scale"], p["beta"])) - data.y)
            .square()
            .mean()
        )
        after = lambda p, support, query: loss(
            inner_step(p, lambda p: loss(p, support), 0.4), query
        )
        outermost = {
            k: g.mean(0) for k, g in vmap(grad(after), (None, 0, 0))(theta, support, query).items()
        }
        inside = grad(lambda p: vmap(after, (None, 0, 0))(p, support, query).mean())(theta)
        by_loop = lambda p: sum(after(p, one(support, i), one(query, i)) for i in range(3)) / 3
        assert derivative_gap(by_loop, theta, outermost) < 1e-6, "vmap outermost is exact"
        wrong[name] = gap(inside, outermost) / norm(outermost)
    assert wrong["composed"] < 1e-12, "composed from mean and variance it is exact either way"
    assert wrong["native"] > 1e-2, (
        f"torch {torch.__version__} differentiates its batch norm under grad(vmap(grad)) "
        "correctly, which 2.13 did not: the docstring of layers.batch_norm must change"
    )

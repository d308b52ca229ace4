"""Batch norm, convolutions and recurrent layers are torch's, and right where torch's are wrong."""

import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn import functional as F

from mamlkit import layers
from mamlkit.inner import inner_step
from mamlkit.layers import batch_norm, linear, padded_conv, pooled_norm, strided_conv, unfuse
from mamlkit.machine import seeded
from mamlkit.task import Data
from mamlkit.trees import plainly
from tests.oracles import derivative_gap, gap, norm, one

pytestmark = pytest.mark.usefixtures("float64")


def compiled_and_plain(layer, x, weight, bias):
    """(what a layer gives compiled, uncompiled, the graph): outputs and second derivatives, of
    weights that differ by task. What is compiled is only looked at, and run as it is."""
    graphs = []

    def look(graph, inputs):
        graphs.append(str(graph.graph))
        return graph

    def values(weight, x, bias):
        inner = grad(lambda w, x, b: layer(x, w, b).tanh().square().sum(), (0, 1))
        outer = grad(lambda *args: sum(g.square().sum() for g in inner(*args)), (0, 1, 2))
        return vmap(layer)(x, weight, bias), *vmap(outer)(weight, x, bias)

    found = torch.compile(values, backend=look, fullgraph=True, dynamic=False)(weight, x, bias)
    return found, values(weight, x, bias), graphs[0]


@pytest.mark.parametrize("size", [(9, 11), (4, 6)], ids=str)
def test_a_strided_convolution_is_the_same_compiled_where_it_is_a_matrix_product(size):
    drawn = (
        torch.randn(shape, generator=seeded(0))
        for shape in ((3, 6, 2, *size), (3, 4, 2, 3, 3), (3, 4))
    )
    found, expected, graph = compiled_and_plain(strided_conv, *drawn)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() < 1e-11 * b.abs().max()
    assert "conv2d" not in graph and "matmul" in graph


@pytest.mark.parametrize(("ins", "outs", "product"), [(1, 4, False), (5, 1, False), (5, 4, True)])
def test_a_linear_layer_is_the_same_compiled_where_it_is_no_matrix_product(ins, outs, product):
    drawn = (
        torch.randn(shape, generator=seeded(0))
        for shape in ((3, 6, ins), (3, outs, ins), (3, outs))
    )
    found, expected, graph = compiled_and_plain(linear, *drawn)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() < 1e-12 * b.abs().max()
    assert ("linear" in graph or "matmul" in graph) == product


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


def derivatives(f, *args):
    """Value, first and second derivatives: under `torch.func`, and alone in plain autograd."""
    numbers = tuple(range(len(args)))
    weight = torch.randn(f(*args).shape, generator=seeded(9))
    scalar = lambda *args: (f(*args).tanh() * weight).sum()
    steep = lambda *args: sum(g.pow(3).sum() for g in grad(scalar, numbers)(*args))
    transformed = vmap(f)(*(a[None] for a in args))[0]
    transformed = [transformed, *grad(scalar, numbers)(*args), *grad(steep, numbers)(*args)]
    leaves = [a.clone().requires_grad_() for a in args]
    assert plainly()
    value = f(*leaves)
    first = torch.autograd.grad((value.tanh() * weight).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.pow(3).sum() for g in first), leaves)
    return zip(transformed, [value, *first, *second], strict=True)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize(
    "f, shape",
    [
        (batch_norm, (6, 4)),
        (batch_norm, (6, 4, 7)),
        (batch_norm, (6, 4, 3, 2)),
        (pooled_norm, (6, 4, 5, 7)),
        (pooled_norm, (3, 4, 8, 2)),
    ],
)
def test_alone_a_norm_is_what_it_is_under_transforms_to_the_second_derivative(f, shape, scale):
    """A learned scale may be negative: then the maximum is not taken first."""
    args = [torch.randn(s, generator=seeded(i)) for i, s in enumerate((shape, (4,), (4,)))]
    assert (args[2] < 0).any() and (args[2] > 0).any()
    for alone, transformed in derivatives(f, *args[: 3 if scale else 2]):
        assert (alone - transformed).abs().max() < 1e-12 * max(1, transformed.abs().max())


def test_pooling_comes_after_the_norm_whoever_takes_it_first():
    x, beta = torch.randn(6, 4, 5, 7, generator=seeded(0)), torch.randn(4, generator=seeded(1))
    expected = F.max_pool2d(F.batch_norm(x, None, None, None, beta, training=True, eps=1e-3), 2)
    assert (pooled_norm(x, beta) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("adapting", [(0, 1, 2), (1, 2), (0, 2), (0,), (1,), (2,)], ids=str)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("convolution", [padded_conv, strided_conv])
def test_alone_a_convolution_is_what_it_is_under_transforms(convolution, channels, adapting):
    """To the second derivative, of those of x (0), weights (1) and bias (2) that are asked."""
    shapes = ((3, channels, 5, 7), (4, channels, 3, 3), (4,))
    args = [torch.randn(s, generator=seeded(i)) for i, s in enumerate(shapes)]

    def convolved(*some):
        return convolution(*(dict(enumerate(args)) | dict(zip(adapting, some))).values())

    for alone, transformed in derivatives(convolved, *(args[i] for i in adapting)):
        assert (alone - transformed).abs().max() < 1e-12 * max(1, transformed.abs().max())


@pytest.mark.parametrize("images", [False, True])
def test_the_gradient_of_images_is_made_only_if_they_ask_for_it(images, monkeypatch):
    asked, real = [], layers._conv_back
    monkeypatch.setattr(
        layers, "_conv_back", lambda *args: asked.append(args[-1][0]) or real(*args)
    )
    x = torch.randn(3, 1, 5, 7, generator=seeded(0)).requires_grad_(images)
    weight, bias = (
        torch.randn(s, generator=seeded(1)).requires_grad_() for s in ((4, 1, 3, 3), (4,))
    )
    loss = strided_conv(x, weight, bias).tanh().sum()
    (first,) = torch.autograd.grad(loss, weight, create_graph=True)
    torch.autograd.grad(first.square().sum(), weight)
    assert asked and any(asked) == images


@pytest.mark.parametrize("layer", [lambda x, w, b: batch_norm(x, b), padded_conv, strided_conv])
def test_alone_a_third_derivative_is_what_it_is_under_transforms(layer):
    args = [
        torch.randn(s, generator=seeded(i))
        for i, s in enumerate(((3, 4, 5, 7), (4, 4, 3, 3), (4,)))
    ]
    third = [lambda *args: layer(*args).tanh().sum()]
    for _ in range(2):
        third.append(lambda *args, f=third[-1]: sum(g.pow(3).sum() for g in grad(f)(*args)))
    leaves = [a.clone().requires_grad_() for a in args]
    value = layer(*leaves).tanh().sum()
    for _ in range(2):
        value = torch.autograd.grad(value, leaves[0], create_graph=True)[0].pow(3).sum()
    (alone,) = torch.autograd.grad(value, leaves[0])
    transformed = grad(third[-1])(*args)
    assert (alone - transformed).abs().max() < 1e-12 * max(1, transformed.abs().max())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_in_single_precision_statistics_of_a_large_map_are_right(layout):
    """torch's own batch norm is 6e-4 off where channels come last."""
    x = 0.1 + 0.3 * torch.randn(75, 4, 84, 84, generator=seeded(0))
    expected, beta = batch_norm(x, torch.zeros(4)), torch.zeros(4, dtype=torch.float32)
    single = x.float().to(memory_format=layout)
    assert (batch_norm(single, beta) - expected).abs().max() < 1e-5
    assert (pooled_norm(single, beta) - F.max_pool2d(expected, 2)).abs().max() < 1e-5


@pytest.mark.parametrize("state", [None, 0.5])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_composed_recurrent_layer_is_torchs(make, alone, state):
    """Outputs and last states, also with a state given and of one sequence without a batch."""
    torchs = make(4, 5, 2, bidirectional=True)
    x = torch.randn((7, 4) if alone else (7, 3, 4), generator=seeded(0))
    if state is not None:
        state = torch.full((4, 5) if alone else (4, 3, 5), state)
        state = (state, 2 * state) if make is nn.LSTM else state
    expected = torch.utils._pytree.tree_leaves(torchs(x, state))
    unfuse(torchs)
    found = torch.utils._pytree.tree_leaves(torchs(x, state))
    assert [t.shape for t in found] == [t.shape for t in expected]
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(found, expected))

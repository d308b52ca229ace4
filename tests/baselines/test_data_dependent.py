"""Mean 0 and variance 1 before every ReLU, one rate for all layers, and outputs that stay."""

import pytest
import torch
from torch.nn import functional as F

from mamlkit.baselines.data_dependent import balanced, data_dependent, rates, standardised
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp

pytestmark = pytest.mark.usefixtures("float64")
net = mlp(3, 7, 5, 6, 2, weight=he)


def start():
    generator = seeded(0)
    params = net.init(generator)
    biased = {k: p + (0.2 if k.endswith("bias") else 0) for k, p in params.items()}
    return biased, 4 + 3 * torch.randn(50, 3, generator=generator)


def test_before_every_relu_the_data_have_mean_0_and_variance_1():
    params, x = start()
    found = standardised(params, x)
    assert not torch.allclose(F.linear(x, params["layer0.weight"]).mean(0), torch.zeros(7), atol=1)
    for i in range(4):
        x = F.linear(x, found[f"layer{i}.weight"], found[f"layer{i}.bias"])
        assert x.mean(0).abs().max() < 1e-10
        assert (x.var(0, correction=0) - 1).abs().max() < 1e-10
        x = F.relu(x)


def test_weights_keep_their_directions():
    params, x = start()
    found = standardised(params, x)
    for i in range(4):
        ratio = found[f"layer{i}.weight"] / params[f"layer{i}.weight"]
        assert (ratio - ratio[:, :1]).abs().max() < 1e-10 and (ratio > 0).all()


def test_a_balanced_net_has_one_rate_and_the_same_outputs():
    params, x = start()
    after = balanced(net, params, x, seeded(5))
    before, equal = (torch.stack(rates(net, p, x, seeded(5))) for p in (params, after))
    assert before.max() > 1.2 * before.min()
    assert (equal - before.log().mean().exp()).abs().max() < 1e-9
    assert (net.forward(after, x) - net.forward(params, x)).abs().max() < 1e-9


def test_a_rate_is_gradient_over_weight():
    """Of one linear layer: the gradient of sum(d * (W x)) with respect to W is d x^T."""
    line = mlp(3, 2, weight=he)
    params, x = line.init(seeded(1)), torch.randn(4, 3, generator=seeded(2))
    directions = torch.randn(4, 2, generator=seeded(3), dtype=x.dtype)
    (found,) = rates(line, params, x, seeded(3))
    slope = directions.T @ x
    expected = (slope.square().mean() / params["layer0.weight"].square().mean()).sqrt()
    assert abs(found - expected) < 1e-12


def test_both_together():
    params, x = start()
    found = data_dependent(net, params, x, seeded(5))
    assert found.keys() == params.keys()
    out = net.forward(found, x)
    assert out.mean(0).abs().max() < 1e-9 and (out.var(0, correction=0) - 1).abs().max() < 1e-9
    same = torch.stack(rates(net, found, x, seeded(5)))
    assert (same - same[0]).abs().max() < 1e-9

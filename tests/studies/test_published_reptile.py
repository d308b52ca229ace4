"""Reptile as its authors' code has it: moments that go on, and their net."""

import pytest
import torch
import torch.nn.functional as F

from mamlkit.machine import seeded
from mamlkit.optimizer import adam, annealed, linear, sgd
from mamlkit.studies.published_reptile import (
    AGE,
    REPTILE_KEPT,
    answers,
    cells,
    going_on,
    net_of,
    plan,
    remembering,
    unpadded_conv,
)
from mamlkit.task import Data, Task


def squared(params, data):
    return ((params["w"] * data.x).sum(-1) - data.y).square().mean()


def task(seed):
    g = seeded(seed)
    return Task(*(Data(torch.randn(4, 3, generator=g), torch.randn(4, generator=g)) for _ in "sq"))


def test_second_moments_go_on_from_task_to_task_and_weights_do_not():
    """Held against one Adam without momentum whose weights alone are put back after a task."""
    learner, theta = remembering(squared, alpha=0.1, steps=2), {"w": torch.ones(3)}
    meta, rule = learner.init(theta), adam(0.1, decay=(0.0, 0.999))
    state = rule.init(theta["w"])
    for seed in (1, 2, 3):
        one, w = task(seed), theta["w"]
        path = learner.adapt(meta, one.support)
        for k in (1, 2):
            slope = torch.func.grad(lambda w: squared({"w": w}, one.support))(w)
            w, state = rule.update(slope, state, w)
            assert torch.allclose(path[k]["w"], w, atol=1e-6) and path[k].keys() == {"w"}
        moved, _ = learner.meta_grad(meta, one)
        assert torch.allclose(meta["w"] - moved["w"], w, atol=1e-6)
        squares = {k: meta[k] - moved[k] for k in ("squares.w", AGE)}
        assert torch.allclose(squares["squares.w"], state["second"], atol=1e-6)
        meta = meta | squares
    assert meta[AGE] == 6


def test_moments_are_replaced_where_weights_go_a_part_of_the_way():
    rule = going_on(annealed(sgd(1.0), linear(4)), torch.tensor([False, True, False]))
    x, state = torch.tensor([1.0, 2.0, 3.0]), rule.init(torch.zeros(3))
    g = torch.tensor([1.0, 1.0, 2.0])
    for expected in ([0.0, 1.0, 1.0], [-0.75, 0.0, -0.5]):
        x, state = rule.update(g, state, x)
        assert torch.equal(x, torch.tensor(expected))


@pytest.mark.parametrize("size", [3, 5, 7])
def test_a_convolution_without_padding_is_torchs(size):
    g = seeded(0)
    shapes = (2, 5, size, size), (4, 5, 3, 3), (4,)
    x, weight, bias = (torch.randn(s, generator=g, dtype=torch.double) for s in shapes)
    expected = F.conv2d(x, weight, bias, stride=2)
    assert torch.allclose(unpadded_conv(x, weight, bias), expected, atol=1e-12)


def test_the_net_ends_in_one_place_of_64_numbers():
    net = net_of(5)
    params = net.init(seeded(0))
    assert params["layer4.weight"].shape == (5, 64) and params["norm3.scale"].shape == (64,)
    assert params["layer4.weight"].abs().max() < (6 / 69) ** 0.5
    assert net.forward(params, torch.rand(3, 1, 28, 28, generator=seeded(1))).shape == (3, 5)


def test_queries_are_normalised_in_one_batch_with_the_support():
    net, g = net_of(5), seeded(2)
    params = net.init(g)
    support = Data(torch.rand(5, 1, 28, 28, generator=g), torch.arange(5))
    x = torch.rand(7, 1, 28, 28, generator=g)
    together = net.forward(params, torch.cat([support.x, x]))[5:].argmax(-1)
    assert answers(net, params, Task(support, Data(x, together))) == 1
    assert answers(net, params, Task(support, Data(x, (together + 1) % 5))) == 0


def test_it_trains_and_is_measured_at_smoke():
    (setting,) = cells("smoke").values()
    *_, last = REPTILE_KEPT.steps(setting)
    assert last.iteration == 2 and last.meta[AGE] == 2 * setting["steps"]
    params, found = REPTILE_KEPT.measure(setting, last)
    assert not params and found["right"].shape == (setting["tests"], setting["test"] + 1)
    assert plan(setting).phases[0][1] == 2

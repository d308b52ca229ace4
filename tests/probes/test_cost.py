"""Operations and bytes against counts made by hand, and against the closed form of the
meta-gradient's cost."""

import time

import pytest
import torch
from torch.func import grad

from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, pooled_convnet, strided_convnet
from mamlkit.probes.cost import flops, kept_bytes, peak_bytes, speed, without_numbers
from mamlkit.task import Data, Task
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

PLACES = pytest.mark.parametrize("place", ["cpu", "meta"])
NETS = {"strided": (strided_convnet, (1, 28, 28)), "pooled": (pooled_convnet, (3, 84, 84))}


def case(net, support, query):
    """(forward, params, one task), without numbers."""
    build, shape = NETS[net]
    data = lambda n: Data(torch.zeros(n, *shape), torch.zeros(n, dtype=torch.int64))
    return build(5).forward, *without_numbers(
        (build(5).init(seeded(0)), Task(data(support), data(query)))
    )


def meta_grads(forward, params, steps):
    return [
        variant(cross_entropy(forward), alpha=all_but_norms(params, 0.4), steps=steps)
        for variant in (maml, fomaml)
    ]


@PLACES
def test_a_matrix_product_and_its_gradient(place):
    a, b = torch.ones(3, 5, device=place), torch.ones(5, 7, device=place)
    product = 2 * 3 * 5 * 7
    assert flops(torch.matmul, a, b) == product
    assert flops(grad(lambda a, b: (a @ b).sum()), a, b) == 2 * product
    assert flops(grad(lambda ab: (ab[0] @ ab[1]).square().sum()), (a, b)) == 3 * product
    assert flops(torch.add, a, 1) == 0


@pytest.mark.parametrize(
    ("net", "support", "query", "steps", "known"),
    [
        ("strided", 5, 5, 1, 2.090),
        ("strided", 20, 20, 5, 2.816),
        ("pooled", 5, 75, 5, 1.480),
        ("pooled", 25, 75, 5, 2.200),
    ],
)
def test_the_meta_gradient_costs_what_the_closed_form_says(net, support, query, steps, known):
    """Second order over first order is (3Q + 9KS) / (3Q + 3KS), but for the first layer, whose
    input has no gradient."""
    forward, params, task = case(net, support, query)
    second, first = (
        flops(learner.meta_grad, params, task) for learner in meta_grads(forward, params, steps)
    )
    assert second / first == pytest.approx(
        (3 * query + 9 * steps * support) / (3 * query + 3 * steps * support), rel=0.06
    )
    assert second / first == pytest.approx(known, abs=0.001), (
        "counted before this package was there"
    )


@PLACES
def test_bytes_that_live_at_one_time(place):
    x = torch.ones(10, 5, device=place)
    size = 4 * 50
    assert peak_bytes(lambda x: x + 1, x) == size
    assert peak_bytes(lambda x: ((x + 1) * 2 - 3).view(50), x) == 2 * size, (
        "the sum is gone when the difference is made"
    )
    assert peak_bytes(lambda x: [x + i for i in range(4)], x) == 4 * size
    assert peak_bytes(lambda x: (x.view(2, 25), x.T, x.detach()), x) == 0, (
        "views of an argument take nothing"
    )


@PLACES
def test_bytes_kept_for_the_backward_pass(place):
    x = torch.ones(10, 5, device=place)
    exponential = lambda p, x: (
        p * x
    ).exp()  # keeps its result, and the product its factors, which are arguments
    assert kept_bytes(lambda p, x: exponential(p, x).sum(), x, x) == 4 * 50 + 4, (
        "and the value itself"
    )
    assert kept_bytes(lambda p, x: exponential(p.detach(), x).sum(), x, x) == 4
    assert kept_bytes(lambda p, x: (p * x + 1 + 2).sum(), x, x) == 4


def test_second_order_keeps_every_step_and_first_order_none():
    forward, params, task = case("strided", 5, 5)
    kept, peak = {}, {}
    for steps in (1, 2, 4):
        objective = lambda learner: lambda p, t: cross_entropy(forward)(
            learner.adapt(p, t.support)[-1], t.query
        )
        learners = meta_grads(forward, params, steps)
        kept[steps] = [kept_bytes(objective(learner), params, task) for learner in learners]
        peak[steps] = [peak_bytes(learner.meta_grad, params, task) for learner in learners]
    assert kept[1][1] == kept[2][1] == kept[4][1]
    assert kept[4][0] - kept[2][0] == 2 * (kept[2][0] - kept[1][0]) > 0
    assert all(p > k for steps in kept for p, k in zip(peak[steps], kept[steps]))


def test_counting_is_the_same_with_and_without_numbers():
    build, shape = NETS["strided"]
    params = build(5).init(seeded(0))
    task = Task(*[Data(torch.rand(n, *shape), torch.arange(n) % 5) for n in (5, 7)])
    learner = meta_grads(build(5).forward, params, 2)[0]
    for count in (flops, peak_bytes):
        assert count(learner.meta_grad, params, task) == count(
            learner.meta_grad, *without_numbers((params, task))
        )


def test_the_speed_is_that_of_a_matrix_product():
    a = torch.rand(512, 512)
    begin = time.perf_counter()
    for _ in range(10):
        a @ a
    at_least = flops(torch.matmul, a, a) * 10 / (time.perf_counter() - begin)
    assert at_least / 10 < speed(size=512) < 1e13

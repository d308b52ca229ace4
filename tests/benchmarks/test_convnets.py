"""The contestants that need no package of their own, on small images: one meta-gradient, whoever
makes it."""

from math import prod

import pytest
import torch

from mamlkit.nets import pooled_convnet, strided_convnet
from mamlkit.task import validate
from tests.benchmarks import O1, O15, M
from tests.benchmarks.convnets import Module, Setting, Workload
from tests.benchmarks.evaluations import Evaluation
from tests.benchmarks.speed import distance
from tests.oracles import one

SMALL = {
    "strided": Setting(
        strided_convnet(5, filters=4, channels=2),
        image=(2, 9, 11),
        stride=2,
        filters=4,
        tasks=3,
        queries=2,
        steps=2,
        alpha=0.1,
    ),
    "pooled": Setting(
        pooled_convnet(5, filters=4, channels=2, size=16),
        image=(2, 16, 16),
        stride=1,
        filters=4,
        tasks=3,
        queries=2,
        steps=2,
        alpha=0.1,
    ),
}


@pytest.mark.parametrize("order", [2, 1])
@pytest.mark.parametrize("name", SMALL)
def test_contestants_make_the_reference_gradient_in_their_first_iteration(name, order, float64):
    work = Workload(SMALL[name])
    reference, other = work.reference(order), work.reference(3 - order)
    assert distance(other, reference) > 1e-2
    for settings in ({"compiled": False}, {"compiled": False, "chunk": 1}):
        contestant = work.ours(order, **settings)
        contestant.advance(2)
        assert distance(contestant.gradient(), reference) < 1e-10
    contestant = work.contestants(order)["torch, loop over tasks"]()
    contestant.advance(2)
    assert distance(contestant.gradient(), reference) < 1e-10


@pytest.mark.parametrize("name", SMALL)
def test_an_evaluations_contestants_find_the_reference_losses(name, float64):
    work = Evaluation(SMALL[name])
    reference = work.reference(1)
    assert reference.view(3, 3).diff(dim=1).abs().min() > 1e-4, "each step changes the loss"
    for contestant in (work.ours(), work.ours(chunk=3), work.finding(work.in_a_loop)):
        contestant.advance(1)
        assert distance(contestant.gradient(), reference) < 1e-10


@pytest.mark.parametrize("name", SMALL)
def test_the_module_is_the_net(name, float64):
    work = Workload(SMALL[name])
    module = Module(SMALL[name])
    assert {n: p.shape for n, p in module.named_parameters()} == {
        n: p.shape for n, p in work.theta.items()
    }
    assert list(dict(module.named_parameters())) == list(work.theta), (
        "in the same order, on which `higher` relies"
    )
    x = one(work.fixed, 0).query.x
    assert (
        torch.func.functional_call(module, work.theta, x) - SMALL[name].net.forward(work.theta, x)
    ).abs().max() < 1e-12


def test_the_workloads_are_the_papers_and_the_floor_has_their_products():
    """anchors.md, section 2: 9.99 and 5.03 GFLOP for O1, 88.7 and 60.7 for M."""
    for workload, (second, first) in {O1: (9.99, 5.03), M: (88.7, 60.7)}.items():
        for order, known in ((2, second), (1, first)):
            assert 2e-9 * sum(map(prod, workload.WORKLOAD.products(order))) == pytest.approx(
                known, abs=0.05
            )
    for workload, queries, shape in (
        (O1, 5, (1, 28, 28)),
        (O15, 75, (1, 28, 28)),
        (M, 75, (3, 84, 84)),
    ):
        tasks = workload.WORKLOAD.fixed
        assert tasks.support.x.shape[1:] == (5, *shape) and tasks.query.x.shape[1:] == (
            queries,
            *shape,
        )
        task = validate(one(tasks, 0))
        assert (
            task.support.y.tolist() == list(range(5))
            and task.query.y.bincount().tolist() == [queries // 5] * 5
        )
        together = torch.cat([task.support.x, task.query.x]).flatten(1)
        assert len(together.unique(dim=0)) == 5 + queries, "no image is both support and query"

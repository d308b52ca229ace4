"""Fine-tuning with Adam is `torch.optim.Adam`, step for step."""

import pytest
import torch
from torch.func import vmap

from mamlkit.baselines.fine_tune import fine_tune
from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.task import sample
from mamlkit.trees import tree_map
from tests.oracles import copied, gap, same

pytestmark = pytest.mark.usefixtures("float64")


def case():
    net = mlp(1, 5, 4, 1, activation=torch.tanh, weight=he)
    return mse(net.forward), net.init(seeded(1)), sample(sinusoid(shots=6, queries=7), seeded(2), 3).support


def one(batch, i):
    return tree_map(lambda t: t[i], batch)


@pytest.mark.parametrize("alpha", [0.1, 0.003])
def test_the_path_is_that_of_torchs_adam(alpha):
    loss, theta, supports = case()
    path = fine_tune(loss, alpha=alpha, steps=6)(theta, one(supports, 1))
    leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=alpha)
    assert len(path) == 7 and same(path[0], theta)
    for params in path[1:]:
        optimizer.zero_grad()
        loss(leaves, one(supports, 1)).backward()
        optimizer.step()
        assert gap(params, {k: p.detach() for k, p in leaves.items()}) < 1e-12
    assert gap(path[-1], theta) > 3 * alpha


def test_no_steps_change_nothing():
    loss, theta, supports = case()
    path = fine_tune(loss, alpha=0.1, steps=0)(theta, one(supports, 0))
    assert len(path) == 1 and same(path[0], theta)


def test_the_start_is_left_as_it_was():
    loss, theta, supports = case()
    before = copied(theta)
    fine_tune(loss, alpha=0.1, steps=2)(theta, one(supports, 0))
    assert same(theta, before)


def test_tasks_side_by_side_are_tasks_one_by_one():
    """Adam's state belongs to one task: nothing of it is shared in a batch."""
    loss, theta, supports = case()
    adapt = fine_tune(loss, alpha=0.1, steps=3)
    batched = vmap(adapt, (None, 0))(theta, supports)
    for i in range(3):
        for k, params in enumerate(adapt(theta, one(supports, i))[1:], 1):
            assert gap(one(batched[k], i), params) < 1e-12

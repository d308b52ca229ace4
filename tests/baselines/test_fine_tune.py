"""Fine-tuning with Adam is `torch.optim.Adam`, step for step; the whole classifier baseline on a
toy."""

import pytest
import torch
from torch.func import vmap

from mamlkit.baselines.fine_tune import HEAD, fine_tune, fresh_head
from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import Learner
from mamlkit.losses import accuracy, cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp, pooled_convnet, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.task import Data, Task, sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from tests.oracles import copied, gap, same

pytestmark = pytest.mark.usefixtures("float64")


def case():
    net = mlp(1, 5, 4, 1, activation=torch.tanh, weight=he)
    return (
        mse(net.forward),
        net.init(seeded(1)),
        sample(sinusoid(shots=6, queries=7), seeded(2), 3).support,
    )


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


def test_only_the_named_parameters_are_tuned():
    loss, theta, supports = case()
    support, names = one(supports, 1), ("layer2.weight", "layer2.bias")
    path = fine_tune(loss, alpha=0.1, steps=3, names=names)(theta, support)
    leaves = {k: theta[k].clone().requires_grad_() for k in names}
    optimizer = torch.optim.Adam(leaves.values(), lr=0.1)
    for params in path[1:]:
        optimizer.zero_grad()
        loss(theta | leaves, support).backward()
        optimizer.step()
        assert (
            list(params) == list(theta)
            and gap(params, theta | {k: p.detach() for k, p in leaves.items()}) < 1e-12
        )
    with pytest.raises(ValueError, match=r"no parameter is called \['head'\]"):
        fine_tune(loss, alpha=0.1, steps=1, names=["head"])(theta, support)


@pytest.mark.parametrize(
    "net",
    [
        strided_convnet(7, filters=3),
        pooled_convnet(7, filters=3, size=16),
        mlp(9, 8, 6, 4, 3, 7, norm=True),
    ],
    ids=["Omniglot", "miniImagenet", "no conv"],
)
def test_a_fresh_head_has_the_new_ways_and_knows_nothing(net):
    theta = net.init(seeded(1))
    fresh = fresh_head(theta, 4)
    assert list(fresh) == list(theta) and same(
        {k: fresh[k] for k in theta if k not in HEAD}, {k: theta[k] for k in theta if k not in HEAD}
    )
    assert fresh["layer4.weight"].shape == (4, *theta["layer4.weight"].shape[1:]) and fresh[
        "layer4.bias"
    ].shape == (4,)
    assert all((fresh[k] == 0).all() for k in HEAD)
    with pytest.raises(ValueError, match="ways is 1: it must be 2 or more"):
        fresh_head(theta, 1)


@pytest.mark.parametrize("names", [HEAD, None], ids=["head", "all layers"])
def test_a_classifier_with_a_fresh_head_learns_new_classes_and_shuffled_labels_leave_chance(
    names,
):
    """The whole baseline: all training classes at once, then 10 tasks of 4 new classes, 2 shots
    each."""
    images = torch.randint(0, 200, (70, 1, 1, 8, 8), generator=seeded(0)) + torch.randint(
        0, 55, (70, 5, 1, 8, 8), generator=seeded(1)
    )
    old, new, ways = (
        images[:30].to(torch.uint8),
        images[30:].view(10, 4, 5, 1, 8, 8) / 255,
        4,
    )
    net = mlp(64, 32, 16, 16, 16, 30, norm=True, weight=he)
    learner, start = (
        pretrain(cross_entropy(net.forward), alpha=0.1, steps=0),
        net.init(seeded(2)),
    )
    settings = dict(generator=seeded(3), tasks=1, iterations=100, compiled=False)
    *_, step = train(learner, start, all_classes(old, examples=60), adam(0.01), **settings)
    assert step.losses[-10:].mean() < 0.3 < step.losses[0]
    y = torch.arange(ways).repeat_interleave(2).expand(10, 8)
    tasks = Task(Data(new[:, :, :2].flatten(1, 2), y), Data(new[:, :, 2:4].flatten(1, 2), y))
    dealt = y.gather(1, torch.rand(10, 8, generator=seeded(4)).argsort(1))
    tuned = Learner(
        dict, fine_tune(cross_entropy(net.forward), alpha=0.1, steps=20, names=names), None
    )
    told, blind = (
        evaluate(
            tuned,
            fresh_head(step.meta, ways),
            tasks._replace(support=tasks.support._replace(y=labels)),
            on_query(accuracy(net.forward)),
        ).mean(0)
        for labels in (y, dealt)
    )
    assert told.shape == (21,) and told[0] == 1 / ways, "a head of zeros calls everything class 0"
    assert told[-1] > 0.8 and abs(blind[-1] - 1 / ways) < 0.15


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"names": []}, r"names is \[\]: it must name the parameters"),
        ({"names": [1]}, r"names is \[1\]: it must name the parameters"),
        ({"alpha": float("nan")}, "alpha is nan: Adam's step size must be above 0"),
        ({"alpha": 0}, "alpha is 0: Adam's step size must be above 0"),
        ({"steps": 1.5}, "steps is 1.5: the number of inner steps"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_before_anything_is_tuned(settings, words):
    with pytest.raises(ValueError, match=words):
        fine_tune(mse(mlp(1, 2, 1).forward), **{"alpha": 0.1, "steps": 2} | settings)


def test_names_may_be_one_name_or_an_iterator_and_are_used_on_every_task():
    net = mlp(1, 4, 1, weight=he)
    theta, tasks = net.init(seeded(0)), sample(sinusoid(), seeded(1), 2)
    adapt = fine_tune(mse(net.forward), alpha=0.1, steps=1, names=(n for n in ["layer1.bias"]))
    for i in range(2):
        moved = adapt(theta, tree_map(lambda t: t[i], tasks.support))[-1]
        assert [k for k in theta if not torch.equal(moved[k], theta[k])] == ["layer1.bias"]
    assert fine_tune(mse(net.forward), alpha=0.1, steps=1, names="layer1.bias")
    with pytest.raises(ValueError, match="no parameter is called .*nope"):
        fine_tune(mse(net.forward), alpha=0.1, steps=1, names=["nope"])(theta, tasks.support)

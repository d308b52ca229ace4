"""What all methods that adapt by remembering promise: the same story, the same laws."""

import pytest
import torch
from torch.func import vmap
from torch.nn import functional as F

from mamlkit.baselines.episodic import (
    as_one,
    best_of_class,
    cosine,
    episodic,
    membership,
    recall,
    remembering,
    squared_euclidean,
    together,
)
from mamlkit.baselines.mann import mann
from mamlkit.baselines.matching import full_context, matching
from mamlkit.baselines.nearest_neighbour import nearest_neighbour, pixels
from mamlkit.baselines.prototypical import prototypical
from mamlkit.baselines.siamese import siamese, verification
from mamlkit.evaluate import evaluate, on_query
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import strided_body
from mamlkit.optimizer import sgd
from mamlkit.probes.finite_differences import finite_difference_gap, random_direction
from mamlkit.task import sample, validate
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.episodes import QUERIES, SHAPE, SHOTS, WAYS, mislabelled, toy
from tests.oracles import gap, one, same

pytestmark = pytest.mark.usefixtures("float64")
FEATURES, TASKS = 6, 3
BODY = strided_body(filters=FEATURES, channels=SHAPE[0])
NETS = {
    "nearest neighbour, pixels": lambda ways: nearest_neighbour(pixels, ways=ways),
    "nearest neighbour, features": lambda ways: nearest_neighbour(
        BODY, ways=ways, distance=lambda a, b: -cosine(a, b)
    ),
    "prototypical": lambda ways: prototypical(BODY, ways=ways),
    "matching": lambda ways: matching(BODY, ways=ways),
    "matching, full context": lambda ways: full_context(
        BODY, features=FEATURES, ways=ways, steps=2
    ),
    "siamese": lambda ways: siamese(BODY, features=FEATURES, ways=ways),
    "mann": lambda ways: mann(2 * 9 * 11, ways=ways, hidden=8, slots=7, width=3, reads=2),
}
IN_ORDER = {"matching, full context", "mann"}  # these read the support as a sequence
TRAINED = [name for name in NETS if not name.startswith("nearest")]


def case(name, **settings):
    """(learner, net, meta-parameters away from their start, tasks)"""
    net, generator = NETS[name](settings.get("ways", WAYS)), seeded(1)
    loss = verification(BODY) if name == "siamese" else cross_entropy(net.forward)
    meta = {
        k: p + 0.1 * torch.randn(p.shape, generator=generator)
        for k, p in net.init(generator).items()
    }
    return episodic(loss), net, meta, sample(toy(**settings), seeded(2), TASKS)


def logits(net, learner, meta, task):
    return net.forward(learner.adapt(meta, task.support)[-1], task.query.x)


@pytest.mark.parametrize("name", NETS)
def test_logits_of_every_query_for_every_class_and_a_path_of_one_entry(name):
    learner, net, meta, tasks = case(name)
    task = validate(one(tasks, 0))
    path = learner.adapt(meta, task.support)
    assert len(path) == 1 and same({k: path[0][k] for k in meta}, meta)
    theta, support = recall(path[0])
    assert (
        same(theta, meta)
        and torch.equal(support.x, task.support.x)
        and torch.equal(support.y, task.support.y)
    )
    out = logits(net, learner, meta, task)
    assert (
        out.shape == (WAYS * QUERIES, WAYS) and out.isfinite().all() and out.std(0).min() > 1e-9
    ), "it depends on the query"


@pytest.mark.parametrize("name", NETS)
def test_it_depends_on_the_support(name):
    learner, net, meta, tasks = case(name)
    task = one(tasks, 0)
    other = task._replace(support=task.support._replace(x=task.support.x.roll(1, 0)))
    assert (logits(net, learner, meta, task) - logits(net, learner, meta, other)).abs().max() > 1e-9


@pytest.mark.parametrize("name", NETS)
def test_the_order_of_the_support_matters_only_to_those_that_read_it_as_a_sequence(name):
    learner, net, meta, tasks = case(name)
    task = one(tasks, 0)
    within = torch.tensor([1, 2, 0]).repeat(WAYS) + SHOTS * torch.arange(WAYS).repeat_interleave(
        SHOTS
    )
    for order in (within, torch.randperm(WAYS * SHOTS, generator=seeded(3))):
        moved = task._replace(support=tree_map(lambda t: t[order], task.support))
        difference = (
            (logits(net, learner, meta, moved) - logits(net, learner, meta, task)).abs().max()
        )
        assert difference > 1e-9 if name in IN_ORDER else difference < 1e-12


@pytest.mark.parametrize("name", [name for name in NETS if name != "mann"])
def test_renaming_the_classes_renames_the_predictions(name):
    learner, net, meta, tasks = case(name)
    task, names = one(tasks, 0), torch.tensor([2, 0, 3, 1])
    renamed = task._replace(support=task.support._replace(y=names[task.support.y]))
    assert (
        logits(net, learner, meta, renamed)[:, names] - logits(net, learner, meta, task)
    ).abs().max() < 1e-12


@pytest.mark.parametrize("name", NETS)
def test_batched_is_looped(name):
    learner, net, meta, tasks = case(name)
    batched = vmap(lambda task: logits(net, learner, meta, task))(tasks)
    alone = torch.stack([logits(net, learner, meta, one(tasks, i)) for i in range(TASKS)])
    assert (batched - alone).abs().max() < 1e-11 and alone.std(0).min() > 1e-9
    measured = evaluate(learner, meta, tasks, on_query(accuracy(net.forward)))
    assert torch.equal(measured, (alone.argmax(-1) == tasks.query.y).float().mean(1, keepdim=True))


@pytest.mark.parametrize("name", TRAINED)
def test_a_meta_batch_as_one_task_has_the_mean_of_its_tasks_gradients(name):
    _, net, meta, tasks = case(name)
    loss = cross_entropy(net.forward)
    gradients, aux = vmap(episodic(loss).meta_grad, (None, 0))(meta, tasks)
    one_task = tree_map(lambda t: t.transpose(0, 1), tasks)
    found, whole = episodic(together(loss)).meta_grad(meta, one_task)
    assert (whole["loss"] - aux["loss"].mean()).abs() < 1e-12
    assert gap(found, tree_map(lambda g: g.mean(0), gradients)) < 1e-12


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_on_meta_batches_as_one_is_that_on_their_tasks(name):
    _, net, meta, _ = case(name)
    loss, drawn = cross_entropy(net.forward), toy()

    def trained(learner, family, tasks):
        size = dict(tasks=tasks, iterations=3, block=2)
        return [*train(learner, meta, family, sgd(0.1), generator=seeded(4), **size)][-1]

    apart = trained(episodic(loss), drawn, TASKS)
    whole = trained(episodic(together(loss)), as_one(drawn, TASKS), 1)
    assert (apart.losses - whole.losses).abs().max() < 1e-11
    assert gap(apart.meta, whole.meta) < 1e-11


def test_no_meta_batch_is_made_of_no_task():
    with pytest.raises(ValueError, match="tasks is 0"):
        as_one(toy(), 0)


@pytest.mark.parametrize("name", TRAINED)
def test_the_gradient_is_that_of_the_query_loss(name):
    learner, _, meta, tasks = case(name)
    task = one(tasks, 0)
    assert (
        min(
            finite_difference_gap(learner, meta, task, random_direction(meta, seeded(seed)))
            for seed in range(3)
        )
        < 1e-6
    )
    gradient = learner.meta_grad(meta, task)[0]
    assert list(gradient) == list(meta)
    moving = [k for k in meta if gradient[k].abs().max() > 1e-12]
    still = {
        k for k in meta if k.endswith(".bias") and k.startswith("layer")
    }  # a bias before batch norm does nothing
    assert set(meta) - set(moving) == still, "every other parameter is learned"


@pytest.mark.parametrize("name", TRAINED)
def test_train_steps_with_the_mean_of_the_tasks_gradients(name):
    learner, _, meta, _ = case(name)
    family = toy()
    *_, step = train(
        learner,
        meta,
        family,
        sgd(1.0),
        generator=seeded(4),
        tasks=TASKS,
        iterations=1,
        block=1,
        compiled=False,
    )
    tasks = sample(family, seeded(4), TASKS)
    gradients = [learner.meta_grad(meta, one(tasks, i))[0] for i in range(TASKS)]
    assert (
        gap(step.meta, {k: p - sum(g[k] for g in gradients) / TASKS for k, p in meta.items()})
        < 1e-12
    )


@pytest.mark.parametrize("name", [name for name in NETS if name not in IN_ORDER])
def test_classes_far_apart_are_told_and_shuffled_labels_leave_chance(name):
    """Without training: a random embedding keeps far classes apart. Those with an LSTM must learn
    even this: their own tests."""
    learner, net, meta, _ = case(name)
    if name == "siamese":
        meta |= {"same.weight": -meta["same.weight"].abs()}
    tasks = sample(toy(spread=0.02), seeded(5), 100)
    wrong = mislabelled(sample(toy(shots=1, spread=0.02), seeded(5), 100), seeded(6))
    told, blind = (
        evaluate(learner, meta, t, on_query(accuracy(net.forward))) for t in (tasks, wrong)
    )
    assert told.mean() > 0.9
    assert blind.mean().item() == pytest.approx(1 / WAYS, abs=0.1)


def test_parameters_that_remember_nothing_are_refused():
    _, net, meta, tasks = case("prototypical")
    with pytest.raises(ValueError, match="these parameters remember no support set"):
        net.forward(meta, tasks.query.x[0])


def test_any_path_can_remember():
    _, _, meta, tasks = case("prototypical")
    support = one(tasks, 0).support
    loss = lambda params, data: BODY.forward(params, data.x).square().mean()
    plain, path = (
        maml(loss, alpha=0.1, steps=2).adapt(meta, support),
        remembering(maml(loss, alpha=0.1, steps=2).adapt)(meta, support),
    )
    assert len(path) == 3
    for a, b in zip(plain, path, strict=True):
        assert same(a, recall(b)[0]) and torch.equal(recall(b)[1].x, support.x)


def test_distances():
    a, b = torch.randn(5, 3, generator=seeded(0)), torch.randn(4, 3, generator=seeded(1))
    d, c = squared_euclidean(a, b), cosine(a, b)
    assert d.shape == c.shape == (5, 4)
    for i in range(5):
        for j in range(4):
            assert abs(d[i, j] - ((a[i] - b[j]) ** 2).sum()) < 1e-12
            assert abs(c[i, j] - F.cosine_similarity(a[i], b[j], dim=0)) < 1e-12
    assert (cosine(torch.zeros(2, 3), b) == 0).all()


def test_a_class_is_as_good_as_its_best_example():
    scores, y = (
        torch.tensor([[1.0, 5.0, 2.0, -1.0, 0.0], [9.0, 0.0, 3.0, 8.0, 7.0]]),
        torch.tensor([2, 0, 2, 1, 0]),
    )
    assert best_of_class(scores, y, 3).tolist() == [[5.0, -1.0, 2.0], [7.0, 8.0, 9.0]]
    assert membership(y, 3).long().tolist() == [
        [0, 0, 1],
        [1, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, 0],
    ]
    batched = vmap(lambda s, y: best_of_class(s, y, 3))(
        torch.stack([scores, -scores]), torch.stack([y, y.flip(0)])
    )
    assert torch.equal(batched[1], best_of_class(-scores, y.flip(0), 3))

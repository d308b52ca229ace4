"""Pretraining: the plain gradient of the support loss while training, MAML's own adaptation
afterwards."""

import pytest
import torch

from mamlkit.baselines.pretrain import all_classes, pretrain
from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.optimizer import sgd
from mamlkit.task import Data, Task, sample, validate
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.oracles import gap, same

pytestmark = pytest.mark.usefixtures("float64")


def case():
    net = mlp(1, 5, 4, 1, activation=torch.tanh, weight=he)
    return mse(net.forward), net.init(seeded(1)), sample(sinusoid(shots=6, queries=7), seeded(2), 3)


def one(tasks, i):
    return tree_map(lambda t: t[i], tasks)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_the_gradient_is_that_of_the_support_loss_and_nothing_adapts_inside(steps):
    loss, theta, tasks = case()
    task = one(tasks, 1)
    gradient, aux = pretrain(loss, alpha=0.3, steps=steps).meta_grad(theta, task)
    leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}
    value = loss(leaves, task.support)
    assert (
        gap(gradient, dict(zip(leaves, torch.autograd.grad(value, list(leaves.values()))))) < 1e-14
    )
    assert aux["loss"].item() == pytest.approx(value.item(), rel=1e-14)


def test_the_query_does_not_train_it():
    loss, theta, tasks = case()
    task, learner = one(tasks, 0), pretrain(loss, alpha=0.3, steps=1)
    other = task._replace(query=Data(task.query.x + 1, task.query.y - 5))
    assert same(learner.meta_grad(theta, task)[0], learner.meta_grad(theta, other)[0])
    moved = task._replace(support=Data(task.support.x, task.support.y - 5))
    assert gap(learner.meta_grad(theta, task)[0], learner.meta_grad(theta, moved)[0]) > 0.1


def test_it_adapts_exactly_as_maml_does():
    loss, theta, tasks = case()
    ours, mamls = (
        build(loss, alpha=0.3, steps=4).adapt(theta, one(tasks, 2).support)
        for build in (pretrain, maml)
    )
    assert (
        len(ours) == 5
        and all(same(a, b) for a, b in zip(ours, mamls, strict=True))
        and gap(ours[0], ours[-1]) > 1e-3
    )


def test_training_is_descent_on_the_mean_of_all_tasks():
    """One update of size 1 is theta minus the gradient of the loss on all examples of all tasks
    together."""
    loss, theta, _ = case()
    family = sinusoid(shots=6, queries=7)
    learner = pretrain(loss, alpha=0.3, steps=1)
    *_, step = train(
        learner,
        learner.init(theta),
        family,
        sgd(1.0),
        generator=seeded(3),
        tasks=3,
        iterations=1,
        block=1,
        compiled=False,
    )
    tasks = sample(family, seeded(3), 3)
    everything = Task(Data(tasks.support.x.flatten(0, 1), tasks.support.y.flatten(0, 1)), None)
    gradient = learner.meta_grad(theta, everything)[0]
    assert gap(step.meta, {k: theta[k] - gradient[k] for k in theta}) < 1e-12


def test_batches_of_all_classes_are_images_with_their_class():
    """Every pixel of drawing d of class c is 10 c + d here."""
    classes, drawings = 6, 5
    images = (
        (10 * torch.arange(classes)[:, None] + torch.arange(drawings))
        .to(torch.uint8)[:, :, None, None, None]
        .expand(-1, -1, 2, 4, 3)
    )
    tasks = sample(all_classes(images, examples=7), seeded(0), 40)
    x, y = validate(one(tasks, 0)).support
    assert (
        x.shape == (7, 2, 4, 3)
        and x.dtype == torch.float64
        and y.dtype == torch.int64
        and torch.equal(x, tasks.query.x[0])
    )
    value = (tasks.support.x * 255).round().long()
    assert (value == value[..., :1, :1, :1]).all() and torch.equal(
        value[..., 0, 0, 0] // 10, tasks.support.y
    )
    assert tasks.support.x.max() <= 1
    seen = torch.bincount(value[..., 0, 0, 0].flatten(), minlength=60).view(classes, 10)
    assert (seen[:, :drawings] > 0).all() and seen[:, drawings:].sum() == 0, (
        "every drawing of every class is drawn"
    )
    assert torch.equal(
        sample(all_classes(images, examples=7), seeded(0), 40).support.y, tasks.support.y
    )


@pytest.mark.parametrize(
    "images, examples, words",
    [
        (
            torch.zeros(3, 2, 1, 4, 5),
            2,
            r"the images are a tensor of torch.float64 and shape \(3, 2, 1, 4, 5\): torch",
        ),
        (
            torch.zeros(3, 2, 4, 5, dtype=torch.uint8),
            2,
            r"the images are a tensor of torch.uint8 and shape \(3, 2, 4, 5\)",
        ),
        (torch.zeros(3, 0, 1, 4, 5, dtype=torch.uint8), 2, "the images are"),
        (
            torch.zeros(3, 2, 1, 4, 5, dtype=torch.uint8),
            0,
            "examples is 0: it must be 1 or more",
        ),
    ],
    ids=["not bytes", "no channels", "empty", "no examples"],
)
def test_other_images_are_refused(images, examples, words):
    with pytest.raises(ValueError, match=words):
        all_classes(images.double() if "float64" in words else images, examples=examples)

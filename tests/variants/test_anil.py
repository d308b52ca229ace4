"""ANIL is MAML whose body has the step size 0."""

import pytest
import torch

from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import scaled, strided_convnet
from mamlkit.task import Data
from mamlkit.variants.anil import anil
from mamlkit.variants.maml import maml
from tests.oracles import MODELS, after_adaptation, derivative_gap, gap, norm, one, problem, same

pytestmark = pytest.mark.usefixtures("float64")
HEADS = {
    "tanh mlp": "layer2",
    "relu mlp": "layer2",
    "softplus mlp, batch norm": "layer2",
    "relu mlp, batch norm": "layer2",
    "strided convnet": "layer4",
    "pooled convnet": "layer4",
    "gru": "out",
    "transformer": "out",
    "nn.Module": "out",
}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_maml_with_a_step_size_of_0_below_the_head(name, steps):
    """The body does not move, and yet it is meta-learned."""
    loss, theta, tasks, alpha = problem(name)
    task, head = one(tasks, 0), [f"{HEADS[name]}.weight", f"{HEADS[name]}.bias"]
    first = anil(loss, alpha=alpha, steps=steps)
    second = maml(loss, alpha={k: alpha if k in head else 0.0 for k in theta}, steps=steps)
    for a, b in zip(
        first.adapt(theta, task.support), second.adapt(theta, task.support), strict=True
    ):
        assert gap(a, b) < 1e-15
    gradient, _ = first.meta_grad(theta, task)
    assert gap(gradient, second.meta_grad(theta, task)[0]) < 1e-13
    assert norm({k: g for k, g in gradient.items() if k not in head}) > 1e-4
    moved = [k for k in theta if (first.adapt(theta, task.support)[-1][k] != theta[k]).any()]
    assert sorted(moved) == sorted(head)


@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_the_gradient_is_the_derivative_of_the_loss_after_the_head_adapts(name):
    loss, theta, tasks, alpha = problem(name)
    task, learner = one(tasks, 0), anil(loss, alpha=alpha, steps=3)
    assert (
        derivative_gap(
            after_adaptation(learner, loss, task), theta, learner.meta_grad(theta, task)[0]
        )
        < 1e-6
    )


def test_a_context_vector_does_not_change_which_layer_is_the_head():
    loss, theta, tasks, alpha = problem("strided convnet", shift="norm2.beta")
    end = anil(loss, alpha=alpha, steps=1).adapt(theta, one(tasks, 0).support)[-1]
    assert [k for k in theta if (end[k] != theta[k]).any()] == ["layer4.weight", "layer4.bias"]


def test_a_learned_scale_of_the_norms_is_no_head():
    net = scaled(strided_convnet(3, filters=4))
    theta, images = net.init(seeded(0)), torch.rand(6, 1, 28, 28, generator=seeded(1))
    end = anil(cross_entropy(net.forward), alpha=0.1, steps=1).adapt(
        theta, Data(images, torch.arange(6) % 3)
    )[-1]
    assert [*theta][-1] == "norm3.scale" and [k for k in theta if (end[k] != theta[k]).any()] == [
        "layer4.weight",
        "layer4.bias",
    ]


def test_a_dict_names_another_head():
    loss, theta, tasks, alpha = problem("tanh mlp")
    task, upper = one(tasks, 0), {"layer1.weight": 0.2, "layer2.weight": 0.3}
    first, second = anil(loss, alpha=upper, steps=2), maml(loss, alpha=upper, steps=2)
    assert same(first.adapt(theta, task.support)[-1], second.adapt(theta, task.support)[-1])

"""The class of the nearest example, by hand."""

import pytest
import torch

from mamlkit.baselines.episodic import cosine, episodic
from mamlkit.baselines.nearest_neighbour import nearest_neighbour, pixels
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import strided_body, strided_convnet
from mamlkit.task import sample
from mamlkit.trees import tree_map
from tests.episodes import SHAPE, WAYS, toy

pytestmark = pytest.mark.usefixtures("float64")


def remembered(task, params):
    return episodic(None).adapt(params, task.support)[-1]


def first(**settings):
    return tree_map(lambda t: t[0], sample(toy(**settings), seeded(1), 1))


def test_on_pixels_logits_are_minus_the_smallest_squared_distance_of_each_class():
    task, net = first(spread=1.0), nearest_neighbour(pixels, ways=WAYS)
    assert net.init(seeded(0)) == {}
    out = net.forward(remembered(task, {}), task.query.x)
    for i, x in enumerate(task.query.x):
        for c in range(WAYS):
            nearest = min(((x - s) ** 2).sum().item() for s, y in zip(*task.support) if y == c)
            assert out[i, c].item() == pytest.approx(-nearest, rel=1e-12)


def test_a_query_that_is_in_the_support_is_told_whatever_the_mean_of_its_class_is():
    x = torch.tensor([[0.0, 0.0], [9.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    y = torch.tensor([0, 0, 1, 1])
    params = {"support.x": x, "support.y": y}
    net = nearest_neighbour(pixels, ways=2)
    assert net.forward(params, torch.tensor([[1.0, 0.0], [8.0, 0.5], [3.6, 0.0]])).argmax(
        -1
    ).tolist() == [0, 0, 1]


def test_the_distance_can_be_another():
    params = {
        "support.x": torch.tensor([[1.0, 0.0], [0.0, 9.0]]),
        "support.y": torch.tensor([0, 1]),
    }
    query = torch.tensor([[1.0, 2.0]])
    by = (
        lambda **how: nearest_neighbour(pixels, ways=2, **how)
        .forward(params, query)
        .argmax(-1)
        .item()
    )
    assert by() == 0 and by(distance=lambda a, b: -cosine(a, b)) == 1


def test_the_features_are_those_of_a_classifier_of_other_classes():
    """Table 1's baseline: the parameters of a 7-way classifier, its head left out."""
    classifier, body = (
        strided_convnet(7, filters=3, channels=SHAPE[0]),
        strided_body(filters=3, channels=SHAPE[0]),
    )
    trained, task = classifier.init(seeded(2)), first(spread=1.0)
    net = nearest_neighbour(body, ways=WAYS)
    out = net.forward(remembered(task, trained), task.query.x)
    f, g = (body.forward(trained, data.x) for data in (task.query, task.support))
    nearest = ((f[:, None] - g) ** 2).sum(-1).argmin(-1)
    assert torch.equal(out.argmax(-1), task.support.y[nearest])
    assert cross_entropy(net.forward)(remembered(task, trained), task.query).isfinite()

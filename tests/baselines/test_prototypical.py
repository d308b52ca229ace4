"""Prototypes by hand, and a toy that only a trained embedding solves."""

import pytest
import torch

from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.prototypical import prototypical
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp, strided_body
from tests.episodes import learned, toy

flat = Net(lambda generator: {}, lambda params, x, reference=None: x)


def test_logits_are_minus_the_squared_distances_to_the_class_means():
    x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [5.0, 0.0], [1.0, 1.0], [7.0, 2.0]])
    params = {"support.x": x, "support.y": torch.tensor([1, 1, 0, 1, 0])}
    out = prototypical(flat, ways=2).forward(
        params, torch.tensor([[1.0, 1.0], [6.0, 0.0], [0.0, 3.0]])
    )
    assert out.tolist() == [[-25.0, 0.0], [-1.0, -26.0], [-40.0, -5.0]], (
        "the means are (6, 1) and (1, 1)"
    )


def test_with_one_shot_the_prototype_is_the_example():
    x = torch.randn(4, 3, generator=seeded(0))
    out = prototypical(flat, ways=4).forward(
        {"support.x": x, "support.y": torch.tensor([2, 0, 3, 1])}, x
    )
    assert out.argmax(-1).tolist() == [2, 0, 3, 1] and out.amax(-1).abs().max() < 1e-5


@pytest.mark.usefixtures("float64")
def test_squared_distances_make_a_linear_classifier():
    """Snell et al., section 2.4: logits differ between classes by a function that is linear in the
    embedding."""
    support = {
        "support.x": torch.randn(6, 3, generator=seeded(0)),
        "support.y": torch.tensor([0, 1, 0, 1, 1, 0]),
    }
    a, b = torch.randn(2, 5, 3, generator=seeded(1))
    margin = lambda x: prototypical(flat, ways=2).forward(support, x).diff(dim=-1)
    assert (margin(a) + margin(b) - margin(a + b) - margin(torch.zeros(1, 3))).abs().max() < 1e-12


def test_it_has_the_parameters_of_its_body_and_no_more():
    assert count(prototypical(strided_body(), ways=60).init(seeded(0))) == 111_680
    assert (
        prototypical(strided_body(), ways=5).init(seeded(0)).keys()
        == strided_body().init(seeded(0)).keys()
    )


def test_it_learns_which_pixels_matter():
    """Four of eight numbers are noise, larger than the classes; the untrained embedding cannot tell
    them."""
    family = toy(ways=3, shots=2, queries=4, shape=(1, 1, 8), spread=0.2, nuisance=4.0)
    net = prototypical(mlp(8, 16, 6, weight=he), ways=3)
    before, after, blind = learned(
        episodic(cross_entropy(net.forward)), net, family, iterations=120
    )
    assert before < 0.5 and after > 0.8 and abs(blind - 1 / 3) < 0.06

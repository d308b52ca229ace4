"""Pairs by hand, and a toy that only a trained embedding solves."""

import pytest
import torch

from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.siamese import siamese, verification
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp, strided_body
from mamlkit.task import Data
from tests.episodes import learned, toy

flat = Net(lambda generator: {}, lambda params, x, reference=None: x)


def pairs():
    """(params that remember, query, the probability of "the same" of every pair, computed one at a
    time)"""
    generator = seeded(0)
    params = {
        "same.weight": torch.randn(1, 3, generator=generator),
        "same.bias": torch.tensor([0.4]),
        "support.x": torch.randn(5, 3, generator=generator),
        "support.y": torch.tensor([0, 1, 0, 1, 1]),
    }
    query = Data(torch.randn(4, 3, generator=generator), torch.tensor([1, 0, 1, 1]))

    def same(a, b):
        return torch.sigmoid(
            params["same.weight"][0] @ (torch.sigmoid(a) - torch.sigmoid(b)).abs() + 0.4
        ).item()

    return params, query, [[same(a, b) for b in params["support.x"]] for a in query.x]


@pytest.mark.usefixtures("float64")
def test_a_class_is_as_likely_as_its_best_match():
    params, query, p = pairs()
    out = torch.sigmoid(siamese(flat, features=3, ways=2).forward(params, query.x))
    for i in range(4):
        assert out[i].tolist() == pytest.approx(
            [max(p[i][0], p[i][2]), max(p[i][1], p[i][3], p[i][4])], rel=1e-12
        )


@pytest.mark.usefixtures("float64")
def test_verification_is_the_mean_log_loss_of_the_same_and_of_the_different_half_each():
    params, query, p = pairs()
    p, same = torch.tensor(p), query.y[:, None] == params["support.y"]
    expected = (-p[same].log().mean() - (1 - p[~same]).log().mean()) / 2
    assert verification(flat)(params, query).item() == pytest.approx(expected.item(), rel=1e-12)
    assert same.sum() != (~same).sum(), "so that the halves are seen"


def test_it_has_a_weight_for_each_feature_and_a_bias_besides_the_body():
    assert count(siamese(strided_body(), features=64, ways=20).init(seeded(0))) == 111_680 + 65


def test_it_learns_which_pixels_matter():
    family = toy(ways=3, shots=2, queries=4, shape=(1, 1, 8), spread=0.2, nuisance=4.0)
    body = mlp(8, 16, 6, weight=he)
    net, learner = siamese(body, features=6, ways=3), episodic(verification(body))
    before, after, blind = learned(learner, net, family, iterations=150)
    assert before < 0.5 and after > 0.8 and abs(blind - 1 / 3) < 0.06

from math import log

import pytest
import torch

from mamlkit.losses import accuracy, cross_entropy, huber, mse
from mamlkit.machine import seeded
from mamlkit.task import Data

pytestmark = pytest.mark.usefixtures("float64")
SHOTS, OUTPUTS, WAYS = 6, 3, 5
forward = lambda params, x: x @ params["w"]


def regression():
    generator = seeded(0)
    return {"w": torch.randn(2, OUTPUTS, generator=generator)}, Data(
        torch.randn(SHOTS, 2, generator=generator), torch.randn(SHOTS, OUTPUTS, generator=generator)
    )


def classification():
    generator = seeded(0)
    return {"w": torch.randn(2, WAYS, generator=generator)}, Data(
        torch.randn(SHOTS, 2, generator=generator),
        torch.randint(WAYS, (SHOTS,), generator=generator),
    )


def errors():
    params, data = regression()
    return (data.x @ params["w"] - data.y).flatten().tolist()


def test_mse_is_the_mean_over_examples_and_outputs():
    expected = sum(e * e for e in errors()) / (SHOTS * OUTPUTS)
    assert abs(mse(forward)(*regression()).item() - expected) < 1e-14


def test_huber_is_quadratic_below_an_error_of_1_and_linear_above():
    assert min(map(abs, errors())) < 1 < max(map(abs, errors()))
    expected = sum(e * e / 2 if abs(e) < 1 else abs(e) - 0.5 for e in errors()) / (SHOTS * OUTPUTS)
    assert abs(huber(forward)(*regression()).item() - expected) < 1e-14


def test_cross_entropy_is_the_mean_over_examples():
    params, data = classification()
    logits = (data.x @ params["w"]).tolist()
    expected = (
        sum(
            torch.logsumexp(torch.tensor(row), 0).item() - row[label]
            for row, label in zip(logits, data.y.tolist())
        )
        / SHOTS
    )
    assert abs(cross_entropy(forward)(params, data).item() - expected) < 1e-14


def test_cross_entropy_of_equal_logits_is_log_n():
    params, data = classification()
    assert abs(cross_entropy(forward)({"w": torch.zeros(2, WAYS)}, data).item() - log(WAYS)) < 1e-14


def test_accuracy_is_the_share_of_right_labels():
    params, data = classification()
    right = (data.x @ params["w"]).argmax(1)
    for wrong in range(SHOTS + 1):
        labels = right.clone()
        labels[:wrong] = (right[:wrong] + 1) % WAYS
        assert accuracy(forward)(params, Data(data.x, labels)).item() == pytest.approx(
            1 - wrong / SHOTS, abs=1e-6
        )


@pytest.mark.parametrize("loss", [mse, huber])
@pytest.mark.parametrize("shape", [(SHOTS,), (SHOTS, 1), (1, OUTPUTS), (OUTPUTS, SHOTS)])
def test_targets_of_another_shape_are_refused_and_never_broadcast(loss, shape):
    params, data = regression()
    with pytest.raises(
        ValueError,
        match=rf"output \(6, 3\) and the targets \({', '.join(map(str, shape))},?\) differ in shape",
    ):
        loss(forward)(params, Data(data.x, torch.zeros(shape)))


@pytest.mark.parametrize(
    "loss, case",
    [
        (mse, regression),
        (huber, regression),
        (cross_entropy, classification),
        (accuracy, classification),
    ],
)
def test_a_loss_is_a_scalar(loss, case):
    assert loss(forward)(*case()).shape == ()

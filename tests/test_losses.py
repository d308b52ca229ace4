from math import log

import pytest
import torch
from torch import nn
from torch.func import grad, vmap

from mamlkit.losses import accuracy, cross_entropy, huber, mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp
from mamlkit.task import Data, Task

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
        match=rf"output \(6, 3\) and the targets \({', '.join(map(str, shape))},?\) differ",
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


@pytest.mark.parametrize("measure", [accuracy, cross_entropy])
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda y: y[:, None], r"labels of shape \(6, 1\) do not belong together: \(examples, N\)"),
        (lambda y: y[:5], r"labels of shape \(5,\) do not belong together"),
        (lambda y: y.float(), "the labels are torch.float32: whole numbers are needed"),
        (lambda y: y > 2, "the labels are torch.bool: whole numbers are needed"),
        (lambda y: y + 1 - y.min() + (WAYS - 1), "a label lies outside of 0 to 4"),
        (lambda y: y.clamp(max=3) - 1 - y.min(), "a label lies outside of 0 to 4: .* from 0"),
        (lambda y: torch.full_like(y, -100), "a label lies outside of 0 to 4"),
    ],
    ids=["(n, 1)", "too few", "floats", "booleans", "too high", "below 0", "-100"],
)
def test_labels_that_are_none_are_refused(measure, change, words):
    params, data = classification()
    with pytest.raises(ValueError, match=words) as refusal:
        measure(forward)(params, data._replace(y=change(data.y)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("label", [-100, -1, WAYS, 7])
def test_a_label_outside_is_not_left_out_where_its_value_is_hidden(label):
    params, data = classification()
    y = torch.stack([data.y, data.y.index_fill(0, torch.tensor([2]), label)])
    x = torch.stack([data.x] * 2)
    with pytest.raises((ValueError, RuntimeError), match="outside of 0 to 4|out of bounds"):
        vmap(grad(cross_entropy(forward)), (None, 0))(params, Data(x, y))
    found = vmap(accuracy(forward), (None, 0))(params, Data(x, y))
    assert found[0] == accuracy(forward)(params, data) and found[1].isnan()


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int16])
def test_labels_of_every_whole_type_are_the_same_labels(kind):
    params, data = classification()
    for measure in (accuracy, cross_entropy):
        assert measure(forward)(params, data._replace(y=data.y.to(kind))) == measure(forward)(
            params, data
        )


def test_a_logit_that_is_no_number_is_no_prediction():
    logits = torch.tensor([[float("nan"), 1.0], [float("nan")] * 2, [1.0, 0.0]])
    assert accuracy(lambda params, x: x)({}, Data(logits, torch.zeros(3).long())) == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize("measure", [mse, huber, accuracy, cross_entropy])
def test_what_is_no_forward_and_what_is_no_data_is_refused_with_the_remedy(measure):
    net = mlp(2, 3)
    for wrong in (net, nn.Linear(2, 3), None):
        with pytest.raises(ValueError, match="a loss takes the function .* of a net, net.forward"):
            measure(wrong)
    data = Data(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="got a Task: on_query"):
        measure(net.forward)(net.init(seeded(0)), Task(data, data))
    with pytest.raises(ValueError, match=r"got a tuple: .* as Data\(x, y\)"):
        measure(net.forward)(net.init(seeded(0)), (data.x, data.y))

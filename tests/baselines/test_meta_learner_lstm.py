"""With open gates it is gradient descent; number by number it is the paper's equations."""

from math import exp, log, tanh

import pytest
import torch

from mamlkit.baselines.meta_learner_lstm import meta_learner_lstm, with_rule
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.inner import adapt, repeated
from mamlkit.losses import accuracy, cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp, pooled_convnet
from mamlkit.optimizer import adam
from mamlkit.task import Data, Task, sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from tests.episodes import toy

HIDDEN = 3
line = Net(lambda generator: {"w": torch.tensor([0.7])}, lambda params, x: params["w"] * x)


def open_gates(theta, alpha):
    """A rule whose gates do not see anything: forget 1, input alpha."""
    closed = {name: torch.zeros_like(p) for name, p in theta.items() if name.startswith("rule.")}
    closed["rule.forget.bias"] += 40.0
    closed["rule.input.bias"] += log(alpha / (1 - alpha))
    return theta | closed


def wave():
    return tree_map(lambda t: t[0], sample(sinusoid(shots=7, queries=9), seeded(2), 1))


@pytest.mark.usefixtures("float64")
def test_with_open_gates_it_is_gradient_descent_and_its_meta_gradient_is_first_order():
    plain = mlp(1, 5, 6, 1, weight=he)
    net = with_rule(plain, hidden=HIDDEN)
    meta, task = open_gates(net.init(seeded(0)), 0.03), wave()
    task = tree_map(lambda t: t.double(), task)
    learner, loss = meta_learner_lstm(mse(net.forward), steps=4), mse(plain.forward)
    theta = {k: p for k, p in meta.items() if not k.startswith("rule.")}
    ours, theirs = (
        learner.adapt(meta, task.support),
        adapt(theta, repeated(loss, task.support, 4), [0.03] * 4),
    )
    assert len(ours) == len(theirs) == 5
    for a, b in zip(ours, theirs):
        assert max((a[k] - b[k]).abs().max() for k in b) < 1e-10
    gradient, aux = learner.meta_grad(meta, task)
    expected, value = fomaml(loss, alpha=0.03, steps=4).meta_grad(theta, task)
    assert abs(aux["loss"] - value["loss"]) < 1e-10
    assert max((gradient[k] - expected[k]).abs().max() for k in expected) < 1e-9


def sigmoid(x):
    return 1 / (1 + exp(-x))


def read(g):
    return [log(abs(g)) / 10, (g > 0) - (g < 0)] if abs(g) >= exp(-10) else [-1, exp(10) * g]


def by_hand(meta, xs, ys, steps):
    """w after each step on mean (w x - y)^2, one number at a time."""
    rule = {k.removeprefix("rule."): p.tolist() for k, p in meta.items()}
    w, h, c, f, i = meta["w"].item(), [0.0] * HIDDEN, [0.0] * HIDDEN, 0.0, 0.0
    path = [w]
    for _ in range(steps):
        slope = sum(2 * (w * x - y) * x for x, y in zip(xs, ys)) / len(xs)
        value = sum((w * x - y) ** 2 for x, y in zip(xs, ys)) / len(xs)
        seen = [*read(slope), *read(value), *h]
        rows = [
            sum(a * b for a, b in zip(row, seen)) + bias
            for row, bias in zip(rule["lstm.weight"], rule["lstm.bias"])
        ]
        n = HIDDEN
        for j in range(n):
            kept = sigmoid(rows[j]) * c[j] + sigmoid(rows[n + j]) * tanh(rows[3 * n + j])
            c[j], h[j] = kept, sigmoid(rows[2 * n + j]) * tanh(kept)

        def gate(name, last, h=h, w=w):
            told = [*h, w, last]
            summed = sum(a * b for a, b in zip(rule[f"{name}.weight"], told))
            return sigmoid(summed + rule[f"{name}.bias"][0])

        f, i = gate("forget", f), gate("input", i)
        w = f * w - i * slope
        path.append(w)
    return path


@pytest.mark.usefixtures("float64")
def test_number_by_number_it_is_the_papers_equations():
    net, generator = with_rule(line, hidden=HIDDEN), seeded(1)
    meta = {k: p + 0.4 * torch.randn(p.shape, generator=generator) for k, p in _init(net).items()}
    x, y = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([3.0, -5.0, 1.0])
    path = meta_learner_lstm(mse(net.forward), steps=3).adapt(meta, Data(x, y))
    expected = by_hand(meta, x.tolist(), y.tolist(), 3)
    assert [p["w"].item() for p in path] == pytest.approx(expected, abs=1e-10)
    assert abs(expected[-1] - expected[0]) > 0.1


def _init(net):
    return tree_map(lambda t: t.to(torch.get_default_dtype()), net.init(seeded(0)))


@pytest.mark.usefixtures("float64")
def test_the_meta_gradient_is_exact_where_gradients_are_constants():
    """Of a loss that is linear in the parameters, with a rule that does not look at the loss."""
    net, generator = with_rule(line, hidden=HIDDEN), seeded(4)
    meta = {k: p + 0.4 * torch.randn(p.shape, generator=generator) for k, p in _init(net).items()}
    meta["rule.lstm.weight"][:, 2:4] = 0

    def loss(params, data):
        return (net.forward(params, data.x) * data.y).mean()

    task = Task(*(Data(*torch.randn(2, n, generator=generator)) for n in (4, 5)))
    learner = meta_learner_lstm(loss, steps=3)
    gradient, _ = learner.meta_grad(meta, task)

    def value(moved):
        return loss(learner.adapt(moved, task.support)[-1], task.query)

    for name, p in meta.items():
        step = torch.zeros_like(p)
        step.view(-1)[0] = 1e-6
        numeric = (value(meta | {name: p + step}) - value(meta | {name: p - step})) / 2e-6
        assert abs(gradient[name].view(-1)[0] - numeric) < 1e-8, name


def test_it_begins_near_gradient_descent():
    meta = with_rule(line).init(seeded(0))
    assert 4 <= meta["rule.forget.bias"] <= 6 and -5 <= meta["rule.input.bias"] <= -4
    assert meta["rule.forget.weight"].abs().max() < 0.05


def test_its_size_on_mini_imagenet():
    """The net's 32,773 first cell states; an LSTM of 4 * 20 * (4 + 20) + 80; two gates of 23."""
    assert count(with_rule(pooled_convnet(5)).init(seeded(0))) == 32_773 + 2_000 + 46


def test_it_learns_to_adapt():
    family = toy(ways=3, shots=2, queries=5, shape=(1, 1, 6), spread=0.2)
    net = with_rule(mlp(6, 24, 3, weight=he), hidden=5)
    loss, metric = cross_entropy(net.forward), on_query(accuracy(net.forward))
    learner, tasks = meta_learner_lstm(loss, steps=4), sample(family, seeded(9), 200)
    meta = net.init(seeded(0))
    *_, step = train(
        learner,
        meta,
        family,
        adam(0.02),
        generator=seeded(1),
        tasks=16,
        iterations=120,
        compiled=False,
    )
    before, after = (evaluate(learner, m, tasks, metric).mean(0) for m in (meta, step.meta))
    assert abs(after[0] - 1 / 3) < 0.1 and after[-1] > 0.75 and after[-1] > before[-1] + 0.1


def test_a_negative_number_of_steps_is_refused():
    with pytest.raises(ValueError, match="steps is -1"):
        meta_learner_lstm(mse(line.forward), steps=-1)

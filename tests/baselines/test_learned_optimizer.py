"""What an optimiser that says a constant does is known; one that is trained beats its own start."""

from math import exp, log, tanh

import pytest
import torch

from mamlkit.baselines.learned_optimizer import learned_optimizer, optimizer_params, started
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp
from mamlkit.optimizer import adam
from mamlkit.task import sample
from mamlkit.train import train
from mamlkit.trees import tree_map

HIDDEN = 3
line = Net(
    lambda generator: {"w": torch.randn(1, generator=generator)}, lambda params, x: params["w"] * x
)


def one(net, shots=4):
    family = started(sinusoid(shots=shots, queries=6), net)
    return tree_map(lambda t: t[0], sample(family, seeded(3), 1))


def test_a_task_begins_at_random_and_its_wave_is_the_same():
    net = mlp(1, 5, 1, weight=he)
    plain = sample(sinusoid(shots=4, queries=6), seeded(3), 7)
    task = sample(started(sinusoid(shots=4, queries=6), net), seeded(3), 7)
    assert torch.equal(task.support.x, plain.support.x) and torch.equal(task.query.y, plain.query.y)
    starts = task.support.start["layer0.weight"]
    assert starts.shape == (7, 5, 1) and len(starts.unique()) == 35


def test_an_optimiser_that_says_a_constant_adds_a_tenth_of_it():
    meta = tree_map(torch.zeros_like, optimizer_params(seeded(0), HIDDEN))
    meta["step.bias"] += 2.0
    task = one(line)
    path = learned_optimizer(mse(line.forward), steps=5).adapt(meta, task.support)
    start = task.support.start["w"].item()
    assert [p["w"].item() for p in path] == pytest.approx([start + 0.2 * t for t in range(6)])


def sigmoid(x):
    return 1 / (1 + exp(-x))


def cell(weight, bias, seen, state):
    h, c = state
    told, n = [*seen, *h], HIDDEN
    rows = [sum(a * b for a, b in zip(row, told)) + b0 for row, b0 in zip(weight, bias)]
    c = [sigmoid(rows[j]) * c[j] + sigmoid(rows[n + j]) * tanh(rows[3 * n + j]) for j in range(n)]
    return [sigmoid(rows[2 * n + j]) * tanh(c[j]) for j in range(n)], c


@pytest.mark.usefixtures("float64")
def test_number_by_number_it_is_two_lstms_that_read_the_gradient():
    generator = seeded(1)
    meta = optimizer_params(generator, HIDDEN)
    meta = {k: p + 0.4 * torch.randn(p.shape, generator=generator) for k, p in meta.items()}
    task, m = one(line), {k: p.tolist() for k, p in meta.items()}
    xs, ys = (t.flatten().tolist() for t in task.support[:2])
    w, states = task.support.start["w"].item(), [([0.0] * HIDDEN, [0.0] * HIDDEN)] * 2
    expected = [w]
    for _ in range(3):
        slope = sum(2 * (w * x - y) * x for x, y in zip(xs, ys)) / len(xs)
        said = [log(abs(slope)) / 10, 1.0 if slope > 0 else -1.0]
        for i, layer in enumerate(("first", "second")):
            states[i] = cell(m[f"{layer}.weight"], m[f"{layer}.bias"], said, states[i])
            said = states[i][0]
        w += 0.1 * (sum(a * b for a, b in zip(m["step.weight"][0], said)) + m["step.bias"][0])
        expected.append(w)
    path = learned_optimizer(mse(line.forward), steps=3).adapt(meta, task.support)
    assert [p["w"].item() for p in path] == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_the_meta_gradient_is_that_of_the_mean_loss_over_all_steps_gradients_held():
    """Exact where the gradient is a constant: of a loss that is linear in the parameters."""
    loss = lambda params, data: (line.forward(params, data.x) * data.y).mean()
    meta, task = optimizer_params(seeded(2), HIDDEN), one(line)
    learner = learned_optimizer(loss, steps=3)
    gradient, aux = learner.meta_grad(meta, task)

    def value(moved):
        return sum(loss(p, task.query) for p in learner.adapt(moved, task.support)[1:]) / 3

    assert aux["loss"] == loss(learner.adapt(meta, task.support)[-1], task.query)
    for name, p in meta.items():
        step = torch.zeros_like(p)
        step.view(-1)[0] = 1e-6
        numeric = (value(meta | {name: p + step}) - value(meta | {name: p - step})) / 2e-6
        assert abs(gradient[name].view(-1)[0] - numeric) < 1e-8, name


def test_its_size():
    """4 * 20 * (2 + 20) + 80, 4 * 20 * (20 + 20) + 80, and 21."""
    assert count(optimizer_params(seeded(0))) == 1_840 + 3_280 + 21


def test_it_learns_to_optimise():
    net = mlp(1, 8, 1, weight=he)
    family = started(sinusoid(shots=10, queries=10), net)
    learner, meta = learned_optimizer(mse(net.forward), steps=6), optimizer_params(seeded(0), 5)
    *_, step = train(
        learner,
        meta,
        family,
        adam(0.01),
        generator=seeded(1),
        tasks=16,
        iterations=120,
        compiled=False,
    )
    tasks, metric = sample(family, seeded(9), 200), on_query(mse(net.forward))
    before, after = (
        evaluate(learner, m, tasks, metric).median(0).values for m in (meta, step.meta)
    )
    assert after[0] == before[0] and after[-1] < 0.8 * after[0] and after[-1] < 0.9 * before[-1]


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="steps is 0"):
        learned_optimizer(mse(line.forward), steps=0)

"""What is written for a support set: by hand, in any order, better than what is told nothing."""

import torch

from mamlkit.baselines.hypernetwork import hypernetwork, written
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import unrolled
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import count, he, mlp
from mamlkit.optimizer import adam
from mamlkit.task import Data, sample
from mamlkit.train import train

plain = mlp(2, 5, 3, weight=he)
net = hypernetwork(plain, inputs=2, outputs=3, width=4)


def support(n=7):
    return Data(torch.randn(n, 2, generator=seeded(1)), torch.randn(n, 3, generator=seeded(2)))


def test_each_parameter_is_a_linear_function_of_the_mean_embedding():
    params, data = net.init(seeded(0)), support()
    first, then = written(params, data)
    each = [
        torch.relu(
            params["hyper.example.weight"] @ torch.cat([x, y]) + params["hyper.example.bias"]
        )
        for x, y in zip(*data)
    ]
    pooled = torch.stack(each).mean(0)
    embedding = torch.relu(params["hyper.set.weight"] @ pooled + params["hyper.set.bias"])
    assert first.keys() == then.keys() == plain.init(seeded(0)).keys()
    for name in first:
        assert torch.equal(first[name], params[name])
        moved = torch.einsum("...w,w->...", params[f"hyper.{name}"], embedding)
        assert torch.allclose(then[name], params[name] + moved, atol=1e-6)
        assert not torch.equal(then[name], first[name])


def test_the_order_of_the_support_does_not_matter():
    params, data, order = net.init(seeded(0)), support(), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    one, other = (written(params, d)[1] for d in (data, Data(data.x[order], data.y[order])))
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in one)


def test_a_writer_that_is_empty_writes_the_same_for_every_task():
    params = net.init(seeded(0))
    params = {
        k: torch.zeros_like(p) if k.startswith("hyper.layer") else p for k, p in params.items()
    }
    first, then = written(params, support())
    assert all(torch.equal(first[k], then[k]) for k in first)


def test_it_forwards_as_its_net_does():
    params, x = net.init(seeded(0)), torch.randn(6, 2, generator=seeded(4))
    assert torch.equal(net.forward(params, x), plain.forward(params, x))


def test_its_size_on_sine_waves():
    """1,761 parameters, 64 numbers that write each; 64 * 2 + 64 and 64 * 64 + 64."""
    sines = hypernetwork(mlp(1, 40, 40, 1), inputs=1, outputs=1)
    assert count(sines.init(seeded(0))) == 1_761 * 65 + 192 + 4_160


def test_it_learns_to_write():
    waves = mlp(1, 20, 20, 1, weight=he)
    hyper, loss = hypernetwork(waves, inputs=1, outputs=1, width=16), mse(waves.forward)
    learner = unrolled(loss, written)
    *_, step = train(
        learner,
        hyper.init(seeded(0)),
        sinusoid(),
        adam(0.003),
        generator=seeded(1),
        tasks=25,
        iterations=400,
        compiled=False,
    )
    tasks = sample(sinusoid(queries=30), seeded(9), 300)
    error = evaluate(learner, step.meta, tasks, on_query(loss)).median(0).values
    assert error[1] < 0.6 * error[0] and error[1] < 2.5

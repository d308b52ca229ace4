"""What bfloat16 convolutions do on this CPU: `python -m tests.benchmarks.bfloat16 [ITERATIONS]`.

Omniglot 5-way 1-shot, one query a class in training, second order, 8 tasks, one step of 0.4: the
same net, its convolutions in single precision and in bfloat16, all else in single. Printed:
processor time of an update of one core, its error against single precision, and the accuracy with
15 queries a class on validation characters after ITERATIONS meta-updates of each SEED. mamlkit
itself trains in single precision.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.omniglot import load, omniglot
from mamlkit.layers import batch_norm
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.memory import keep_pages
from mamlkit.nets import Net, all_but_norms, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.task import first_task
from mamlkit.train import train
from mamlkit.variants.maml import maml

SEEDS, TASKS, ALPHA, BETA = (0, 1, 2), 8, 0.4, 3e-3


def half(*args: Tensor) -> Tensor:
    """The convolution of stride 2 in bfloat16."""
    return F.conv2d(*(a.bfloat16() for a in args), stride=2, padding=1).float()


def single(*args: Tensor) -> Tensor:
    """The same by the same calls, in single precision."""
    return F.conv2d(*args, stride=2, padding=1)


def convnet(convolution: Callable) -> Net:
    """`strided_convnet(5)` with another convolution."""

    def forward(params, x):
        for i in range(4):
            weight, bias = params[f"layer{i}.weight"], params[f"layer{i}.bias"]
            x = F.relu(batch_norm(convolution(x, weight, bias), params[f"norm{i}.beta"]))
        return F.linear(x.mean((2, 3)), params["layer4.weight"], params["layer4.bias"])

    return Net(strided_convnet(5).init, forward)


def main(iterations: int = 300) -> None:
    torch.set_num_threads(1)
    keep_pages()
    family = omniglot(load("train"), way=5, shots=1, queries=1)
    exam = omniglot(load("validation"), way=5, shots=1, queries=15)
    theta = strided_convnet(5).init(seeded(0))
    gradients = []
    ways = {"mamlkit": strided_convnet(5), "single": convnet(single), "bfloat16": convnet(half)}
    for name, net in ways.items():
        learner = maml(cross_entropy(net.forward), alpha=all_but_norms(theta, ALPHA), steps=1)
        with torch.no_grad():
            found = learner.meta_grad(theta, first_task(family, seeded(1)))[0]
        gradients.append(torch.cat([g.flatten() for g in found.values()]))
        error = ((gradients[-1] - gradients[0]).norm() / gradients[0].norm()).item()
        scores, begin = [], time.process_time()
        for seed in SEEDS:
            settings = dict(tasks=TASKS, iterations=iterations, compiled=False, chunk=1)
            steps = train(
                learner,
                net.init(seeded(seed)),
                family,
                adam(BETA),
                generator=seeded(seed + 9),
                **settings,
            )
            *_, last = steps
            scores.append(last.meta)
        ms = 1e3 * (time.process_time() - begin) / len(SEEDS) / iterations
        metric = on_query(accuracy(net.forward))
        share = [
            100
            * evaluate(learner, meta, exam, metric, number=100, generator=seeded(5))[:, -1]
            .mean()
            .item()
            for meta in scores
        ]
        said = " ".join(f"{s:.1f}" for s in share)
        print(f"{name:9} {ms:6.1f} ms an update, gradient off by {error:.0e}, accuracy {said} %")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

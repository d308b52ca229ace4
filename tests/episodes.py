"""Few-shot tasks without images: classes that differ in what a net must find, at sizes where no two
axes are equal; and what a net learns on them."""

import torch
from torch.func import vmap

from mamlkit.evaluate import evaluate, on_query
from mamlkit.losses import accuracy
from mamlkit.machine import seeded
from mamlkit.optimizer import adam
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train

WAYS, SHOTS, QUERIES = 4, 3, 2
SHAPE = (2, 9, 11)


def toy(
    *, ways=WAYS, shots=SHOTS, queries=QUERIES, shape=SHAPE, spread=0.3, nuisance=0.0
) -> Family:
    """Each class is a random image; its examples are that image and noise of deviation `spread`,
    labels grouped by class.

    nuisance: deviation of what the second half of the last axis holds besides, which says nothing
    about the class.
    """

    def noise(generator, tasks):
        def draw(*size):
            return torch.randn(
                tasks, ways, *size, *shape, generator=generator, device=generator.device
            )

        return draw(), draw(shots), draw(queries)

    def make(drawn):
        means, *errors = drawn
        disturbed = torch.arange(shape[-1], device=means.device) >= shape[-1] // 2

        def part(error):
            x = means[:, None] + spread * error
            x = torch.where(disturbed, x + nuisance * error, x) if nuisance else x
            return Data(
                x.flatten(0, 1),
                torch.arange(ways, device=x.device).repeat_interleave(error.shape[1]),
            )

        return Task(*map(part, errors))

    return Family(noise, make)


def mislabelled(tasks: Task, generator) -> Task:
    """A batch of tasks whose support labels are dealt out at random among its examples."""
    y = tasks.support.y
    order = torch.rand(y.shape, generator=generator).argsort(-1)
    return tasks._replace(support=tasks.support._replace(y=vmap(lambda y, o: y[o])(y, order)))


def learned(learner, net, family: Family, *, iterations, beta=0.01, tasks=16):
    """Mean accuracy on 300 tasks: before a training, after it, and after it where the labels of the
    supports are dealt out at random."""
    meta, held = net.init(seeded(0)), sample(family, seeded(9), 300)
    *_, step = train(
        learner,
        meta,
        family,
        adam(beta),
        generator=seeded(1),
        tasks=tasks,
        iterations=iterations,
        compiled=False,
    )
    measured = [(meta, held), (step.meta, held), (step.meta, mislabelled(held, seeded(2)))]
    return [evaluate(learner, *how, on_query(accuracy(net.forward))).mean() for how in measured]

"""Minibatches drawn beforehand: a support set dealt out to the inner steps, as Reptile's published
inner loop takes it."""

import torch
from torch import Generator

from mamlkit.boundary import made_of, wholes
from mamlkit.task import Data, Family, Task
from mamlkit.trees import tree_map


def minibatched(family: Family, *, examples: int, batches: int) -> Family:
    """The same tasks with the support dealt into minibatches: a plain tuple, one batch for each of
    `batches` inner steps.

    examples: of a minibatch, 1 or more, at most the support's. The support is shuffled and dealt
    out; whenever it is used up it is shuffled and dealt anew, so every example is met equally
    often, give or take one. What is random is drawn with the task: the inner loop stays a pure
    function. Raises ValueError for sizes out of range. Source: Nichol, Achiam & Schulman 2018,
    section 6.1; their code deals out in the same way.
    """
    made_of("family", family, ("noise", "make"), "sinusoid() is one")
    wholes(examples=examples, batches=batches)

    def noise(generator: Generator, tasks: int):
        drawn = family.noise(generator, tasks)
        whole = len(family.make(tree_map(lambda n: n[0], drawn)).support.x)
        if examples > whole:
            raise ValueError(
                f"a minibatch of {examples} examples cannot be dealt from a support of {whole}"
            )
        rounds = -(-examples * batches // whole)
        chance = torch.rand(
            tasks, rounds, whole, generator=generator, device=generator.device, dtype=torch.float64
        )
        order = chance.argsort(-1).flatten(1)[:, : examples * batches]
        return drawn, order.unflatten(1, (batches, examples))

    def make(noise) -> Task:
        drawn, order = noise
        support, query = family.make(drawn)
        return Task(
            tuple(Data(support.x[picks], support.y[picks]) for picks in order.unbind(0)), query
        )

    return Family(noise, make)

"""Section 5.2 on the package: labels that say nothing teach nothing."""

import pytest
import torch

from mamlkit.evaluate import evaluate, on_query
from mamlkit.families import glyphs
from mamlkit.families.few_shot import few_shot
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.task import Family, sample
from mamlkit.train import train
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from tests.episodes import mislabelled

WAY = 5


def shuffled_labels(family: Family) -> Family:
    """The same tasks, the labels of each support dealt out at random."""

    def noise(generator, tasks):
        return family.noise(generator, tasks), torch.rand(tasks, WAY, generator=generator)

    def make(drawn):
        task = family.make(drawn[0])
        return task._replace(support=task.support._replace(y=task.support.y[drawn[1].argsort()]))

    return Family(noise, make)


@pytest.mark.parametrize("variant", [maml, fomaml])
def test_with_shuffled_labels_it_is_right_by_chance(variant):
    """One drawing each: dealt out at random, the labels of the support tell nothing of the query's.
    With true ones it learns."""
    net = strided_convnet(WAY, filters=8)
    family = few_shot(glyphs.load(40, seed=1), way=WAY, shots=1, queries=4)
    found = {}
    for name, tasks in (("true", family), ("shuffled", shuffled_labels(family))):
        theta = net.init(seeded(0))
        learner = variant(cross_entropy(net.forward), alpha=all_but_norms(theta, 0.4), steps=1)
        *_, step = train(
            learner,
            theta,
            tasks,
            adam(0.01),
            generator=seeded(1),
            tasks=4,
            iterations=30,
            compiled=False,
        )
        test = sample(family, seeded(2), 200)
        test = mislabelled(test, seeded(3)) if name == "shuffled" else test
        found[name] = evaluate(learner, step.meta, test, on_query(accuracy(net.forward)))[:, 1]
    mean, half = found["shuffled"].mean(), 1.96 * found["shuffled"].std() / 200**0.5
    assert abs(mean - 1 / WAY) < half and half < 0.035
    assert found["true"].mean() - half > 1 / WAY + 0.05, (
        "or the shuffled labels would prove nothing"
    )

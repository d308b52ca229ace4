"""Minibatches: dealt without repetition until the support is used up, drawn with the task and never
within it."""

import pytest
import torch
from torch.func import vmap

from mamlkit.families.minibatches import minibatched
from mamlkit.families.sinusoid import sinusoid
from mamlkit.machine import seeded
from mamlkit.task import sample
from mamlkit.trees import tree_map

WAVES = sinusoid(shots=6, queries=7)


def test_a_support_is_dealt_out_whole_before_it_is_shuffled_anew():
    family = minibatched(WAVES, examples=4, batches=5)
    drawn = family.noise(seeded(0), 3)
    for i in range(3):
        noise = tree_map(lambda n: n[i], drawn)
        whole, dealt = WAVES.make(noise[0]), family.make(noise)
        assert type(dealt.support) is tuple and [b.x.shape for b in dealt.support] == [(4, 1)] * 5
        assert torch.equal(dealt.query.x, whole.query.x) and torch.equal(
            dealt.query.y, whole.query.y
        )
        for part in (0, 1):
            flow, points = (
                torch.cat([b[part] for b in dealt.support]).flatten(),
                whole.support[part].flatten(),
            )
            for start in (0, 6, 12):
                assert torch.equal(flow[start : start + 6].sort().values, points.sort().values), (
                    "x and y stay together, none comes twice"
                )
    orders = drawn[1].flatten(1)
    assert not torch.equal(orders[0, :6], orders[0, 6:12]) and not torch.equal(orders[0], orders[1])


def test_a_minibatch_can_be_the_whole_support():
    task = sample(minibatched(WAVES, examples=6, batches=2), seeded(0), 3)
    whole = vmap(WAVES.make)(WAVES.noise(seeded(0), 3)).support
    for batch in task.support:
        assert torch.equal(batch.x.sort(1).values, whole.x.sort(1).values)


def test_the_tasks_are_those_of_the_family_and_the_generator_alone_decides():
    family = minibatched(WAVES, examples=2, batches=3)
    first, again, other = (sample(family, seeded(s), 4) for s in (0, 0, 1))
    assert all(
        torch.equal(a.x, b.x) for a, b in zip(first.support, again.support)
    ) and not torch.equal(first.support[0].x, other.support[0].x)
    assert torch.equal(first.query.x, vmap(WAVES.make)(WAVES.noise(seeded(0), 4)).query.x)


@pytest.mark.parametrize(
    "examples, batches, words",
    [
        (0, 1, "examples is 0: it must be 1 or more"),
        (1, 0, "batches is 0: it must be 1 or more"),
        (7, 1, "7 examples cannot be dealt from a support of 6"),
    ],
)
def test_sizes_out_of_range_are_refused(examples, batches, words):
    with pytest.raises(ValueError, match=words):
        minibatched(WAVES, examples=examples, batches=batches).noise(seeded(0), 2)


def test_what_is_no_family_has_no_minibatches():
    with pytest.raises(ValueError, match="^family is None, which has no function noise"):
        minibatched(None, examples=1, batches=1)

"""The memory's equations in plain loops, and a toy that needs labels to be bound to inputs."""

from math import exp

import pytest
import torch

from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.mann import mann, shuffled
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import count
from mamlkit.sequence import lstm_step
from mamlkit.task import sample
from tests.episodes import learned, toy

INPUTS, WAYS, HIDDEN, SLOTS, WIDTH, READS = 3, 2, 6, 5, 4, 2


def small():
    return mann(INPUTS, ways=WAYS, hidden=HIDDEN, slots=SLOTS, width=WIDTH, reads=READS)


def by_hand(theta, sequence, decay=0.99):
    """The answer after a sequence of (input, label of the input before): section 3.2, slot by
    slot."""
    h = c = torch.zeros(HIDDEN)
    memory, usage, seen = (
        [torch.zeros(WIDTH) for _ in range(SLOTS)],
        [0.0] * SLOTS,
        torch.zeros(READS * WIDTH),
    )
    read = [[0.0] * SLOTS for _ in range(READS)]
    for x, label in sequence:
        h, c = lstm_step(theta, "controller", torch.cat([x, label, seen]), (h, c))
        keys = torch.tanh(theta["key.weight"] @ h + theta["key.bias"]).split(WIDTH)
        least = sorted(range(SLOTS), key=lambda i: usage[i])[:READS]
        write = [[0.0] * SLOTS for _ in range(READS)]
        for head in range(READS):
            gate = torch.sigmoid(theta["gate"][head]).item()
            for i in range(SLOTS):
                write[head][i] = gate * read[head][i] + (1 - gate) * (least[head] == i)
        for i in range(SLOTS):
            kept = torch.zeros(WIDTH) if i in least else memory[i]
            memory[i] = kept + sum(write[head][i] * keys[head] for head in range(READS))
        seen = []
        for head in range(READS):
            similar = [
                exp(torch.cosine_similarity(keys[head], memory[i], dim=0).item())
                for i in range(SLOTS)
            ]
            read[head] = [s / sum(similar) for s in similar]
            seen.append(sum(w * m for w, m in zip(read[head], memory)))
        seen = torch.cat(seen)
        usage = [
            decay * u + sum(read[head][i] + write[head][i] for head in range(READS))
            for i, u in enumerate(usage)
        ]
    return theta["out.weight"] @ torch.cat([h, seen]) + theta["out.bias"]


def asked(examples, queries, seed):
    """Parameters without a zero among them and their support, as `forward` takes them; queries; and
    for each of these the sequence that it ends."""
    generator = seeded(seed)
    theta = {
        k: p + 0.3 * torch.randn(p.shape, generator=generator)
        for k, p in small().init(generator).items()
    }
    x = torch.randn(examples, 1, 1, INPUTS, generator=generator)
    y = torch.randint(WAYS, (examples,), generator=generator)
    queries = torch.randn(queries, 1, 1, INPUTS, generator=generator)
    labels = [torch.zeros(WAYS), *torch.eye(WAYS)[y]]
    sequences = [
        list(zip([*x.flatten(1), query], labels, strict=True)) for query in queries.flatten(1)
    ]
    return theta | {"support.x": x, "support.y": y}, queries, sequences


@pytest.mark.usefixtures("float64")
def test_it_is_its_equations_and_labels_come_a_step_late():
    params, queries, sequences = asked(4, 3, seed=1)
    for answer, sequence in zip(small().forward(params, queries), sequences, strict=True):
        assert (answer - by_hand(params, sequence)).abs().max() < 1e-10


@pytest.mark.usefixtures("float64")
def test_usage_fades_by_a_hundredth_a_step():
    """Usage decides which slot is overwritten and nothing else, so that its decay shows only where
    two slots come near each other: in long sequences, and not in every one."""
    told_from = {0.98: 0, 1.0: 0}
    for seed in range(4):
        params, queries, (sequence,) = asked(40, 1, seed)
        (answer,) = small().forward(params, queries)
        assert (answer - by_hand(params, sequence)).abs().max() < 1e-10
        for decay in told_from:
            apart = (answer - by_hand(params, sequence, decay)).abs().max()
            told_from[decay] += int(apart > 1e-6)
    assert all(told_from.values()), f"no sequence tells 0.99 from another decay: {told_from}"


def test_a_query_does_not_see_the_other_queries():
    net = small()
    theta = net.init(seeded(0)) | {
        "support.x": torch.randn(4, INPUTS, generator=seeded(1)),
        "support.y": torch.tensor([1, 0, 0, 1]),
    }
    queries = torch.randn(5, INPUTS, generator=seeded(2))
    assert (net.forward(theta, queries)[2] - net.forward(theta, queries[2:3])[0]).abs().max() < 1e-6


def test_the_papers_sizes_have_these_numbers():
    """LSTM 4 * 200 * (784 + 5 + 160 + 200) + 800, keys 200 * 160 + 160, 4 gates, read-out 5 * 360 +
    5."""
    assert count(mann(784, ways=5).init(seeded(0))) == 920_000 + 32_160 + 4 + 1_805


def test_shuffled_tasks_are_the_same_tasks_in_another_order():
    family = toy(ways=5, shots=3, queries=2)
    plain, moved = sample(family, seeded(3), 7), sample(shuffled(family), seeded(3), 7)
    assert torch.equal(plain.query.x, moved.query.x) and torch.equal(plain.query.y, moved.query.y)
    orders = set()
    for i in range(7):
        first, second = (
            [(y.item(), *x[0, 0].tolist()) for x, y in zip(t.support.x[i], t.support.y[i])]
            for t in (plain, moved)
        )
        assert sorted(first) == sorted(second) and first != second, "an image keeps its label"
        orders.add(tuple(moved.support.y[i].tolist()))
    assert len(orders) == 7


def test_it_learns_to_bind_labels_to_inputs():
    family = shuffled(toy(ways=WAYS, shots=1, queries=5, shape=(1, 1, INPUTS), spread=0.2))
    net = mann(INPUTS, ways=WAYS, hidden=24, slots=5, width=6, reads=1)
    learner = episodic(cross_entropy(net.forward))
    before, after, blind = learned(learner, net, family, beta=0.02, tasks=32, iterations=200)
    assert abs(before - 0.5) < 0.05 and after > 0.85 and abs(blind - 0.5) < 0.1

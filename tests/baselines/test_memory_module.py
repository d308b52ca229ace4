"""The memory slot by slot, the loss by hand, and a toy that only a trained embedding solves."""

import pytest
import torch
from torch.func import grad, vmap

from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.memory_module import EMPTY, MARGIN, margin, memory_module, written
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp, strided_body
from mamlkit.task import Data
from tests.episodes import learned, toy

flat = Net(lambda generator: {}, lambda params, x, reference=None: x.flatten(1))


def by_hand(keys, labels, slots):
    """Section 2's update, a slot a tuple (key, label, time of its last write)."""
    memory = [(None, EMPTY, -slots + i) for i in range(slots)]
    for now, (key, label) in enumerate(zip(keys, labels.tolist())):
        full = [i for i in range(slots) if memory[i][0] is not None]
        nearest = max(full, key=lambda i: float(memory[i][0] @ key), default=None)
        if nearest is not None and memory[nearest][1] == label:
            mean = memory[nearest][0] + key
            memory[nearest] = (mean / mean.norm(), label, now)
        else:
            oldest = min(range(slots), key=lambda i: memory[i][2])
            memory[oldest] = (key, label, now)
    return memory


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("slots", [3, 5, 12])
def test_writing_is_the_papers_update(slots):
    keys = torch.nn.functional.normalize(torch.randn(7, 9, 4, generator=seeded(slots)), dim=-1)
    labels = torch.randint(3, (7, 9), generator=seeded(1))
    found = vmap(lambda k, y: written(Data(k, y), slots))(keys, labels)
    hits = 0
    for i in range(7):
        expected = by_hand(keys[i], labels[i], slots)
        for j, (key, label, _) in enumerate(expected):
            assert found.values[i, j] == label
            assert (found.keys[i, j] - (torch.zeros(4) if key is None else key)).abs().max() < 1e-12
            hits += key is not None
    assert hits < 7 * 9, "some examples moved a key or threw one out"


def test_two_examples_of_a_class_leave_their_mean_and_a_stranger_its_own_slot():
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    memory = written(Data(keys, torch.tensor([4, 4, 2])), 3)
    assert memory.values.tolist() == [4, 2, EMPTY]
    assert torch.allclose(memory.keys[:2], torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, -1.0]]))
    assert memory.ages[:2].tolist() == [1, 0]


def test_a_full_memory_forgets_its_oldest():
    keys = torch.eye(3)
    memory = written(Data(keys, torch.tensor([0, 1, 2])), 2)
    assert memory.values.tolist() == [2, 1] and torch.equal(memory.keys[0], keys[2])


def remembering(keys, labels):
    theta = {"key.weight": torch.eye(2), "key.bias": torch.zeros(2)}
    return theta | {"support.x": torch.tensor(keys), "support.y": torch.tensor(labels)}


def test_the_loss_asks_for_a_margin():
    params = remembering([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    queries = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.28, 0.96]])
    loss = margin(flat)
    for query, label, expected in (
        (queries[0], 1, 0.0),  # 0.8 against 0.6: more than the margin
        (queries[1], 0, 0.8 - 0.6 + MARGIN),
        (queries[2], 7, 0.96 + MARGIN),  # no key has this label
    ):
        assert abs(loss(params, Data(query[None], torch.tensor([label]))) - expected) < 1e-6
    all_of_them = loss(params, Data(queries, torch.tensor([1, 0, 7])))
    assert abs(all_of_them - (0.2 + 0.96 + 2 * MARGIN) / 3) < 1e-6


@pytest.mark.usefixtures("float64")
def test_the_memory_is_a_constant_of_the_loss():
    """The gradient is that of the query's key alone."""
    params = remembering([[1.0, 0.2], [0.1, 1.0]], [0, 1])
    query = Data(torch.tensor([[0.6, 0.8]]), torch.tensor([0]))
    keys = torch.nn.functional.normalize(params["support.x"], dim=-1)

    def alone(weight):
        key = torch.nn.functional.normalize(weight @ query.x[0], dim=-1)
        return (keys[1] - keys[0]) @ key + MARGIN

    ours = grad(lambda w: margin(flat)(params | {"key.weight": w}, query))(torch.eye(2))
    assert ours.abs().max() > 0.1 and (ours - grad(alone)(torch.eye(2))).abs().max() < 1e-12


def test_with_one_shot_it_is_the_nearest_neighbour_by_angle():
    net = memory_module(flat, features=6, ways=4, size=5)
    theta = net.init(seeded(0))
    x, queries = torch.randn(4, 6, generator=seeded(1)), torch.randn(9, 6, generator=seeded(2))
    out = net.forward(theta | {"support.x": x, "support.y": torch.tensor([2, 0, 3, 1])}, queries)
    key = lambda t: t @ theta["key.weight"].T
    cosines = torch.cosine_similarity(key(queries)[:, None], key(x)[None], dim=-1)
    assert torch.allclose(out[:, torch.tensor([2, 0, 3, 1])], 40 * cosines, atol=1e-4)


def test_its_size_on_omniglot():
    net = memory_module(strided_body(), features=64, ways=5)
    assert count(net.init(seeded(0))) == 111_680 + 64 * 128 + 128


def test_it_learns_which_half_of_an_image_tells():
    family = toy(ways=4, shots=3, queries=5, shape=(1, 1, 10), spread=0.2, nuisance=3.0)
    body = mlp(10, 32, 16, weight=he)
    net = memory_module(body, features=16, ways=4, size=8)
    before, after, blind = learned(episodic(margin(body)), net, family, beta=0.003, iterations=200)
    assert after > 0.8 and after > before + 0.15 and abs(blind - 0.25) < 0.1


@pytest.mark.parametrize("how", [dict(size=0), dict(slots=0)])
def test_a_memory_without_room_is_refused(how):
    with pytest.raises(ValueError, match=f"{next(iter(how))} is 0"):
        memory_module(flat, features=6, ways=4, **how)

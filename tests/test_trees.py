import pytest
import torch
from torch.func import grad, vmap

from mamlkit.machine import seeded
from mamlkit.trees import dot, partition, ravel
from tests.oracles import same

pytestmark = pytest.mark.usefixtures("float64")


def params(seed=0):
    generator = seeded(seed)
    return {
        name: torch.randn(shape, generator=generator)
        for name, shape in {"w": (4, 3), "a": (), "b": (5,)}.items()
    }


def test_dot_is_the_sum_of_products_of_all_numbers():
    a, b = params(0), params(1)
    expected = sum(
        x * y for k in a for x, y in zip(a[k].flatten().tolist(), b[k].flatten().tolist())
    )
    assert dot(a, b).shape == () and abs(dot(a, b).item() - expected) < 1e-12
    assert abs(dot(b, a) - dot(a, b)) < 1e-14


def test_dot_does_not_depend_on_the_order_of_names():
    a, b = params(0), params(1)
    assert dot(a, dict(reversed(b.items()))) == dot(a, b)


def test_dot_of_other_names_names_both_sides():
    with pytest.raises(ValueError, match=r"the same names.*\['w'\] and \['v', 'w'\]"):
        dot({"w": torch.ones(2)}, {"w": torch.ones(2), "v": torch.ones(3)})


def test_partition_splits_and_keeps_the_order_of_params():
    p = params()
    inside, outside = partition(p, ["b", "w"])
    assert list(inside) == ["w", "b"] and list(outside) == ["a"]
    assert all((inside | outside)[k] is p[k] for k in p)
    assert partition(p, iter(["b", "w"]))[0].keys() == inside.keys(), "names may be any iterable"
    assert partition(p, []) == ({}, p) and partition(p, p) == (p, {})


def test_partition_by_an_unknown_name_names_it_and_what_there_is():
    with pytest.raises(ValueError, match=r"\['head'\]; there are \['w', 'a', 'b'\]"):
        partition(params(), ["w", "head"])


def test_ravel_and_unravel_give_back_the_same_parameters_without_copies():
    p = params()
    vector, unravel = ravel(p)
    assert vector.shape == (12 + 1 + 5,) and same(unravel(vector), p)
    assert torch.equal(vector, torch.cat([p["w"].flatten(), p["a"].view(1), p["b"]])), (
        "in the order of the dict"
    )
    vector.zero_()
    again = unravel(vector)
    vector += 1
    assert all((part == 1).all() for part in again.values()), "parts are views of the vector"
    assert not (p["b"] == 0).any(), "the parameters themselves are a copy"


def test_ravel_can_be_batched_and_differentiated_through():
    p = params()
    vector, unravel = ravel(p)
    gradient = grad(lambda v: dot(unravel(v), unravel(v)))(vector)
    torch.testing.assert_close(gradient, 2 * vector, rtol=0, atol=1e-14)
    many = torch.stack([vector, 2 * vector])
    assert vmap(lambda v: unravel(v)["w"])(many).shape == (2, 4, 3)

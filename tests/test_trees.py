import pytest
import torch
from torch.func import grad, vmap

from mamlkit import trees
from mamlkit.machine import seeded
from mamlkit.trees import dot, nth, partition, ravel
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


def test_the_nth_is_task_n_of_every_tensor():
    a, b = torch.randn(3, 4), torch.randn(3, 2, 5)
    found = nth({"a": a, "b": (b,)}, 2)
    assert torch.equal(found["a"], a[2]) and torch.equal(found["b"][0], b[2])


def nested(grad, constant):
    """The gradient of a loss after a step whose objective also reads a parameter that stays."""

    def outer(p, x):
        moved = {"w": p["w"], "unused": p["unused"]}
        settings = {"constant": constant} if grad is trees.grad else {}
        g = grad(lambda q: (x @ q["w"] * p["fixed"]).tanh().square().sum(), **settings)(moved)
        g = {k: v.detach() if constant else v for k, v in g.items()}
        value = (x @ (p["w"] - 0.3 * g["w"])).sin().sum() + g["unused"].sum()
        return value, {"loss": value, "moved": g["w"]}

    return grad(outer, has_aux=True)


@pytest.mark.parametrize("constant", [False, True])
def test_a_plain_gradient_is_torch_funcs_through_a_gradient_too(constant):
    generator = seeded(0)
    p = {
        k: torch.randn(n, generator=generator) for k, n in {"w": 3, "fixed": 4, "unused": 2}.items()
    }
    x = torch.randn(4, 3, generator=generator)
    with torch.no_grad():
        assert trees.plainly()
        ours, theirs = (nested(g, constant)(p, x) for g in (trees.grad, grad))
    for a, b in zip(ours, theirs, strict=True):
        assert list(a) == list(b)
        assert all((a[k] - b[k]).abs().max() < 1e-14 and not a[k].requires_grad for k in a)
    other = nested(trees.grad, not constant)(p, x)[0]
    assert (other["w"] - ours[0]["w"]).abs().max() > 1e-3
    assert not any(t.requires_grad for t in p.values())


def test_where_autograd_records_a_gradient_is_recorded_too():
    """Whoever calls `backward` themselves, and whoever vmaps, has torch.func's gradient."""
    p = {"w": torch.tensor([1.0, 2.0], requires_grad=True)}
    trees.grad(lambda q: (q["w"] ** 3).sum())(p)["w"].sum().backward()
    assert p["w"].grad.tolist() == [6.0, 12.0]
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    with torch.no_grad():
        each = vmap(lambda r: trees.grad(lambda q: (q["w"] ** 2).sum())({"w": r})["w"])(rows)
    assert torch.equal(each, 2 * rows)


def test_the_gradient_of_what_does_not_depend_on_the_parameters_is_0():
    with torch.no_grad():
        assert trees.grad(lambda p: torch.ones(()))({"w": torch.ones(3)})["w"].tolist() == [0, 0, 0]

"""The judge of meta-gradients passes right ones and fails wrong ones."""

import pytest
import torch

from mamlkit.learner import Learner
from mamlkit.machine import seeded
from mamlkit.probes.finite_differences import double, finite_difference_gap, random_direction
from mamlkit.task import Data, Task
from mamlkit.trees import dot
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from tests.oracles import MODELS, one, problem

CURVED = ["tanh mlp", "softplus mlp, batch norm", "gru", "transformer"]
assert set(CURVED) <= set(MODELS)


def case(name, first_order=False, steps=2):
    loss, params, tasks, alpha = problem(name)
    return (
        (fomaml if first_order else maml)(loss, alpha=alpha, steps=steps),
        double(params),
        double(one(tasks, 1)),
    )


def gaps(learner, meta, task, directions=3):
    return [
        finite_difference_gap(learner, meta, task, random_direction(meta, seeded(s)))
        for s in range(directions)
    ]


def wrong(learner, spoil):
    """`learner` with a meta-gradient that `spoil` has changed."""

    def meta_grad(meta, task):
        gradient, aux = learner.meta_grad(meta, task)
        return spoil(gradient), aux

    return learner._replace(meta_grad=meta_grad)


@pytest.mark.parametrize("name", CURVED)
def test_mamls_meta_gradient_passes(name):
    assert max(gaps(*case(name))) < 1e-7


@pytest.mark.parametrize("name", CURVED)
def test_a_first_order_meta_gradient_fails_on_a_curved_loss(name):
    assert max(gaps(*case(name, first_order=True))) > 1e-3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: {k: 1.01 * p for k, p in g.items()},
        lambda g: {k: -p for k, p in g.items()},
        lambda g: {k: p + 0.01 * p.norm() for k, p in g.items()},
        lambda g: g | {k: torch.zeros_like(p) for k, p in list(g.items())[:1]},
    ],
    ids=["one per cent too long", "wrong sign", "a constant added", "one tensor forgotten"],
)
def test_a_wrong_meta_gradient_fails(spoil):
    learner, meta, task = case("tanh mlp")
    assert max(gaps(wrong(learner, spoil), meta, task)) > 1e-4


def test_the_gap_is_the_error_along_the_direction_over_the_gradients_norm():
    """Loss |theta|^2 / 2 with a gradient that is off by e: the gap is |e . d| / |theta + e|."""
    off = {
        "a": torch.tensor([0.3, -0.1], dtype=torch.double),
        "b": torch.tensor(0.2, dtype=torch.double),
    }
    meta = {
        "a": torch.tensor([1.0, 2.0], dtype=torch.double),
        "b": torch.tensor(-3.0, dtype=torch.double),
    }
    learner = Learner(
        dict,
        lambda p, s: [p],
        lambda p, task: ({k: p[k] + off[k] for k in p}, {"loss": dot(p, p) / 2}),
    )
    direction = random_direction(meta, seeded(3))
    expected = (
        abs(dot(off, direction).item())
        / sum(((meta[k] + off[k]) ** 2).sum() for k in meta).sqrt().item()
    )
    assert finite_difference_gap(learner, meta, None, direction) == pytest.approx(
        expected, rel=1e-6
    )


def test_a_direction_may_leave_parameters_out():
    learner, meta, task = case("tanh mlp")
    names = list(meta)
    some = random_direction({k: meta[k] for k in names[1:3]}, seeded(5))
    assert finite_difference_gap(learner, meta, task, some) < 1e-7
    forgets = wrong(learner, lambda g: g | {names[0]: torch.zeros_like(g[names[0]])})
    assert finite_difference_gap(forgets, meta, task, some) < 1e-4, (
        "what is wrong elsewhere is not seen from here"
    )


def test_a_random_direction_has_length_one_the_parameters_shapes_and_comes_from_its_generator():
    params = {"b": torch.zeros(3, 2, dtype=torch.double), "a": torch.zeros(5, dtype=torch.double)}
    d = random_direction(params, seeded(1))
    assert dot(d, d).item() == pytest.approx(1, abs=1e-14)
    assert [(k, p.shape, p.dtype) for k, p in d.items()] == [
        (k, p.shape, p.dtype) for k, p in params.items()
    ]
    again, other = random_direction(params, seeded(1)), random_direction(params, seeded(2))
    assert all(torch.equal(d[k], again[k]) for k in d) and not torch.equal(d["b"], other["b"])
    assert all((p != 0).all() for p in d.values())


def test_double_keeps_structure_and_integers():
    task = double(
        Task(
            Data(torch.ones(3, 2), torch.arange(3)),
            Data(torch.ones(4, 2, dtype=torch.half), torch.tensor([True] * 4)),
        )
    )
    assert isinstance(task, Task) and isinstance(task.support, Data)
    assert [t.dtype for part in task for t in part] == [
        torch.double,
        torch.long,
        torch.double,
        torch.bool,
    ]


def test_a_loss_that_is_no_number_at_one_step_size_is_no_small_gap():
    learner, params, task = case("tanh mlp")

    def broken(meta, task):
        gradient, aux = learner.meta_grad(meta, task)
        return gradient, {"loss": aux["loss"] * torch.nan}

    direction = random_direction(params, seeded(0))
    found = finite_difference_gap(learner._replace(meta_grad=broken), params, task, direction)
    assert found == float("inf")

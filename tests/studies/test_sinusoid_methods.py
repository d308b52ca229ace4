import torch

from mamlkit.families.sinusoid import sinusoid
from mamlkit.machine import seeded
from mamlkit.studies.sinusoid_methods import (
    CAP,
    NET,
    errors,
    first_waves,
    method,
    support_as_query,
    waves,
)
from mamlkit.task import sample
from mamlkit.trees import tree_map


def named(name, alpha=0.01):
    return method({"method": name, "alpha": alpha, "shots": 3})


def test_the_oracle_is_told_amplitude_and_phase():
    oracle = named("oracle")
    task = sample(oracle.family, seeded(0), 2)
    assert task.support.x.shape == (2, 3, 3)
    assert oracle.net.init(seeded(0))["layer0.weight"].shape == (40, 3)


def test_support_as_query_hands_out_the_same_points_twice():
    task = sample(support_as_query(sinusoid(shots=3, queries=7)), seeded(0), 2)
    assert torch.equal(task.support.x, task.query.x) and task.query.x.shape == (2, 3, 1)


def test_a_learned_alpha_begins_at_the_given_one_and_has_a_gradient():
    m = named("learned-alpha", alpha=0.02)
    learner = m.learner(1)
    meta = learner.init(m.net.init(seeded(0)))
    assert meta["alpha"] == 0.02
    task = tree_map(lambda t: t[0], sample(m.family, seeded(1), 1))
    gradient = learner.meta_grad(meta, task)[0]
    assert gradient.keys() == meta.keys() and gradient["alpha"] != 0
    fixed = named("maml", alpha=0.02).learner(1).meta_grad(m.net.init(seeded(0)), task)[0]
    assert torch.allclose(gradient["layer1.weight"], fixed["layer1.weight"])


def test_test_waves_are_the_same_for_every_number_of_points():
    five, ten = waves(5, 4), waves(10, 4)
    assert torch.equal(five.query.y, ten.query.y) and five.support.x.shape == (4, 5, 1)
    assert not torch.equal(five.query.y, waves(5, 4, 50_000).query.y)


def test_errors_that_are_no_numbers_are_capped():
    m, theta = named("maml", alpha=100.0), NET.init(seeded(0))
    found = errors(m.learner(10), tree_map(lambda p: 30 * p, theta), waves(5, 3))
    assert found.shape == (3, 11) and found.isfinite().all() and found.max() == CAP


def test_the_first_waves_are_those_of_the_test():
    x = torch.linspace(-5, 5, 7)[:, None]
    theta = NET.init(seeded(0))
    drawn = first_waves({"maml": theta}, {"maml": 0.0}, x, 2, of=4)
    tasks = waves(5, 4)
    assert torch.equal(drawn[1].support.x, tasks.support.x[1])
    assert torch.equal(drawn[1].curves["maml"], NET.forward(theta, x))
    at_its_points = first_waves({}, {}, tasks.support.x[1], 2, of=4)[1].truth
    assert torch.allclose(at_its_points, tasks.support.y[1])

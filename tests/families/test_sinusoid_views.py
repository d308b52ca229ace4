"""Views of the sinusoid family: other inputs or other examples, the same waves."""

import pytest
import torch
from torch.func import vmap

from mamlkit.families.sinusoid import RANGE, informed, make, pictured, same_wave, sinusoid, walked
from mamlkit.machine import seeded
from mamlkit.task import sample, validate
from mamlkit.trees import tree_map

SHOTS, QUERIES, TASKS = 4, 7, 3
FAMILY = sinusoid(shots=SHOTS, queries=QUERIES)
VIEWS = {
    "informed": informed,
    "walked": walked,
    "pictured": lambda family: pictured(family, size=9),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("settings", [{}, {"noise": 0.5}, {"width": 2.0}])
def test_a_view_shows_the_same_outputs_of_the_same_seed(view, settings):
    family = sinusoid(shots=SHOTS, queries=QUERIES, **settings)
    plain, seen = sample(family, seeded(1), TASKS), sample(VIEWS[view](family), seeded(1), TASKS)
    assert torch.equal(plain.support.y, seen.support.y) and torch.equal(plain.query.y, seen.query.y)
    assert plain.support.x.shape[:2] == seen.support.x.shape[:2] == (
        TASKS,
        SHOTS,
    ) and seen.query.x.shape[:2] == (TASKS, QUERIES)


@pytest.mark.parametrize("view", VIEWS)
def test_one_task_of_a_view_is_well_formed_and_the_same_as_in_a_batch(view):
    family = VIEWS[view](FAMILY)
    noise = family.noise(seeded(2), TASKS)
    one = validate(family.make(tree_map(lambda n: n[1], noise)))
    for a, b in zip(tree_map(lambda t: t[1], vmap(family.make)(noise)), one):
        assert torch.allclose(a.x, b.x, atol=1e-6) and torch.equal(a.y, b.y)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_draws_nothing_outside_its_generator(view):
    before = torch.get_rng_state()
    a, b, c = (sample(VIEWS[view](FAMILY), seeded(s), TASKS) for s in (3, 3, 4))
    assert torch.equal(a.support.x, b.support.x) and not torch.equal(a.support.x, c.support.x)
    assert torch.equal(torch.get_rng_state(), before)


# informed


def test_the_oracles_inputs_are_x_with_the_true_amplitude_and_phase():
    noise = FAMILY.noise(seeded(5), TASKS)
    task = vmap(informed(FAMILY).make)(noise)
    for data, x in ((task.support, noise.support_x), (task.query, noise.query_x)):
        assert data.x.shape == (TASKS, x.shape[1], 3) and torch.equal(data.x[..., :1], x)
        assert torch.equal(data.x[..., 1], noise.amplitude[:, None].expand(-1, x.shape[1]))
        assert torch.equal(data.x[..., 2], noise.phase[:, None].expand(-1, x.shape[1]))
        assert torch.allclose(
            data.y[..., 0], data.x[..., 1] * torch.sin(data.x[..., 0] - data.x[..., 2]), atol=1e-5
        ), "the inputs decide the output"


# same wave


def test_fresh_examples_of_the_same_wave():
    wave, fresh = (
        sinusoid(shots=5, queries=2).noise(seeded(6), TASKS),
        FAMILY.noise(seeded(7), TASKS),
    )
    more = same_wave(wave, fresh)
    assert torch.equal(more.amplitude, wave.amplitude) and torch.equal(more.phase, wave.phase)
    assert (
        torch.equal(more.support_x, fresh.support_x)
        and torch.equal(more.query_x, fresh.query_x)
        and torch.equal(more.support_error, fresh.support_error)
    )
    task = vmap(make)(more)
    assert torch.equal(
        task.query.y,
        wave.amplitude[:, None, None] * torch.sin(fresh.query_x - wave.phase[:, None, None]),
    )
    assert not torch.allclose(task.query.y, vmap(make)(fresh).query.y, atol=0.1)


# walked


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_walk_adds_up_to_x(length):
    noise = walked(FAMILY, length).noise(seeded(8), TASKS)
    double = tree_map(torch.Tensor.double, noise)
    task = vmap(walked(FAMILY, length).make)(double)
    assert task.support.x.shape == (TASKS, SHOTS, length, 1) and task.query.x.shape == (
        TASKS,
        QUERIES,
        length,
        1,
    )
    assert torch.allclose(
        task.support.x.sum(2), double[0].support_x, atol=1e-13
    ) and torch.allclose(task.query.x.sum(2), double[0].query_x, atol=1e-13)


def test_no_step_of_a_walk_tells_x_alone():
    """Steps are far larger than their share of x: each is noise, and only their sum is known."""
    task = sample(walked(sinusoid(shots=2, queries=800), 5), seeded(9), 2)
    steps, x = task.query.x[0, :, :, 0], task.query.x[0].sum(1)
    correlation = torch.corrcoef(torch.cat([steps, x], 1).T)[-1, :5]
    assert correlation.abs().max() < 0.65 and steps.std(0).min() > 0.9


# pictured


@pytest.mark.parametrize("size", [9, 28])
def test_a_picture_has_its_bar_at_x(size):
    family = pictured(FAMILY, size)
    noise = FAMILY.noise(seeded(10), TASKS)
    task = vmap(family.make)(noise)
    assert task.support.x.shape == (TASKS, SHOTS, 1, size, size) and task.query.x.shape == (
        TASKS,
        QUERIES,
        1,
        size,
        size,
    )
    columns = torch.linspace(*RANGE, size)
    for pictures, x in ((task.support.x, noise.support_x), (task.query.x, noise.query_x)):
        nearest = (columns - x).abs().argmin(-1)
        assert torch.equal(pictures[:, :, 0, 0].argmax(-1), nearest)
        assert torch.equal(pictures, pictures[..., :1, :].expand_as(pictures)), (
            "a bar: every row is the same"
        )
        assert pictures.min() >= 0 and pictures.max() <= 1


def test_the_brightness_of_a_bar_falls_off_around_x():
    """exp(-(column - x)^2 / 0.5), so x can be read from it between two columns."""
    noise = FAMILY.noise(seeded(11), TASKS)
    row = vmap(pictured(FAMILY, 28).make)(noise).support.x[1, 2, 0, 5]
    assert torch.allclose(
        row, torch.exp(-2 * (torch.linspace(-5, 5, 28) - noise.support_x[1, 2]) ** 2), atol=1e-6
    )

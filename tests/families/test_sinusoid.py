"""Section 5.1's tasks, and the closed forms that need no training (oracle O12)."""

from math import pi, sin

import pytest
import torch
from torch.func import vmap

from mamlkit.families.sinusoid import (
    AMPLITUDE,
    PHASE,
    RANGE,
    Wave,
    informed,
    make,
    pictured,
    same_wave,
    sinusoid,
    walked,
)
from mamlkit.machine import seeded
from mamlkit.task import sample, validate
from mamlkit.trees import tree_map

pytestmark = pytest.mark.usefixtures("float64")
TASKS, SHOTS, QUERIES = 3, 5, 7
MANY = 200_000


def within(samples, value):
    """Is the mean of the samples within 3 standard errors of `value`?"""
    return abs(samples.mean() - value) < 3 * samples.std() / len(samples) ** 0.5


def spread(family, **settings):
    """Extremes of what `family(**settings)` draws in 4000 tasks."""
    return sample(family(**settings), seeded(0), 4000)


def test_a_batch_has_the_axes_that_it_says():
    tasks = sample(sinusoid(shots=SHOTS, queries=QUERIES), seeded(0), TASKS)
    assert tasks.support.x.shape == tasks.support.y.shape == (TASKS, SHOTS, 1)
    assert tasks.query.x.shape == tasks.query.y.shape == (TASKS, QUERIES, 1)
    for i in range(TASKS):
        validate(tree_map(lambda t: t[i], tasks))


def test_y_is_a_sine_of_the_waves_amplitude_and_phase():
    wave = Wave(
        torch.tensor(2.0),
        torch.tensor(0.5),
        torch.tensor([[0.3], [-4.0]]),
        torch.tensor([[1.0], [2.0], [3.0]]),
        torch.tensor([[0.0], [0.25]]),
    )
    task = make(wave)
    expected = [2 * sin(0.3 - 0.5), 2 * sin(-4.0 - 0.5) + 0.25]
    assert task.support.y.flatten().tolist() == pytest.approx(expected, abs=1e-15)
    assert task.query.y.flatten().tolist() == pytest.approx(
        [2 * sin(x - 0.5) for x in (1, 2, 3)], abs=1e-15
    )
    assert torch.equal(task.support.x, wave.support_x) and torch.equal(task.query.x, wave.query_x)


def test_amplitude_phase_and_inputs_are_uniform_in_the_papers_ranges():
    wave = sinusoid(shots=SHOTS, queries=QUERIES).noise(seeded(0), MANY)
    assert (AMPLITUDE, PHASE, RANGE) == ((0.1, 5.0), (0.0, pi), (-5.0, 5.0))
    for drawn, (low, high) in (
        (wave.amplitude, AMPLITUDE),
        (wave.phase, PHASE),
        (wave.support_x[:, 2, 0], RANGE),
        (wave.query_x[:, 4, 0], RANGE),
    ):
        assert (
            low <= drawn.min() < low + 1e-3 * (high - low)
            and high - 1e-3 * (high - low) < drawn.max() <= high
        )
        assert within(drawn, (low + high) / 2) and within(
            (drawn - (low + high) / 2).square(), (high - low) ** 2 / 12
        )
    for a, b in (
        (wave.amplitude, wave.phase),
        (wave.amplitude, wave.support_x[:, 0, 0]),
        (wave.support_x[:, 0, 0], wave.query_x[:, 0, 0]),
        (wave.support_x[:, 0, 0], wave.support_x[:, 1, 0]),
    ):
        assert within((a - a.mean()) * (b - b.mean()), 0), "drawn independently"


def test_the_conditional_mean_is_minus_1_62_cos_x():
    """E[y given x] = -(2 E[A] / pi) cos x: what a model without a task to adapt to can know (claim
    C034)."""
    wave = sinusoid(shots=1, queries=1).noise(seeded(0), MANY)
    grid = torch.tensor([-4.5, -2.0, -0.3, 0.0, 1.1, 3.0, 5.0])
    y = vmap(
        lambda a, p: make(
            Wave(a, p, grid[:, None], grid[:, None], torch.zeros(len(grid), 1))
        ).query.y[:, 0]
    )(wave.amplitude, wave.phase)
    for samples, x in zip(y.T, grid):
        assert within(samples, -(2 * 2.55 / pi) * torch.cos(x))
    assert not within(y[:, 3], 0)


def test_the_best_loss_without_adaptation_is_3_0057_and_the_zero_functions_4_2517():
    query = sample(sinusoid(shots=1, queries=1), seeded(1), MANY).query
    x, y = query.x.flatten(), query.y.flatten()
    assert within((y + 2 * 2.55 / pi * torch.cos(x)).square(), 3.0057)
    assert within(y.square(), 4.2517)
    assert not within(y.square(), 3.0057)
    second_moment = (0.1**2 + 0.1 * 5 + 5**2) / 3
    assert second_moment / 2 == pytest.approx(4.2517, abs=5e-5)
    assert second_moment / 2 - (2 * 2.55 / pi) ** 2 * (1 / 2 + sin(10) / 20) == pytest.approx(
        3.0057, abs=5e-5
    )


@pytest.mark.parametrize("shots", [2, 5])
def test_least_squares_on_sine_and_cosine_is_an_exact_oracle(shots):
    """y = (A cos p) sin x - (A sin p) cos x: two examples decide the wave."""
    tasks = sample(sinusoid(shots=shots, queries=QUERIES), seeded(0), TASKS)
    features = lambda x: torch.cat([x.sin(), x.cos()], -1)
    found = torch.linalg.lstsq(features(tasks.support.x), tasks.support.y).solution
    assert (features(tasks.query.x) @ found - tasks.query.y).abs().max() < 1e-10


@pytest.mark.parametrize(
    "settings",
    [{"shots": 9}, {"support_range": (-5.0, 0.0)}, {"width": 1.5}, {"noise": 0.3}],
    ids=str,
)
def test_tasks_of_one_seed_are_the_same_waves_and_queries_whatever_the_support(settings):
    plain = sinusoid(shots=SHOTS, queries=QUERIES).noise(seeded(0), TASKS)
    other = sinusoid(**{"shots": SHOTS, "queries": QUERIES} | settings).noise(seeded(0), TASKS)
    for field in ("amplitude", "phase", "query_x"):
        assert torch.equal(getattr(plain, field), getattr(other, field)), field
    assert not torch.equal(make(plain).support.y, make(other).support.y)


def test_tasks_of_one_seed_are_the_same_waves_whatever_the_queries():
    plain, other = (
        sinusoid(shots=SHOTS, queries=n).noise(seeded(0), TASKS) for n in (QUERIES, 100)
    )
    assert torch.equal(plain.amplitude, other.amplitude) and torch.equal(plain.phase, other.phase)


def test_ranges_are_kept():
    tasks = spread(sinusoid, support_range=(-5.0, 0.0), query_range=(5.0, 10.0))
    assert -5 <= tasks.support.x.min() < -4.99 and -0.01 < tasks.support.x.max() <= 0
    assert 5 <= tasks.query.x.min() < 5.01 and 9.99 < tasks.query.x.max() <= 10


def test_a_width_puts_each_support_in_an_interval_inside_the_range():
    x = spread(sinusoid, shots=9, width=1.5, support_range=(-4.0, 2.0)).support.x
    reach = x.amax(1) - x.amin(1)
    assert 1.3 < reach.max() <= 1.5 and reach.std() > 0.05
    assert -4 <= x.min() < -3.9 and 1.9 < x.max() <= 2, "placed anywhere in it"
    whole = spread(sinusoid, shots=9, width=6.0, support_range=(-4.0, 2.0)).support.x
    assert -4 <= whole.min() and whole.max() <= 2


def test_noise_is_added_to_the_supports_y_only():
    clean, noisy = (spread(sinusoid, shots=SHOTS, noise=n) for n in (0.0, 0.3))
    error = (noisy.support.y - clean.support.y).flatten()
    assert torch.equal(noisy.query.y, clean.query.y) and torch.equal(
        noisy.support.x, clean.support.x
    )
    assert within(error, 0) and error.std().item() == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"shots": 0}, "shots is 0: it must be 1 or more"),
        ({"queries": -1}, "queries is -1: it must be 1 or more"),
        (
            {"support_range": (1.0, 1.0)},
            (
                r"the .*range \(1.0, 1.0\) is refused: it takes two finite numbers, the first below"
                r" the second"
            ),
        ),
        ({"query_range": (2.0, -1.0)}, r"the .*range \(2.0, -1.0\) is refused"),
        ({"query_range": (float("nan"), 1.0)}, r"the .*range \(nan, 1.0\) is refused"),
        ({"support_range": (float("-inf"), 0.0)}, r"the .*range \(-inf, 0.0\) is refused"),
        ({"noise": float("nan")}, "noise is nan: a standard deviation must be a finite number"),
        ({"shots": 2.5}, "shots is 2.5: it must be a whole number"),
        (
            {"noise": -0.1},
            "noise is -0.1: a standard deviation must be a finite number that is not negative",
        ),
        (
            {"width": 0.0},
            "width is 0.0: it must be above 0 and at most 10.0, the width of support_range",
        ),
        (
            {"width": 5.5, "support_range": (-5.0, 0.0)},
            "width is 5.5: it must be above 0 and at most 5.0",
        ),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        sinusoid(**settings)


def test_informed_tells_amplitude_and_phase_beside_x_and_changes_nothing_else():
    family = sinusoid(shots=SHOTS, queries=QUERIES, noise=0.1)
    plain, told, wave = (
        sample(family, seeded(0), TASKS),
        sample(informed(family), seeded(0), TASKS),
        family.noise(seeded(0), TASKS),
    )
    for before, after, n in (
        (plain.support, told.support, SHOTS),
        (plain.query, told.query, QUERIES),
    ):
        assert (
            after.x.shape == (TASKS, n, 3)
            and torch.equal(after.x[..., :1], before.x)
            and torch.equal(after.y, before.y)
        )
        assert torch.equal(after.x[..., 1], wave.amplitude[:, None].expand(-1, n)) and torch.equal(
            after.x[..., 2], wave.phase[:, None].expand(-1, n)
        )


def test_same_wave_draws_more_examples_of_the_same_tasks():
    family = sinusoid(shots=SHOTS, queries=QUERIES)
    wave, fresh = family.noise(seeded(0), TASKS), family.noise(seeded(1), TASKS)
    more = same_wave(wave, fresh)
    assert torch.equal(more.amplitude, wave.amplitude) and torch.equal(more.phase, wave.phase)
    assert torch.equal(more.support_x, fresh.support_x) and torch.equal(more.query_x, fresh.query_x)


def test_walked_inputs_add_up_to_x_and_no_single_one_tells_it():
    family = sinusoid(shots=SHOTS, queries=QUERIES)
    plain, told = (sample(f, seeded(0), 4000) for f in (family, walked(family, length=4)))
    for before, after, n in (
        (plain.support, told.support, SHOTS),
        (plain.query, told.query, QUERIES),
    ):
        assert after.x.shape == (4000, n, 4, 1) and torch.equal(after.y, before.y)
        assert (after.x.sum(2) - before.x).abs().max() < 1e-12
        assert (after.x - before.x.unsqueeze(2) / 4).std() > 0.5
    assert not torch.equal(
        told.support.x[:, :, 0] - plain.support.x / 4,
        told.query.x[:, :SHOTS, 0] - plain.query.x[:, :SHOTS] / 4,
    )


def test_pictured_inputs_have_a_bar_at_x():
    family = sinusoid(shots=SHOTS, queries=QUERIES)
    plain, told = (sample(f, seeded(0), TASKS) for f in (family, pictured(family, size=29)))
    columns = torch.linspace(*RANGE, 29)
    for before, after, n in (
        (plain.support, told.support, SHOTS),
        (plain.query, told.query, QUERIES),
    ):
        assert after.x.shape == (TASKS, n, 1, 29, 29) and torch.equal(after.y, before.y)
        brightest = columns[after.x[:, :, 0].argmax(-1)]
        assert (brightest == brightest[..., :1]).all(), "a bar: every row is the same"
        assert (brightest[..., :1] - before.x).abs().max() <= 10 / 28 / 2 + 1e-12


@pytest.mark.parametrize(
    "family",
    [
        sinusoid(shots=SHOTS, queries=QUERIES, width=1.0, noise=0.1),
        informed(sinusoid()),
        walked(sinusoid()),
        pictured(sinusoid()),
    ],
    ids=["sinusoid", "informed", "walked", "pictured"],
)
def test_the_generator_alone_decides_the_tasks(family):
    state = torch.get_rng_state()
    first, again, other = (sample(family, seeded(seed), TASKS) for seed in (0, 0, 1))
    assert torch.equal(first.support.x, again.support.x) and torch.equal(
        first.support.y, again.support.y
    )
    assert torch.equal(first.query.x, again.query.x) and not torch.equal(
        first.support.x, other.support.x
    )
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not used"

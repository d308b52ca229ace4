"""Intervals hold what they promise: coverage on known distributions, and scipy's and hand-made
numbers elsewhere."""

from math import isnan

import pytest
import torch
from scipy import stats

from mamlkit.audit.intervals import (
    Interval,
    bootstrap,
    equivalence,
    fraction,
    holm,
    over_seeds,
    paired,
)
from mamlkit.machine import seeded


def test_an_interval_reads_as_a_value_with_its_ends():
    assert str(Interval(0.66666, 0.5, 0.8333)) == "0.667 [0.5, 0.833]"


# bootstrap


@pytest.mark.parametrize(("seeds", "tasks"), [(1, 60), (7, 40)])
def test_the_bootstrap_covers_the_true_mean_at_about_its_nominal_rate(seeds, tasks):
    generator, hits, repeats = seeded(1), 0, 150
    for _ in range(repeats):
        values = (
            3
            + torch.randn(1, tasks, generator=generator)
            + 0.5 * torch.randn(seeds, 1, generator=generator) * (seeds > 1)
        )
        values = values + 0.1 * torch.randn(seeds, tasks, generator=generator)
        interval = bootstrap(values, generator, draws=300)
        hits += interval.low <= 3 <= interval.high
    assert 0.86 <= hits / repeats <= 0.985, (
        "95 % nominal; few seeds make a bootstrap a little too narrow"
    )


def test_the_bootstrap_of_one_seed_is_the_classical_interval_of_the_mean():
    values = torch.randn(1, 400, generator=seeded(2), dtype=torch.double) * 2 + 1
    got, error = bootstrap(values, seeded(3), draws=4000), values.std().item() / 20
    assert got.value == pytest.approx(values.mean().item(), abs=1e-12)
    assert got.low == pytest.approx(got.value - 1.96 * error, abs=0.1 * error)
    assert got.high == pytest.approx(got.value + 1.96 * error, abs=0.1 * error)


def test_seeds_that_differ_widen_the_interval_and_seeds_that_agree_do_not():
    row = torch.randn(1, 200, generator=seeded(4))
    shift = torch.linspace(-1, 1, 5).unsqueeze(1)

    def width(values):
        interval = bootstrap(values, seeded(5))
        return interval.high - interval.low

    alone, agree, differ = width(row), width(row.expand(5, -1)), width(row + shift)
    assert agree == pytest.approx(alone, rel=0.1), "copies of one seed are no new information"
    assert differ > 3 * alone


def test_tasks_that_differ_widen_the_interval_though_seeds_agree_on_each():
    """Column t is the same task for every seed: ten seeds do not make ten times as many tasks."""
    values = torch.randn(1, 30, generator=seeded(6)).expand(10, -1)
    interval = bootstrap(values, seeded(7))
    standard = values[0].std().item() / 30**0.5
    assert interval.high - interval.low > 3 * standard


def test_both_levels_add_up():
    """With independent seed and task effects the variance of the mean is the sum of the two."""
    seeds, tasks = torch.linspace(-1, 1, 9).unsqueeze(1), torch.linspace(-2, 2, 40).unsqueeze(0)
    expected = (seeds.var(correction=0) / 9 + tasks.var(correction=0) / 40).sqrt().item()
    interval = bootstrap(seeds + tasks, seeded(8), draws=8000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * expected, rel=0.06)


def test_the_bootstrap_is_made_from_its_generator():
    values = torch.randn(3, 11, generator=seeded(9))
    assert (
        bootstrap(values, seeded(1)) == bootstrap(values, seeded(1)) != bootstrap(values, seeded(2))
    )
    state = torch.get_rng_state()
    bootstrap(values, seeded(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_constant_has_no_width():
    got = bootstrap(torch.full((3, 7), 0.1, dtype=torch.double), seeded(1))
    assert got == pytest.approx((0.1, 0.1, 0.1), abs=1e-15)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), ()])
def test_values_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(seeds, tasks\), got \(" + ", ".join(map(str, shape))):
        bootstrap(torch.zeros(shape), seeded(1))


# over seeds


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.5], [0.3, 0.1, 0.2, 0.7, 0.65]])
@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_the_interval_over_seeds_is_students(values, kind):
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values)
    )
    tolerance = 1e-12 if kind is list else 1e-6  # torch.tensor holds float32
    assert over_seeds(kind(values)) == pytest.approx(
        (sum(values) / len(values), low, high), rel=tolerance
    )


@pytest.mark.parametrize("values", [[0.7], [0.5, 0.9]])
def test_one_seed_or_two_have_a_value_and_no_interval(values):
    interval = over_seeds(values)
    assert interval.value == pytest.approx(0.7) and isnan(interval.low) and isnan(interval.high)


# equivalence


@pytest.mark.parametrize("shape", [(4, 9), (1, 40)])
def test_the_interval_of_equivalence_is_the_two_one_sided_tests(shape):
    """It lies within a margin when both tests, below the margin and above minus it, are significant
    at 5 %."""
    differences = torch.randn(shape, generator=seeded(11), dtype=torch.double) + 0.2
    values = (differences.mean(1) if shape[0] > 1 else differences[0]).numpy()
    got = equivalence(differences)
    for margin in (0.1, 0.3, 0.6, 1.5):
        above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(values, margin, alternative="less").pvalue
        assert (-margin < got.low and got.high < margin) == (above < 0.05 and below < 0.05)
    assert got.value == pytest.approx(values.mean()) and stats.ttest_1samp(
        values, got.high, alternative="less"
    ).pvalue == pytest.approx(0.05)


def test_more_tasks_of_the_same_seeds_are_not_more_seeds():
    differences = torch.linspace(-1, 1, 3).unsqueeze(1)
    assert equivalence(differences.expand(3, 2)) == equivalence(differences.expand(3, 50))


@pytest.mark.parametrize("shape", [(5,), (1, 1), (2, 3, 4)])
def test_differences_of_another_shape_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"equivalence needs differences of shape \(seeds, tasks\)"
    ):
        equivalence(torch.zeros(shape))


# shares


@pytest.mark.parametrize(("hits", "tasks"), [(0, 23), (1, 23), (9, 23), (23, 23), (0, 1)])
def test_a_share_has_clopper_and_pearsons_interval(hits, tasks):
    low = stats.beta.ppf(0.025, hits, tasks - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, tasks - hits) if hits < tasks else 1.0
    got = fraction(torch.arange(tasks) < hits)
    assert got == pytest.approx((hits / tasks, low, high), abs=1e-9)


def test_a_share_counts_all_axes():
    hits = torch.zeros(3, 5, dtype=torch.bool)
    hits[1, 2:] = True
    assert fraction(hits) == fraction(hits.flatten()) and fraction(hits).value == pytest.approx(0.2)


# tests


def test_paired_differences_are_tested_as_student_would():
    differences = torch.randn(31, generator=seeded(10), dtype=torch.double) + 0.3
    mean, p = paired(differences)
    t = mean / (differences.std().item() / 31**0.5)
    assert mean == pytest.approx(differences.mean().item()) and p == pytest.approx(
        2 * stats.t.sf(abs(t), 30), rel=1e-9
    )
    assert paired(-differences) == pytest.approx((-mean, p))


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_one_test_is_the_test_itself_and_of_none_is_nothing():
    assert holm([0.2]) == [0.2] and holm([]) == []


def test_corrected_p_values_keep_their_order_and_stay_between_the_p_value_and_one():
    p = torch.rand(17, generator=seeded(11)).pow(3).tolist()
    corrected = holm(p)
    order = sorted(range(17), key=p.__getitem__)
    assert [corrected[i] for i in order] == sorted(corrected)
    assert all(a <= b <= min(1.0, 17 * a) for a, b in zip(p, corrected)) and max(corrected) <= 1
    assert holm(p[::-1]) == corrected[::-1], "the order of the tests says nothing"


def test_holm_keeps_the_share_of_false_alarms():
    generator, alarms = seeded(12), 0
    for _ in range(2000):
        alarms += min(holm(torch.rand(6, generator=generator).tolist())) < 0.05
    assert 0.03 < alarms / 2000 < 0.07

"""What sharing costs: counted against what is sent, and shapes that the formula must have."""

import math

import pytest
import torch

from mamlkit.scale import cost
from mamlkit.scale import ranks as module
from mamlkit.scale.cost import Machine, Update, counted, fitted, pays_until, seconds, timed
from mamlkit.scale.ranks import Ranks
from mamlkit.task import sample

UPDATE = Update(tasks=12, operations=10**9, numbers=998)
MACHINE = Machine(rate=2.0 * 10**9, latency=0.001, bandwidth=10.0**6)
KEPT = {
    "S": {"1": 0.004, "2": 0.003},
    "all_reduce": {"2": {"8": 0.002, "1008": 0.003}},
}


@pytest.mark.parametrize("name", ["S", "O1"])
def test_the_bytes_are_those_that_ranks_send(name, monkeypatch):
    p, sent = cost.problem(name), []
    monkeypatch.setattr(module.dist, "all_reduce", lambda total: sent.append(total.nbytes))
    gradients = {name: torch.zeros(3, *t.shape) for name, t in p.params.items()}
    Ranks(0, 2, torch.device("cpu")).spread.mean(gradients, torch.zeros(3))
    assert sent == [cost.vector_bytes(counted(name))]


@pytest.mark.parametrize(
    ("name", "tasks", "numbers", "support"),
    [("S", 25, 1_761, 10), ("O1", 32, 112_005, 5), ("M", 4, 32_773, 5)],
)
def test_the_problems_are_the_papers(name, tasks, numbers, support):
    p = cost.problem(name)
    update = counted(name)
    assert (update.tasks, update.numbers) == (tasks, numbers)
    one = sample(p.family, torch.Generator(), 1)
    assert one.support.x.shape[1] == support
    assert one.query.x.shape[1] == {"S": 10, "O1": 5, "M": 75}[name]


def test_operations_are_those_of_the_inner_and_outer_step():
    """Of a net 1-40-40-1 on ten points, a pass of products is 2 * 10 * (40 + 1600 + 40)."""
    once = 2 * 10 * (40 + 40 * 40 + 40)
    assert 6 * once < counted("S").operations < 15 * once


def test_another_problem_is_refused():
    with pytest.raises(ValueError, match='problem "X" is unknown; allowed are S, O1 and M'):
        cost.problem("X")


def test_one_rank_talks_to_nobody_and_more_compute_less():
    assert seconds(UPDATE, MACHINE, 1) == (6.0, 0.0)
    computing = [seconds(UPDATE, MACHINE, n)[0] for n in (1, 2, 3, 5, 12)]
    assert computing == [6.0, 3.0, 2.0, 1.5, 0.5], "five share twelve as 3, 3, 2, 2, 2"


def test_a_ring_sends_each_number_twice_less_one_share():
    for ranks in (2, 5):
        _, talking = seconds(UPDATE, MACHINE, ranks)
        bytes_ = 2 * (ranks - 1) / ranks * 8_000
        assert math.isclose(talking, 2 * (ranks - 1) * 0.001 + bytes_ / 10**6)


def test_it_pays_until_talk_outweighs_what_is_computed():
    assert pays_until(UPDATE, MACHINE) == 12
    slow = MACHINE._replace(latency=0.1)
    whole = [sum(seconds(UPDATE, slow, n)) for n in range(1, 13)]
    best = pays_until(UPDATE, slow)
    assert 1 < best < 12 and whole[best - 1] == min(whole)
    assert pays_until(UPDATE, MACHINE._replace(latency=10.0)) == 1


def test_the_fitted_machine_gives_back_what_was_measured():
    update, machine = counted("S"), fitted("S", KEPT)
    assert math.isclose(seconds(update, machine, 1)[0], 0.004)
    talk = 0.002 + (cost.vector_bytes(update) - 8) * 1e-6
    assert math.isclose(seconds(update, machine, 2)[1], talk, rel_tol=1e-3)
    assert timed("S", KEPT) == pytest.approx({1: 0.004, 2: 0.003 + talk}, rel=1e-3)


def test_what_is_kept_is_whole():
    kept = cost.measured()
    for name in ("S", "O1", "M"):
        assert {*kept[name]} == {"1", "2", "4"} and {*timed(name, kept)} == {1, 2, 4}
    assert kept["about"]["command"] == "python -m mamlkit.scale.measure"

"""RL^2 as an experiment: a memory's training resumes to the same numbers and is measured by
episode."""

import torch

from mamlkit.bank.experiment import last
from mamlkit.studies.navigation_rl2 import RL2_NAVIGATION, begin, cells, measure, steps

ONE = cells("smoke")["rl2-0"]


def test_it_plays_at_most_as_many_environment_steps_as_maml():
    paper = cells("paper")["rl2-0"]
    assert paper["trials"] * paper["episodes"] * 100 * paper["iterations"] <= 8_000_000
    assert list(cells("paper", 2)) == ["rl2-0", "rl2-1"]


def test_a_resumed_training_ends_with_the_same_numbers():
    whole, start = last(steps(ONE)), last(steps(ONE, None, 1))
    resumed = last(steps(ONE, start))
    assert (start.iteration, whole.iteration) == (1, 2)
    assert all(torch.equal(p, resumed.meta[k]) for k, p in whole.meta.items())
    assert torch.equal(whole.optimizer["returns"], resumed.optimizer["returns"])
    assert torch.equal(whole.losses, -whole.optimizer["returns"][:, -1])


def test_what_is_kept_is_told_by_episode():
    params, measured = measure(ONE, last(steps(ONE)))
    assert measured["episodes"].shape == (4, 3) and measured["returns"].shape == (2, 2)
    assert 0 < measured["steps"] <= 200 and "state.weight" in params
    assert (measured["episodes"] < 0).all()


def test_its_beginning_is_one_update():
    assert len(begin(ONE)) == ONE["episodes"] + 2 and begin(ONE)[-1] <= 0.01
    assert RL2_NAVIGATION.cost(cells("paper")["rl2-0"]) > 600

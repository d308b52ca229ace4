"""The catalogue of chapter 6: every experiment can be told to another process."""

import pickle

import pytest

from mamlkit.bank.budget import PROFILES
from mamlkit.studies.variants import EXPERIMENTS


def test_names_are_different_and_ours_say_so():
    names = [e.name for e in EXPERIMENTS]
    assert len({*names}) == len(names) == 16
    assert {n.removesuffix("-cpu") for n in names} <= {*names}, "a paper's budget beside each"


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_an_experiment_is_a_value(experiment):
    assert pickle.loads(pickle.dumps(experiment)).name == experiment.name
    for budget in PROFILES:
        cells = experiment.cells(budget, None)
        assert all({"method", "seed", "iterations"} <= {*s, "iterations"} for s in cells.values())
        assert all(experiment.cost(s) > 0 for s in cells.values())
        assert {*experiment.cells(budget, 1)} <= {*cells}

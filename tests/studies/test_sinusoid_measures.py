import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.probes.tangent_kernel import sharpness
from mamlkit.studies import sinusoid_measures as measures
from mamlkit.studies.sinusoid_methods import NET, waves
from mamlkit.trees import tree_map

SETTING = {"method": "maml", "alpha": 0.01, "shots": 10, "test_tasks": 24, "patience": 30}


def test_a_summary_counts_what_diverges_and_averages_the_rest():
    e = torch.tensor([[3.0, 1.0, 0.5], [3.0, 1.0, 1.5], [3.0, 200.0, 50.0], [3.0, 2.0, 101.0]])
    found = measures.summary("t", e)
    assert found["t mean"].tolist() == [3.0, 1.0, 1.0]
    assert found["t lost"].tolist() == [0, 1, 2]  # who has diverged stays so
    assert found["t median"].tolist() == [3.0, 1.0, 1.5]
    assert found["t better"].tolist() == [0.25, 0.0, 0.5]  # a start of 3 is below 200
    assert found["t change"].tolist() == [-2.0, 0.0] and found["t tasks"] == 4
    assert found["t change error"][1] == pytest.approx(0.5)
    assert found["t start"] == 3.0


def test_overfitting_is_a_better_fit_and_a_worse_wave():
    query = torch.tensor([[9.0, 1.0, 1.2], [9.0, 1.0, 1.6], [9.0, 1.0, 1.6], [9.0, 1.0, 0.5]])
    own = torch.tensor([[9.0, 1.0, 0.5], [9.0, 1.0, 0.5], [9.0, 1.0, 1.5], [9.0, 1.0, 0.5]])
    found = measures.overfitting(query, own)
    assert (found["overfit"], found["overfit by half"]) == (2, 1)


def test_halves_lie_on_different_sides():
    left, right = measures.half(5, SETTING)
    assert (left.support.x <= 0).all() and (left.query.x >= 0).all()
    assert (right.support.x >= 0).all() and (right.query.x <= 0).all()


def test_sharpness_is_measured_before_and_after_one_step():
    theta, tasks = tree_map(lambda p: 20 * p, NET.init(seeded(0))), waves(5, 3)
    found = measures.sharpnesses(SETTING, theta, tasks)
    assert found.shape == (2, 3)
    first = sharpness(NET.forward, theta, tasks.support.x[0])
    assert torch.allclose(found[0, 0], first, rtol=1e-4) and not torch.equal(*found)


def test_the_remedy_keeps_runs_from_diverging():
    steep = tree_map(lambda p: 30 * p, NET.init(seeded(0)))
    found = measures.blow_up({**SETTING, "alpha": 0.5}, steep)
    assert found["blow-up lost"][-1] == found["blow-up diverges"].sum() > 12
    assert found["limited lost"][-1] == 0


def test_steps_are_counted_until_the_median_is_low_enough(monkeypatch):
    theta, tasks = NET.init(seeded(0)), waves(10, 5)
    assert measures.needed(theta, tasks, 0.01, patience=7, block=5) == 8
    monkeypatch.setattr(measures, "GOAL", 1e5)
    assert measures.needed(theta, tasks, 0.01, patience=7, block=5) == 0
    path = measures.errors(
        measures.method({**SETTING, "alpha": 0.05}).learner(10), theta, tasks
    ).median(0)
    curve = path.values
    monkeypatch.setattr(measures, "GOAL", float(curve[7]))
    first = int((curve <= curve[7]).int().argmax())
    for block in (3, 5, 20):
        assert measures.needed(theta, tasks, 0.05, patience=20, block=block) == first


def test_amplitudes_of_good_curves_follow_the_true_ones():
    theta = NET.init(seeded(0))
    learner = measures.method(SETTING).learner(2)
    tasks = measures.place(10, SETTING)
    pearson, calm, ranks = measures.amplitudes(learner, theta, tasks, SETTING)
    assert pearson == calm and -1 <= ranks <= 1  # none diverges from a random start

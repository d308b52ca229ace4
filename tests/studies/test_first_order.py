"""The trainings of section 5.2 without second derivatives, and what is measured of both orders."""

import pickle

import pytest
import torch

from mamlkit.bank.experiment import last
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms
from mamlkit.studies import first_order, images, omitted
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

SMALL = first_order.GRADIENTS.cells("smoke", None)["start-0"]


def test_every_pair_trains_one_setting_at_both_orders_and_nothing_else_differs():
    known = first_order.by_name()
    for column, choices in first_order.PAIRS.items():
        assert choices[0] == ((column, "maml"), (column, "fomaml")), "the paper's budget first"
        for (second, how), (first, without) in choices:
            a = known[second].cells("paper", 1)[images.cell(how, 0)]
            b = known[first].cells("paper", 1)[images.cell(without, 0)]
            assert {k for k in a if a[k] != b[k]} <= {"method", "tests"}, (column, second, first)
            assert {how, without} in ({"maml", "fomaml"}, {"printed", "first order, printed"})


def test_joint_training_has_the_budget_of_the_two_orders():
    (joint,) = first_order.JOINT.cells("paper", None).values()
    maml_ = images.cells(first_order.TWO_CORES, ("printed",), "paper", 1)["printed-0"]
    assert {k for k in joint if joint[k] != maml_[k]} == {"method", "tests"}
    assert joint["method"] == "joint" and joint["tests"] == 600


def test_experiments_can_be_handed_to_another_process_and_have_names_of_their_own():
    names = [e.name for e in first_order.EXPERIMENTS]
    assert len({*names}) == len(names) and not {*names} & {e.name for e in images.EXPERIMENTS}
    for experiment in first_order.EXPERIMENTS:
        assert pickle.loads(pickle.dumps(experiment)).name == experiment.name
        for setting in experiment.cells("paper", None).values():
            assert {"method", "seed"} <= setting.keys()


def test_cosines_are_those_of_the_two_meta_gradients():
    net, theta = omitted.network(SMALL), first_order._theta(SMALL)
    tasks = omitted.looked_at(SMALL, 1)
    found = first_order.cosines(SMALL, theta, 0.1, tasks)
    assert found.shape == (2,)
    task = type(tasks)(*(type(part)(*(t[0] for t in part)) for part in tasks))
    for steps, cosine in zip(SMALL["lengths"], found):
        second, g = (
            torch.cat(
                [
                    p.flatten()
                    for p in variant(
                        cross_entropy(net.forward), alpha=all_but_norms(theta, 0.1), steps=steps
                    )
                    .meta_grad(theta, task)[0]
                    .values()
                ]
            )
            for variant in (maml, fomaml)
        )
        expected = second @ g / second.norm() / g.norm()
        assert cosine.item() == pytest.approx(expected.item(), abs=1e-3)


def test_what_is_measured_of_a_start():
    step = last(first_order.GRADIENTS.steps(SMALL, None, None))
    assert step.iteration == 0 and torch.equal(
        step.meta["layer0.weight"], omitted.network(SMALL).init(seeded(0))["layer0.weight"]
    )
    _, found = first_order.measure_gradients(SMALL, step)
    assert found["cosines"].shape == (4, 2) and found["omitted"].shape == (4, 9)
    # a hundred times the step leaves out a hundred times as much, at one step
    assert found["omitted"][2, 0] / found["omitted"][0, 0] > 10
    assert found["right"].shape == (2, 4) and found["right"].max() <= 75


@pytest.mark.parametrize("name, makes", first_order.TRAINED.items())
def test_without_a_banked_network_it_says_what_makes_it(name, makes, monkeypatch):
    monkeypatch.setattr(first_order, "load", lambda experiment: {})
    with pytest.raises(FileNotFoundError, match=f"bank --only {makes}`"):
        first_order.trained(0, name)


def test_each_sweep_of_step_sizes_begins_with_the_network_of_its_setting():
    for setting in first_order.STEP_SIZES.cells("paper", None).values():
        experiment = first_order.by_name()[first_order.TRAINED[setting["method"]]]
        whole = experiment.cells("paper", None)[f"{setting['method']}-0"]
        own = {"place", "times", "tests", "longest"}
        assert {k for k in setting if setting[k] != whole.get(k)} == own


def test_step_sizes_are_stretched_and_nothing_else(monkeypatch):
    asked = []
    monkeypatch.setattr(
        first_order, "right", lambda s, how, theta, protocol, tasks: asked.append((s, tasks)) or 0
    )
    setting = first_order.STEP_SIZES.cells("paper", None)["printed-0"]
    first_order._right_after(setting, {}, 0.5, 7)
    ((stretched, tasks),) = asked
    assert tasks == 7 and stretched["alpha"] == pytest.approx(0.2)
    assert {k for k in setting if setting[k] != stretched[k]} == {"alpha"}

"""What the judges and the figures of chapter 05 read: one value for one quantity."""

import json

import pytest
import torch

from mamlkit.audit.claims import BANK
from mamlkit.audit.locomotion import JUDGES
from mamlkit.audit.locomotion_evidence import CONTEXT, banked, over_trainings


@pytest.fixture(scope="module")
def bank():
    return banked()


def test_over_one_training_an_interval_is_over_goals_and_of_two_there_is_none():
    values = torch.tensor([[1.0, 2.0, 6.0], [2.0, 2.0, 2.0], [9.0, 9.0, 9.0]])
    one, two, three = (over_trainings(values[:n]) for n in (1, 2, 3))
    assert one.value == 3 and one.low < 3 and two.value == 2.5 and two.low != two.low
    assert three.value == pytest.approx(14 / 3) and three.high - three.low > one.high - one.low


@pytest.mark.parametrize(
    "claim, label, experiment, method",
    [
        ("C107", "gain of one step, cheetah direction", "cheetah-direction", "maml"),
        ("C107", "gain of one step, cheetah velocity", "cheetah-velocity", "maml"),
        ("X013", "gain of one step, cheetah direction", "cheetah-direction-half", "maml"),
        ("C141", "gain of 1 step, context", CONTEXT, "context"),
        ("C141", "gain of 1 step, all parameters", "cheetah-direction-half", "maml"),
    ],
)
def test_a_card_and_a_figure_give_one_value(bank, claim, label, experiment, method):
    record = json.loads((BANK / "claims" / f"{claim}.paper.json").read_text(encoding="utf-8"))
    experiment = bank.judged().get(experiment, experiment)
    assert record["here"][label]["value"] == pytest.approx(bank.gain(experiment, method).value)


def test_the_largest_size_with_every_training_stands_for_an_environment(bank):
    assert bank.largest("cheetah-velocity") == "cheetah-velocity-half"
    assert bank.largest("ant-velocity") == "ant-velocity-cpu"
    half = bank.results["cheetah-velocity-half"]
    less = {k: v for k, v in half.items() if k != "maml-2"}
    fewer = bank._replace(results=bank.results | {"cheetah-velocity-half": less})
    assert fewer.largest("cheetah-velocity") == "cheetah-velocity-cpu"


def test_a_comparison_stands_at_the_largest_size_that_has_both(bank):
    half = bank.results["cheetah-velocity-half"]
    alone = {k: v for k, v in half.items() if k.startswith("maml")}
    grown = bank._replace(results=bank.results | {"cheetah-velocity": alone})
    assert grown.largest("cheetah-velocity") == "cheetah-velocity"
    assert grown.beside("random").largest("cheetah-velocity") == "cheetah-velocity-half"
    assert grown.oracle_above("random") == bank.oracle_above("random")
    assert grown.fractions() == bank.fractions()
    for claim in ("C109", "C111"):
        same = (JUDGES[claim](e)._replace(here={}) for e in (grown, bank))
        assert next(same) == next(same)
    assert JUDGES["C107"](grown).experiments != JUDGES["C107"](bank).experiments


def test_an_oracle_below_an_untrained_start_is_no_yardstick(bank):
    lead = bank.oracle_above("random")
    assert {*bank.fractions()} == {env for env, v in lead.items() if v > 0}
    assert 0 < bank.fractions()["cheetah-direction"][3] < 1 and lead["ant-direction"] < 0


def test_experience_is_counted_in_frames(bank):
    assert bank.played("cheetah-direction-half") == 100 * 20 * 20 * 2 * 200 / 1e6
    assert bank.returns("cheetah-direction-half", "oracle").shape == (1, 20, 4)
    assert bank.returns("ant-direction", "maml") is None

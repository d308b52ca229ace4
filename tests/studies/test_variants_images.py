"""Chapter 6's trainings on characters: MAML++'s phases, Reptile as published, shortened runs."""

import pytest
import torch

from mamlkit.bank.experiment import last
from mamlkit.machine import seeded
from mamlkit.nets import strided_convnet
from mamlkit.studies import variants_images as images
from mamlkit.studies.variants_images import OMNIGLOT, OMNIGLOT_CPU, PARTS, PARTS_CPU, REPTILE
from mamlkit.task import sample


@pytest.fixture(autouse=True)
def few_characters(monkeypatch):
    few = torch.Generator().manual_seed(0)
    drawn = torch.randint(256, (21, 20, 1, 28, 28), generator=few, dtype=torch.uint8)
    monkeypatch.setattr(images, "pictures", lambda kind, split, device="cpu": drawn)


def test_settings_are_the_papers_and_smaller_ones_are_said_to_be():
    paper, ours = OMNIGLOT.cells("paper")["maml-20-ways-0"], OMNIGLOT_CPU.cells("paper")
    assert (paper["tasks"], paper["iterations"], paper["steps"], paper["alpha"]) == (
        16, 60_000, 5, 2.0,
    )  # fmt: skip
    assert ours["maml-20-ways-0"]["iterations"] == 240 and len(ours) == 24
    assert ours["mamlpp-5-ways-1"]["steps"] == 2, "a multi-step loss needs more than one step"
    assert REPTILE.cells("paper")["reptile-0"]["iterations"] == 100_000


def test_parts_are_added_one_at_a_time():
    cells = PARTS_CPU.cells("paper")
    assert [s["parts"] for s in cells.values() if s["seed"] == 0] == [*PARTS]
    setting = cells["per-step-norms-0"]
    phases = images.plan(setting).phases
    assert [end for _, end in phases] == [30, 60, 240]
    start = strided_convnet(20).init(torch.Generator().manual_seed(0))
    shapes = [learner.init(start)["norm0.beta"].shape for learner, _ in phases]
    assert shapes == [(2, 64)] * 3, "norms have a value for each of two steps"
    none = images.plan(cells["none-0"]).phases[-1][0]
    assert none.init(start)["norm0.beta"].shape == (64,)


def test_the_longer_trainings_are_of_the_whole_and_of_none_with_five_queries_a_class():
    cells = images.PARTS_LONGER.cells("paper")
    assert {*cells} == {f"{p}-{seed}" for p in ("none", "cosine") for seed in range(3)}
    s = cells["none-1"]
    assert (s["iterations"], s["tasks"], s["alpha"], s["steps"]) == (2_000, 4, 0.1, 5)
    drawn = images.longer_plan(s).family
    assert sample(drawn, seeded(0), 3).query.y.shape == (3, 20 * 5)
    assert sample(images.part_plan(s).family, seeded(0), 3).query.y.shape == (3, 20)
    smoke = images.PARTS_LONGER.cells("smoke")["cosine-0"]
    assert smoke["iterations"] == 2 and smoke["images"] == "glyphs"


def test_only_the_last_part_lets_the_meta_step_fall():
    cells, x = PARTS_CPU.cells("paper"), torch.zeros(2)
    ages = {p: "age" in images.part_plan(cells[f"{p}-0"]).rule.init(x) for p in ("none", "cosine")}
    assert ages == {"none": False, "cosine": True}


@pytest.mark.parametrize("name", ["cosine-0", "none-0"])
def test_a_shortened_training_is_the_beginning_of_the_whole(name):
    setting = PARTS_CPU.cells("smoke")[name] | dict(iterations=9, way=5, tasks=2)
    whole = last(PARTS_CPU.steps(setting, None, None))
    short = last(PARTS_CPU.steps(setting, None, 3))
    assert (whole.iteration, short.iteration) == (9, 3)
    torch.testing.assert_close(whole.losses[:3], short.losses)


def test_a_training_goes_on_in_its_second_phase():
    setting = PARTS_CPU.cells("smoke")["cosine-0"] | dict(iterations=9, way=5)
    every = [*PARTS_CPU.steps(setting, None, None)]
    again = last(PARTS_CPU.steps(setting, every[1], None))
    torch.testing.assert_close(again.losses, every[-1].losses)


def test_answers_are_in_percent_by_task_and_step():
    setting = OMNIGLOT_CPU.cells("smoke")["fomaml-5-ways-0"]
    _, found = OMNIGLOT_CPU.measure(setting, last(OMNIGLOT_CPU.steps(setting, None, None)))
    assert found["right"].shape == (2, 4) and found["made"] == 2
    assert ((found["right"] >= 0) & (found["right"] <= 100)).all()

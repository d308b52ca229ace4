"""MAML against plain pretraining: as many classes as a cell says, and the same test tasks."""

import pytest
import torch

from mamlkit.bank.experiment import last
from mamlkit.studies import variants_classes as classes
from mamlkit.studies.variants_classes import CLASSES_CPU, plan, some
from mamlkit.studies.variants_images import OMNIGLOT

DRAWN = torch.randint(
    256, (21, 20, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


@pytest.fixture(autouse=True)
def few_characters(monkeypatch):
    monkeypatch.setattr(classes, "drawings", lambda images, split: DRAWN)


def test_there_are_two_trainings_for_each_number_of_classes():
    cells = CLASSES_CPU.cells("paper")
    assert len(cells) == 42 and {s["iterations"] for s in cells.values()} == {200}
    assert {s["iterations"] for s in CLASSES_CPU.cells("smoke").values()} == {2}
    assert OMNIGLOT.cells("paper")["maml-5-ways-0"]["iterations"] == 60_000, "left as it was"


def test_a_seed_draws_its_classes():
    setting = CLASSES_CPU.cells("smoke")["maml-glyphs-5-0"]
    assert len(some(setting)) == 5 and torch.equal(some(setting), some(setting))
    assert not torch.equal(some(setting), some(setting | dict(seed=1)))


def test_pretraining_tells_quarter_turns_apart():
    setting = CLASSES_CPU.cells("smoke")["pretrained-glyphs-5-0"]
    found = plan(setting)
    head = found.net.init(torch.Generator().manual_seed(0))["layer4.weight"]
    batch = found.family.make(found.family.noise(torch.Generator().manual_seed(0), 1)[0])
    assert head.shape == (20, 64) and batch.support.x.shape == (64, 1, 28, 28)
    assert batch.support.y.max() < 20


def test_both_are_measured_in_percent_on_as_many_tasks():
    found = {}
    for method in ("maml", "pretrained"):
        setting = CLASSES_CPU.cells("smoke")[f"{method}-glyphs-5-0"]
        found |= CLASSES_CPU.measure(setting, last(CLASSES_CPU.steps(setting, None, None)))[1]
    assert {k: len(v) for k, v in found.items()} == {"maml": 2, "means": 2, "head": 2}
    assert all(((v >= 0) & (v <= 100)).all() for v in found.values())

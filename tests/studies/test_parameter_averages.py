import torch

from mamlkit.bank.experiment import last
from mamlkit.studies import parameter_averages as study


def test_500_regressors_as_in_the_appendix():
    cells = study.cells("paper")
    assert len(cells) == 12 and cells["l2-2"]["weight"] == 0.001
    assert {s["models"] for s in cells.values()} == {500}


def test_one_step_a_group_with_the_regressors_errors():
    setting = study.cells("smoke")["none-0"]
    first, second = study.steps(setting)
    assert (first.iteration, second.iteration) == (2, 4) and len(second.losses) == 4
    assert torch.equal(first.losses, second.losses[:2])
    assert len(last(study.steps(setting, None, 2)).losses) == 2


def test_forms_begin_otherwise():
    cells = study.cells("smoke")
    begins = {cell: study.begin(setting) for cell, setting in cells.items()}
    assert all(b.shape == (4,) for b in begins.values())
    same = begins.pop("same-start-0")
    assert not torch.equal(same, begins["none-0"])
    assert not torch.equal(begins["l2-0"], begins["none-0"])


def test_an_average_is_measured_at_every_step_size():
    setting = study.cells("smoke")["to-mean-0"]
    params, measured = study.measure(setting, last(study.steps(setting)))
    assert measured["tuning"].shape == (6,) and measured["alpha 0.05 median"].shape == (11,)
    assert torch.equal(measured["individual"], last(study.steps(setting)).losses)

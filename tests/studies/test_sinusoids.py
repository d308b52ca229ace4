import pytest
import torch

from mamlkit.bank import experiment as bank
from mamlkit.bank.experiment import last
from mamlkit.studies import sinusoids as study
from mamlkit.studies.sinusoid_methods import NET


def test_the_papers_budget_is_the_papers():
    setting = study.FIGURE3.cells("paper", None)["maml-4"]
    asked = dict(alpha=0.01, beta=0.001, shots=10, tasks=25, iterations=70_000, test_tasks=10_000)
    assert asked.items() <= setting.items()
    cells = {e.name: len(e.cells("paper", None)) for e in study.EXPERIMENTS}
    assert cells == {
        "sinusoid": 25,
        "sinusoid-ablations": 25,
        "sinusoid-settled": 5,
        "sinusoid-any-model": 7,
        "sinusoid-wider": 10,
        "sinusoid-averages": 12,
        "sinusoid-rivals": 20,
    }
    assert all(e.cost(s) > 0 for e in study.EXPERIMENTS for s in e.cells("paper", 1).values())


def test_the_ablations_differ_in_one_thing():
    cells = study.ABLATIONS.cells("paper", 1)
    maml = study.FIGURE3.cells("paper", 1)["maml-0"]
    assert cells["alpha-0.02-0"] == {
        **{k: v for k, v in maml.items() if k != "patience"},
        "method": "alpha-0.02",
        "alpha": 0.02,
    }
    settled = study.SETTLED.cells("paper", 1)["settled-0"]
    assert (settled["iterations"], settled["beta"]) == (10_000, 0.0001)


def test_a_shortened_run_is_the_beginning_of_the_whole_one():
    setting = study.FIGURE3.cells("smoke", None)["maml-0"]
    short, whole = (last(study.steps(setting, None, n)) for n in (3, None))
    assert torch.equal(short.losses, whole.losses[:3]) and len(whole.losses) == 10


@pytest.mark.parametrize("cell", ["fomaml-0", "pretrained-0", "oracle-0"])
def test_another_method_begins_otherwise(cell):
    cells = study.FIGURE3.cells("smoke", None)
    ours, other = (study.begin(cells[name]) for name in ("maml-0", cell))
    assert not torch.allclose(ours, other, rtol=1e-3)


def test_an_untrained_network_is_kept_without_a_training():
    setting = study.FIGURE3.cells("smoke", None)["random-0"]
    (step,) = study.steps(setting)
    assert (
        step.iteration == 0
        and len(step.losses) == 0
        and step.meta.keys() == NET.init(torch.Generator()).keys()
    )
    assert study.begin(setting).std() > 0


def test_the_settled_network_begins_where_the_pretrained_one_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    setting = study.SETTLED.cells("smoke", None)["settled-0"]
    with pytest.raises(ValueError, match="sinusoid pretrained-0, which is not banked at smoke"):
        study.begins_with(setting)
    pretrained = study.FIGURE3.cells("smoke", None)["pretrained-0"]
    bank.make(study.FIGURE3, "pretrained-0", pretrained, "smoke")
    kept = bank.load(study.FIGURE3, "smoke")["pretrained-0"].params
    settled = last(study.steps(setting)).meta
    moved = {k: (settled[k] - kept[k]).abs().max().item() for k in kept}
    assert 0 < max(moved.values()) <= 1.5e-4  # one update of Adam with a step of 0.0001


def test_every_small_cell_is_measured_with_finite_medians(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    for experiment, cell in ((study.FIGURE3, "fomaml-0"), (study.ABLATIONS, "alpha-0.005-0")):
        bank.make(experiment, cell, experiment.cells("smoke", None)[cell], "smoke")
        measured = bank.load(experiment, "smoke")[cell].measured
        assert measured["K=5 median"].isfinite().all() and measured["K=5 tasks"] == 20
        assert measured["edge K=10"].shape == (2, 3)

"""Section 4's other ways to learn: what is trained, what is not, and on which waves all are
tested."""

import pytest
import torch

from mamlkit.bank import experiment as bank
from mamlkit.bank.experiment import last
from mamlkit.machine import seeded
from mamlkit.studies import sinusoid_rivals as study
from mamlkit.studies.sinusoid_methods import NET, waves
from mamlkit.studies.sinusoids import FIGURE3, RIVALS

SMOKE = RIVALS.cells("smoke", None)


def test_the_hypernetwork_sees_as_many_waves_as_maml_and_the_optimiser_one_in_ninety():
    asked, maml = RIVALS.cells("paper", 1), FIGURE3.cells("paper", 1)["maml-0"]
    seen = lambda s: s["iterations"] * s["tasks"]
    assert seen(asked["hypernetwork-0"]) == seen(maml) == 1_750_000
    assert seen(asked["learned-optimizer-0"]) == 20_000
    assert asked["data-dependent-0"]["iterations"] == asked["random-tuned-0"]["iterations"] == 0


@pytest.mark.parametrize("name", ["hypernetwork", "learned-optimizer"])
def test_a_shortened_run_is_the_beginning_of_the_whole_one(name):
    setting = SMOKE[f"{name}-0"] | {"tasks": 2}
    short, whole = (last(study.steps(setting, None, n)) for n in (3, None))
    assert torch.equal(short.losses, whole.losses[:3])
    assert len(whole.losses) == setting["iterations"] > 3
    assert len(study.begin(setting)) == 6


def test_untrained_starts_are_the_same_weights_scaled():
    plain, scaled = (study.start(SMOKE[f"{m}-0"], seeded(0)) for m in study.UNTRAINED)
    ratio = scaled["layer1.weight"] / plain["layer1.weight"]
    assert (ratio > 0).all() and torch.allclose(ratio, ratio[:, :1].expand(40, 40), rtol=1e-3)
    assert not torch.equal(
        study.begin(SMOKE["data-dependent-0"]), study.begin(SMOKE["random-tuned-0"])
    )
    x = torch.linspace(-5, 5, 101)[:, None]
    assert 0.3 < NET.forward(scaled, x).std() < 3 and NET.forward(plain, x).std() < 0.1


def test_all_are_tested_on_the_same_waves():
    expected = waves(5, 20)
    for name in ("hypernetwork", "learned-optimizer"):
        found = study.tests(SMOKE[f"{name}-0"], 5)
        assert torch.equal(found.support.x, expected.support.x)
        assert torch.equal(found.query.y, expected.query.y)


def test_every_small_cell_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    for cell, steps in (
        ("hypernetwork-0", 2),
        ("learned-optimizer-0", 11),
        ("data-dependent-0", 11),
        ("random-tuned-0", 11),
    ):
        bank.make(RIVALS, cell, SMOKE[cell], "smoke")
        kept = bank.load(RIVALS, "smoke")[cell]
        assert kept.measured["K=10 median"].shape == (steps,)
        assert kept.measured["K=5 median"].isfinite().all() and kept.params
        assert ("tuning" in kept.measured) == (cell[:-2] in study.UNTRAINED)
        assert bank.check(RIVALS, cell, "smoke") == "same"

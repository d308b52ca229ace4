import pytest
import torch

from mamlkit.bank import experiment as bank
from mamlkit.bank.checkpoint import read, save_tensors
from mamlkit.bank.experiment import (
    Result,
    check,
    compare,
    curve,
    fingerprint,
    follows,
    load,
    make,
    path,
)
from tests.bank import tiny
from tests.bank.tiny import TINY


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The tiny experiment, banked in a folder of its own."""
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    for cell, setting in TINY.cells("smoke", None).items():
        make(TINY, cell, setting, "smoke")
    return TINY


def test_what_was_made_is_found_again_with_its_setting_and_its_origin(kept):
    found = load(TINY, "smoke")
    assert list(found) == ["maml-0", "maml-1", "fomaml-0", "fomaml-1"]
    result = found["fomaml-1"]
    assert result.setting == TINY.cells("smoke", None)["fomaml-1"]
    assert result.measured["error"].shape == (11, 2) and len(result.measured["losses"]) == 6
    assert result.about["beginning"][:5] == result.measured["losses"][:5].double().tolist()
    assert {"commit", "device", "torch", "python", "seconds", "date", "command"} <= {*result.about}
    again = tiny.steps(result.setting)
    assert torch.equal(bank.last(again).meta["layer0.weight"], result.params["layer0.weight"])
    assert not list(path(TINY, "maml-0", "smoke").parents[3].rglob("*.tmp"))


def test_a_result_is_known_by_how_it_begins(kept, monkeypatch):
    assert [check(TINY, cell, "smoke") for cell in load(TINY, "smoke")] == ["same"] * 4
    right = tiny.learner
    monkeypatch.setattr(tiny, "learner", lambda s: right({**s, "alpha": 1.01 * s["alpha"]}))
    assert check(TINY, "maml-0", "smoke").startswith("differs at update 1: ")


def test_a_result_without_a_fingerprint_is_known_by_its_beginning_in_single_precision(kept):
    """So are those that were banked before there were fingerprints."""
    file = path(TINY, "maml-0", "smoke")
    about, tensors = read(file)
    old = {k: v for k, v in about["about"].items() if k != "fingerprint"}
    save_tensors(file, tensors, old)
    assert check(TINY, "maml-0", "smoke") == "same"
    save_tensors(file, tensors, old | {"beginning": [1.0002 * x for x in old["beginning"]]})
    assert check(TINY, "maml-0", "smoke").startswith("differs at update 1: ")


def test_a_changed_setting_is_another_result(kept, monkeypatch):
    other = TINY._replace(
        cells=lambda budget, seeds=None: {
            cell: s | {"alpha": 0.0101} for cell, s in tiny.cells(budget, seeds).items()
        }
    )
    with pytest.raises(ValueError, match="was made with alpha 0.01 where the experiment now says"):
        load(other, "smoke")


def test_comparing_names_the_first_update_that_differs():
    kept = torch.tensor([3.0, 2.0, 1.0])
    assert compare(kept * (1 + 1e-6), kept) == "same"
    assert compare(torch.tensor([3.0, 2.1, 0.0]), kept) == "differs at update 2: 2.1, kept 2"
    assert compare(kept[:2], kept) == "differs: 2 numbers, kept 3"
    assert compare(torch.tensor([3.0, float("nan"), 1.0]), kept).startswith("differs at update 2")
    hundred = torch.ones(100)
    later = torch.where(torch.arange(100) < 44, hundred, 2.0)
    assert compare(later, hundred) == "differs at update 45: 2, kept 1"
    assert compare(torch.tensor([1.0] * 5 + [2.0]), hundred[:6]).startswith("differs in how far 5")


def test_a_curve_is_kept_exactly_at_first_and_then_by_its_means():
    losses = torch.arange(2_350.0)
    kept = curve(losses)
    assert torch.equal(kept["losses"], losses[:2_000])
    assert kept["later losses"].tolist() == [2_049.5, 2_149.5, 2_249.5]
    assert curve(torch.empty(0)) == {}


def test_large_parameters_are_kept_in_half_precision_and_read_in_full(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    params = {"w": torch.full((300_000,), 1.0009765625)}
    setting = TINY.cells("smoke", None)["maml-0"]
    bank.keep(TINY, "maml-0", "smoke", params, {}, {"setting": setting})
    assert path(TINY, "maml-0", "smoke").stat().st_size < 1e6
    assert torch.equal(load(TINY, "smoke")["maml-0"].params["w"], params["w"])


def test_a_beginning_leaves_threads_and_precision_as_they_were():
    before = torch.get_num_threads()
    fingerprint(TINY, TINY.cells("smoke", None)["maml-0"])
    assert torch.get_num_threads() == before and torch.get_default_dtype() == torch.float32


ASKED = {"alpha": 0.01, "seed": 0}


def banked(losses, beginning=(9.0, 8.0), setting=ASKED):
    """A kept result that holds nothing but how its training went."""
    about = {"setting": dict(setting), "beginning": list(beginning)}
    return Result({}, {"losses": torch.as_tensor(losses)}, about)


def falling(n):
    return 10 / torch.arange(1.0, n + 1)


def test_a_run_that_begins_as_the_kept_one_follows_it():
    kept = banked(falling(250))
    assert follows(falling(230), kept, ASKED) == "Agrees with the bank up to iteration 200."
    assert follows(falling(3), kept, ASKED) == "Agrees with the bank up to iteration 3."
    assert follows(falling(99), kept, ASKED) == "Agrees with the bank up to iteration 5."
    longer = "Agrees with the bank up to iteration 200, as far as the bank keeps every loss."
    assert follows(falling(900), kept, ASKED) == longer
    near = falling(230) * 1.00009
    assert follows(near, kept, ASKED, exact=230) == "Agrees with the bank up to iteration 230."


def test_a_run_follows_the_kept_losses_or_the_eager_ones():
    """A compiled training of images leaves the eager one at its second loss."""
    compiled, eager = falling(120), falling(120)
    eager[1] *= 1.03
    kept = banked(compiled, eager[:2].tolist())
    for mine in (compiled, eager):
        assert follows(mine, kept, ASKED, exact=2).startswith("Agrees")
        assert follows(mine, kept, ASKED, exact=7).startswith("Agrees")
    with pytest.raises(ValueError, match="it differs at update 2: 5.2, kept 5$"):
        follows(compiled * torch.tensor([1, 1.04] + [1] * 118), kept, ASKED, exact=2)
    other = eager.clone()
    other[2] *= 1.01
    with pytest.raises(ValueError, match="it differs at update"):
        follows(other, kept, ASKED, exact=3)
    five = banked(compiled, [*eager[:5].tolist(), 0.3])  # a sixth number is no loss
    assert follows(eager, five, ASKED, exact=7).startswith("Agrees")


def test_where_rounding_counts_a_run_follows_by_its_fingerprint(kept, monkeypatch):
    """Its second loss may be another; the code must be the same."""
    setting, result = TINY.cells("smoke", 1)["maml-0"], load(TINY, "smoke")["maml-0"]
    rounded = result.measured["losses"] * torch.tensor([1, 1.01, 1.02, 1, 1, 1])
    with pytest.raises(ValueError, match="it differs at update 2"):
        follows(rounded, result, setting)
    same = dict(exact=1, experiment=TINY)
    assert follows(rounded, result, setting, **same) == "Agrees with the bank up to iteration 1."
    right = tiny.learner
    monkeypatch.setattr(tiny, "learner", lambda s: right({**s, "method": "fomaml"}))
    with pytest.raises(ValueError, match="it differs in how far 5 updates move"):
        follows(rounded, result, setting, **same)


def test_later_losses_agree_in_their_means():
    """Every hundred of them has its own mean."""
    kept, high = banked(falling(250)), falling(230)
    high[100:200] *= 1.19
    assert follows(high, kept, ASKED).startswith("Agrees")
    high[100:200] *= 1.02
    with pytest.raises(ValueError, match="in iterations 101 to 200 its mean loss is 0.08") as said:
        follows(high, kept, ASKED)
    assert str(said.value).endswith(f"kept {falling(200)[100:].mean():.4g}")
    assert follows(high, kept, ASKED, band=0.3).startswith("Agrees")
    negative = banked(-falling(250))
    assert follows(-falling(230), negative, ASKED).startswith("Agrees"), "returns are losses too"


def test_another_setting_has_nothing_to_follow():
    said = follows(falling(9) + 1, banked(falling(9)), ASKED | {"alpha": 0.02})
    assert said == "Not compared with the bank: alpha 0.02 here, alpha 0.01 there."


def test_a_cell_is_trained_on_the_device_that_is_asked_for(tmp_path, monkeypatch):
    """So it is measured, where `measure` takes a device; the result says which it was."""
    asked = []

    def measure(setting, step, device):
        asked.append(f"measured on {device}")
        return tiny.measure(setting, step)

    def steps(setting, resume, until, device):
        asked.append(str(device))
        return tiny.steps(setting, resume, until, device)

    monkeypatch.setattr(bank, "ROOT", tmp_path)
    setting = TINY.cells("smoke", 1)["maml-0"]
    make(TINY._replace(steps=steps), "maml-0", setting, "smoke")
    both = TINY._replace(steps=steps, measure=measure)
    make(both, "maml-0", setting, "smoke", device="cpu:0")
    assert asked == ["cpu", "cpu:0", "measured on cpu:0"]
    assert load(TINY, "smoke")["maml-0"].about["device"].startswith("cpu:0 (")

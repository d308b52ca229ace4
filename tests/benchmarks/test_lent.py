"""What is started on a lent GPU are the bank's own commands, and what is new is brought back."""

import os
import tarfile

import pytest

from mamlkit.__main__ import main as mamlkit
from tests.benchmarks import lent


def test_each_experiment_is_begun_by_the_banks_own_command(monkeypatch):
    asked = []

    def missing(experiments, profile, seeds, device):
        asked.append((*(e.name for e in experiments), profile, device))
        return []

    monkeypatch.setattr("mamlkit.bank.work.missing", missing)
    names = ["omniglot-5w1s", "mini-5w1s-sixth"]
    for words in lent.commands(names, 2.5, "cpu", "smoke").values():
        assert mamlkit(words[3:]) == 0
    assert asked == [(name, "smoke", "cpu") for name in names]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(lent, "ROOT", tmp_path)
    monkeypatch.setattr(lent, "LOGS", tmp_path / "data" / "cache" / "lent")
    return tmp_path


def test_a_poll_says_how_far_all_are_and_packs_what_is_new(place, capsys):
    old, new = (place / "data" / "bank" / "x" / f"{n}.safetensors" for n in ("old", "new"))
    old.parent.mkdir(parents=True)
    lent.LOGS.mkdir(parents=True)
    for file in (old, lent.LOGS / "begun", new):
        file.touch()
    os.utime(old, (1, 1))
    (lent.LOGS / "a.log").write_text("first\nsecond\n")
    (lent.LOGS / "b.log").touch()
    lent.poll(place)
    assert capsys.readouterr().out == "second\nb: nothing yet\n"
    with tarfile.open(place / "lent.tgz") as packed:
        assert packed.getnames() == ["data/bank/x/new.safetensors"]

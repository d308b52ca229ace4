"""What is started on a lent GPU are the bank's own commands, and what is new is brought back."""

import os
import tarfile
from pathlib import Path

import pytest

from mamlkit.bank.process import Ended
from tests.benchmarks import lent

DONE = Ended("done", None, 0.0)


def test_a_chain_of_cells_is_made_in_its_order(monkeypatch):
    made = []
    monkeypatch.setattr("mamlkit.bank.work.call", lambda f, job, seconds: made.append(job) or DONE)
    chain = "mini-5w1s-sixth/fomaml-0,mini-5w1s-sixth/maml-2"
    how = ["--minutes", "2", "--device", "cpu", "--profile", "smoke"]
    monkeypatch.setattr("mamlkit.bank.experiment.path", lambda *cell: Path("nowhere"))
    assert lent.main(["make", *how, chain]) == 0
    assert [(job.name, job.budget, job.device) for job in made] == [
        ("mini-5w1s-sixth fomaml-0", "smoke", "cpu"),
        ("mini-5w1s-sixth maml-2", "smoke", "cpu"),
    ]


@pytest.mark.parametrize(
    "name, words",
    [
        ("edge-cases/x-0", 'experiment "edge-cases" is unknown; there are sinusoid'),
        ("mini-5w1s-sixth/context-0", "is no cell: mini-5w1s-sixth has maml-0, maml-1"),
        ("mini-5w1s-sixth", '"mini-5w1s-sixth" is no cell'),
    ],
)
def test_what_there_is_not_is_refused_before_anything_starts(name, words, place, monkeypatch):
    monkeypatch.setattr(lent, "shared", lambda: pytest.fail("begun"))
    with pytest.raises(ValueError, match=words):
        lent.start([name], 1.0, "cpu", "smoke")
    assert not lent.LOGS.exists()


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
    with tarfile.open(place / "lent-0.tgz") as packed:
        assert packed.getnames() == ["data/bank/x/new.safetensors"]


def test_no_part_is_larger_than_what_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(lent, "LIMIT", 10)
    files = [tmp_path / name for name in "abcde"]
    for file, size in zip(files, (6, 4, 11, 3, 8)):
        file.write_bytes(bytes(size))
    a, b, c, d, e = files
    assert lent.parts(files) == [[a, b], [c], [d], [e]]

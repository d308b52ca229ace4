"""Sweeps: a second call does only what is missing; a failed run keeps no other from running and is
listed."""

import json

import pytest

from mamlkit.__main__ import main
from mamlkit.book import sweep
from mamlkit.book.headless import Outcome
from mamlkit.book.parameters import parameters
from tests.locks import lock
from tests.small_notebooks import OTHER, SOMETIMES, write


def test_a_second_call_does_only_what_is_missing(tmp_path, capsys):
    book = write(tmp_path / "book", _00_sometimes=SOMETIMES)
    words = [
        "run",
        "00",
        "--folder",
        str(book),
        "--out",
        str(tmp_path / "out"),
        "-p",
        "profile=smoke",
        "--grid",
    ]
    assert main([*words, "seed=0,1"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in said[:2]] == [["seed=0", "done"], ["seed=1", "failed"]]
    assert said[2] == "1 of 2 failed:"
    assert said[3].startswith(
        '  profile=smoke seed=1: 00_sometimes failed in cell 3 ("assert seed != 1'
    )
    assert main([*words, "seed=2,0"]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()[:2]] == [
        "done",
        "cached",
    ]
    rows = json.loads((tmp_path / "out" / "sweep.json").read_text())["runs"]
    assert [(row["parameters"]["seed"], row["status"]) for row in rows] == [
        (2, "done"),
        (0, "cached"),
    ]
    assert all((tmp_path / "out" / row["folder"] / "00_sometimes.html").exists() for row in rows)


def test_the_grid_is_every_combination():
    assert sweep.grid({"a": [1, 2], "b": [3, 4]}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]


def outcome(ran):
    """Stands for a notebook that runs: notes where, and says that it went well."""

    def execute(path, out, values, **_):
        ran.append(values)
        return Outcome(path.stem, 1.0, None)

    return execute


DAMAGE = {
    "cut": lambda text: text[:-20],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "no status": lambda text: text.replace('"status"', '"state"'),
    "no seconds": lambda text: text.replace('"seconds": 1.0', '"seconds": "1"'),
    "an error": lambda text: text.replace('"error": null', '"error": "no"'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_point_whose_result_is_damaged_is_run_again(tmp_path, monkeypatch, damage):
    path, ran = write(tmp_path / "book", _00_other=OTHER) / "00_other.py", []
    monkeypatch.setattr(sweep.headless, "execute", outcome(ran))
    known, out = parameters(path), tmp_path / "out"
    go = lambda: sweep.sweep(path, known, [{"seed": 0}, {"seed": 1}], out, command="test")
    assert [row["status"] for row in go()] == ["done", "done"]
    assert [row["status"] for row in go()] == ["cached", "cached"]
    result = out / sweep.key(path, known, {"seed": 1}) / "result.json"
    result.write_text(DAMAGE[damage](result.read_text()))
    rows = go()
    assert [row["status"] for row in rows] == ["cached", "done"] and sweep.table(rows)
    assert ran == [{"seed": 0}, {"seed": 1}, {"seed": 1}]
    assert not [p for p in out.rglob(".*")], "nothing is left behind"


def test_two_sweeps_do_not_write_one_folder(tmp_path, monkeypatch):
    path = write(tmp_path / "book", _00_other=OTHER) / "00_other.py"
    monkeypatch.setattr(sweep.headless, "execute", outcome([]))
    with lock(tmp_path / "out" / "sweep"):
        with pytest.raises(ValueError, match="sweep is being written by another run"):
            sweep.sweep(path, parameters(path), [{}], tmp_path / "out", command="test")
    assert len(sweep.sweep(path, parameters(path), [{}], tmp_path / "out", command="test")) == 1


def test_a_sweep_does_not_go_into_a_folder_of_something_else(tmp_path, capsys):
    book = write(tmp_path / "book", _00_a=OTHER)
    words = ["run", "00", "--folder", str(book), "--grid", "seed=0", "--out"]
    for out in (book, book / "00_a.py", book / "00_a.py" / "x"):
        assert main([*words, str(out)]) == 2
        assert capsys.readouterr().err.startswith(f"mamlkit: --out {out} is refused: ")
    assert [p.name for p in book.iterdir()] == ["00_a.py"]


def test_the_key_is_the_notebook_and_its_parameters(tmp_path):
    path = write(tmp_path, _00_other=OTHER) / "00_other.py"
    known = parameters(path)
    keys = [
        sweep.key(path, known, values) for values in ({}, {"seed": 0}, {"seed": 1}, {"alpha": 0.01})
    ]
    assert keys[0] == keys[1] == keys[3] != keys[2]
    path.write_text(OTHER + "\n# %%\n2\n")
    assert sweep.key(path, known, {}) not in keys


def test_refusals(tmp_path, capsys):
    book = ["--folder", str(write(tmp_path, _00_a=OTHER, _01_b=OTHER))]
    refused = {
        (
            "run",
            "--grid",
            "seed=1",
        ): "--grid goes over one notebook; name it, e.g. `run 01 --grid seed=0,1,2`",
        (
            "run",
            "00",
            "--grid",
            "seed=0,x",
        ): "seed=x is refused: seed must be a whole number, 0 or more",
        (
            "run",
            "00",
            "--grid",
            "seed=0,",
            "alpha=1",
        ): "seed= is refused: seed must be a whole number, 0 or more",
        (
            "run",
            "00",
            "-p",
            "seed=1",
            "--grid",
            "seed=0,1",
        ): "seed is given by -p and by --grid; give it once",
    }
    for words, sentence in refused.items():
        assert main([*words, *book]) == 2
        assert capsys.readouterr().err == f"mamlkit: {sentence}\n"

"""Sweeps: a second call does only what is missing; a failed run keeps no other from running and is
listed."""

import json

from mamlkit.__main__ import main
from mamlkit.book import sweep
from mamlkit.book.parameters import parameters
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


def test_the_key_is_code_and_parameters(tmp_path):
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

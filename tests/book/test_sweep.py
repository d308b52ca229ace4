"""Sweeps: a second call does only what is missing; a failed run keeps no other from running and is
listed."""

import csv
import json

import pytest

from mamlkit.__main__ import main
from mamlkit.book import sweep
from mamlkit.book.headless import Outcome
from tests.locks import lock
from tests.small_notebooks import HEADER, OTHER, SOMETIMES, write

REPORTS = HEADER.format(title="A report") + (
    "\n# %%\nfrom mamlkit.book.report import report\n\n"
    "report(seen=shots)\nreport(error=seed + 100 * alpha)\n"
)


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
    out, points = tmp_path / "out", sweep.points([path], {}, {"seed": "0,1"})
    go = lambda: sweep.sweep(points, out, command="test")
    assert [row["status"] for row in go()] == ["done", "done"]
    assert [row["status"] for row in go()] == ["cached", "cached"]
    result = out / points[1].key / "result.json"
    result.write_text(DAMAGE[damage](result.read_text()))
    rows = go()
    assert [row["status"] for row in rows] == ["cached", "done"] and sweep.table(rows)
    assert ran == [{"seed": 0}, {"seed": 1}, {"seed": 1}]
    assert not [p for p in out.rglob(".*")], "nothing is left behind"


def test_two_sweeps_do_not_write_one_folder(tmp_path, monkeypatch):
    path = write(tmp_path / "book", _00_other=OTHER) / "00_other.py"
    monkeypatch.setattr(sweep.headless, "execute", outcome([]))
    points = sweep.points([path], {}, {"seed": "0"})
    with lock(tmp_path / "out" / "sweep"):
        with pytest.raises(ValueError, match="sweep is being written by another run"):
            sweep.sweep(points, tmp_path / "out", command="test")
    assert len(sweep.sweep(points, tmp_path / "out", command="test")) == 1


def test_a_sweep_does_not_go_into_a_folder_of_something_else(tmp_path, capsys):
    book = write(tmp_path / "book", _00_a=OTHER)
    words = ["run", "00", "--folder", str(book), "--grid", "seed=0", "--out"]
    for out in (book, book / "00_a.py", book / "00_a.py" / "x"):
        assert main([*words, str(out)]) == 2
        assert capsys.readouterr().err.startswith(f"mamlkit: --out {out} is refused: ")
    assert [p.name for p in book.iterdir()] == ["00_a.py"]


def test_the_key_is_the_notebook_and_its_parameters(tmp_path):
    path = write(tmp_path, _00_other=OTHER) / "00_other.py"

    def key(fixed, name, value):
        (point,) = sweep.points([path], fixed, {name: value})
        return point.key

    keys = [key({}, "seed", "0"), key({}, "alpha", "0.01"), key({"alpha": "0.01"}, "seed", "0")]
    assert keys[0] == keys[1] == keys[2] != key({}, "seed", "1")
    path.write_text(OTHER + "\n# %%\n2\n")
    assert key({}, "seed", "0") not in keys


def test_refusals(tmp_path, capsys):
    book = ["--folder", str(write(tmp_path, _00_a=OTHER, _01_b=OTHER))]
    refused = {
        (
            "run",
            "--grid",
            "seed=1",
        ): "--grid goes over the notebooks that are named, e.g. `run 01 --grid seed=0,1,2`",
        ("run", "00", "--plot", "error"): "--plot error draws a grid: give --grid as well",
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


def test_a_grid_over_notebooks_anywhere_answers_with_numbers(tmp_path, capsys):
    """Two notebooks, one outside of the book and one that lacks an axis: table, CSV and plot."""
    book = write(tmp_path / "book", _00_other=OTHER.replace("alpha:", "beta:"))
    mine = write(tmp_path / "elsewhere", mine=REPORTS) / "mine.py"
    words = ["run", str(mine), "00", "--folder", str(book), "--out", str(tmp_path / "out")]
    words += ["--grid", "alpha=0.01,0.4", "seed=2", "--plot", "error"]
    assert main([*words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[:3]] == [
        ["00_other", "seed=2"],
        ["mine", "alpha=0.01"],
        ["mine", "alpha=0.4"],
    ]
    assert "seen=10 error=42" in said[2] and said[3] == f"plot: {tmp_path / 'out' / 'error.png'}"
    with (tmp_path / "out" / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["notebook"], r["alpha"], r["seed"], r["error"]) for r in rows] == [
        ("00_other", "", "2", ""),
        ("mine", "0.01", "2", "3.0"),
        ("mine", "0.4", "2", "42.0"),
    ]
    assert (tmp_path / "out" / "error.png").read_bytes().startswith(b"\x89PNG")
    assert main(words) == 0 and capsys.readouterr().out.count("cached") == 3
    assert main([*words[:-1], "loss"]) == 2
    assert 'no run reported "loss": call report(loss=...)' in capsys.readouterr().err


def row(notebook, error, **parameters):
    return {
        "notebook": notebook,
        "parameters": parameters,
        "status": "done",
        "numbers": {"error": error},
    }


def test_what_a_plot_shows():
    """The first axis that varies lies below; seeds are values at one place; the rest are curves."""
    rows = [
        row("a", 10.0 * alpha + shots + seed, alpha=alpha, shots=shots, seed=seed, steps=1)
        for alpha in (0.5, 0.1)
        for shots in (5, 10)
        for seed in (0, 1)
    ]
    axis, found = sweep.curves(rows, "error")
    assert axis == "alpha" and list(found["shots=5"]) == [0.1, 0.5]
    assert found == {
        f"shots={k}": {a: [10 * a + k, 10 * a + k + 1] for a in (0.1, 0.5)} for k in (5, 10)
    }
    assert sweep.curves(rows[:2], "error") == ("seed", {"": {0: [10.0], 1: [11.0]}})
    both = [row("a", 1.0, alpha=0.1), row("a", 2.0, alpha=0.2), row("b", 3.0, beta=1)]
    assert sweep.curves(both, "error") == ("alpha", {"a": {0.1: [1.0], 0.2: [2.0]}})


def test_two_notebooks_of_one_name_are_refused(tmp_path, capsys):
    paths = [str(write(tmp_path / name, mine=OTHER) / "mine.py") for name in "ab"]
    assert main(["run", *paths, "--list"]) == 2
    assert "two notebooks are called mine" in capsys.readouterr().err


def test_a_notebook_without_any_of_the_axes_is_refused(tmp_path, capsys):
    book = write(tmp_path, _00_a=OTHER, _01_b=OTHER.replace("ways: int", "steps: int"))
    words = ["run", "00", "01", "--folder", str(book), "--grid", "ways=1,2"]
    assert main(words) == 2
    assert capsys.readouterr().err == "mamlkit: 01_b has no parameter ways: leave it out\n"

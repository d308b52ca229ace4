"""The bank runs a notebook's source as a plain script, where there is no Jupyter, and knows what is
missing or stale."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback

import pytest

from mamlkit.book import bank
from mamlkit.book import notebooks as book
from mamlkit.book.bank import Unit
from tests.small_notebooks import FIGURE, HEADER, OTHER, RECORD, WIDGET, write

BLOCKED = (
    "IPython",
    "ipykernel",
    "ipywidgets",
    "ipympl",
    "matplotlib",
    "papermill",
    "jupytext",
    "nbformat",
    "nbconvert",
    "nbclient",
    "jupyterlab",
    "scipy",
)
LONG = """
# %%
import time

(folder.parent / "begun").touch()
try:
    time.sleep(60)
finally:
    (folder.parent / "saved").touch()
"""
SOURCE = HEADER.format(title="Banked") + RECORD.replace("00_good", "00_banked") + FIGURE + WIDGET


def test_it_runs_where_there_is_no_jupyter(tmp_path):
    path = write(tmp_path / "book", _00_banked=SOURCE) / "00_banked.py"
    block = f"""
import importlib.abc, runpy, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import mamlkit.__main__
sys.argv[1:] = [{str(path)!r}, '{{"profile": "smoke", "seed": 5}}']
runpy.run_module("mamlkit.book.bank", run_name="__main__", alter_sys=True)
"""
    environment = os.environ | {
        "MAMLKIT_RESULTS": str(tmp_path),
        "MAMLKIT_COMMAND": "test",
        "MAMLKIT_HEADLESS": "1",
    }
    result = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "claims" / "C001.smoke.json").read_text())["seed"] == 5
    about = json.loads((tmp_path / "banked" / "00_banked.smoke.json").read_text())
    assert about["records"] == ["C001.smoke.json"] and about["values"] == {
        "profile": "smoke",
        "seed": 5,
    }
    assert "00_banked.py" in about["sources"] and "mamlkit/literate.py" not in about["sources"]


def test_cells_know_their_tags_and_lines():
    text = '# ---\n# a: 1\n# ---\n\n# %% [markdown]\n# # Title\n\n# %% tags=["figure"]\na = 1\n# %% a title\n\nb = 2'
    found = bank.cells(text)
    assert [(cell.tags, cell.source.strip(), cell.line) for cell in found] == [
        ({"figure"}, "a = 1", 9),
        (set(), "b = 2", 11),
    ]


def test_last_values_are_printed_and_tracebacks_name_the_line(tmp_path, capsys):
    path = (
        write(tmp_path, _00_lines=OTHER + "\n# %%\nseed + 1;\n\n# %%\nseed / 0\n") / "00_lines.py"
    )
    with pytest.raises(ZeroDivisionError) as failure:
        bank.plain(path, {"seed": 4})
    assert capsys.readouterr().out == "2\n"
    frame = traceback.extract_tb(failure.tb)[-1]
    assert (frame.filename, frame.line) == (str(path), "seed / 0")
    with pytest.raises(
        ValueError,
        match='no parameter "sed"; its parameters are alpha, device, live, profile, seed, ways',
    ):
        bank.plain(path, {"sed": 4})


def test_what_is_there_is_not_run_again_and_what_changed_is(tmp_path, capfd):
    path = (
        write(tmp_path / "book", _00_banked=SOURCE, _01_bad=OTHER + "\n# %%\n1 / 0\n")
        / "00_banked.py"
    )
    given = dict(values={"profile": "smoke"}, minutes=None, results=tmp_path, command="test")
    assert bank.bank([Unit(path), Unit(path.with_name("01_bad.py"))], **given) == 1
    said = capfd.readouterr()
    assert (
        "00_banked: banked after" in said.out
        and "Failed: 01_bad." in said.out
        and "ZeroDivisionError" in said.err
    )
    assert bank.bank([Unit(path)], **given) == 0
    assert capfd.readouterr().out == "00_banked: up to date\n"
    commented = SOURCE.replace("import json", "# a comment\nimport json")
    path.write_text(commented.replace("A step", "One step").replace("height", "h"))
    assert (
        bank.missing(Unit(path), {"profile": "smoke"}, tmp_path) == ""
    )  # text, comments, figures and widgets decide no result
    path.write_text(SOURCE + "\n# %%\nmore = 1\n")
    assert bank.missing(Unit(path), {"profile": "smoke"}, tmp_path) == "changed since: 00_banked.py"
    path.write_text(SOURCE)
    assert (
        bank.missing(Unit(path), {"profile": "smoke", "seed": 1}, tmp_path)
        == "banked with {'profile': 'smoke'}"
    )
    (tmp_path / "claims" / "C001.smoke.json").unlink()
    assert bank.missing(Unit(path), {"profile": "smoke"}, tmp_path) == "lost C001.smoke.json"


def test_out_of_time_it_interrupts_and_says_what_remains(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(bank, "PATIENCE", 2.0)
    path = write(tmp_path / "book", _00_banked=SOURCE + LONG) / "00_banked.py"
    status = bank.bank(
        [Unit(path)], values={"profile": "smoke"}, minutes=0.02, results=tmp_path, command="test"
    )
    assert status == 3 and not (tmp_path / "banked").exists()
    assert "What remains: 00_banked. The same command goes on from there." in capfd.readouterr().out


def test_ctrl_c_and_kill_end_it_in_order(tmp_path):
    book = write(tmp_path / "book", _00_banked=SOURCE + LONG)
    ask = f"""
import runpy, sys
from pathlib import Path
from mamlkit.book import bank, notebooks as book
from mamlkit.book.bank import Unit
bank.results_of = lambda profile: Path({str(tmp_path)!r})
sys.argv[1:] = ["bank", "--folder", {str(book)!r}, "--profile", "smoke"]
runpy.run_module("mamlkit", run_name="__main__", alter_sys=True)
"""
    process = subprocess.Popen([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert (
        process.returncode == 3
        and "What remains: 00_banked." in said
        and (tmp_path / "saved").exists()
    )


EXPERIMENTS = (
    HEADER.format(title="Rows").replace(
        "live: bool = True  # draw while it runs; true or false",
        'only: str = "all"  # which experiment is run; one of all, none, fast, slow',
    )
    + RECORD
    + """
# %%
import time

done = Path(os.environ["MAMLKIT_RESULTS"]) / "done"
(done.parent / f"judged-{only}").touch()
if only == "slow":
    time.sleep(60)
"""
)


def test_a_notebook_with_experiments_is_banked_one_by_one_in_their_order(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(bank, "PATIENCE", 2.0)
    folder = write(
        tmp_path / "book", _00_banked=SOURCE, _02_rows=EXPERIMENTS.replace("00_good", "02_rows")
    )
    find = lambda *names: bank.find(
        list(names), book.notebooks(folder), lambda names: book.find(names, folder)
    )
    assert [unit.name for unit in find()] == ["00_banked", "fast", "slow"]
    assert [unit.name for unit in find("slow")] == ["slow"] and [
        unit.name for unit in find("02")
    ] == ["fast", "slow"]
    assert [unit.name for unit in find("00", "slow")] == ["00_banked", "slow"]
    assert [
        unit.name
        for unit in bank.find(
            [], book.notebooks(folder), lambda names: book.find(names, folder), "quick"
        )
    ] == ["00_banked", "02_rows"]
    with pytest.raises(
        ValueError,
        match='notebook "quick" is unknown; there are 00_banked, 02_rows; experiments are fast, slow',
    ):
        find("quick")
    given = dict(values={"profile": "smoke"}, results=tmp_path, command="test")
    assert (
        bank.bank(find("fast"), minutes=None, **given) == 0 and (tmp_path / "judged-fast").exists()
    )
    about = json.loads((tmp_path / "banked" / "fast.smoke.json").read_text())
    assert about["values"] == {"profile": "smoke", "only": "fast"} and about["records"] == [
        "C001.smoke.json"
    ]
    capfd.readouterr()
    assert bank.bank(find("02"), minutes=0.15, **given) == 3
    said = capfd.readouterr().out
    assert "fast: up to date" in said and "What remains: slow. The same" in said
    assert (tmp_path / "judged-none").exists() and not (
        tmp_path / "banked" / "slow.smoke.json"
    ).exists()
    assert not (tmp_path / "banked" / "02_rows.smoke.json").exists()


def test_experiments_say_how_long_they_would_take(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(bank, "PATIENCE", 2.0)
    telling = "\n# %%\ndef seconds_of(name):\n    return {'fast': 7200.0 + seed, 'slow': None}[name]\n\nraise SystemExit('nothing after it runs')\n"
    text = EXPERIMENTS.replace("00_good", "02_rows").replace(
        "\n# %%\nimport json", telling + "\n# %%\nimport json", 1
    )
    path = write(tmp_path / "book", _02_rows=text) / "02_rows.py"
    assert bank.estimates(path, {"profile": "smoke", "seed": 3}) == {"fast": 7203.0}
    assert (
        bank.bank(
            [Unit(path, "fast")],
            values={"profile": "smoke", "device": "cpu"},
            minutes=None,
            results=tmp_path,
            command="test",
        )
        == 1
    )
    assert "fast: not banked yet; about 2 hours on this machine" in capfd.readouterr().out
    assert (
        bank.estimates(
            write(tmp_path / "other", _00_banked=SOURCE) / "00_banked.py", {"profile": "smoke"}
        )
        == {}
    )


def test_what_would_take_far_too_long_waits_while_something_else_fits(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(bank, "estimates", lambda *_: {"slow": 7200.0, "fast": 1.0})
    ran = []
    monkeypatch.setattr(
        bank,
        "_run",
        lambda unit, *_: ran.append(unit.only)
        or ("interrupted" if unit.only == "slow" else "banked"),
    )
    path = (
        write(
            tmp_path / "book",
            _02_rows=EXPERIMENTS.replace("none, fast, slow", "slow, fast").replace(
                "00_good", "02_rows"
            ),
        )
        / "02_rows.py"
    )
    given = dict(values={"profile": "smoke", "device": "cpu"}, results=tmp_path, command="test")
    assert bank.bank([Unit(path, "slow"), Unit(path, "fast")], minutes=5.0, **given) == 3
    said = capfd.readouterr().out
    assert said.count("slow: left out for now, about 2 hours are far more than what is left") == 1
    assert 0 < said.index("fast: banked") < said.index("slow: running"), (
        "what is left of the time goes to what cannot be finished"
    )
    assert "What remains: slow." in said and ran == ["fast", "slow"], (
        "this notebook has no `none` to judge with"
    )


def test_seeds_are_asked_of_notebooks_that_have_them_and_more_than_asked_are_welcome(tmp_path):
    many = (
        EXPERIMENTS.replace("00_good", "02_rows")
        .replace("shots: int = 10", "seeds: int = 1")
        .replace("the paper's K; from 1 to 1000", "how many; from 1 to 10")
    )
    folder = write(tmp_path / "book", _00_banked=SOURCE, _02_rows=many)
    one, fast = Unit(folder / "00_banked.py"), Unit(folder / "02_rows.py", "fast")
    asked = lambda n: {"profile": "smoke", "seeds": n}
    assert one.values(asked(3)) == {"profile": "smoke"} and fast.values(asked(3)) == {
        "profile": "smoke",
        "seeds": 3,
        "only": "fast",
    }
    assert bank.bank([fast], values=asked(3), minutes=None, results=tmp_path, command="test") == 0
    assert json.loads((tmp_path / "banked" / "fast.smoke.json").read_text())["values"]["seeds"] == 3
    assert [
        bank.missing(fast, values, tmp_path)[:6]
        for values in ({"profile": "smoke"}, asked(2), asked(3), asked(4))
    ] == ["", "", "", "banked"]


def test_what_is_missing_comes_before_what_is_stale(tmp_path, capfd):
    folder = write(
        tmp_path / "book",
        _00_banked=SOURCE,
        _02_rows=SOURCE.replace("00_banked", "02_rows").replace("C001", "C002"),
    )
    stale, new = map(Unit, book.notebooks(folder))
    given = dict(values={"profile": "smoke"}, minutes=None, results=tmp_path, command="test")
    assert bank.bank([stale], **given) == 0
    stale.path.write_text(SOURCE + "\n# %%\nmore = 1\n")
    capfd.readouterr()
    assert bank.bank([stale, new], **given) == 0
    said = capfd.readouterr().out
    assert 0 < said.index("02_rows: banked") < said.index("00_banked: running")

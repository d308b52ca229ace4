"""Headless runs: one that fails is one line, the others still run, and everything lies where it
should."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mamlkit.__main__ import prepare
from mamlkit.book import headless
from mamlkit.book.notebooks import notebooks
from tests.locks import lock
from tests.small_notebooks import BAD, GOOD, OTHER, SLOW, WIDGET, write


def mamlkit(*words, timeout=600):
    """`python -m mamlkit` in a process of its own."""
    words = [sys.executable, "-m", "mamlkit", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    book = write(folder / "book", _00_good=GOOD, _01_bad=BAD, _07_scoreboard=OTHER)
    return mamlkit(
        "run", "--folder", book, "--out", folder / "{out}", "-p", "seed=3", "-p", "shots=7"
    ), folder / "{out}"


def test_a_failing_cell_is_one_line_and_the_others_run(ran):
    result, out = ran
    line = (
        '01_bad failed in cell 3 ("value = 1"): AttributeError: '
        "'int' object has no attribute 'nothing_like_this'"
    )
    assert result.returncode == 1
    assert result.stdout.splitlines()[0] == line
    assert re.search(r"^2 of 3 notebooks ran through, in \d+ s$", result.stdout, re.MULTILINE)
    assert f"[2/3] {line}" in result.stderr and "[3/3] 07_scoreboard done" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout and headless.NOISE not in result.stderr


def test_results_lie_in_one_folder(ran):
    result, out = ran
    names = {path.name for path in out.iterdir() if path.suffix != ".log"} - {
        ".mamlkit-run"
    }  # a log is there if a kernel said something
    stems = ("00_good", "01_bad", "07_scoreboard")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("ipynb", "html")} | {
        "scoreboard.html",
        "claims",
    }
    assert f"results: {out}" in result.stdout and "claims: 1 partial" in result.stdout


def test_parameters_go_to_the_notebooks_that_have_them(ran):
    _, out = ran
    names = ("00_good", "07_scoreboard")
    injected = {
        name: nbformat.read(out / f"{name}.ipynb", 4).metadata.papermill.parameters
        for name in names
    }
    assert injected == {"00_good": {"seed": 3, "shots": 7}, "07_scoreboard": {"seed": 3}}
    record = json.loads((out / "claims" / "C001.quick.json").read_text())
    assert record["seed"] == 3 and record["provenance"]["command"].startswith(
        "python -m mamlkit run --folder"
    )


def test_the_kernel_is_this_interpreter(ran):
    _, out = ran
    assert (
        nbformat.read(out / "00_good.ipynb", 4).metadata.language_info.version
        == sys.version.split()[0]
    )


def test_pages_need_no_network(ran):
    _, out = ran
    page = (out / "00_good.html").read_text()
    assert not re.search(
        r"<script|<link[^>]+href|<(?:img|iframe|source)[^>]+src=.?http|url\([\"']?http|@import",
        page,
    )
    assert "<math" in page and "$" not in re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)
    assert """alt='one "white" dot'""" in page
    assert "<div>height: 2.5</div>" in page and "the height is 2.5" in page  # the widget's state
    assert 'href="02_other.html"' in page


def test_progress_says_notebook_cell_heading_and_seconds_left(tmp_path, monkeypatch, capfd):
    book = write(tmp_path / "book", _00_good=GOOD + SLOW)
    faster = headless.watched
    monkeypatch.setattr(headless, "watched", lambda line: faster(line, every=0.3))
    (outcome,) = headless.run(
        notebooks(book), {book / "00_good.py": {}}, tmp_path / "out", command="test"
    )
    lines = [line for line in capfd.readouterr().err.splitlines() if "counting" in line]
    assert outcome.error is None
    expected = (
        r"\[1/1\] 00_good · cell 5 of 5 · Training · counting \d+ of 30 at \d+ · "
        r"\d s left in this step"
    )
    assert re.fullmatch(expected, lines[1])


def test_seconds_left_in_all_come_from_the_committed_run():
    cells = [nbformat.v4.new_code_cell(id=f"cell-00{n}") for n in (1, 2, 3)]
    place = headless.Place("x", cells, {"cell-002": 100.0, "cell-003": 200.0}, later=60.0)
    place.enter(0)
    assert place.line() == "x · cell 1 of 3 · about 6 min left in all"
    place.enter(1)
    place.progress = {"label": "train", "done": 1, "total": 2000, "left": 30.0, "note": ""}
    assert (
        place.line()
        == "x · cell 2 of 3 · train 1 of 2,000 · 30 s left in this step · about 5 min left in all"
    )


def test_two_runs_do_not_write_one_folder(tmp_path):
    path = write(tmp_path / "book", _00_good=GOOD) / "00_good.py"
    with lock(tmp_path / "out" / "run"):
        with pytest.raises(ValueError, match="out/run is being written by another run; wait until"):
            headless.run([path], {path: {}}, tmp_path / "out", command="test")
    assert not list((tmp_path / "out").glob("*.ipynb"))


def test_records_that_cannot_be_read_are_named_and_end_nothing(tmp_path):
    records = {
        "C001.quick.json": b'{"verdict": "partial"}',
        "C002.quick.json": b"{",
        "C003.quick.json": b'{"verdict": "splendid"}',
        "C004.quick.json": b"[]",
        "C005.quick.json": b"\xff",
    }
    (tmp_path / "claims").mkdir()
    for name, content in records.items():
        (tmp_path / "claims" / name).write_bytes(content)
    damaged = " ".join(list(records)[1:])
    assert headless.verdicts(tmp_path) == f"1 partial, damaged: {damaged}"
    assert headless.verdicts(tmp_path / "nothing") == ""


@pytest.mark.parametrize("full", [".ipynb", ".html"])
def test_a_full_disk_leaves_nothing_cut(tmp_path, monkeypatch, full):
    path = write(tmp_path / "book", _00_good=OTHER) / "00_good.py"
    whole = Path.write_bytes

    def write_bytes(self, data):
        if full in self.name:
            whole(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left"):
        headless.execute(path, tmp_path / "out", {}, command="test", prefix="")
    names = {p.name for p in (tmp_path / "out").iterdir() if p.suffix != ".log"}
    assert names == ({"00_good.ipynb"} if full == ".html" else set())


def test_a_dead_kernel_is_one_line_too(tmp_path):
    dying = OTHER + "\n# %%\nimport os\n\nos._exit(1)\n"
    path = write(tmp_path / "book", _00_dies=dying) / "00_dies.py"
    outcome = headless.execute(path, tmp_path / "out", {}, command="test", prefix="")
    assert outcome.error.startswith("00_dies failed in cell 3: its kernel died")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere kernels listen on ports")
def test_a_kernel_takes_no_port_that_another_may_take_too(tmp_path):
    """But one, which carries what child processes print, and is taken as it is found."""
    count = "sum(c.status == 'LISTEN' for c in psutil.Process().net_connections())"
    cell = f"\n# %%\nimport psutil\n\nassert {count} <= 1\n"
    path = write(tmp_path / "book", _00_quiet=OTHER + cell) / "00_quiet.py"
    outcome = headless.execute(path, tmp_path / "out", {}, command="test", prefix="")
    assert outcome.error is None


def test_nbval_catches_a_knob_whose_callback_raises(tmp_path):
    broken = WIDGET.replace(
        'print(f"the height is {height}")', 'raise RuntimeError("no such height")'
    )
    prepare(
        notebooks(write(tmp_path / "book", _00_good=OTHER + WIDGET, _01_broken=OTHER + broken)),
        tmp_path / "smoke",
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            tmp_path / "smoke",
            "--nbval-lax",
            "--nbval-current-env",
            "-q",
            "-p",
            "no:cacheprovider",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
    )
    assert (
        result.returncode == 1 and "1 failed" in result.stdout and "no such height" in result.stdout
    )
    assert re.search(r"FAILED .*01_broken.ipynb::Cell", result.stdout)
    smoke = nbformat.read(tmp_path / "smoke" / "00_good.ipynb", 4)
    assert any('profile = "smoke"' in cell.source for cell in smoke.cells)

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mamlkit.bank import experiment as bank
from mamlkit.bank import work
from mamlkit.bank.experiment import load, path
from mamlkit.bank.process import Ended
from mamlkit.bank.work import checks, in_words, listing, missing
from mamlkit.files import ROOT
from tests.bank.tiny import SLOW, TINY

BANKING = """
import signal, sys
from pathlib import Path
from mamlkit.bank import process, work
from tests.bank import tiny

if __name__ == "__main__":
    process.PATIENCE = 10.0
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
    chosen = getattr(tiny, sys.argv[1])
    sys.exit(work.run(work.missing([chosen], "smoke", 1)))
"""


@pytest.fixture
def start(tmp_path):
    """Starts a process that banks an experiment under a folder of its own."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("mamlkit", "tests"):
        (copy / name).symlink_to(ROOT / name)
    (copy / "banking.py").write_text(BANKING, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    environment |= {"MAMLKIT_TINY_PLACE": str(copy)}

    def go(*words):
        return subprocess.Popen(
            [sys.executable, "banking.py", *words],
            cwd=copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    go.root = copy
    yield go
    subprocess.run(["pkill", "-9", "-f", str(copy)], check=False)


def running(run: Path):
    """Waits until a cell's run has saved something."""
    until = time.monotonic() + 120
    while not run.exists():
        assert time.monotonic() < until, "nothing was saved"
        time.sleep(0.2)


def children(process):
    """The processes that this one started, at any depth."""
    said = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parent = dict(map(int, line.split()) for line in said.splitlines())
    found = {process.pid}
    for _ in range(5):
        found |= {child for child, above in parent.items() if above in found}
    return found - {process.pid}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_cells_are_made_in_processes_of_their_own_and_not_again(start, monkeypatch):
    process = start("TINY")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "tiny maml-0: banked after" in said and "tiny fomaml-0: banked after" in said
    assert "tiny maml-0  meta-batch of 2, 2 at once, uncompiled" in said
    kept = sorted(p.name for p in start.root.rglob("data/cache/bank/smoke/tiny/*"))
    assert kept == ["fomaml-0.safetensors", "maml-0.safetensors"]
    assert not [*start.root.rglob("data/cache/runs/**/*.safetensors*")], "a run that is kept goes"
    monkeypatch.setattr(bank, "ROOT", start.root)
    assert missing([TINY], "smoke", 1) == [] and work.run([]) == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_cell_ends_with_its_parent_and_saves(start, end):
    process = start("STUCK")
    run = start.root / "data/cache/runs/smoke/stuck/maml-0.safetensors"
    running(run)
    below = children(process)
    assert below
    process.send_signal(end)
    process.wait(30)
    until = time.monotonic() + 25
    while any(map(alive, below)):
        assert time.monotonic() < until, "a training goes on without its parent"
        time.sleep(0.2)
    assert run.exists() and not [*run.parent.glob(".*")], "no lock and no half file is left"


def test_two_processes_never_make_one_cell(start):
    runs = start.root / "data/cache/runs/smoke/stuck"
    first = start("STUCK")
    running(runs / "maml-0.safetensors")
    second = start("STUCK")
    running(runs / "fomaml-0.safetensors")
    second.send_signal(signal.SIGINT)
    said, _ = second.communicate(timeout=300)
    assert "maml-0.safetensors is being written by another run" in said
    assert "stuck maml-0: failed after" in said and "stuck fomaml-0: interrupted after" in said
    assert "What remains: stuck fomaml-0. The same command goes on" in said
    assert second.returncode == 3 and said.count("Traceback") == 0 and first.poll() is None
    first.send_signal(signal.SIGINT)
    assert first.wait(120) == 3


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    return tmp_path


def test_what_takes_far_too_long_waits_while_something_else_fits(here, monkeypatch, capsys):
    made = []
    done = Ended("done", None, 1.0)
    monkeypatch.setattr(work, "call", lambda _, job, seconds: made.append(job.name) or done)
    jobs = [*missing([SLOW], "smoke", 1), *missing([TINY], "smoke", 1)]
    assert work.run(jobs, 5.0) == 0
    assert made == ["tiny maml-0", "tiny fomaml-0", "slow maml-0", "slow fomaml-0"]
    for minutes in (50.0, None):  # two hours are not far from fifty minutes
        made.clear()
        assert work.run(jobs, minutes) == 0 and made[0] == "slow maml-0"
    capsys.readouterr()


def test_time_that_is_up_ends_the_cell_that_runs(here, monkeypatch, capsys):
    given, ends = [], iter(["done", "interrupted"])
    end = lambda _, job, seconds: given.append(seconds) or Ended(next(ends), None, 1.0)
    monkeypatch.setattr(work, "call", end)
    assert work.run(missing([TINY], "smoke", 2), 0.5) == 3
    assert 0 <= given[1] <= given[0] <= 30.0 and len(given) == 2
    assert "What remains: tiny maml-1, tiny fomaml-0, tiny fomaml-1." in capsys.readouterr().out


def test_a_failed_cell_does_not_stop_the_others(here, monkeypatch, capsys):
    ends = iter(["failed", "done"])
    monkeypatch.setattr(work, "call", lambda _, job, seconds: Ended(next(ends), None, 1.0))
    assert work.run(missing([TINY], "smoke", 1)) == 1
    assert "Failed: tiny maml-0." in capsys.readouterr().out


def test_the_list_says_what_is_there_and_what_the_rest_takes(here):
    assert list(listing([TINY, SLOW], "smoke", 1)) == [
        "tiny: 0 of 2 banked, about 2 seconds left",
        "slow: 0 of 2 banked, about 4 hours left",
    ]
    setting = TINY.cells("smoke", 1)["maml-0"]
    bank.make(TINY, "maml-0", setting, "smoke")
    assert next(listing([TINY], "smoke", 1)) == "tiny: 1 of 2 banked, about 1 seconds left"
    assert [job.cell for job in missing([TINY], "smoke", 1)] == ["fomaml-0"]
    assert dict(checks([TINY], "smoke")) == {"tiny maml-0": "same"}


def test_a_damaged_file_is_named_and_nothing_is_overwritten(here):
    setting = TINY.cells("smoke", 1)["maml-0"]
    file = bank.make(TINY, "maml-0", setting, "smoke")
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="maml-0.safetensors is damaged"):
        load(TINY, "smoke")
    with pytest.raises(ValueError, match="maml-0.safetensors is damaged"):
        missing([TINY], "smoke", 1)
    assert "is damaged" in dict(checks([TINY], "smoke"))["tiny maml-0"]
    assert path(TINY, "maml-0", "smoke").read_bytes() == bytes(data)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "3 seconds"),
        (80, "80 seconds"),
        (90, "2 minutes"),
        (200, "3 minutes"),
        (5_000, "83 minutes"),
        (9_000, "2 hours"),
        (100_000, "28 hours"),
        (900_000, "10 days"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words

"""Cells over workers: all are banked whatever dies, with the same numbers, and nothing stays
behind."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch

from mamlkit.__main__ import main
from mamlkit.bank import experiment as bank
from mamlkit.bank import work
from mamlkit.bank.checkpoint import read
from mamlkit.book import sweep
from mamlkit.files import ROOT
from mamlkit.scale import workers as module
from mamlkit.scale.workers import workers
from tests.bank.tiny import RESTED, TINY
from tests.small_notebooks import SOMETIMES, write


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder in which this process, and those that it starts, keep results."""
    monkeypatch.setenv("MAMLKIT_TINY_PLACE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    return tmp_path


def until(true, seconds=120):
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.1)


def cells_of(pid):
    """The processes that a worker has begun."""
    return psutil.Process(pid).children()


def pid_of_first(client):
    """The process of a cluster's first worker, if it is there."""
    known = client.scheduler_info()["workers"]
    first = [address for address, about in known.items() if about["name"] == 0]
    return client.run(os.getpid, workers=first)[first[0]] if first else None


def test_four_cells_are_banked_by_two_workers_though_one_is_killed_twice(root, capsys):
    jobs, killed = work.missing([RESTED], "quick", 2), []
    assert len(jobs) == 4
    saved = lambda: len([*(root / "data/cache/runs").rglob("*.safetensors")])

    def kill(client):
        """The first worker, twice, while it has a cell that has saved something."""
        for _ in range(2):
            until(lambda: saved() == 2 and pid_of_first(client) not in [None, *killed])
            pid = pid_of_first(client)
            until(lambda: cells_of(pid))  # a worker that is new has no cell at once
            (cell,) = cells_of(pid)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            until(lambda: not cell.is_running(), 40)

    with workers(2) as client, ThreadPoolExecutor(1) as aside:
        kills = aside.submit(kill, client)
        assert module.over(client, jobs) == 0
        kills.result()
    assert len(set(killed)) == 2
    said = capsys.readouterr().out
    for job in jobs:
        assert f"{job.name}: banked after" in said and f"{job.name}  trained in" in said
        there = read(bank.path(RESTED, job.cell, "quick"))[1]
        plain = TINY.cells("quick", 2)[job.cell]
        here = read(bank.make(TINY, job.cell, plain, "quick"))[1]
        assert there.keys() == here.keys()
        assert all(torch.equal(there[name], here[name]) for name in here)


BANKING = """
import signal, sys
from mamlkit.bank import process, work
from mamlkit.scale import workers
from tests.bank.tiny import STUCK

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(workers.bank(work.missing([STUCK], "smoke", 1), None, 2))
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_behind_and_nothing_listens_to_other_machines(end, root):
    (root / "banking.py").write_text(BANKING, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "banking.py"], cwd=root, stdout=subprocess.PIPE, text=True
    )
    saved = lambda: len([*(root / "data/cache/runs").rglob("*.safetensors")])
    until(lambda: saved() == 2)
    below = psutil.Process(process.pid).children(recursive=True)
    cells = [p for p in below if "mamlkit.bank.process" in " ".join(p.cmdline())]
    assert len(cells) == 2
    ports = [
        c.laddr
        for p in (psutil.Process(process.pid), *below)
        for c in p.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    ]
    assert ports and {port.ip for port in ports} == {"127.0.0.1"}
    process.send_signal(end)
    said, _ = process.communicate(timeout=60)
    until(lambda: not any(p.is_running() for p in below), 40)
    assert saved() == 2 and not [*(root / "data/cache/runs").rglob(".*.lock")]
    assert "dashboard: http://127.0.0.1:" in said
    if end == signal.SIGINT:
        assert process.returncode == 3
        assert "What remains: stuck maml-0, stuck fomaml-0. The same command goes on" in said


def test_a_grid_goes_over_workers(root, tmp_path, capsys):
    """One fails, one is done before; the rest as without workers."""
    book = write(tmp_path / "book", _00_sometimes=SOMETIMES)
    words = ["run", "00", "--folder", str(book), "--out", str(tmp_path / "out")]
    words += ["-p", "profile=smoke", "--workers", "2", "--grid"]
    assert main([*words, "seed=0,1"]) == 1
    said = capsys.readouterr().out
    table = [line.split()[1:3] for line in said.splitlines() if line.startswith("profile=smoke")]
    assert table == [["seed=0", "done"], ["seed=1", "failed"]]
    assert "1 of 2 failed:" in said
    rows = json.loads((tmp_path / "out" / "sweep.json").read_text())["runs"]
    assert [row["parameters"]["seed"] for row in rows] == [0, 1]
    assert all((tmp_path / "out" / row["folder"] / "00_sometimes.html").exists() for row in rows)


def test_rows_stand_in_order_whoever_is_first_and_a_lost_one_has_failed(tmp_path):
    path = write(tmp_path / "book", _00_sometimes=SOMETIMES) / "00_sometimes.py"
    points = sweep.points([path], {}, {"seed": "4,5,6"})
    row = sweep._lost(points[0]) | {"status": "done", "error": None}
    each = lambda calls: (
        (n, None if n == 1 else row | {"parameters": points[n].values}) for n in reversed(calls)
    )
    rows = sweep.sweep(points, tmp_path / "out", command="test", each=each)
    assert [r["parameters"]["seed"] for r in rows] == [4, 5, 6]
    assert [r["status"] for r in rows] == ["done", "failed", "done"]
    assert rows[1]["error"] == "its process or its workers died" and sweep.table(rows)


def test_refusals(capsys):
    refused = {
        ("bank", "--only", "sinusoid", "--workers", "0"): "workers is 0",
        ("bank", "--only", "sinusoid", "--workers", "99999999"): "workers is 99999999: it must",
        ("bank", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"): "--workers starts workers",
        ("run", "01", "--workers", "2"): "--grid goes over",
    }
    for words, sentence in refused.items():
        assert main([*words, *(["--profile", "smoke"] if words[0] == "bank" else [])]) == 2
        assert capsys.readouterr().err.startswith(f"mamlkit: {sentence}")


def test_without_dask_the_extra_is_named(monkeypatch, root, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ["bank", "--profile", "smoke", "--only", "two-gradients", "--workers", "2"]
    assert main(words) == 2
    assert "pip install 'mamlkit[scale]'" in capsys.readouterr().err


def test_a_scheduler_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no scheduler answers at tcp://127.0.0.1:1: "):
        with workers(scheduler="tcp://127.0.0.1:1", patience=1):
            pass

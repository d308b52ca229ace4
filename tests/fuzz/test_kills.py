"""Runs killed at random moments: nothing is cut, the same command goes on, nobody stays behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import nbformat

from mamlkit.machine import ROOT
from tests.fuzz.rule import count
from tests.small_notebooks import OTHER, write

SLOW = OTHER + "\n# %%\nimport time\n\nfor _ in range(10):\n    time.sleep(0.05)\n"


def started(words):
    return subprocess.Popen(
        [sys.executable, "-m", "mamlkit", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kernels(out):
    """The processes that write their results somewhere in `out`."""
    found = []
    for folder in os.scandir("/proc"):
        if folder.name.isdigit():
            try:
                with open(f"/proc/{folder.name}/environ", "rb") as file:
                    asked = f"MAMLKIT_RESULTS={out}".encode() in file.read()
            except OSError:
                continue
            found += [int(folder.name)] if asked else []
    return found


def whole(out):
    """Every file in a folder can be read, and none is half written."""
    for path in out.rglob("*"):
        if path.suffix == ".ipynb":
            nbformat.read(path, 4)
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        if path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


def test_run_and_grid(tmp_path):
    folder, rng = write(tmp_path / "book", _00_a=SLOW, _01_b=OTHER), random.Random(0)
    commands = [["run", "00", "--grid", "seed=0,1"], ["run"]]
    for round in range(count(1)):
        out = tmp_path / f"out{round}"
        words = [*commands[round % 2], "--folder", str(folder), "--out", str(out)]
        process = started(words)
        until = time.monotonic() + 60
        while not kernels(out) and time.monotonic() < until:
            time.sleep(0.1)
        assert kernels(out)
        time.sleep(rng.uniform(0, 4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        whole(out)
        until = time.monotonic() + 20
        while kernels(out) and time.monotonic() < until:
            time.sleep(0.2)
        assert not kernels(out), "a kernel ends with its parent"
        assert started(words).wait() == 0, "the same command goes on"
        whole(out)
        left = [p.name for p in out.rglob(".*") if p.name != ".mamlkit-run"]
        assert not left, left

"""What the workloads say together: the table and the figure, from records of made-up times."""

import json
import sys

import pytest
import torch

from mamlkit.files import ROOT
from tests.benchmarks import speed, summary

ORIGIN = {"commit": "c0ffee", "date": "2026-11-27"}
MACHINE = {"device": "cpu", "torch": "2.13.0", "cpu": "one"}


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "RECORDS", tmp_path)
    times = {"mamlkit": 6.0, "mamlkit, uncompiled": 3.0, "higher": 4.0, "JAX": 5.0}
    ran = [
        {"contestant": n, "order": 2, "cpu_ms": t, "peak_mb": 10 * t + 0.4}
        for n, t in times.items()
    ]
    floor = {"contestant": "matmul floor", "order": 2, "cpu_ms": 2.0, "peak_mb": 7.0}
    for name, of in {"S": ran, "O1": [*ran, floor], "EM": [*ran, floor]}.items():
        record = {"rows": of, "machine": MACHINE, **ORIGIN}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))


def test_the_table_has_the_fastest_of_ours_beside_the_fastest_peer(records):
    found = summary.rows(["S", "O1"])
    first, second = summary.table(found)[-2:]
    words = ["2", "3.000", "30", "mamlkit,", "uncompiled", "4.000", "40", "higher", "0.75"]
    assert first.split() == ["S", *words, "nan"] and second.split() == ["O1", *words, "1.50"]
    assert found[0]["commit"] == "c0ffee" and found[1]["torch"] == "2.13.0"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much memory a process had")
def test_the_peak_of_a_round_is_counted_without_what_lay_there_before():
    kept = [torch.ones(2**24)]  # 64 MiB
    held = speed.memory(speed.Contestant(lambda n: torch.ones(n * 2**23).sum(), 4))
    assert kept and 120 < held < 150
    assert speed.memory(speed.Contestant(lambda n: None, 1)) < 20


def test_the_figure_and_its_numbers_are_kept_together(records, tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "ROOT", tmp_path)
    (tmp_path / "data").mkdir()
    found = summary.rows(["O1", "EM"])
    summary.keep(found)
    assert json.loads((tmp_path / "data" / "speed.json").read_text()) == found
    assert (tmp_path / "data" / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_the_kept_figure_has_a_row_for_every_workload_and_order():
    kept = json.loads((ROOT / "data" / "speed.json").read_text())
    both = [(w, order) for w in speed.WORKLOADS for order in (2, 1) if (w[0], order) != ("E", 2)]
    assert [(row["workload"], row["order"]) for row in kept] == both
    assert all({*summary.ALL, "commit"} <= row.keys() for row in kept)
    labels = [t.get_text() for t in summary.draw(kept).axes[0].get_yticklabels()]
    assert len(set(labels)) == len(kept)

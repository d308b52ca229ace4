"""Numbers that a notebook reports reach whoever runs it."""

import math

import pytest
import torch

from mamlkit.book.report import report, reported


def test_reports_add_up_and_replace(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAMLKIT_REPORT", str(tmp_path / "sub" / "n.json"))
    report(accuracy=torch.tensor([[0.98768]]), loss=2)
    report(loss=float("nan"))
    found = reported(tmp_path / "sub" / "n.json")
    assert found["accuracy"] == pytest.approx(0.98768) and math.isnan(found["loss"])
    assert capsys.readouterr().out == "accuracy=0.9877 loss=2\nloss=nan\n"


def test_a_script_prints(monkeypatch, capsys):
    monkeypatch.delenv("MAMLKIT_REPORT", raising=False)
    report(a=1)
    assert capsys.readouterr().out == "a=1\n"


@pytest.mark.parametrize("value", ["1", None, torch.zeros(2), [1.0]])
def test_only_numbers_are_reported(value):
    with pytest.raises(ValueError, match="accuracy is .*: report takes one number for each name"):
        report(accuracy=value)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_file_reports_nothing(tmp_path, content):
    (tmp_path / "n.json").write_text(content)
    assert reported(tmp_path / "n.json") == reported(tmp_path / "no.json") == {}

"""The figure of what an update costs as it grows."""

import pytest

from tests.benchmarks import scaling
from tests.benchmarks.speed import Contestant


def test_the_line_through_the_points_is_found():
    constant, slope = scaling.line((1, 4, 16), [0.5 + 2 * n for n in (1, 4, 16)])
    assert (constant, slope) == (pytest.approx(0.5), pytest.approx(2.0))


def test_the_figure_has_a_panel_for_each_axis_and_its_numbers(tmp_path, monkeypatch, capsys):
    idle = lambda _: (Contestant(lambda n: None, 1), Contestant(lambda n: None, 1))
    monkeypatch.setattr(scaling, "AXES", {"tasks": ((1, 2), idle), "ways": ((5, 20), idle)})
    monkeypatch.setattr(scaling, "RECORDS", tmp_path)
    times = iter(range(1, 1000))
    monkeypatch.setattr(scaling, "clock", lambda contestant: (0.0, float(next(times))))
    scaling.main()
    drawn = (tmp_path / "scaling.svg").read_text()
    assert drawn.count('id="axes_') == 2 and (tmp_path / "scaling.json").exists()
    assert capsys.readouterr().out.count("ms each") == 4

"""The figures of chapter 03 draw the numbers that they are given, in the methods' colours."""

import pytest

from mamlkit.show import first_order as pictures
from mamlkit.show.plots import LOOKS, tidy

pytest.importorskip("matplotlib")

MAML, FIRST = LOOKS["maml"].color, LOOKS["fomaml"].color


def lines(ax, color=None):
    """(x, y) of the lines that hold data, of one colour."""
    return [
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in ax.lines
        if len(line.get_xdata()) and (color is None or line.get_color() == color)
    ]


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_dumbbells_say_the_difference_and_are_hollow_below_the_papers_budget(share):
    rows = {"one": (99.0, 98.25), "two": (97.0, 96.0)}
    fig = pictures.dumbbells(rows, {"one": (98.7, 98.3)}, "message", share)
    (ax,) = fig.axes
    assert ([99.0], [0]) in lines(ax, MAML) and ([96.0], [1]) in lines(ax, FIRST)
    assert {text.get_text() for text in ax.texts} == {"+0.75", "+1.00"}
    marks = [line for line in ax.lines if line.get_marker() in ("o", "s", "D")]
    faces = {line.get_marker(): line.get_markerfacecolor() for line in marks}
    assert faces == ({"o": MAML, "s": FIRST} if share == 1 else dict.fromkeys("os", "none")) | {
        "D": "none"
    }
    assert [x for x, y in ((m.get_xdata(), m.get_ydata()) for m in marks) if list(x) == [98.7]]


def test_bars_are_hatched_and_as_long_as_what_they_say():
    fig = pictures.bars({"a": ("random", 55.0), "b": ("maml", 98.0)}, "message")
    bars = fig.axes[0].patches
    assert [bar.get_width() for bar in bars] == [55.0, 98.0] and all(b.get_hatch() for b in bars)
    assert [t.get_text() for t in fig.axes[0].texts] == ["55.0 %", "98.0 %"]


def test_a_run_of_today_lies_pale_over_the_banked_one():
    paths = {("net", a): [4.0, 2.0, 1.0] for a in ("ReLU", "tanh", "softplus")}
    fig = pictures.along(paths, 20, "message")
    assert lines(fig.axes[0], MAML) == [([0, 20, 40], [4.0, 2.0, 1.0])]
    fig = pictures.along({("net", "ReLU"): [4.0, 2.0, 1.0]}, 20, "message", [4.1, 2.1])
    pale = [line for line in fig.axes[0].lines if line.get_alpha()]
    assert [list(line.get_ydata()) for line in pale] == [[4.1, 2.1]]
    tidy(fig)


def test_parts_and_layers():
    begin = {("net, batch norm", "ReLU"): (3.0, 2.0, 1.5), ("net, batch norm", "tanh"): (4, 3, 2)}
    layers = {"at the start": [5, 4, 3, 2, 1], "trained": [1, 1, 1, 1, 0.5]}
    fig = pictures.parts(begin, layers, "message")
    left, right = fig.axes
    assert [x[0] for x, _ in lines(left, MAML)] == [3.0, 2.0, 1.5]
    assert [t.get_text() for t in left.get_yticklabels()] == [
        "net + norm: ReLU",
        "net + norm: tanh",
    ]
    assert [y for _, y in lines(right)] == [*layers.values()]
    assert [line.get_markerfacecolor() == "none" for line in right.lines] == [False, True]


def test_cosines_stand_beside_each_other():
    start, end = {0.004: [0.9, 0.8], 0.4: [0.1, 0.0]}, {0.004: [1.0, 1.0], 0.4: [0.6, 0.5]}
    fig = pictures.cosines([1, 10], start, end, "message")
    for ax, found in zip(fig.axes, (start, end)):
        assert [y for x, y in lines(ax, MAML)] == [*found.values()]


def test_savings_are_sorted_and_hold_bar_line_and_dot():
    operations, closed = {"a": 50.0, "b": 30.0}, {"a": 49.0, "b": 33.0}
    (ax,) = pictures.savings(operations, {"b": 25.0}, closed, "message").axes
    assert [bar.get_width() for bar in ax.patches] == [30.0, 50.0]
    assert lines(ax, MAML) == [([25.0], [0])], "only what was timed has a dot"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "a"]


def test_memory_has_a_panel_for_each_setting_and_dots_for_what_is_kept():
    sizes = {"a": {"maml": [(4, 2), (8, 5)], "fomaml": [(3, 1), (3, 1)]}}
    fig = pictures.memory([1, 10], sizes | {"b": sizes["a"]}, "message")
    assert len(fig.axes) == 2
    assert lines(fig.axes[0], MAML) == [([1, 10], [4, 8]), ([1, 10], [2, 5])]


def test_step_sizes_are_drawn_for_each_number_of_steps():
    (ax,) = pictures.step_sizes([0.5, 1.0], {1: [60.0, 70.0], 2: [65.0, 71.0]}, "message").axes
    assert lines(ax, MAML) == [([0.5, 1.0], [60.0, 70.0]), ([0.5, 1.0], [65.0, 71.0])]
    assert [t.get_text() for t in ax.texts] == ["1 step", "2 steps"]

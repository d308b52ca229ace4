"""The figures of chapter 6 show the numbers that they are given."""

import pytest

from mamlkit.show.plots import LOOKS
from mamlkit.show.variants import Panel, by_row, over_steps

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def dots(ax, color):
    lines = [line for line in ax.lines if line.get_color() == color]
    return [(list(line.get_xdata()), line.get_markerfacecolor()) for line in lines]


def test_each_method_has_its_row_of_dots():
    first = {"maml": [1.0, 2.0], "fomaml": [3.0]}
    second = {"maml": [0.5], "fomaml": []}
    names = {"maml": "MAML", "fomaml": "first order"}
    fig = by_row("title", names, [Panel("error", first, second), Panel("ms", first, chance=2.0)])
    left, right = fig.axes
    blue = LOOKS["maml"].color
    assert dots(left, blue) == [([1.0, 2.0], blue), ([0.5], "none")]
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["MAML", "first order"]
    assert [2.0, 2.0] in [list(line.get_xdata()) for line in right.lines]


def test_below_the_papers_budget_dots_are_hollow():
    fig = by_row("title", {"maml": "MAML"}, [Panel("%", {"maml": [50.0]})], hollow=True)
    assert dots(fig.axes[0], LOOKS["maml"].color)[0] == ([50.0], "none")


def test_a_line_for_each_method_over_the_steps():
    fig = over_steps("title", {"MiB": {"maml": [1, 2], "imaml": [1, 1]}}, [1, 5])
    assert [list(line.get_ydata()) for line in fig.axes[0].lines] == [[1, 2], [1, 1]]
    assert fig.axes[0].get_ylabel() == "MiB"

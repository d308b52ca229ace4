"""How many ranks pay, as a picture and in words."""

import pytest

from mamlkit.scale.cost import counted, fitted, measured, pays_until, timed
from mamlkit.scale.picture import NAMES, in_words, speedups

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def drawn():
    yield speedups()
    plt.close("all")


def test_each_training_has_a_line_from_one_and_a_mark_for_each_measurement(drawn):
    fig, alt = drawn
    lines = fig.axes[0].lines
    assert len(lines) == 2 * len(NAMES) and all(line.get_ydata()[0] == 1 for line in lines)
    marks = timed("S", measured())
    assert [*lines[1].get_xdata()] == [*marks]
    assert lines[1].get_ydata()[1] == pytest.approx(marks[1] / marks[2])


def test_the_title_says_which_trainings_two_ranks_make_faster(drawn):
    _, alt = drawn
    pay, _, do_not = alt.partition(", not for")
    for name, label in NAMES.items():
        marks = timed(name, measured())
        assert label in (pay if marks[2] < marks[1] else do_not)


def test_the_words_give_the_quickest_number_of_ranks():
    kept = measured()
    for name, label in NAMES.items():
        best = pays_until(counted(name), fitted(name, kept))
        (row,) = (line for line in in_words().split("\n") if line.startswith(f"| {label} "))
        assert row.endswith(f"| {best} |")

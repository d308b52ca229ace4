"""One style: methods are told apart by colour and by line and marker, and every figure reads on any
page."""

from itertools import combinations

import pytest
import torch

from mamlkit.show import plots
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, apart, canvas, draw, tidy

plt = pytest.importorskip("matplotlib.pyplot")
from matplotlib.colors import to_rgb  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def luminance(color):
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("one", "other"), [*combinations(LOOKS, 2)])
def test_any_two_methods_differ_in_name_in_colour_and_in_line_or_marker(one, other):
    a, b = LOOKS[one], LOOKS[other]
    assert a.label != b.label and a.color.lower() != b.color.lower()
    assert (a.line, a.marker) != (b.line, b.marker), "told apart without colour"


def test_colours_are_okabe_and_itos_or_tols_or_grey():
    okabe_ito = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    tol = {"#882255", "#332288"}
    for look in LOOKS.values():
        r, g, b = to_rgb(look.color)
        assert look.color in okabe_ito | tol or r == g == b


def test_ink_reads_on_the_ground_and_every_method_is_seen_on_it():
    assert contrast(INK, GROUND) > 7 and contrast(QUIET, GROUND) > 3
    assert all(contrast(look.color, GROUND) > 2.2 for look in LOOKS.values())


@pytest.mark.parametrize("method", LOOKS)
def test_a_method_is_drawn_in_its_look(method):
    _, ax = canvas("title")
    line = draw(ax, method, [0, 1, 2], [5.0, 3.0, 4.0])
    look = LOOKS[method]
    assert line.get_color() == look.color and (line.get_marker() or "") == look.marker
    assert list(line.get_xdata()) == [0, 1, 2] and list(line.get_ydata()) == [5, 3, 4]
    assert line in ax.lines and (line.get_linestyle() == "None") == (look.line == "")


def test_the_label_stands_where_the_line_ends():
    _, ax = canvas("title")
    draw(ax, "maml", [0, 1, 2], [5.0, 3.0, 4.0])
    (label,) = ax.texts
    assert (
        label.get_text() == "MAML"
        and label.xy == (2, 4.0)
        and label.get_color() == LOOKS["maml"].color
    )
    assert not label.get_annotation_clip()


def test_a_label_can_be_another_or_none():
    _, ax = canvas("title")
    draw(ax, "oracle", [0, 1], [1, 2], label="exact")
    draw(ax, "oracle", [0, 1], [1, 2], label="")
    assert [t.get_text() for t in ax.texts] == ["exact"]


def test_an_interval_is_a_band_in_the_methods_colour():
    _, ax = canvas("title")
    draw(ax, "pretrained", [0, 1, 3], [5, 3, 4], interval=([4, 2, 1], [6, 7, 9]))
    (band,) = ax.collections
    vertices = {tuple(v) for v in band.get_paths()[0].vertices}
    assert {(0, 4), (1, 2), (3, 1), (0, 6), (1, 7), (3, 9)} <= vertices
    assert (
        tuple(band.get_facecolor()[0][:3]) == to_rgb(LOOKS["pretrained"].color)
        and band.get_facecolor()[0][3] < 0.5
    )


def test_a_style_given_by_hand_wins():
    _, ax = canvas("title")
    line = draw(ax, "maml", [0, 1], [1, 2], linewidth=5, marker="")
    assert (
        line.get_linewidth() == 5
        and line.get_marker() == ""
        and line.get_color() == LOOKS["maml"].color
    )


def test_tensors_are_drawn_as_they_are():
    import torch

    _, ax = canvas("title")
    line = draw(
        ax,
        "fomaml",
        torch.arange(3),
        torch.tensor([1.0, 4.0, 2.0]),
        interval=(torch.zeros(3), torch.ones(3)),
    )
    assert line.get_ydata().tolist() == [1, 4, 2] and tuple(map(float, ax.texts[0].xy)) == (2, 2)


def test_an_unknown_method_is_an_error_that_names_it():
    _, ax = canvas("title")
    with pytest.raises(KeyError, match="protomaml"):
        draw(ax, "protomaml", [0], [0])


def test_a_canvas_has_its_message_its_axes_and_an_opaque_ground():
    fig, axes = canvas("MAML is lower everywhere", rows=2, columns=3, sharex=True)
    assert axes.shape == (2, 3) and fig._suptitle.get_text() == "MAML is lower everywhere"
    assert fig.get_facecolor() == (*to_rgb(GROUND), 1.0) and all(
        ax.get_facecolor() == (*to_rgb(GROUND), 1.0) for ax in fig.axes
    )
    assert not any(ax.spines[side].get_visible() for ax in fig.axes for side in ("top", "right"))


def test_labels_set_later_are_in_the_books_ink():
    _, ax = canvas("title")
    ax.set(title="a", xlabel="b", ylabel="c")
    assert {t.get_color() for t in (ax.title, ax.xaxis.label, ax.yaxis.label)} == {INK}


@pytest.mark.parametrize("width", [5.0, 7.0])
def test_a_long_message_stays_on_its_figure(width):
    fig, _ = canvas(
        "One `maml`, seven combinations of network and loss, and each of them adapts in one single"
        " gradient step, the policy too",
        width=width,
    )
    fig.canvas.draw()
    box = fig._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= fig.bbox.x1


def test_labels_at_line_ends_never_cover_each_other():
    fig, ax = canvas("title")
    for i, method in enumerate(("maml", "fomaml", "pretrained", "random")):
        draw(ax, method, [0, 1], [i, 10 * (i == 3) + 0.01 * i])
    fig.canvas.draw()
    before = [text.get_window_extent() for text in ax.texts]
    assert before[0].overlaps(before[1])
    tidy(fig)
    extents = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for a, b in combinations(extents, 2))
    assert extents[3].y0 == pytest.approx(before[3].y0, abs=1)  # what stands free stays


def test_numbers_are_moved_apart_and_as_little_as_can_be():
    assert apart([0.0, 5.0], 2) == [0, 5] and apart([1.0, 1.0], 2) == [0, 2]
    assert apart([0.0, 1.0, 7.0], 3) == pytest.approx([-1, 2, 7])
    assert (
        apart([0.0, 0.0, 4.0], 3) == pytest.approx([-5 / 3, 4 / 3, 13 / 3]) and apart([], 1) == []
    )


@pytest.mark.parametrize("columns", [1, 3])
def test_long_axis_labels_are_broken_to_fit(columns):
    fig, axes = canvas("title", columns=columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xlabel="a word and another one, " * 5, ylabel="a word and another one, " * 3)
    tidy(fig)
    fig.canvas.draw()
    for ax in axes.flat:
        for label in (ax.xaxis.label, ax.yaxis.label):
            box = label.get_window_extent()
            assert (
                box.x0 > -2
                and box.y0 > -2
                and box.x1 < fig.bbox.width + 2
                and box.y1 < fig.bbox.height + 2
            ), label


def test_a_readers_run_lies_over_the_banked_one():
    fig = plots.your_run("title", torch.tensor([3.0, 2.0]), torch.ones(250), each=100)
    banked, ours = fig.axes[0].lines
    assert [*banked.get_ydata()] == [3.0, 2.0] and [*banked.get_xdata()] == [50.0, 150.0]
    assert [*ours.get_ydata()] == [1.0, 1.0] and [*ours.get_xdata()] == [50.0, 150.0]
    short = plots.your_run("title", torch.tensor([3.0]), torch.ones(10), each=100)
    assert [*short.axes[0].lines[1].get_xdata()] == [5.0]


def test_means_leave_out_a_rest():
    assert plots.means(torch.arange(7.0), 3).tolist() == [1.0, 4.0]
    assert plots.means(torch.arange(3.0), 5).tolist() == [1.0]

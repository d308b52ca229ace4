"""One figure style for the whole book: a colour, a line and a marker for each method, from one
place.

Colours are Okabe and Ito's and two of Paul Tol's, told apart by readers who do not see all colours;
lines differ as well, for grey paper. The ground is opaque, so a figure reads the same on a light
and on a dark page.
"""

from textwrap import fill
from typing import Any, NamedTuple

GROUND, INK, QUIET = "#fdfdfb", "#222222", "#8a8a8a"
END = "line end"  # marks the labels that `tidy` may move


class Look(NamedTuple):
    """How a method is drawn everywhere."""

    label: str
    color: str
    line: Any  # a word or a pattern, as matplotlib takes it
    marker: str


LOOKS = {
    "maml": Look("MAML", "#0072B2", "-", "o"),
    "fomaml": Look("first-order MAML", "#56B4E9", "--", "s"),
    "pretrained": Look("pretrained", "#D55E00", "-.", "^"),
    "oracle": Look("oracle", "#009E73", (0, (6, 2)), "v"),
    "random": Look("random", "#8a8a8a", ":", "x"),
    "truth": Look("truth", "#222222", "-", ""),
    "imaml": Look("iMAML", "#E69F00", (0, (4, 1, 1, 1)), "P"),
    "meta_sgd": Look("Meta-SGD", "#4d4d4d", (0, (2, 1)), "*"),
    "reptile": Look("Reptile", "#707070", (0, (1, 1)), "h"),
    "mamlpp": Look("MAML++", "#333333", (0, (5, 1)), "p"),
    "anil": Look("ANIL", "#5c5c5c", (0, (3, 1, 1, 1)), "<"),
    "cavia": Look("CAVIA", "#9c9c9c", (0, (1, 2)), ">"),
    "context": Look("five numbers", "#882255", (0, (5, 2)), "d"),
    "rl2": Look("RL²", "#332288", (0, (3, 1)), "H"),
    "paper": Look("paper", "#CC79A7", "", "D"),
}


def draw(ax, method: str, x, y, *, label: str | None = None, interval=None, gap=5, **style):
    """Draws one method's line in its look; `label` is written where the line ends ("" for none).

    interval: (low, high), drawn as a band. gap: points between line and label. Returns the line.
    """
    look = LOOKS[method]
    (line,) = ax.plot(
        x,
        y,
        **{
            "color": look.color,
            "linestyle": look.line or "none",
            "marker": look.marker,
            "markersize": 4,
            "linewidth": 1.8,
        }
        | style,
    )
    if interval is not None:
        ax.fill_between(x, *interval, color=look.color, alpha=0.18, linewidth=0)
    text = look.label if label is None else label
    if text:
        ax.annotate(
            text,
            (x[-1], y[-1]),
            xytext=(gap, 0),
            textcoords="offset points",
            va="center",
            color=look.color,
            fontsize=9,
            annotation_clip=False,
            gid=END,
        )
    return line


def means(values, each: int):
    """Means of `each` values in a row (all of them where there are fewer); a rest at the end is
    left out.

    values: (n,), a tensor with n of 1 or more.
    """
    size = min(each, len(values))
    return values[: len(values) // size * size].unflatten(0, (-1, size)).mean(1)


def your_run(title: str, banked, losses, *, each: int, method: str = "maml", ylabel="query loss"):
    """A reader's losses, wide and pale, over the banked curve of the same method.

    banked: (m,) means of `each` banked losses. losses: (n,), one an iteration. Returns the figure.
    """
    fig, ax = canvas(title, height=2.6)
    middles = lambda curve, size: [size * (i + 0.5) for i in range(len(curve))]
    known, ours = middles(banked, each), means(losses, each)
    mine = middles(ours, min(each, len(losses)))
    draw(ax, method, known, banked, marker="", label="banked")
    wide: dict[str, Any] = {"linewidth": 6, "alpha": 0.35, "linestyle": "-"}
    wide["marker"] = "o" if len(mine) < 3 else ""
    line = draw(ax, method, mine, ours, label="", **wide)
    above = dict(xytext=(2, 7), textcoords="offset points", fontsize=9)
    ax.annotate("your run", (mine[-1], ours[-1]), color=line.get_color(), **above)
    ax.set(xlabel="meta-iteration", ylabel=ylabel, ylim=(0, None))
    ax.set_xlim(0, 1.15 * max(*known, *mine))
    return fig


def canvas(
    title: str,
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = 7.0,
    height: float = 3.0,
    **options,
) -> tuple[Any, Any]:
    """A figure whose title is its message, and its axes in the book's style. Returns (figure,
    axes)."""
    import matplotlib

    if matplotlib.get_backend().lower() != "module://ipympl.backend_nbagg":
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"axes.titlesize": 9.5, "axes.labelsize": 9.5}
    fig, axes = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", facecolor=GROUND, **options
    )
    fig.suptitle(
        fill(title, int(width * 10.5)), x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK
    )
    for ax in fig.axes:
        style(ax)
    return fig, axes


def style(ax) -> None:
    """Gives one pair of axes the book's look: no box, a light grid, dark ink on the book's
    ground."""
    ax.set_facecolor(GROUND)
    ax.spines[["top", "right"]].set_visible(False)
    for spine in ax.spines.values():
        spine.set_color(QUIET)
    ax.tick_params(colors=INK, labelsize=9)
    ax.grid(color="#e4e4e0", linewidth=0.6)
    ax.set_axisbelow(True)
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        text.set_color(INK)
        text.set_fontsize(9.5)


def tidy(fig) -> None:
    """Breaks axis labels that are longer than their axis, and moves labels at line ends apart until
    none covers another."""
    fig.canvas.draw()
    for ax in fig.axes:
        for label, room in ((ax.xaxis.label, ax.bbox.width), (ax.yaxis.label, ax.bbox.height)):
            extent = label.get_window_extent()
            if (
                longer := max(extent.width, extent.height) / room
            ) > 1 and "\n" not in label.get_text():
                label.set_text(fill(label.get_text(), int(len(label.get_text()) / longer)))
    fig.canvas.draw()
    for ax in fig.axes:
        ends = [text for text in ax.texts if text.get_gid() == END and text.get_text()]
        for x in {float(text.xy[0]) for text in ends}:
            column = sorted(
                (text for text in ends if float(text.xy[0]) == x),
                key=lambda text: float(text.xy[1]),
            )
            extents = [text.get_window_extent() for text in column]
            middles = [(e.y0 + e.y1) / 2 for e in extents]
            for text, old, new in zip(
                column, middles, apart(middles, max(e.height for e in extents) + 1)
            ):
                text.set_position(
                    (text.get_position()[0], text.get_position()[1] + (new - old) * 72 / fig.dpi)
                )


def apart(places: list[float], least: float) -> list[float]:
    """The rising numbers nearest to `places`, in the sense of least squares, whose distances are
    all at least `least`."""
    # [sum, count] of numbers that touch: their mean, each less the room that those below it take
    pools = []
    for i, place in enumerate(places):
        pools.append([place - i * least, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1] = [pools[-1][0] + total, pools[-1][1] + count]
    means = [total / count for total, count in pools for _ in range(count)]
    return [mean + i * least for i, mean in enumerate(means)]

"""The figures of chapter 6: a row for each variant, and lines over the inner steps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mamlkit.show.plots import INK, LOOKS, QUIET, canvas, draw


class Panel(NamedTuple):
    """One pair of axes with a row for each method. label: below it. values: a dot each, by method.
    second: another set of dots a little lower, drawn hollow. both: how a key calls the two sets.
    log: the scale. chance: a dotted line.
    """

    label: str
    values: Mapping[str, Sequence[float]]
    second: Mapping[str, Sequence[float]] | None = None
    both: tuple[str, str] | None = None
    log: bool = False
    chance: float | None = None
    limits: tuple[float | None, float | None] = (0, None)


def by_row(
    title: str,
    names: Mapping[str, str],
    panels: Sequence[Panel],
    *,
    hollow: bool = False,
    height: float = 3.4,
    width: float = 8.2,
):
    """A figure with a row of dots for each method, its panels side by side.

    names: what stands beside each row, by method, from above. hollow: all dots are hollow, as
    whatever ran below the paper's budget is in this book.
    """
    fig, axes = canvas(
        title, columns=len(panels), height=height, width=width, sharey=True, squeeze=False
    )
    for ax, panel in zip(axes[0], panels, strict=True):
        apart = 0.16 if panel.second else 0.0
        for y, method in enumerate(names):
            look = LOOKS.get(method)
            color, marker = (look.color, look.marker) if look else (INK, "o")
            for values, shift, face in (
                (panel.values, -apart, "none" if hollow else color),
                (panel.second or {}, apart, "none"),
            ):
                found = values.get(method, ())
                ax.plot(
                    found,
                    [y + shift] * len(found),
                    marker,
                    linestyle="none",
                    color=color,
                    markerfacecolor=face,
                    markeredgewidth=1.0 if face == color else 0.8,
                    markersize=5 if face == color else 6,
                )
        for words, face in zip(panel.both or (), (QUIET, "none")):
            ax.plot([], [], "o", color=QUIET, markerfacecolor=face, markersize=5, label=words)
        if panel.both:
            where = dict(loc="lower center", bbox_to_anchor=(0.5, 0.97), ncols=2)
            ax.legend(**where, handletextpad=0.1, columnspacing=1, fontsize=8, frameon=False)
        if panel.chance is not None:
            ax.axvline(panel.chance, color=QUIET, linestyle=":")
        ax.set(xlabel=panel.label, xlim=panel.limits)
        if panel.log:
            low, high = panel.limits
            assert low is not None and high is not None
            ticks = [t for t in (0.1, 1, 10) if low <= t <= high]
            ax.set(xscale="log", xticks=ticks, xticklabels=[f"{t:g}" for t in ticks])
            ax.minorticks_off()
    rows = range(len(names))
    axes[0, 0].set(yticks=rows, yticklabels=names.values(), ylim=(len(rows) - 0.5, -0.5))
    return fig


def over_steps(title: str, panels: Mapping[str, Mapping[str, Sequence[float]]], steps):
    """A figure with a line for each method over the inner steps. panels: by the label of y."""
    fig, axes = canvas(title, columns=len(panels), height=3.1, width=8.2, squeeze=False)
    for ax, (label, lines) in zip(axes[0], panels.items(), strict=True):
        for method, values in lines.items():
            draw(ax, method, steps, values)
        ax.set(xlabel="inner steps", ylabel=label, xlim=(0, steps[-1] * 1.55), ylim=(0, None))
    return fig


def on_logs(ax, x: Sequence[float], *, log: bool = True, room: float = 6.0) -> None:
    """Puts the ticks of a logarithmic axis where the measurements are, with room for labels at the
    lines' ends."""
    ax.set(xscale="log" if log else "linear", xticks=x, xticklabels=[f"{v:,g}" for v in x])
    ax.set(xlim=(min(x) * 0.8, max(x) * room))
    ax.minorticks_off()

"""The figures of section 5.1."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mamlkit.show.plots import INK, LOOKS, QUIET, canvas, draw


def over_seeds(values: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean over the first axis, and the smallest and largest of it."""
    return values.mean(0), (values.amin(0), values.amax(0))


def gradient_steps(panels: Mapping[int, Mapping[str, Tensor]], paper: Mapping, title: str):
    """Figure 3: errors against gradient steps, a panel for each K.

    panels: K -> method -> (seeds, steps + 1); a line is the mean over seeds, its band reaches from
    the smallest to the largest. paper: K -> method -> {step: value}, drawn as open diamonds.
    """
    fig, axes = canvas(title, columns=len(panels), sharey=True, height=3.4, width=8.2)
    for ax, (k, methods) in zip(axes, panels.items()):
        for method, values in methods.items():
            mean, band = over_seeds(values)
            label = LOOKS[method].label if ax is axes[-1] else ""
            draw(ax, method, range(len(mean)), mean, interval=band, label=label)
        for method, points in paper.get(k, {}).items():
            diamonds(ax, method, points.keys(), points.values())
        ax.set(
            title=f"K = {k} points", xlabel="gradient steps", ylim=(-0.1, 3.4), xlim=(-0.5, 10.6)
        )
        ax.set_xticks(range(0, 11, 2))
    axes[0].set_ylabel("mean squared error")
    axes[0].annotate("diamonds: the paper", (5.2, 1.55), fontsize=8.5, color=INK)
    return fig


def diamonds(ax, method: str, x, y) -> None:
    """The paper's values, open, in the method's colour."""
    ax.plot(
        [*x],
        [*y],
        "D",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=LOOKS[method].color,
        markeredgewidth=1.6,
        zorder=5,
    )


def who_diverges(sharpness: Tensor, diverges: Tensor, edge: float, title: str):
    """Left: how sharp the loss is after one step, for runs that diverge and for the others. Right:
    the share of runs that diverge, by that sharpness.

    sharpness, diverges: (runs,). edge: 2 / alpha.
    """
    fig, (left, right) = canvas(title, columns=2, height=3.2, width=8.2)
    bins = torch.linspace(0, float(sharpness.quantile(0.9995)), 41)
    for hit, color, label in (
        (False, QUIET, "stays"),
        (True, LOOKS["pretrained"].color, "diverges"),
    ):
        runs = sharpness[diverges == hit].clamp(max=bins[-1])
        counts = torch.histogram(runs, bins).hist / max(1, len(runs))
        left.stairs(counts * 100, bins, color=color, fill=True, alpha=0.55, label=label)
    left.set(xlabel="sharpness after one step", ylabel="share of these runs, %")
    left.legend(frameon=False, fontsize=9)
    groups = torch.bucketize(sharpness, bins[::2].contiguous()).clamp(1, 20)
    middle, rate = [], []
    for i in range(1, 21):
        here = diverges[groups == i]
        if len(here) >= 20:
            middle.append(float(bins[::2][i - 1 : i + 1].mean()))
            rate.append(100 * float(here.double().mean()))
    right.plot(middle, rate, "o-", color=LOOKS["pretrained"].color, markersize=4)
    right.set(xlabel="sharpness after one step", ylabel="diverges within ten steps, %")
    for ax in (left, right):
        ax.axvline(edge, color=INK, linewidth=1, linestyle="--")
        ax.annotate(
            f"2/α = {edge:.0f}",
            (edge, ax.get_ylim()[1]),
            xytext=(4, -10),
            fontsize=9,
            textcoords="offset points",
            color=INK,
        )
    return fig


def share_lost(by_step: Mapping[str, Tensor], by_alpha: Mapping[float, Mapping[str, float]], title):
    """How the share of diverged runs (in %) grows with gradient steps and with alpha.

    by_step: label -> (steps + 1,). by_alpha: multiple of the trained alpha -> label -> share.
    """
    fig, (left, right) = canvas(title, columns=2, height=3.0, width=8.2)
    for (label, share), line in zip(by_step.items(), ("-", "--")):
        x = torch.arange(len(share))
        draw(left, "maml", x, share, marker="", linestyle=line, label=label)
        values = [by_alpha[a][label] for a in by_alpha]
        draw(right, "maml", [*by_alpha], values, linestyle=line, label=label)
    left.set(xlabel="gradient steps", ylabel="diverged, %", xlim=(0, 1.15 * len(x)))
    right.set(xlabel="alpha, in multiples of the trained one (ten steps)", xscale="log")
    right.set_xticks([*by_alpha], [f"{a:g}" for a in by_alpha])
    right.set_xlim(min(by_alpha) / 1.15, max(by_alpha) * 1.6)
    right.minorticks_off()
    return fig


def one_curve(ax, method: str, x: Tensor, y: Tensor, **how) -> None:
    """A network's curve, cut where it leaves the panel."""
    draw(ax, method, x[:, 0], y[:, 0].clamp(-9, 9), marker="", **how)


def waves_and_curves(panels: Sequence, x: Tensor, title: str, rows: int, columns: int, height):
    """A panel for each wave: the truth, the points shown, and what each method makes of them.

    panels: (the wave at x, support, {method: its output at x}). x: (points, 1).
    """
    fig, axes = canvas(
        title, rows=rows, columns=columns, height=height, width=8.2, sharex=True, sharey=True
    )
    for i, (ax, (truth, support, curves)) in enumerate(zip(axes.flat, panels)):
        ax.plot(x, truth, color=INK, linewidth=1)
        for method, y in curves.items():
            last = i == columns - 1
            one_curve(ax, method, x, y, label=LOOKS[method].label if last else "")
        ax.plot(support.x, support.y, "D", color=INK, markersize=3.5)
        ax.set(ylim=(-6.5, 6.5), xlim=(float(x.min()), float(x.max())))
    return fig, axes


def mean_of_tasks(x: Tensor, expected: Tensor, outputs: Sequence[Tensor], title: str):
    """What pretraining learned: the networks' outputs before any step over the closed form."""
    fig, ax = canvas(title, width=8.2)
    ax.plot(x, expected, color=INK, linewidth=7, alpha=0.2, label="−1.623 cos x")
    for y in outputs:
        last = y is outputs[-1]
        one_curve(ax, "pretrained", x, y, label="pretrained" if last else "", linewidth=1.2)
    ax.set(xlabel="x", ylabel="output before any step", xlim=(-5, 6.2))
    ax.legend(frameon=False, fontsize=9, loc="lower left")
    return fig


def eigenfunctions(
    x: Tensor, kernels: Mapping[str, Tensor], alignments: Mapping[str, float], title
):
    """The first two eigenfunctions of each method's tangent kernel, over sin x and cos x."""
    fig, axes = canvas(title, columns=len(kernels), sharey=True, width=8.2)
    for ax, (method, kernel) in zip(axes, kernels.items()):
        vectors = torch.linalg.eigh(kernel)[1]
        for wave in (torch.sin(x[:, 0]), torch.cos(x[:, 0])):
            ax.plot(x, wave / wave.norm(), color=INK, linewidth=5, alpha=0.15)
        for vector, line in ((vectors[:, -1], "-"), (vectors[:, -2], "--")):
            ax.plot(x, vector, color=LOOKS[method].color, linestyle=line, linewidth=1.8)
        ax.set(title=f"{LOOKS[method].label}: alignment {alignments[method]:.2f}", xlabel="x")
    axes[0].set_ylabel("eigenfunctions 1 and 2")
    return fig

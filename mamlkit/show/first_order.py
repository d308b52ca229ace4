"""The figures of chapter 03: what second derivatives add, what first order leaves out, what it
saves."""

from collections.abc import Mapping, Sequence
from typing import Any

from mamlkit.show.plots import INK, LOOKS, QUIET, canvas, draw

SECOND, FIRST = LOOKS["maml"].color, LOOKS["fomaml"].color
NAMES = {"maml": "second order", "fomaml": "first order"}


def dumbbells(
    rows: Mapping[str, tuple[float, float]],
    quoted: Mapping[str, tuple[float, float]],
    title: str,
    share: float,
):
    """Accuracy of second and first order, one row for each way to test.

    rows: name -> (second order, first order), in percent. quoted: the same for numbers of papers,
    open diamonds. share: of the paper's training tasks; the marks are hollow below 1.
    """
    fig, ax = canvas(title, height=2.6)
    hollow = dict(linestyle="none", markerfacecolor="none", markeredgewidth=2)
    ours = hollow if share < 1 else hollow | dict(markerfacecolor=None)
    for y, (name, (second, first)) in enumerate(rows.items()):
        ax.plot([first, second], [y, y], color=QUIET, linewidth=1.2, zorder=1)
        for value, color, marker in ((second, SECOND, "o"), (first, FIRST, "s")):
            ax.plot(value, y, marker=marker, color=color, markersize=9, **ours)
        ax.annotate(
            f"{second - first:+.2f}", ((first + second) / 2, y), xytext=(0, 5),
            textcoords="offset points", ha="center", fontsize=9, color=INK,
        )  # fmt: skip
        for value, color in zip(quoted.get(name, ()), (SECOND, FIRST)):
            ax.plot(
                value, y + 0.28, "D", markersize=7, markerfacecolor="none", markeredgecolor=color
            )
    for marker, color, label, how in (
        ("o", SECOND, "second order", ours),
        ("s", FIRST, "first order", ours),
        ("D", INK, "as published", hollow),
    ):
        ax.plot([], [], marker=marker, color=color, label=label, **how)
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel("accuracy on new characters, %")
    return fig


def bars(rows: Mapping[str, tuple[str, float]], title: str):
    """One hatched bar for each network: name -> (method's look, accuracy in percent)."""
    fig, ax = canvas(title, height=2.2)
    for y, (look, value) in enumerate(rows.values()):
        color = LOOKS[look].color
        ax.barh(y, value, 0.6, facecolor="none", edgecolor=color, hatch="///", linewidth=1.5)
        ax.annotate(
            f"{value:.1f} %", (value, y), xytext=(5, 0), textcoords="offset points", va="center",
            fontsize=9, color=color,
        )  # fmt: skip
    ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5), xlim=(0, 112))
    ax.set_xlabel("accuracy on new characters, % (chance is 20)")
    return fig


def along(paths: Mapping[tuple[str, str], Sequence[float]], pause: int, title: str, today=None):
    """The omitted term over the kept one along a short training: a panel for each network, a line
    for each activation.

    paths: (network, activation) -> its size at the start and after each `pause` iterations. today:
    the reader's own run of the first network with ReLU, drawn pale over the kept one.
    """
    networks = list(dict.fromkeys(network for network, _ in paths))
    styles = {"ReLU": "-", "tanh": "--", "softplus": ":"}
    width = 7.0 if len(networks) > 1 else 4.4
    many = len(networks)
    fig, axes = canvas(title, 1, many, height=3.0, width=width, sharey=True, squeeze=False)
    longest = max(map(len, paths.values()))
    for ax, network in zip(axes[0], networks):
        for activation, style in styles.items():
            if (network, activation) in paths:
                path = paths[network, activation]
                draw(
                    ax, "maml" if activation == "ReLU" else "random",
                    range(0, len(path) * pause, pause), path, linestyle=style, label=activation,
                )  # fmt: skip
        ax.axhline(0.1, color=LOOKS["pretrained"].color, linewidth=1)
        ax.set(title=network, xlabel="meta-iteration", yscale="log", ylim=(0.05, 60))
        ax.set_xlim(0, (longest - 1) * pause * 1.5)
    if today is not None:
        x = range(0, len(today) * pause, pause)
        axes[0][0].plot(x, today, color=SECOND, alpha=0.35, linewidth=6, solid_capstyle="round")
    axes[0][0].set_ylabel(r"left out over kept, $|\alpha H g|\,/\,|g|$")
    axes[0][0].annotate(
        '"close to zero"', (0, 0.1), xytext=(3, 4), textcoords="offset points", fontsize=8.5,
        color=LOOKS["pretrained"].color,
    )  # fmt: skip
    return fig


def parts(
    begin: Mapping[tuple[str, str], Sequence[float]], layers: Mapping[str, Sequence[float]], title
):
    """Left: the omitted term, the part that the loss's curvature makes and the network's own, over
    the kept gradient, at the start. Right: the omitted term layer by layer.

    begin: (network, activation) -> the three. layers: a place in training -> one number a layer;
    "trained", below the paper's budget, is drawn hollow.
    """
    fig, (left, right) = canvas(title, columns=2, height=3.2, width=7.4, width_ratios=(3, 2))
    marks = (("o", None, "all"), ("s", "none", "by the loss"), ("x", None, "the network's own"))
    for y, ((_, activation), sizes) in enumerate(begin.items()):
        color = SECOND if activation == "ReLU" else QUIET
        for value, (marker, face, _) in zip(sizes, marks):
            left.plot(value, y, marker, color=color, markerfacecolor=face, markersize=6)
    short = [n.replace(", batch norm", " + norm").replace(", no norm", "") for n, _ in begin]
    names = [f"{network}: {activation}" for network, (_, activation) in zip(short, begin)]
    for marker, face, label in marks:
        left.plot([], [], marker, color=INK, markerfacecolor=face, linestyle="none", label=label)
    left.legend(frameon=False, fontsize=8, loc="upper left")
    left.set(yticks=range(len(names)), yticklabels=names, xscale="log", xlabel="over the kept part")
    left.invert_yaxis()
    for (place, sizes), style in zip(layers.items(), ("--", "-")):
        hollow: dict[str, Any] = {"markerfacecolor": "none"} if place == "trained" else {}
        draw(right, "maml", range(1, len(sizes) + 1), sizes, linestyle=style, label=place, **hollow)
    right.set(
        xticks=range(1, 6), xticklabels=["1", "2", "3", "4", "head"], yscale="log",
        xlim=(0.8, 7.4), xlabel="layer (ReLU, convolutions)",
    )  # fmt: skip
    return fig


def cosines(
    lengths: Sequence[int], start: Mapping[float, Sequence[float]], end: Mapping, title: str
):
    """The cosine of the two meta-gradients against the inner steps: alpha -> one for each length,
    at the start of training and, hollow since its budget is below the paper's, of the trained
    network."""
    fig, axes = canvas(title, columns=2, height=2.9, sharey=True)
    for ax, found, name in zip(axes, (start, end), ("at the start", "after training")):
        hollow: dict[str, Any] = {"markerfacecolor": "none"} if found is end else {}
        for alpha, style in zip(found, (":", "--", "-")):
            label = f"α = {alpha:g}"
            draw(ax, "maml", lengths, found[alpha], linestyle=style, label=label, **hollow)
        ax.axhline(0, color=QUIET, linewidth=0.8)
        ax.set(xscale="log", xticks=lengths, xticklabels=lengths, ylim=(-0.15, 1.08))
        ax.set(title=name, xlabel="inner steps", xlim=(0.9, lengths[-1] * 3))
        ax.minorticks_off()
    axes[0].set_ylabel("cosine of the two\nmeta-gradients")
    return fig


def savings(
    operations: Mapping[str, float], seconds: Mapping[str, float], closed: Mapping, title: str
):
    """What first order saves in each setting, in percent: operations, seconds, and the closed
    form."""
    fig, ax = canvas(title, height=3.4)
    order = sorted(operations, key=operations.__getitem__)
    for y, name in enumerate(order):
        ax.barh(y, operations[name], 0.6, color=FIRST)
        ax.plot(closed[name], y, "|", color=INK, markersize=13, markeredgewidth=1.6)
        if name in seconds:
            ax.plot(seconds[name], y, "o", color=SECOND)
    ax.axvline(33, color=LOOKS["paper"].color, linewidth=1.4, linestyle="--")
    ax.annotate(
        "the paper: 33 %", (33, -0.62), xytext=(4, 0), textcoords="offset points", va="center",
        fontsize=8.5, color=LOOKS["paper"].color,
    )  # fmt: skip
    ax.set(yticks=range(len(order)), yticklabels=order, ylim=(-0.95, len(order) - 0.5))
    ax.set_xlabel("saved by first order, % (bar: operations; line: closed form; dot: seconds)")
    ax.set_xlim(0, 75)
    return fig


def memory(lengths: Sequence[int], sizes: Mapping[str, Mapping[str, Sequence]], title: str):
    """Peak memory of one task's meta-gradient against the inner steps, and, dotted, what is kept
    for the backward pass. sizes: setting -> method -> (peak, kept) in MiB for each length."""
    fig, axes = canvas(title, columns=len(sizes), height=3.0)
    for ax, (name, of) in zip(axes, sizes.items()):
        for method, pairs in of.items():
            peak, kept = zip(*pairs)
            draw(ax, method, lengths, peak, label=NAMES[method])
            ax.plot(lengths, kept, ":", color=LOOKS[method].color)
        ax.set(title=name, xlabel="inner steps", ylim=(0, None), xlim=(0.5, lengths[-1] * 1.55))
        ax.set_xticks(lengths)
    axes[0].set_ylabel("MiB for one task (dotted:\nkept for the backward pass)")
    return fig


def step_sizes(times: Sequence[float], accuracy: Mapping[int, Sequence[float]], title: str):
    """Accuracy against the step size at test over that of training: steps -> one for each size."""
    fig, ax = canvas(title, height=3.0)
    for (steps, found), style in zip(accuracy.items(), ("-", "--", "-.", ":")):
        label = f"{steps} step{'s' * (steps > 1)}"
        draw(ax, "maml", times, found, linestyle=style, label=label)
    ax.axvspan(0.5, 2, color=SECOND, alpha=0.1, linewidth=0)
    ax.set(xscale="log", xticks=times, xticklabels=[f"{m:g}" for m in times], xlim=(0.11, 16))
    ax.set(xlabel="step size at test over that of training", ylabel="accuracy, %")
    ax.minorticks_off()
    return fig

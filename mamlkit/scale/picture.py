"""How many ranks pay: the formula's lines with the measured marks, and the same in a sentence."""

from mamlkit.scale.cost import counted, fitted, measured, pays_until, seconds, timed, vector_bytes
from mamlkit.show.plots import canvas, draw

NAMES = {"S": "sinusoids", "O1": "Omniglot", "M": "MiniImagenet"}
LOOKS = {"S": "maml", "O1": "pretrained", "M": "oracle"}  # three colours that are told apart


def speedups():
    """How much faster an update becomes with more ranks, on paper (lines) and measured (dots), for
    three trainings of the paper. Returns (figure, alt text)."""
    kept = measured()
    marks = {name: timed(name, kept) for name in NAMES}
    faster = " and ".join(NAMES[n] for n, t in marks.items() if t[2] < t[1])
    slower = " and ".join(NAMES[n] for n, t in marks.items() if t[2] >= t[1])
    title = f"Two ranks pay for {faster or 'nothing'}" + f", not for {slower}" * bool(slower)
    fig, ax = canvas(title)
    for name, label in NAMES.items():
        update, machine, mark = counted(name), fitted(name, kept), marks[name]
        sizes = range(1, min(update.tasks, 32) + 1)
        times = [sum(seconds(update, machine, n)) for n in sizes]
        gains = [times[0] / t for t in times]
        line = draw(ax, LOOKS[name], sizes, gains, marker="", linestyle="-", label=label)
        ax.plot([*mark], [mark[1] / t for t in mark.values()], "o", color=line.get_color())
    ax.set(xscale="log", yscale="log", xlabel="ranks (line: on paper, dots: measured)")
    ax.set(ylabel="times faster than one", xticks=(ticks := [1, 2, 4, 8, 16, 32]), xlim=(0.9, 60))
    ax.set_xticklabels(ticks)
    ax.minorticks_off()
    alt = f"How much faster an update becomes with more ranks, on a log-log grid. {title}."
    return fig, alt


def in_words() -> str:
    """What an update sends and computes in the three trainings, where it was measured, and how many
    ranks are quickest on paper."""
    kept = measured()
    sent = {name: vector_bytes(counted(name)) / 1000 for name in NAMES}
    best = {name: pays_until(counted(name), fitted(name, kept)) for name in NAMES}
    about, lines = kept["about"], []
    for name, label in NAMES.items():
        lines.append(
            f"| {label} | {sent[name]:,.0f} kB | {1000 * kept[name]['1']:,.2f} ms | {best[name]} |"
        )
    return "\n".join(
        [
            "| training | sent in an update | computed on one core | quickest on paper with |",
            "|---|---|---|---|",
            *lines,
            "",
            f"*Measured on {about['cores']} cores, load {about['load']}, {about['date']}.*",
            "",
            "On images the gain ends where the tasks end: a rank without a task has nothing to do. "
            "For sinusoids the formula is too kind: what a rank does beside its tasks (drawing, "
            "Adam, waking up for the others) is not shared, and counts where an update takes a "
            "fraction of a millisecond.",
        ]
    )

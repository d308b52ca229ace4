"""The scoreboard: every verdict in one picture and one list; the paper's numbers beside ours."""

from collections.abc import Iterable, Mapping
from html import escape

from mamlkit.audit.claims import KINDS, VERDICTS, kind, worded
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, canvas

# One colour a verdict, told apart by readers who do not see all colours.
COLORS = {
    "reproduced": "#009E73",
    "answered": "#56B4E9",
    "partial": "#F0E442",
    "not reproduced": "#E69F00",
    "refuted as stated": "#D55E00",
    "not tested": "#d5d5d0",
    "not testable": "#f3f3ef",
}


def squares(rows: Iterable[Mapping], title: str):
    """A square for each claim, a row for each section of the paper, coloured by verdict; hatched
    where the training was smaller than the paper's. Returns the figure."""
    sections: dict[str, list[Mapping]] = {}
    for row in sorted(rows, key=lambda row: _place(row["section"])):
        sections.setdefault(row["section"], []).append(row)
    fig, ax = canvas(title, height=1.3 + 0.24 * len(sections))
    from matplotlib.patches import Patch, Rectangle

    for y, of in enumerate(sections.values()):
        for x, row in enumerate(sorted(of, key=lambda r: VERDICTS.index(r["verdict"]))):
            small = kind(row) == "smaller"
            ax.add_patch(
                Rectangle(
                    (x + 0.08, y + 0.1),
                    0.84,
                    0.8,
                    facecolor=COLORS[row["verdict"]],
                    edgecolor=GROUND if small else "none",
                    hatch="////" if small else None,
                    linewidth=0,
                )
            )
    widest = max(map(len, sections.values()))
    ax.set(xlim=(0, widest), ylim=(len(sections), 0), xticks=[])
    ax.set_yticks([y + 0.5 for y in range(len(sections))], list(sections))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    shown = [v for v in VERDICTS if any(r["verdict"] == v for of in sections.values() for r in of)]
    marks = [Patch(facecolor=COLORS[v], label=v) for v in shown]
    marks.append(Patch(facecolor="#bbbbbb", edgecolor=GROUND, hatch="////", label="smaller budget"))
    below = dict(loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    fig.legend(handles=marks, **below)
    return fig


def _place(section: str) -> tuple[int, str]:
    """Where a section stands among the rows: the paper's in its order, then its appendices, then
    the rest as it comes."""
    parts = ("Sections ", "Section ", "Appendix ")
    at = next((i for i, part in enumerate(parts) if section.startswith(part)), len(parts))
    return at, section if at < len(parts) else ""


def numbers(rows: Iterable[Mapping]) -> list[tuple[str, float, float, float, float]]:
    """The paper's numbers that an experiment answers: (claim and label, paper, here, low, high).

    Counts, documents and sentences of secondary texts are left out: they would stand at 1. A number
    that another claim has already given is left out, too.
    """
    found, seen = [], set()
    for row in rows:
        if kind(row) not in ("measured", "smaller"):
            continue
        for label, paper in row["paper"].items():
            here = row["here"].get(label)
            if (again := (label, paper, str(here))) in seen:
                continue
            seen.add(again)
            if isinstance(here, Mapping) and here["value"] is not None:
                low, high = (
                    here[k] if here[k] is not None else here["value"] for k in ("low", "high")
                )
                found.append((f"{row['id']}  {label}", paper, here["value"], low, high))
            elif isinstance(here, (int, float)) and not isinstance(here, bool):
                found.append((f"{row['id']}  {label}", paper, here, here, here))
    return found


def forest(rows: Iterable[Mapping]):
    """Ours over the paper's for every experimental number it states, 1 being the paper's value;
    hollow where the training was smaller. Returns the figure."""
    rows = list(rows)
    small = {row["id"] for row in rows if kind(row) == "smaller"}
    found = [n for n in numbers(rows) if n[1] * n[2] > 0]
    fig, ax = canvas(
        "Ours over the paper's, for every experimental number that we can answer",
        height=1.2 + 0.24 * max(1, len(found)),
    )
    ax.axvline(1, color=LOOKS["paper"].color, linewidth=1.5)
    for i, (label, paper, value, low, high) in enumerate(found):
        blue = LOOKS["maml"].color
        ends = sorted(max(end / paper, 0.005) for end in (low, high))
        ax.plot(ends, [i, i], color=blue, linewidth=2)
        hollow = label.split()[0] in small
        ax.plot(value / paper, i, "o", color=blue, mfc=GROUND if hollow else blue, markersize=5)
        ax.annotate(
            f"{value:,.3g} (paper {paper:,.3g})",
            (1, i),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=QUIET,
        )
    ax.set_yticks(range(len(found)), [label for label, *_ in found])
    ax.set(xscale="log", xlabel="here / paper (bars: 95 %; hollow: less training than the paper)")
    ax.set_xticks(ticks := [0.01, 0.03, 0.1, 0.3, 1, 3, 10], ticks)
    ax.set_xticks([], minor=True)
    ax.set_ylim(max(1, len(found)) - 0.5, -0.5)
    return fig


def board(rows: Iterable[Mapping]) -> str:
    """All claims as an HTML table with two choices, verdict and kind, that need no kernel and no
    script; each claim leads to its page."""
    rows = list(rows)
    shown = [v for v in VERDICTS if any(r["verdict"] == v for r in rows)]
    kinds = [k for k in KINDS if any(kind(r) == k for r in rows)]
    rules = [
        f".board:has(#{group}-{i}:checked)"
        f" tr[data-{group}]:not([data-{group}='{i}']){{display:none}}"
        for group, names in (("verdict", shown), ("kind", kinds))
        for i in range(len(names))
    ]
    body = "".join(
        f"<tr data-verdict='{shown.index(r['verdict'])}' data-kind='{kinds.index(kind(r))}'>"
        f"<td><a href='{r['notebook']}.ipynb'>{r['id']}</a></td><td>{escape(r['section'])}</td>"
        f"<td><i>{escape(r['quote'])}</i></td><td>{escape(worded(r))}</td>"
        f"<td>{escape(r['why'])}</td></tr>"
        for r in rows
    )
    return (
        "<div class='board'><style>.board td,.board th{text-align:left;vertical-align:top}"
        f"{''.join(rules)}</style>{_choice('verdict', shown)}"
        f"{_choice('kind', [KINDS[k] for k in kinds])}"
        "<table><thead><tr><th></th><th>where</th><th>claim</th><th>verdict</th><th>why</th></tr>"
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _choice(group: str, names: list[str]) -> str:
    options = "".join(
        f"<label style='margin-right:1em'><input type='radio' name='{group}' id='{group}-{i}'> "
        f"{escape(name)}</label>"
        for i, name in enumerate(names)
    )
    return (
        "<fieldset style='border:0;padding:.2em 0'><label style='margin-right:1em'>"
        f"<input type='radio' name='{group}' checked> all</label>{options}</fieldset>"
    )

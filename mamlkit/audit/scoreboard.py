"""The scoreboard: every verdict in one place, and every number that the paper states beside
ours."""

from collections.abc import Iterable, Mapping
from html import escape

from mamlkit.audit.claims import MARKS, VERDICTS
from mamlkit.show.plots import LOOKS, QUIET, canvas


def numbers(rows: Iterable[Mapping]) -> list[tuple[str, float, float, float, float]]:
    """Every number of the paper that a record answers: (claim and label, paper, here, low,
    high)."""
    found = []
    for row in rows:
        for label, paper in row["paper"].items():
            here = row["here"].get(label)
            if isinstance(here, Mapping) and here["value"] is not None:
                low, high = (
                    here[k] if here[k] is not None else here["value"] for k in ("low", "high")
                )
                found.append((f"{row['id']}  {label}", paper, here["value"], low, high))
            elif isinstance(here, (int, float)):
                found.append((f"{row['id']}  {label}", paper, here, here, here))
    return found


def forest(rows: Iterable[Mapping]):
    """A forest plot: ours over the paper's for every number it states, 1 being the paper's value.
    Returns the figure."""
    found = numbers(rows)
    fig, ax = canvas(
        "Ours over the paper's, for every number that the paper states",
        height=1.2 + 0.24 * max(1, len(found)),
    )
    ax.axvline(1, color=LOOKS["paper"].color, linewidth=1.5)
    for i, (label, paper, value, low, high) in enumerate(found):
        ax.plot([low / paper, high / paper], [i, i], color=LOOKS["maml"].color, linewidth=2)
        ax.plot(value / paper, i, LOOKS["maml"].marker, color=LOOKS["maml"].color, markersize=5)
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
    ax.set(
        yticks=range(len(found)),
        yticklabels=[label for label, *_ in found],
        xscale="log",
        xlabel="here / paper (line: the paper's value; bars: 95 % intervals)",
    )
    ax.invert_yaxis()
    return fig


def counted(rows: Iterable[Mapping]):
    """The verdicts counted, one bar each. Returns the figure."""
    rows = list(rows)
    counts = {v: sum(r["verdict"] == v for r in rows) for v in VERDICTS}
    fig, ax = canvas(
        f"{len(rows)} claims: {counts['reproduced']} reproduced, {counts['refuted as stated']} refuted as stated, {counts['not reproduced']} not reproduced",
        height=2.4,
    )
    bars = ax.barh(
        [f"{MARKS[v]} {v}" for v in VERDICTS],
        list(counts.values()),
        color=LOOKS["maml"].color,
        height=0.6,
    )
    ax.bar_label(bars, padding=4, fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="claims")
    ax.grid(visible=False, axis="y")
    return fig


def board(rows: Iterable[Mapping], mine: Mapping[str, Mapping] = {}) -> str:
    """The rows as an HTML table; `mine` holds the records of this run, shown beside the bank's."""

    def paper(row):
        return "<br>".join(f"{escape(k)}: {v:,}" for k, v in row["paper"].items())

    body = "".join(
        f"<tr><td>{r['id']}</td><td style='text-align:left'>{escape(r['section'])}</td><td style='text-align:left'><i>“{escape(r['quote'])}”</i></td>"
        f"<td style='text-align:left'>{paper(r)}</td><td style='text-align:left;white-space:nowrap'>{MARKS[r['verdict']]} {r['verdict']}</td>"
        + (
            f"<td style='text-align:left'>{mine[r['id']]['verdict']}</td>"
            if r["id"] in mine
            else "<td></td>"
            if mine
            else ""
        )
        + f"<td style='text-align:left'>{escape(r['why'])}</td></tr>"
        for r in rows
    )
    extra = "<th>this run</th>" if mine else ""
    head = f"<th></th><th>where</th><th>claim</th><th>paper</th><th>verdict at the paper's budget</th>{extra}<th>why</th>".replace(
        "<th>", "<th style='text-align:left'>"
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def filters(rows: list[Mapping], mine: Mapping[str, Mapping] = {}):
    """The board with two choices, section and verdict. Returns a widget."""
    import ipywidgets as w

    sections = w.Dropdown(
        options=["all", *dict.fromkeys(r["section"] for r in rows)], description="section"
    )
    verdicts = w.Dropdown(
        options=["all", *(v for v in VERDICTS if any(r["verdict"] == v for r in rows))],
        description="verdict",
    )
    page = w.HTML(layout=w.Layout(height="520px", overflow="auto"))

    def refresh(_=None):
        page.value = board(
            [
                r
                for r in rows
                if sections.value in ("all", r["section"])
                and verdicts.value in ("all", r["verdict"])
            ],
            mine,
        )

    sections.observe(refresh, "value")
    verdicts.observe(refresh, "value")
    refresh()
    return w.VBox([w.HBox([sections, verdicts]), page])

"""What the workloads say together: one table, and the figure of README and chapter 8.

`python -m tests.benchmarks.summary` makes them anew from the records in runs/bench, which `make
bench` writes: data/speed.json and data/speed.png.
"""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from math import nan
from typing import Any

from mamlkit.files import ROOT, write
from mamlkit.show.plots import LOOKS, QUIET, canvas
from tests.benchmarks import speed

SHORT = {
    "S": "sinusoids, 25 tasks",
    "O1": "Omniglot 5-way 1-shot, 1 query a class",
    "O15": "the same, 15 queries",
    "O20": "Omniglot 20-way 1-shot, 5 steps",
    "M": "miniImagenet 5-way 1-shot, 5 steps",
    "EO": "evaluation, Omniglot",
    "EM": "evaluation, miniImagenet",
}
Row = Mapping[str, Any]
ALL = ("ours", "peer", "floor")


def rows(workloads: Sequence[str]) -> list[Row]:
    """For each workload and order the fastest of ours, the fastest peer and the matrix products
    alone, of the records in runs/bench. A row holds milliseconds of processor time an iteration and
    MB of memory at the peak, who took them, and where they come from."""
    found = []
    for workload in workloads:
        record = json.loads((speed.RECORDS / f"{workload}.json").read_text())
        origin = {name: record[name] for name in ("commit", "date")}
        origin |= {name: record["machine"][name] for name in ("device", "torch", "cpu")}
        of = record["rows"]
        for order in sorted({row["order"] for row in of}, reverse=True):
            three = zip(ALL, speed.rivals(of, order))
            named = {
                name: {
                    "ms": row["cpu_ms"],
                    "contestant": row["contestant"],
                    "peak_mb": round(row["peak_mb"]),
                }
                for name, row in three
                if row
            }
            found.append({"workload": workload, "order": order, **named, **origin})
    return found


def ratio(row: Row, other: str) -> float:
    """Our time over another's; nan where one of them did not run."""
    return row["ours"]["ms"] / row[other]["ms"] if {"ours", other} <= row.keys() else nan


def table(rows: Sequence[Row]) -> list[str]:
    """A line for each row: the fastest of ours beside the fastest peer, and both ratios."""
    lines = [
        "",
        "ms of one core an iteration, and MB at its peak",
        f"{'':4} order  {'ours':>10} {'MB':>6} {'':26} {'best peer':>10} {'MB':>6} {'':24} "
        "ours/peer ours/floor",
    ]
    nobody = {"ms": nan, "contestant": "-", "peak_mb": nan}
    for row in rows:
        both = (row.get(name, nobody) for name in ("ours", "peer"))
        shown = " ".join(f"{of['ms']:10.3f} {of['peak_mb']:6} {of['contestant']:26}" for of in both)
        ratios = f"{ratio(row, 'peer'):7.2f} {ratio(row, 'floor'):10.2f}"
        lines.append(f"{row['workload']:4} {row['order']:5}  {shown} {ratios}")
    return lines


def keep(rows: Sequence[Row]) -> None:
    """Writes the rows and their figure into data."""
    write(ROOT / "data" / "speed.json", json.dumps(rows, indent=1, allow_nan=False) + "\n")
    image = BytesIO()
    draw(rows).savefig(image, dpi=150, format="png", metadata={"Software": None})
    write(ROOT / "data" / "speed.png", image.getvalue())


def draw(rows: Sequence[Row]):
    """A row for each workload and order: our time over the fastest peer's, and all three times."""
    ahead = sum(ratio(row, "peer") < 1 for row in rows)
    title = f"An update is faster than the fastest other library's in {ahead} of {len(rows)}"
    fig, ax = canvas(title, width=9.0, height=1.1 + 0.3 * len(rows))
    labels = []
    for y, row in enumerate(rows):
        look = LOOKS["maml" if row["order"] == 2 else "fomaml"]
        ax.plot(ratio(row, "peer"), y, look.marker, color=look.color, markersize=6)
        times = [f"{row[name]['ms']:{',.0f' if row[name]['ms'] >= 100 else '.3g'}}" for name in ALL]
        words = f"{times[0]} ms; {row['peer']['contestant']} {times[1]}; products {times[2]}"
        place = dict(xycoords=("axes fraction", "data"), textcoords="offset points", va="center")
        ax.annotate(words, (1, y), xytext=(6, 0), fontsize=8, color=QUIET, **place)
        order = {2: "second", 1: "first"}[row["order"]]
        named = "" if row["workload"].startswith("E") else f", {order} order"
        labels.append(f"{SHORT[row['workload']]}{named}")
    ax.axvline(1, color=LOOKS["paper"].color, linewidth=1.5)
    ax.set(xlabel="our time over the fastest peer's; right of it ours, theirs, products alone")
    ax.set(yticks=range(len(rows)), yticklabels=labels, ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlim(0, max(1.25, *(1.1 * ratio(row, "peer") for row in rows)))
    return fig


if __name__ == "__main__":
    kept = rows([w for w in speed.WORKLOADS if (speed.RECORDS / f"{w}.json").exists()])
    print(*table(kept), sep="\n")
    keep(kept)

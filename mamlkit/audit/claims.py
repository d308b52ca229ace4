"""The audit: a criterion fixed before the run, a record made by it, and a verdict computed from the
two.

The ledger, `data/ledger.json`, holds what is asked: the paper's words, its numbers, the criterion
as named checks. A record holds what was found. Records of the paper's budget are committed in
`data/claims`, one file a claim.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from mamlkit.audit.records import believed, entries
from mamlkit.files import SHIPPED

BANK = SHIPPED
VERDICTS = (
    "refuted as stated",
    "not reproduced",
    "partial",
    "reproduced",
    "answered",
    "not tested",
    "not testable",
)
MARKS = {
    "reproduced": "✔",
    "answered": "▸",
    "partial": "◐",
    "not reproduced": "✘",
    "refuted as stated": "⚑",
    "not tested": "○",
    "not testable": "–",
}


def ledger() -> dict[str, dict]:
    """Every claim in the book so far, by id, in the paper's order."""
    return entries(BANK / "ledger.json")


def testable(entry: Mapping) -> bool:
    """Opinions, history and notes have no test."""
    return entry["kind"] not in ("opinion", "history", "metadata")


def verdict(entry: Mapping, checks: Mapping[str, bool], *, seeds: int, share: float = 1.0) -> str:
    """The verdict that the criterion gives.

    All checks passed: reproduced; a decisive one failed, or all failed: what the ledger says
    (`otherwise`); some passed: partial. With fewer seeds than the criterion asks for it is at best
    partial. A training budget smaller than the paper's can support a claim, which is then partial,
    and never refute it: `share` is below 1, or, where the criterion has a check of the budget
    itself (`enough`), that check fails. A count needs no training: a check that the criterion calls
    `exact` refutes its part at any budget. A question of ours has an answer and no verdict: it is
    "answered" (`answers` of the ledger: where every check passes, and where not). Raises
    ValueError if `checks` are not exactly those of the criterion.
    """
    if not testable(entry):
        return "not testable"
    if checks.keys() != entry["checks"].keys():
        raise ValueError(f"{entry['id']} is decided by {list(entry['checks'])}, got {list(checks)}")
    if not checks:
        return "not tested"
    if entry["kind"] == "question":
        return "answered" if checks.get(entry.get("enough", ""), True) else "not tested"
    reduced = entry["budget"] == "paper" and (
        share < 1 or not checks.get(entry.get("enough", ""), True)
    )
    checks = {name: passed for name, passed in checks.items() if name != entry.get("enough")}
    if not all(checks.values()):
        if reduced and not all(checks[n] for n in checks if n not in entry.get("exact", ())):
            return "not tested"
        lost = not any(checks.values()) or not all(
            checks[name] for name in entry.get("decisive", ())
        )
        return entry["otherwise"] if lost else "partial"
    return "partial" if reduced or seeds < entry["seeds"] else "reproduced"


KINDS = {
    "measured": "measured at the paper's budget",
    "smaller": "measured at a smaller budget",
    "exact": "identities and counts",
    "document": "documents: quoted numbers, file names, code",
    "secondary": "sentences of secondary texts",
    "question": "our own questions",
    "open": "nothing was run yet, or nothing can be",
}


def kind(row: Mapping) -> str:
    """What stands behind a verdict, one of KINDS: these are counted apart."""
    if row["kind"] == "question":
        return "question"
    if row["id"].startswith("S"):
        return "secondary"
    if row.get("evidence", "experiment") != "experiment":
        return row["evidence"]
    if not {"share", "provenance"} & row.keys():  # no record
        return "open"
    return "smaller" if row.get("share", 1.0) < 1 else "measured"


def read(profile: str, folder: Path | None = None) -> dict[str, dict]:
    """The records of one profile in a results folder (the bank by default), by claim id. Raises
    ValueError naming the file for one that cannot be believed (`believed`)."""
    found, known = sorted(((folder or BANK) / "claims").glob(f"*.{profile}.json")), ledger()
    read = (believed(path, profile, known, _again) for path in found)
    return {record["id"]: record for record in read}


def _again(entry, record) -> str:
    seeds = len(record["provenance"]["seeds"])
    return verdict(entry, record["checks"], seeds=seeds, share=record.get("share", 1.0))


def standing(records: Mapping[str, dict]) -> list[dict]:
    """Every claim of the ledger with its record, or without one the verdict "not tested" and the
    command that tests it."""
    rows = []
    for claim, entry in ledger().items():
        command = f"python -m mamlkit bank --only {' --only '.join(makers(entry))}"
        untested = {
            "verdict": "not tested" if testable(entry) else "not testable",
            "here": {},
            "why": entry.get("reason") or f"no record yet: `{command}` makes it",
        }
        rows.append(entry | untested | records.get(claim, {}))
    return rows


def makers(entry: Mapping) -> list[str]:
    """What `bank --only` must run for a claim of the ledger: its experiments (one, or a list), else
    its notebook."""
    named = entry.get("experiment", entry["notebook"])
    return [named] if isinstance(named, str) else list(named)


def table() -> str:
    """The state of the audit as Markdown: what data/CLAIMS.md holds, generated from the bank."""
    rows = standing(read("paper"))
    lines = ["| claim | the paper says | verdict | why |", "|---|---|---|---|"]
    lines += [
        f"| {r['id']} | {_cell(r['quote'])} | {worded(r)} | {_cell(r['why'])} |" for r in rows
    ]
    return counts(rows) + "\n\n" + "\n".join(lines)


def counts(rows: Iterable[Mapping]) -> str:
    """The verdicts counted by what stands behind them, as a Markdown table."""
    rows = list(rows)
    shown = [v for v in VERDICTS if any(r["verdict"] == v for r in rows)]
    lines = ["| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for name, words in KINDS.items():
        of = Counter(r["verdict"] for r in rows if kind(r) == name)
        if of:
            lines.append(f"| {words} | " + " | ".join(str(of[v] or "") for v in shown) + " |")
    return "\n".join(lines)


def worded(row: Mapping) -> str:
    """A verdict with its mark, its answer or its budget, how many of the trainings asked for stand
    behind it where that alone makes it partial, and whether its criterion was amended."""
    said = f"{MARKS[row['verdict']]} {row['verdict']}"
    said += f": {row['answer']}" if row.get("answer") else ""
    seeds = len(row.get("provenance", {}).get("seeds", ()))
    if row["verdict"] == "partial" and seeds < row.get("seeds", 0):
        if all(ok for name, ok in row["checks"].items() if name != row.get("enough")):
            said += f", {seeds} of {row['seeds']} trainings"
    if row.get("share", 1) < 1 and row["verdict"] != "answered":
        said += f" at {100 * row['share']:.2g} % of the paper's budget"
    return said + (" (criterion amended)" if row.get("amended") else "")


class Cards(NamedTuple):
    """Claims as margin notes: they show themselves in a notebook."""

    rows: list[Mapping[str, Any]]

    def _repr_html_(self) -> str:
        return "".join(map(card, self.rows))

    def __repr__(self) -> str:
        return "\n".join(f"{r['id']} {worded(r)}: {r['why']}" for r in self.rows)


def claim(*ids: str) -> Cards:
    """The banked records of these claims, as cards with their criterion.

    Raises ValueError for an id that the ledger does not have.
    """
    rows = {row["id"]: row for row in standing(read("paper"))}
    if unknown := [name for name in ids if name not in rows]:
        raise ValueError(f"claim {unknown[0]} is not in data/ledger.json")
    return Cards([rows[name] for name in ids])


BORDER = {
    "reproduced": "#009E73",
    "answered": "#009E73",
    "partial": "#E69F00",
    "not reproduced": "#D55E00",
    "refuted as stated": "#D55E00",
}


def _seconds(known: int) -> str:
    """How long trainings took; an old file did not tell it."""
    return f"{known:,} s" if known else "seconds not kept"


def card(c: Mapping[str, Any]) -> str:
    """One claim as a small card: the paper's words, the verdict and a sentence; criterion, numbers
    and provenance fold out."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(k)}</td><td>{_show(c['paper'].get(k, ''))}</td>"
        f"<td>{_show(c['here'].get(k, ''))}</td></tr>"
        for k in dict.fromkeys([*c["paper"], *c["here"]])
    )
    numbers = f"<table><tr><th></th><th>paper</th><th>here</th></tr>{rows}</table>" if rows else ""
    marks = "✘✔"
    checks = "".join(
        (
            f"<li>{marks[ok]} {escape(name)}</li>"
            if isinstance(ok, bool)
            else f"<li>{escape(name)}</li>"
        )
        for name, ok in c["checks"].items()
    )
    amended = f"<p><b>Amended</b> {escape(c['amended'])}</p>" if c.get("amended") else ""
    made = " · ".join(
        f"{k} {_origin(v)}" for k, v in c.get("provenance", {}).items() if k != "trained"
    )
    trained = "".join(
        f"<p><small>trained: {escape(t['command'])} · "
        f"commits {escape(', '.join(t['commits']))} · {escape(', '.join(t['devices']))} · "
        f"{_seconds(t['seconds'])}</small></p>"
        for t in c.get("provenance", {}).get("trained", {}).values()
    )
    return (
        "<div style='border:1px solid #8a8a8a55;border-left:6px solid "
        f"{BORDER.get(c['verdict'], '#8a8a8a')};border-radius:4px;padding:.4em .9em;"
        "margin:.5em 0;max-width:46em'>"
        f"<div><b>{c['id']}</b> <i>{escape(c['quote'])}</i> "
        f"<small>({escape(c.get('source') or c['section'])})</small></div>"
        f"<div><b>{escape(worded(c))}</b>. {escape(c['why'])}</div>"
        "<details><summary><small>criterion, numbers, provenance</small></summary>"
        f"<p>{escape(c['criterion'])}</p>{amended}"
        f"<ul style='list-style:none'>{checks}</ul>{numbers}<p>{escape(c.get('protocol', ''))}</p>"
        f"<p><small>{escape(made)}</small></p>{trained}</details></div>"
    )


def _origin(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _show(value) -> str:
    if isinstance(value, Mapping):
        value, low, high = (_show(value[k]) for k in ("value", "low", "high"))
        return f"{value} [{low}, {high}]" if "∞" not in (low, high) else value
    if value is None:
        return "∞"
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

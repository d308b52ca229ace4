"""The audit: a criterion fixed before the run, a record made by it, and a verdict computed from the
two.

The ledger, `data/ledger.json`, holds what is asked: the paper's words, its numbers, the criterion
as named checks. A record holds what was found. Records of the paper's budget are committed in
`data/claims`, one file a claim.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from mamlkit.audit.intervals import Interval
from mamlkit.audit.records import believed, entries
from mamlkit.bank.provenance import commit, describe
from mamlkit.machine import ROOT

BANK = ROOT / "data"
VERDICTS = (
    "refuted as stated",
    "not reproduced",
    "partial",
    "reproduced",
    "not tested",
    "not testable",
)
MARKS = {
    "reproduced": "✔",
    "partial": "◐",
    "not reproduced": "✘",
    "refuted as stated": "⚑",
    "not tested": "○",
    "not testable": "–",
}


class Run(NamedTuple):
    """Who asks: the notebook, how much it runs, with which seeds, where, since when. Its records
    carry this."""

    notebook: str
    profile: str
    seeds: list[int]
    device: str
    started: float


def begin(notebook: str, profile: str, seeds: list[int], device) -> Run:
    """Starts the clock of a notebook's records."""
    return Run(notebook, profile, list(seeds), str(device), time.time())


def results() -> Path:
    """Where this run's records and checkpoints go: the runner's folder (MAMLKIT_RESULTS), else
    data/cache/results."""
    return Path(os.environ.get("MAMLKIT_RESULTS", ROOT / "data" / "cache" / "results"))


def ledger() -> dict[str, dict]:
    """Every claim in the book so far, by id, in the paper's order."""
    return entries(BANK / "ledger.json")


def verdict(entry: Mapping, checks: Mapping[str, bool], *, profile: str, seeds: int) -> str:
    """The verdict that the criterion gives.

    All checks passed: reproduced; a decisive one failed, or all failed: what the ledger says
    (`otherwise`); some passed: partial. With fewer seeds than the criterion asks for it is at best
    partial. A budget smaller than the one it asks for can support a claim, which is then partial,
    and never refute it: a smaller profile, or, where the criterion has a check of the budget itself
    (`enough`), that check. A smoke run tests nothing. Raises ValueError if `checks` are not exactly
    those of the criterion.
    """
    if entry["kind"] in ("opinion", "history", "metadata"):
        return "not testable"
    if checks.keys() != entry["checks"].keys():
        raise ValueError(f"{entry['id']} is decided by {list(entry['checks'])}, got {list(checks)}")
    if profile == "smoke" or not checks:
        return "not tested"
    reduced = (
        entry["budget"] == "paper"
        and profile != "paper"
        or not checks.get(entry.get("enough"), True)
    )
    checks = {name: passed for name, passed in checks.items() if name != entry.get("enough")}
    if not all(checks.values()):
        if reduced:
            return "not tested"
        lost = not any(checks.values()) or not all(
            checks[name] for name in entry.get("decisive", ())
        )
        return entry["otherwise"] if lost else "partial"
    return "partial" if reduced or seeds < entry["seeds"] else "reproduced"


class Record(NamedTuple):
    """One claim's record, and the bank's if this one has a smaller budget; displays itself as a
    card."""

    content: dict[str, Any]
    banked: dict[str, Any] | None = None

    def _repr_html_(self) -> str:
        return card(self.content, self.banked)

    def __repr__(self) -> str:
        c = self.content
        return f"{c['id']} {c['verdict']} ({c['profile']}): {c['why']}"


def record(
    run: Run,
    claim: str,
    *,
    checks: Mapping[str, bool],
    here: Mapping[str, Any],
    why: str,
    protocol: str = "",
) -> Record:
    """Judges a claim and writes its record, `claims/ID.PROFILE.json`, atomically.

    checks: what each check of the criterion found. here: our numbers by label (a number, an
    `Interval` or a word); a label that the ledger's paper numbers share is drawn beside them. why:
    one sentence, with numbers from results.
    """
    entry = ledger()[claim]
    checks = {name: bool(passed) for name, passed in checks.items()}
    content = {
        "id": claim,
        "profile": run.profile,
        "source": f"{entry['section']}, {entry['where']}",
        "quote": entry["quote"],
        "paper": entry["paper"],
        "here": {k: _plain(v) for k, v in here.items()},
        "protocol": protocol,
        "criterion": entry["criterion"],
        "checks": checks,
        "verdict": verdict(entry, checks, profile=run.profile, seeds=len(run.seeds)),
        "why": why,
        "provenance": {
            "commit": commit(),
            "command": _command(entry, run),
            "notebook": run.notebook,
            "seeds": run.seeds,
            **describe(run.device),
            "seconds": round(time.time() - run.started),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        },
    }
    path = results() / "claims" / f"{claim}.{run.profile}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    fresh.replace(path)
    return Record(content, read("paper").get(claim) if run.profile != "paper" else None)


def _command(entry, run) -> str:
    """What makes this record: of the bank, what trains the claim's own experiments, also where
    another one's run has judged it."""
    ran = os.environ.get("MAMLKIT_COMMAND", f"interactive: notebooks/{run.notebook}")
    own = (
        "experiment" in entry
        and run.profile == "paper"
        and ran.startswith("python -m mamlkit bank")
    )
    return f"python -m mamlkit bank --only {' --only '.join(makers(entry))}" if own else ran


def read(profile: str, folder: Path | None = None) -> dict[str, dict]:
    """The records of one profile in a results folder (the bank by default), by claim id. Raises
    ValueError naming the file for one that cannot be believed (`believed`)."""
    found, known = sorted(((folder or BANK) / "claims").glob(f"*.{profile}.json")), ledger()
    read = (believed(path, profile, known, _again) for path in found)
    return {record["id"]: record for record in read}


def _again(entry, record) -> str:
    seeds = len(record["provenance"]["seeds"])
    return verdict(entry, record["checks"], profile=record["profile"], seeds=seeds)


def standing(records: Mapping[str, dict]) -> list[dict]:
    """Every claim of the ledger with its record, or without one the verdict "not tested" and the
    command that tests it."""
    rows = []
    for claim, entry in ledger().items():
        untested = {
            "verdict": "not testable"
            if entry["kind"] in ("opinion", "history", "metadata")
            else "not tested",
            "here": {},
            "why": entry.get("reason")
            or f"no record yet: `python -m mamlkit bank --only {' --only '.join(makers(entry))}` makes it",
        }
        rows.append(entry | untested | records.get(claim, {}))
    return rows


def makers(entry: Mapping) -> list[str]:
    """What `bank --only` must run for a claim of the ledger: its experiments (one, or a list), else
    its notebook."""
    named = entry.get("experiment", entry["notebook"])
    return [named] if isinstance(named, str) else list(named)


def table(profile: str = "paper") -> str:
    """The state of the audit as a Markdown table: what README shows, generated from the bank."""
    rows = standing(read(profile))
    counts = Counter(row["verdict"] for row in rows)
    head = ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
    lines = [
        f"{len(rows)} claims at the paper's budget: {head}.",
        "",
        "| claim | the paper says | verdict | why |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['id']} | {_cell(r['quote'])} | {MARKS[r['verdict']]} {r['verdict']} | {_cell(r['why'])} |"
        for r in rows
    ]
    return "\n".join(lines)


def card(c: Mapping[str, Any], banked: Mapping[str, Any] | None = None) -> str:
    """One record as a small card: the paper's words and number, ours, the verdict; the rest folds
    out.

    banked: the record of the paper's budget, whose verdict is shown below this one's.
    """
    full = (
        f"<div>at the paper's budget: <b>{MARKS[banked['verdict']]} {banked['verdict']}</b> — {escape(banked['why'])}</div>"
        if banked
        else ""
    )
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(k)}</td><td>{_show(c['paper'].get(k, ''))}</td><td>{_show(c['here'].get(k, ''))}</td></tr>"
        for k in dict.fromkeys([*c["paper"], *c["here"]])
    )
    checks = "".join(
        f"<li>{'✔' if ok else '✘'} {escape(name)}</li>" for name, ok in c["checks"].items()
    )
    made = " · ".join(f"{k} {v}" for k, v in c["provenance"].items())
    return (
        "<div style='border:1px solid #8a8a8a;border-left:6px solid #0072B2;border-radius:4px;padding:.5em .9em;margin:.6em 0;max-width:46em'>"
        f"<div><b>{c['id']}</b> · <i>“{escape(c['quote'])}”</i> <small>({escape(c['source'])})</small></div>"
        f"<div style='font-size:1.1em;margin:.3em 0'><b>{MARKS[c['verdict']]} {c['verdict']}</b> <small>at {c['profile']}</small> — {escape(c['why'])}</div>{full}"
        f"<table><tr><th></th><th>paper</th><th>here</th></tr>{rows}</table>"
        f"<details><summary>criterion, protocol, provenance</summary><p>{escape(c['criterion'])}</p><ul style='list-style:none'>{checks}</ul>"
        f"<p>{escape(c['protocol'])}</p><p><small>{escape(made)}</small></p></details></div>"
    )


class Table(NamedTuple):
    """Several records as one compact table: for claims that need no figure."""

    records: list[Record]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{c['id']}</td><td style='text-align:left'><i>“{escape(c['quote'])}”</i></td>"
            f"<td style='text-align:left'>{MARKS[c['verdict']]}&nbsp;{c['verdict']}</td><td style='text-align:left'>{escape(c['why'])}</td>"
            + (
                f"<td style='text-align:left'>{MARKS[b['verdict']]}&nbsp;{b['verdict']}: {escape(b['why'])}</td></tr>"
                if b
                else "</tr>"
            )
            for c, b in self.records
        )
        extra = (
            "<th style='text-align:left'>at the paper's budget</th>"
            if any(r.banked for r in self.records)
            else ""
        )
        left = " style='text-align:left'"
        return f"<table><tr><th></th><th{left}>claim</th><th{left}>verdict at {self.records[0].content['profile']}</th><th{left}>why</th>{extra}</tr>{rows}</table>"

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.records))


def _show(value) -> str:
    if isinstance(value, Mapping):
        value, low, high = (_show(value[k]) for k in ("value", "low", "high"))
        return f"{value} [{low}, {high}]" if "∞" not in (low, high) else value
    if value is None:
        return "∞"
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(value):
    """A JSON value: intervals as dicts, and None for what is no number."""
    if isinstance(value, Interval):
        return {k: _plain(v) for k, v in value._asdict().items()}
    return None if isinstance(value, float) and not isfinite(value) else value

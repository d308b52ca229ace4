"""A judge is a function from evidence to a finding; this file makes a record of what it found.

A module of judges has `evidence()`, what is read from the bank, and `JUDGES`: for each claim a
function from that evidence to a `Finding`, or to None where what it needs is not banked.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, NamedTuple

from mamlkit.audit.claims import BANK, ledger, verdict
from mamlkit.audit.intervals import Interval
from mamlkit.bank import experiment as bank
from mamlkit.bank.checkpoint import read
from mamlkit.bank.provenance import commit, describe
from mamlkit.files import write

COMMAND = "python -m mamlkit judge"


class Finding(NamedTuple):
    """What a judge found. checks: each check of the criterion, passed or not. here: our numbers by
    label (a number, an `Interval` or words); a label that the ledger's paper numbers share is
    drawn beside them. why: one sentence with numbers. protocol: how they were measured. seeds:
    which trainings stand behind it. experiments: the bank's experiments that were read. share: of
    the paper's training budget; below 1 it can support and cannot refute. answer: of a question of
    ours, where a number says more than the two answers in the ledger.
    """

    checks: Mapping[str, bool]
    here: Mapping[str, Any]
    why: str
    protocol: str = ""
    seeds: Iterable[int] = (0,)
    experiments: tuple[str, ...] = ()
    share: float = 1.0
    answer: str = ""


Judge = Callable[[Any], Finding | None]


def judge(modules: Iterable, tell: Callable[[str], None] = print) -> Iterator[str]:
    """Asks every judge of these modules and writes its record; yields the claims that have one."""
    made = commit()
    for module in modules:
        begin = time.monotonic()
        name = module.__name__.rpartition(".")[2]
        try:
            evidence = module.evidence()
        except (ValueError, FileNotFoundError) as missing:
            tell(f"{name}: not judged, {missing}")
            continue
        for claim, asked in module.JUDGES.items():
            if (finding := asked(evidence)) is not None:
                file = BANK / "claims" / f"{claim}.paper.json"
                content = record(claim, finding, made)
                text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
                write(file, text + "\n")
                yield claim
        tell(f"{name}: {time.monotonic() - begin:.0f} s")


def record(claim: str, finding: Finding, made: str) -> dict[str, Any]:
    """What is kept of a finding. made: the commit at which it was judged.

    A question of ours gets the answer that the ledger gives to its checks.
    Raises ValueError if the checks are not those of the criterion.
    """
    entry = ledger()[claim]
    checks = {name: bool(passed) for name, passed in finding.checks.items()}
    seeds = [int(s) for s in finding.seeds]
    stands = verdict(entry, checks, share=finding.share, seeds=len(seeds))
    answer = ""
    if stands == "answered":
        answer = finding.answer or entry["answers"][not all(checks.values())]
    return {
        "id": claim,
        "profile": "paper",
        "source": f"{entry['section']}, {entry['where']}",
        "quote": entry["quote"],
        "paper": entry["paper"],
        "here": {k: _plain(v) for k, v in finding.here.items()},
        "protocol": finding.protocol,
        "criterion": entry["criterion"],
        **({"amended": entry["amended"]} if "amended" in entry else {}),
        "checks": checks,
        "share": finding.share,
        "verdict": stands,
        **({"answer": answer} if answer else {}),
        "why": finding.why,
        "provenance": {
            "commit": made,
            "command": COMMAND,
            "seeds": seeds,
            **describe(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "trained": {name: trained(name) for name in finding.experiments},
        },
    }


def trained(experiment: str) -> dict[str, Any]:
    """Which commits, devices and seconds of training stand behind a kept experiment, and the
    command that repeats it."""
    files = sorted((bank.folder("paper") / experiment).glob("*.safetensors"))
    about = [read(file)[0]["about"] for file in files]
    return {
        "command": f"python -m mamlkit bank --only {experiment}",
        "commits": sorted({a["commit"] for a in about}),
        "devices": sorted({a["device"] for a in about}),
        "seconds": sum(a.get("seconds", 0) for a in about),  # 0: an old file did not tell them
    }


def _plain(value):
    """A JSON value: intervals as dicts, and None for what is no number."""
    if isinstance(value, Interval):
        return {k: _plain(v) for k, v in value._asdict().items()}
    return None if isinstance(value, float) and not isfinite(value) else value

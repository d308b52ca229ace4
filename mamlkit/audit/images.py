"""Judges of Table 1: accuracies of trained networks, at the largest budget that is banked."""

from functools import partial

from mamlkit.audit.accuracies import (
    Bank,
    Row,
    banked,
    cell,
    interval,
    made,
    margin,
    of_seeds,
    reaches,
    shares,
    sure,
    whole,
)
from mamlkit.audit.accuracies import row as row_of
from mamlkit.audit.judging import Finding
from mamlkit.audit.table1 import TABLE1, over_mann
from mamlkit.studies.image_methods import NAMES
from mamlkit.studies.images import COLUMNS, LABELS
from mamlkit.studies.released import RELEASED

LEAST = {  # claim: the column of Table 1, and what the criterion asks for
    "C050": ("omniglot-5w1s", 98.3), "C051": ("omniglot-5w5s", 99.6),
    "C052": ("omniglot-20w1s", 95.5), "C053": ("omniglot-20w5s", 98.7),
    "C054": ("omniglot-noconv-5w1s", 88.6), "C055": ("omniglot-noconv-5w5s", 96.9),
    "C062": ("mini-5w1s", 46.9), "C063": ("mini-5w5s", 62.2), "S212": ("mini-5w5s", 62.2),
}  # fmt: skip
PRIOR = ("prototypical", "matching", "siamese")
LATER = ("statistician", "memory")  # prior methods too, where they are trained
FOUR = {
    "5-way 1-shot": "omniglot-5w1s",
    "5-way 5-shot": "omniglot-5w5s",
    "20-way 1-shot": "omniglot-20w1s",
    "20-way 5-shot": "omniglot-20w5s",
}
NOCONV = {"1-shot": "omniglot-noconv-5w1s", "5-shot": "omniglot-noconv-5w5s"}


def evidence() -> Bank:
    """All that the bank holds of section 5.2."""
    return banked()


def standing(rows: list[Row]) -> dict:
    """What stands behind a finding: the seeds that all rows have, the experiments, the share."""
    seeds = set.intersection(*({*r.results} for r in rows))
    names = tuple(dict.fromkeys(r.experiment for r in rows))
    return dict(seeds=sorted(seeds), experiments=names, share=min(r.share for r in rows))


def accuracy(column: str, least: float, name: str, bank: Bank) -> Finding | None:
    """A cell of Table 1: MAML by the paper's protocol."""
    if (row := cell(bank, column, "maml")) is None:
        return None
    ours, more = shares(row), shares(row, "together")
    here = {
        f"accuracy, {LABELS[column]}": sure(ours),
        "15 queries a class": sure(more),
        "per seed": of_seeds(ours),
    }
    why = (
        f"{ours.mean():.2f} % by the paper's protocol, where {least} are asked for; "
        f"{more.mean():.2f} % with 15 queries a class"
    )
    return Finding({name: reaches(ours, least)}, here, f"{why}.", made(row), **standing([row]))


def alike(bank: Bank, column: str) -> list[Row]:
    """MAML and the prior methods, all trained on as many tasks, at the largest number of them."""
    for experiment in COLUMNS[column]:
        here = {experiment: bank.get(experiment, {})}
        rows = whole(cell(here, column, m) for m in ("maml", *PRIOR))
        later = (cell(here, column, m) for m in LATER)
        if len({r.share for r in rows}) == 1:
            return [*rows, *(r for r in later if r and r.share == rows[0].share)]
    return []


def c056(bank: Bank) -> Finding | None:
    """Above the prior methods in all four columns."""
    rows = {shot: alike(bank, column) for shot, column in FOUR.items()}
    if not all(rows.values()):
        return None
    best = {
        shot: max(found[1:], key=lambda r: shares(r, "together").mean())
        for shot, found in rows.items()
    }
    over = {shot: margin(found[0], best[shot]) for shot, found in rows.items()}
    return Finding(
        {shot: i.low > 0 for shot, i in over.items()},
        {f"MAML minus the best, {shot}": i for shot, i in over.items()}
        | {f"the best, {shot}": NAMES[r.method] for shot, r in best.items()},
        "MAML minus the best of the prior methods: "
        + ", ".join(f"{i.value:+.2f} points ({shot})" for shot, i in over.items())
        + ".",
        made(rows["5-way 1-shot"][0], "together"),
        **standing([row for found in rows.values() for row in found]),
    )


def against_mann(quoted: bool, bank: Bank) -> Finding | None:
    """MAML against MANN, both trained here; quoted: as the paper's own numbers have it, too."""
    rows = {shot: whole(cell(bank, c, m) for m in ("maml", "mann")) for shot, c in NOCONV.items()}
    if not all(rows.values()):
        return None
    over = {shot: margin(pair[0], pair[1]) for shot, pair in rows.items()}
    above = {shot: i.low > 0 for shot, i in over.items()}
    here = {f"MAML minus MANN, {shot}": i for shot, i in over.items()}
    if quoted:
        said = over_mann()
        above = {
            "as quoted": all(d > half for d, half in said.values()),
            "same split": all(above.values()),
        }
        here |= {
            f"MAML minus MANN, {shot}, as quoted, and MAML's interval": f"{d:.1f}, {half:.1f}"
            for shot, (d, half) in said.items()
        }
    words = ", ".join(f"{i.value:+.1f} points ({shot})" for shot, i in over.items())
    theirs = {shot: interval(shares(pair[1])) for shot, pair in rows.items()}
    reached = " and ".join(f"{i.value:.1f}" for i in theirs.values())
    said_of_it = " and ".join(f"{TABLE1[c]['mann']}" for c in NOCONV.values())
    return Finding(
        above,
        here | {f"accuracy, MANN, {shot}": i for shot, i in theirs.items()},
        f"MAML minus MANN, both trained here: {words}. MANN reaches {reached} % here, and "
        f"{said_of_it} % as quoted.",
        made(rows["1-shot"][0], "together"),
        **standing([row for pair in rows.values() for row in pair]),
    )


def over_lstm(column: str, bank: Bank) -> Finding | None:
    """MAML against the meta-learner LSTM, both trained here, in one experiment where it has both;
    first order where that is what is."""
    theirs = cell(bank, column, "lstm")
    beside = (row_of(bank, theirs.experiment, m) for m in (*BOTH, "fomaml")) if theirs else ()
    anywhere = (cell(bank, column, m) for m in ("maml", "fomaml"))
    rows = whole([next(filter(None, (*beside, *anywhere)), None), theirs])
    if not rows:
        return None
    gap, parts = margin(rows[0], rows[1], "paper"), [f"{100 * r.share:.3g} %" for r in rows]
    return Finding(
        {"above": gap.low > 0},
        {f"accuracy, {NAMES[r.method]}": interval(shares(r)) for r in rows}
        | {"MAML minus the LSTM": gap},
        f"{NAMES[rows[0].method]} is {gap.value:+.1f} points from the meta-learner LSTM, with "
        f"{parts[0]} of the paper's training tasks against {parts[1]}.",
        made(rows[1]),
        **standing(rows),
    )


def by_steps(row: Row, longest: int = 10) -> dict[int, float]:
    """Mean accuracy after 1, 2, ... steps, 15 queries a class."""
    return {k: shares(row, "together", k).mean().item() for k in range(1, longest + 1)}


def c060(bank: Bank) -> Finding | None:
    """Three steps at test where one was trained for."""
    if (row := cell(bank, "omniglot-5w1s", "maml")) is None:
        return None
    after = by_steps(row)
    best = max(after, key=lambda k: after[k])
    gain = interval(shares(row, "together", 3) - shares(row, "together", 1))
    return Finding(
        {"three above one": gain.low > 0, "no special pick": after[best] <= after[3] + 0.5},
        {f"accuracy after {k} steps, 15 queries": after[k] for k in (1, 2, 3, 5, 10)}
        | {"three minus one": gain},
        f"{after[1]:.2f} % after one step, {after[3]:.2f} after three, highest after {best}.",
        made(row, "together"),
        **standing([row]),
    )


def c061(bank: Bank) -> Finding | None:
    """Five steps in 20-way."""
    if (row := cell(bank, "omniglot-20w1s", "maml")) is None:
        return None
    after = by_steps(row)
    best = max(after, key=lambda k: after[k])
    return Finding(
        {"five is enough": after[best] <= after[5] + 0.5},
        {f"accuracy after {k} steps": after[k] for k in (1, 3, 5, 10)},
        f"{after[5]:.2f} % after five steps, highest after {best}.",
        made(row, "together"),
        **standing([row]),
    )


def c132(bank: Bank) -> Finding | None:
    """Ten steps at test where five were trained for: our training, or else the authors' network."""
    rows = (row_of(bank, name, "maml") for name in ("mini-5w1s", RELEASED.name))
    row = next(filter(None, rows), None) or cell(bank, "mini-5w1s", "maml")
    if row is None:
        return None
    after = by_steps(row)
    gain = interval(shares(row, "together", 10) - shares(row, "together", 5))
    return Finding(
        {"ten above five": gain.low > 0},
        {f"accuracy after {k} steps": after[k] for k in (1, 5, 10)} | {"ten minus five": gain},
        f"{after[5]:.2f} % after five steps, {after[10]:.2f} after ten.",
        made(row, "together"),
        **standing([row]),
    )


def as_printed(column: str, bank: Bank) -> Finding | None:
    """alpha on the mean loss against the authors' N times larger one, in one experiment."""
    for experiment in COLUMNS[column]:
        rows = whole(row_of(bank, experiment, m) for m in BOTH)
        if rows:
            gap = margin(rows[0], rows[1])
            return Finding(
                {"as printed": gap.low > -0.5},
                {"as printed minus alpha times N": gap},
                f"alpha as printed on the mean loss is {gap.value:+.2f} points from the authors' N "
                "times larger step.",
                made(rows[0], "together"),
                **standing(rows),
            )
    return None


BOTH = ("printed", "maml")


def s211(bank: Bank) -> Finding | None:
    """About 99 % after one step."""
    if (row := cell(bank, "omniglot-5w1s", "maml")) is None:
        return None
    one = shares(row, "paper", 1)
    return Finding(
        {"one step": one.mean().item() >= 98.5},
        {
            "accuracy after one step": interval(one),
            "accuracy after three steps": interval(shares(row)),
        },
        f"{one.mean():.2f} % after one step; the paper's 98.7 is after three.",
        made(row),
        **standing([row]),
    )


JUDGES = {
    **{
        claim: partial(accuracy, column, least, "C063" if claim == "S212" else "accuracy")
        for claim, (column, least) in LEAST.items()
    },
    "C056": c056,
    "C023": partial(against_mann, False),
    "C058": partial(against_mann, True),
    "X034": partial(over_lstm, "mini-5w1s"),
    "X035": partial(over_lstm, "omniglot-5w1s"),
    "C060": c060,
    "C061": c061,
    "C132": c132,
    "C130": partial(as_printed, "omniglot-5w1s"),
    "C131": partial(as_printed, "omniglot-20w1s"),
    "S211": s211,
}

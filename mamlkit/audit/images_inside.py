"""Judges of section 5.2 that look into trained networks, or compare rows of miniImagenet."""

import torch
from torch import Tensor

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
from mamlkit.audit.images import standing
from mamlkit.audit.judging import Finding
from mamlkit.audit.table1 import TABLE1
from mamlkit.studies.image_measures import QUERIES
from mamlkit.studies.images import COLUMNS

ONE_SHOT = "omniglot-5w1s"
PROTOCOLS = {"together": "queries together", "support only": "support statistics"}


def evidence() -> Bank:
    """All that the bank holds of section 5.2."""
    return banked()


def looked(row: Row, name: str) -> Tensor:
    """What `looks` counted, in percent of a task's queries: (seeds, tasks, ...)."""
    counted = torch.stack([r.measured[name] for r in row.results.values()])
    return 100 * counted.float() / (row.setting["way"] * QUERIES)


def points_lost(row: Row, protocol: str = "together", part: str = "head") -> float:
    """What is lost when one part of the net adapts alone, on the same tasks, in points."""
    alone = looked(row, f"{part}.{protocol}")
    return (shares(row, protocol)[:, : alone.shape[1]] - alone).mean().item()


def c009(bank: Bank) -> Finding | None:
    """Primarily modifying the top layer weights can produce good results."""
    if (row := cell(bank, ONE_SHOT, "maml")) is None:
        return None
    lost = {protocol: points_lost(row, protocol) for protocol in PROTOCOLS}
    moves = torch.stack([r.measured["moved"] for r in row.results.values()]).mean(0)
    return Finding(
        {protocol: abs(points) <= 1 for protocol, points in lost.items()},
        {f"points lost by the last layer alone, {p}": x for p, x in lost.items()}
        | {f"movement, layer {i + 1}": m for i, m in enumerate(moves.tolist())},
        "adapting the last layer alone, with all below frozen, loses "
        + " and ".join(f"{x:.2f} points ({PROTOCOLS[p]})" for p, x in lost.items())
        + ".",
        made(row, "together", looked(row, "head.together").shape[1]),
        **standing([row]),
    )


def x004(bank: Bank) -> Finding | None:
    """Is one step on Omniglot linear?"""
    if (row := cell(bank, ONE_SHOT, "maml")) is None:
        return None
    both = looked(row, "linear")
    linear, real = both.unbind(-1)
    gap = interval(real - linear)
    return Finding(
        {"no": gap.value >= 5 and gap.low > 0},
        {
            "after the real step": interval(real),
            "after the linearised step": interval(linear),
            "difference": gap,
        },
        f"{real.mean():.1f} % after one real step, {linear.mean():.1f} % after its linearisation.",
        made(row, "together", both.shape[1]),
        **standing([row]),
    )


def x005(bank: Bank) -> Finding | None:
    """How far does Omniglot 5-way 1-shot get without a GPU?"""
    if (row := row_of(bank, f"{ONE_SHOT}-cpu", "printed")) is None:
        return None
    found = shares(row, "together")
    return Finding(
        {"97 %": found.mean().item() >= 97},
        {"15 queries a class, together": sure(found), "per seed": of_seeds(found)},
        f"{found.mean():.2f} % on held-out characters.",
        made(row, "together"),
        **standing([row]),
    )


def c139(bank: Bank) -> Finding | None:
    """A context vector alone is adapted: appendix C.2."""
    rows = whole(cell(bank, ONE_SHOT, m) for m in ("context", "maml"))
    if not rows:
        return None
    gap, found = margin(rows[0], rows[1], "paper"), shares(rows[0])
    return Finding(
        {"below MAML": gap.high < 0, "the number": abs(found.mean().item() - 94.9) <= 1.5},
        {"context vector": interval(found), "context minus MAML": gap},
        f"{found.mean():.2f} % when a context alone adapts, {shares(rows[1]).mean():.2f} % for "
        "MAML.",
        made(rows[0]),
        **standing(rows),
    )


def c133(bank: Bank) -> Finding | None:
    """Trained for 60000 iterations: does validation accuracy still rise in the second half?"""
    row = row_of(bank, ONE_SHOT, "maml")
    if row is None:
        return None
    scores = next(iter(row.results.values())).measured["scores"]
    half = row.setting["iterations"] / 2
    first, second = (
        100 * scores[rows, 1].max().item() for rows in (scores[:, 0] <= half, scores[:, 0] > half)
    )
    return Finding(
        {"still rises": second > first + 0.2},
        {"best validation accuracy, first half": first, "second half": second},
        f"the best validation accuracy is {first:.2f} % in the first half and {second:.2f} % in "
        "the second.",
        made(row),
        **standing([row._replace(results=dict([*row.results.items()][:1]))]),
    )


def c048(bank: Bank) -> Finding | None:
    """The interval over tasks against what retraining changes, at the largest budget that has the
    three seeds or more which that takes."""
    tried = (row_of(bank, name, m) for name in COLUMNS[ONE_SHOT] for m in ("maml", "printed"))
    row = next((r for r in tried if r and len(r.results) >= 3), None)
    if row is None:
        return None
    found = shares(row)
    half = (1.96 * found.std(1) / found.shape[1] ** 0.5).mean().item()
    spread = found.mean(1).std().item()
    return Finding(
        {"covers seeds": spread < 0.5 * half},
        {
            "standard deviation over seeds": spread,
            "half width over tasks, mean over seeds": half,
            "per seed": of_seeds(found),
        },
        f"over seeds the accuracy varies by {spread:.2f} points, the interval of one training "
        f"over tasks is ± {half:.2f}.",
        made(row),
        **standing([row]),
    )


def c064(bank: Bank) -> Finding | None:
    """First-order MAML on miniImagenet."""
    rows = whole(cell(bank, name, "fomaml") for name in ("mini-5w1s", "mini-5w5s"))
    if not rows:
        return None
    found = {shot: shares(r) for shot, r in zip(("1-shot", "5-shot"), rows, strict=True)}
    least = {"1-shot": 46.3, "5-shot": 62.2}  # asked for
    return Finding(
        {shot: reaches(found[shot], x) for shot, x in least.items()},
        {shot: interval(x) for shot, x in found.items()},
        " and ".join(
            f"{x.mean():.2f} % where {least[shot]} are asked for ({shot})"
            for shot, x in found.items()
        )
        + ".",
        made(rows[0]),
        **standing(rows),
    )


def c065(bank: Bank) -> Finding | None:
    """The fine-tuned classifier and its features' nearest neighbour on miniImagenet."""
    rows = whole(cell(bank, "mini-5w1s", m) for m in ("fine-tuned", "features"))
    if not rows:
        return None
    tuned, nearest = map(shares, rows)
    quoted = [TABLE1["mini-5w1s"][m] for m in ("fine-tuned", "features")]
    return Finding(
        {
            "fine-tuning": abs(tuned.mean().item() - quoted[0]) <= 3,
            "nearest neighbour": abs(nearest.mean().item() - quoted[1]) <= 3,
        },
        {
            "fine-tuning, 1-shot": interval(tuned),
            "nearest neighbour, 1-shot": interval(nearest),
        },
        f"{tuned.mean():.2f} % fine-tuned, where {quoted[0]} is quoted, and {nearest.mean():.2f} % "
        f"by the nearest neighbour, where {quoted[1]} is.",
        made(rows[0]),
        **standing(rows),
    )


def c067(bank: Bank) -> Finding | None:
    """32 filters to reduce overfitting: 64 beside them."""
    names = ("mini-5w1s", "mini-5w1s-64-filters")
    rows = whole(row_of(bank, name, "maml") for name in names)
    if not rows:
        return None
    test = [shares(row, "together") for row in rows]
    gaps = [
        (shares(row, "training classes").mean() - t.mean()).item()
        for row, t in zip(rows, test, strict=True)
    ]
    return Finding(
        {"overfits more": gaps[1] > gaps[0], "worse": bool(test[1].mean() < test[0].mean())},
        {f"training classes minus test classes, {n}": g for n, g in zip(names, gaps, strict=True)}
        | {f"test classes, {n}": interval(t) for n, t in zip(names, test, strict=True)},
        "accuracy falls from training to test classes by "
        + " and ".join(f"{g:.2f} points ({n})" for n, g in zip(names, gaps, strict=True))
        + ".",
        made(rows[0], "together"),
        **standing(rows),
    )


JUDGES = {
    "C009": c009,
    "X004": x004,
    "X005": x005,
    "C139": c139,
    "C133": c133,
    "C048": c048,
    "C064": c064,
    "C065": c065,
    "C067": c067,
}

"""Judges of section 5.2 that need no training: what is counted, and what is quoted."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mamlkit.audit.judging import Finding
from mamlkit.audit.table1 import TABLE1, above, above_own_table, over_lstm
from mamlkit.baselines.matching import full_context, matching
from mamlkit.families.archive import split_classes
from mamlkit.machine import seeded
from mamlkit.nets import count, pooled_convnet, strided_body, strided_convnet
from mamlkit.studies.image_methods import family, pictures
from mamlkit.studies.images import SETTINGS

SPLITS = ("train", "validation", "test")


class Counted(NamedTuple):
    """omniglot, mini: classes of each split. alphabets: of Omniglot. drawings: of each character
    (None where Omniglot is not here). turns: how often a character is turned by 0, 90, 180, 270
    degrees, in percent. twice: does a task hold one character twice? hidden: the numbers that the
    last layer reads. parameters: of each net, by name. table: Table 1 as quoted.
    """

    omniglot: Mapping[str, int]
    alphabets: int
    drawings: int | None
    mini: Mapping[str, int]
    turns: list[float]
    twice: bool
    hidden: int
    parameters: Mapping[str, int]
    table: Mapping[str, Mapping[str, float]]


def evidence() -> Counted:
    """Counted in the files, in 2,000 sampled tasks and in the nets themselves."""
    names = {split: split_classes("omniglot", split) for split in SPLITS}
    try:
        drawn, images = pictures("omniglot", "test").shape[1], "omniglot"
    except OSError:
        drawn, images = None, "glyphs"
    setting = SETTINGS["omniglot-5w1s"] | {"images": images}
    draws = family(setting, "train", 1).noise(seeded(0), 2_000)
    body = strided_body()
    return Counted(
        omniglot={split: len(classes) for split, classes in names.items()},
        alphabets=len({c.split("/")[0] for classes in names.values() for c in classes}),
        drawings=drawn,
        mini={split: len(split_classes("miniimagenet", split)) for split in SPLITS},
        turns=[100 * (draws.turns == quarter).float().mean().item() for quarter in range(4)],
        twice=bool((draws.classes.sort(-1).values.diff(dim=-1) == 0).any()),
        hidden=body.forward(body.init(seeded(0)), torch.zeros(2, 1, 28, 28)).shape[1],
        parameters=_parameters(),
        table=TABLE1,
    )


def _parameters() -> dict[str, int]:
    """The nets of claim C068. The LSTM learns one initial cell value for each weight that is not
    batch norm's, beside its own weights, which are not counted."""
    body, mini = strided_body(), pooled_convnet(5).init(seeded(0))
    whole = full_context(body, features=64, ways=5, steps=5)
    return {
        "MAML": count(strided_convnet(5).init(seeded(0))),
        "matching, basic": count(matching(body, ways=5).init(seeded(0))),
        "matching, full context": count(whole.init(seeded(0))),
        "MAML, miniImagenet": count(mini),
        "meta-learner LSTM, miniImagenet, at least": count(mini)
        + count({k: p for k, p in mini.items() if "norm" not in k}),
    }


def c043(e: Counted) -> Finding | None:
    """20 drawings of 1623 characters of 50 alphabets."""
    if e.drawings is None:
        return None
    found = {
        "characters": sum(e.omniglot.values()),
        "instances": e.drawings,
        "alphabets": e.alphabets,
    }
    expected = {"characters": 1623, "instances": 20, "alphabets": 50}
    return Finding(
        {name: found[name] == n for name, n in expected.items()},
        found,
        f"{found['characters']:,} characters of {e.alphabets} alphabets, {e.drawings} drawings "
        "each.",
    )


def s106(e: Counted) -> Finding:
    """Over 1,600 characters from 50 alphabets."""
    n = sum(e.omniglot.values())
    checks = {"over 1,600": n > 1600, "50 alphabets": e.alphabets == 50}
    return Finding(checks, {"characters": n}, f"{n:,} characters.")


def c044(e: Counted) -> Finding:
    """64, 12 and 24 classes."""
    n = e.mini
    checks = {"64": n["train"] == 64, "12": n["validation"] == 12, "24": n["test"] == 24}
    return Finding(
        checks,
        dict(n),
        f"Ravi and Larochelle's lists have {n['train']}, {n['validation']} and {n['test']} "
        "classes.",
    )


def c045(e: Counted) -> Finding:
    """1200 characters for training."""
    n = e.omniglot
    rest = sum(n.values()) - 1200
    return Finding(
        {"1200": n["train"] == 1200, "the remaining for testing": n["test"] == rest},
        dict(n),
        f"the authors' code, and this book, take {n['train']:,} characters for training, "
        f"{n['validation']} for validation and {n['test']} for testing.",
    )


def c046(e: Counted) -> Finding:
    """Rotations by multiples of 90 degrees."""
    checks = {"equally often": all(24 <= t <= 26 for t in e.turns), "never twice": not e.twice}
    return Finding(
        checks,
        {f"turned by {90 * i} degrees, %": t for i, t in enumerate(e.turns)},
        f"the four turns come in {min(e.turns):.1f} to {max(e.turns):.1f} % of cases, and "
        f"{'a' if e.twice else 'no'} task holds a character twice.",
    )


def c047(e: Counted) -> Finding:
    """The last hidden layer has 64 numbers."""
    return Finding(
        {"64": e.hidden == 64},
        {"dimensions": e.hidden},
        f"the head reads {e.hidden} numbers: the mean of a 2x2 map of {e.hidden} filters.",
    )


def c068(e: Counted) -> Finding:
    """Fewer parameters than matching nets and the meta-learner LSTM."""
    n = e.parameters
    lstm = "meta-learner LSTM, miniImagenet, at least"
    checks = {
        "meta-learner LSTM": n["MAML, miniImagenet"] < n[lstm],
        "matching, full context": n["MAML"] < n["matching, full context"],
        "matching, basic": n["MAML"] < n["matching, basic"],
    }
    return Finding(
        checks,
        dict(n),
        f"MAML {n['MAML']:,}; matching nets {n['matching, basic']:,} without and "
        f"{n['matching, full context']:,} with full context; the meta-learner LSTM over "
        f"{n[lstm]:,} against {n['MAML, miniImagenet']:,}.",
    )


def c004(e: Counted) -> Finding:
    """State of the art, by quoted numbers."""
    checks = {
        "its own table": above_own_table(e.table),
        "prototypical networks": above("prototypical", e.table),
    }
    words = ["above" if passed else "not above" for passed in checks.values()]
    return Finding(
        checks,
        {"quoted": "Table 1 and Snell et al. 2017"},
        f"by quoted numbers MAML, its first-order row included, is {words[0]} every other row of "
        f"Table 1 and {words[1]} prototypical networks in every cell.",
    )


def c059(e: Counted) -> Finding:
    """Above the meta-learner LSTM, by quoted numbers."""
    quoted = over_lstm(e.table)
    return Finding(
        {shot: difference > both for shot, (difference, both) in quoted.items()},
        {
            f"quoted difference and sum of intervals, {shot}": f"{d:.2f}, {both:.2f}"
            for shot, (d, both) in quoted.items()
        },
        "quoted differences of "
        + " and ".join(f"{d:.2f} points against intervals of {b:.2f}" for d, b in quoted.values())
        + ".",
    )


def s107(e: Counted) -> Finding:
    """Above matching nets and memory-augmented nets, by quoted numbers."""
    checks = {
        "state of the art": all(c004(e).checks.values()),
        "matching networks": above("matching", e.table),
        "memory-augmented": above("mann", e.table),
    }
    return Finding(
        checks,
        {"quoted": "Table 1"},
        "by the quoted numbers of Table 1 MAML is "
        + ("above" if checks["matching networks"] and checks["memory-augmented"] else "not above")
        + " both in every cell that it has with them, and "
        + ("above" if checks["state of the art"] else "not above")
        + " prototypical networks in every cell (C004).",
    )


JUDGES = {
    "C004": c004,
    "C043": c043,
    "C044": c044,
    "C045": c045,
    "C046": c046,
    "C047": c047,
    "C059": c059,
    "C068": c068,
    "S106": s106,
    "S107": s107,
}

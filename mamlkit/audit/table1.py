"""Table 1 of the paper, as quoted."""

# Prototypical nets are Snell et al.'s (2017), which the paper cites and leaves out.
TABLE1 = {
    "omniglot-5w1s": dict(
        maml=98.7, siamese=97.3, matching=98.1, statistician=98.1, memory=98.4, prototypical=98.8
    ),
    "omniglot-5w5s": dict(
        maml=99.9, siamese=98.4, matching=98.9, statistician=99.5, memory=99.6, prototypical=99.7
    ),
    "omniglot-20w1s": dict(
        maml=95.8, siamese=88.2, matching=93.8, statistician=93.2, memory=95.0, prototypical=96.0
    ),
    "omniglot-20w5s": dict(
        maml=98.9, siamese=97.0, matching=98.5, statistician=98.1, memory=98.6, prototypical=98.9
    ),
    "omniglot-noconv-5w1s": dict(maml=89.7, mann=82.8),
    "omniglot-noconv-5w5s": dict(maml=97.5, mann=94.9),
    "mini-5w1s": {
        "maml": 48.70, "fomaml": 48.07, "matching": 43.56, "lstm": 43.44,
        "fine-tuned": 28.86, "features": 41.08, "prototypical": 49.42,
    },
    "mini-5w5s": {
        "maml": 63.11, "fomaml": 63.15, "matching": 55.31, "lstm": 60.60,
        "fine-tuned": 49.79, "features": 51.04, "prototypical": 68.20,
    },
}  # fmt: skip
PLUS_MINUS = {  # the paper's 95 % intervals over tasks
    "maml": dict(zip(TABLE1, (0.4, 0.1, 0.3, 0.2, 1.1, 0.6, 1.84, 0.92), strict=True)),
    "lstm": {"mini-5w1s": 0.77, "mini-5w5s": 0.71},
}
OURS = ("maml", "fomaml")  # the rows that the paper calls its own


def above_own_table(table=TABLE1) -> bool:
    """Is the paper's every number above all other rows of Table 1 in its column?"""

    def others(cells):
        return [x for m, x in cells.items() if m not in (*OURS, "prototypical")]

    return all(min(v[m] for m in OURS if m in v) > max(others(v)) for v in table.values())


def above(method: str, table=TABLE1) -> bool:
    """Is MAML above this row in every column that both have?"""
    return all(v["maml"] > v[method] for v in table.values() if method in v)


def over_lstm(table=TABLE1) -> dict[str, tuple[float, float]]:
    """By column of miniImagenet: MAML minus the meta-learner LSTM, and both intervals' sum."""
    return {
        shot: (
            table[c]["maml"] - table[c]["lstm"],
            PLUS_MINUS["maml"][c] + PLUS_MINUS["lstm"][c],
        )
        for shot, c in (("1-shot", "mini-5w1s"), ("5-shot", "mini-5w5s"))
    }


def over_mann(table=TABLE1) -> dict[str, tuple[float, float]]:
    """By column without convolutions: MAML minus MANN, and MAML's interval."""
    return {
        shot: (table[c]["maml"] - table[c]["mann"], PLUS_MINUS["maml"][c])
        for shot, c in (("1-shot", "omniglot-noconv-5w1s"), ("5-shot", "omniglot-noconv-5w5s"))
    }

"""The scoreboard shows every number and every verdict."""

import re

import pytest

from mamlkit.audit.claims import read, standing
from mamlkit.audit.scoreboard import board, forest, numbers, squares

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def row(name, verdict="reproduced", section="Section 5.1", **more):
    return {
        "id": name,
        "kind": "number",
        "verdict": verdict,
        "section": section,
        "notebook": "01_sinusoids",
        "paper": {},
        "here": {},
        "quote": "a claim",
        "why": "because",
        "share": 1.0,
        "seeds": 1,
        "checks": {"a": False},
    } | more


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


ROWS = [
    row(
        "C026",
        paper={"1 step": 0.67, "5 steps": 0.38},
        here={"1 step": interval(0.7, 0.6, 0.9), "5 steps": 0.4, "10 steps": 0.3},
    ),
    row("C050", "partial", "Section 5.2", paper={"x": 98.7}, here={"x": 99.2}, share=0.08),
    row("C005", evidence="exact", paper={"parameters": 1761}, here={"parameters": 1761}),
    row("C003", "not tested", "Sections 1-3", quote="<b>few</b> steps & data"),
    row("S106", "refuted as stated", "An article", paper={"y": 3}, here={"y": 4}),
]


def test_only_numbers_of_experiments_are_compared():
    assert numbers(ROWS) == [
        ("C026  1 step", 0.67, 0.7, 0.6, 0.9),
        ("C026  5 steps", 0.38, 0.4, 0.4, 0.4),
        ("C050  x", 98.7, 99.2, 99.2, 99.2),
    ]
    assert numbers([row("C001", paper={"z": 1}, here={"z": True})]) == []
    again = row("C029", paper={"1 step": 0.67}, here={"1 step": interval(0.7, 0.6, 0.9)})
    assert numbers([*ROWS, again]) == numbers(ROWS), "a number stands there once"


def test_the_forest_has_a_line_for_each_and_is_hollow_below_the_papers_budget():
    ax = forest(ROWS).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [n for n, *_ in numbers(ROWS)]
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert faces[0] == faces[1] != faces[2]


def test_each_claim_is_a_square_in_the_row_of_its_section():
    fig = squares(ROWS, "five claims")
    ax = fig.axes[0]
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["Sections 1-3", "Section 5.1", "Section 5.2", "An article"]
    boxes = [p for p in ax.patches]
    assert len(boxes) == len(ROWS)
    assert sum(bool(p.get_hatch()) for p in boxes) == 1, "one was trained with less"


def test_the_board_holds_every_claim_once_and_escapes_it():
    html = board(ROWS)
    assert "<b>few</b>" not in html and "&lt;b&gt;few" in html and "<script" not in html
    assert re.findall(r"ipynb'>(\w+)</a>", html) == [r["id"] for r in ROWS]
    rules = re.findall(r"#(verdict-\d|kind-\d):checked", html)
    assert len(rules) == 4 + 4 and all(f"id='{rule}'" in html for rule in rules)


def test_the_board_of_the_book_has_all_claims():
    rows = standing(read("paper"))
    assert board(rows).count("<tr data-") == len(rows) > 160

"""The scoreboard shows every number and every verdict, and its filters do what they say."""

import pytest

from mamlkit.audit.claims import MARKS, VERDICTS
from mamlkit.audit.scoreboard import board, counted, filters, forest, numbers

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def row(
    claim,
    verdict="reproduced",
    section="Section 5.1",
    paper=None,
    here=None,
    quote="a claim",
    why="because",
):
    return {
        "id": claim,
        "verdict": verdict,
        "section": section,
        "paper": paper or {},
        "here": here or {},
        "quote": quote,
        "why": why,
    }


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


ROWS = [
    row(
        "C026",
        "reproduced",
        paper={"1 step": 0.67, "5 steps": 0.38},
        here={"1 step": interval(0.7, 0.6, 0.9), "5 steps": 0.4, "10 steps": 0.3},
    ),
    row(
        "C005",
        "refuted as stated",
        "Sections 1-3",
        paper={"parameters": 1761, "missing": 5},
        here={"parameters": 1761},
    ),
    row("C003", "not tested", "Sections 1-3", quote="<b>few</b> steps & data"),
    row(
        "C041",
        "partial",
        "Appendix C.1",
        paper={"l2": 7.18, "none": 4.19},
        here={"l2": "it diverged", "none": None},
    ),
]


def test_numbers_are_those_that_the_paper_and_a_record_share():
    assert numbers(ROWS) == [
        ("C026  1 step", 0.67, 0.7, 0.6, 0.9),
        ("C026  5 steps", 0.38, 0.4, 0.4, 0.4),
        ("C005  parameters", 1761, 1761, 1761, 1761),
    ]


def test_a_number_of_one_seed_has_no_interval_and_is_still_a_number():
    assert numbers(
        [row("C026", paper={"1 step": 0.67}, here={"1 step": interval(0.7, None, None)})]
    ) == [("C026  1 step", 0.67, 0.7, 0.7, 0.7)]


def test_a_run_that_diverged_has_no_number():
    assert (
        numbers([row("C026", paper={"1 step": 0.67}, here={"1 step": interval(None, None, None)})])
        == []
    )


def test_the_forest_draws_every_number_over_the_papers():
    (ax,) = forest(ROWS).axes
    points = [
        x
        for line in ax.lines
        if line.get_marker() not in ("None", "")
        for x in (line.get_xdata()[0], line.get_ydata()[0])
    ]
    assert points == pytest.approx([0.7 / 0.67, 0, 0.4 / 0.38, 1, 1.0, 2])
    bars = [tuple(line.get_xdata()) for line in ax.lines if line.get_marker() in ("None", "")][1:]
    assert bars[0] == pytest.approx((0.6 / 0.67, 0.9 / 0.67)), (
        "the interval is scaled as the value is"
    )
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "C026  1 step",
        "C026  5 steps",
        "C005  parameters",
    ]
    assert ax.get_xscale() == "log" and ax.yaxis_inverted()
    assert [t.get_text() for t in ax.texts] == [
        "0.7 (paper 0.67)",
        "0.4 (paper 0.38)",
        "1.76e+03 (paper 1.76e+03)",
    ]


def test_a_forest_of_nothing_can_be_drawn():
    forest([]).canvas.draw()
    forest(iter(ROWS)).canvas.draw()


def test_verdicts_are_counted_and_named():
    fig = counted(iter(ROWS))
    (ax,) = fig.axes
    assert [bar.get_width() for bar in ax.patches] == [
        sum(r["verdict"] == v for r in ROWS) for v in VERDICTS
    ]
    assert [t.get_text() for t in ax.get_yticklabels()] == [f"{MARKS[v]} {v}" for v in VERDICTS]
    assert (
        fig._suptitle.get_text().replace("\n", " ")
        == "4 claims: 1 reproduced, 1 refuted as stated, 0 not reproduced"
    )


def test_the_board_has_a_row_for_each_claim_with_the_papers_numbers_and_the_verdict():
    page = board(iter(ROWS))
    assert page.count("<tr>") == 1 + len(ROWS)
    assert (
        "1 step: 0.67<br>5 steps: 0.38" in page
        and "parameters: 1,761" in page
        and "⚑ refuted as stated" in page
    )
    assert "this run" not in page


def test_the_board_escapes_what_it_shows():
    nasty = "<script>&"
    page = board([row("C001", paper={nasty: 1}, quote=nasty, why=nasty, section=nasty)])
    assert "<script" not in page and page.count("&lt;script&gt;&amp;") == 4


def test_the_records_of_this_run_stand_beside_the_banks():
    page = board(ROWS, {"C026": row("C026", "partial"), "X999": row("X999", "partial")})
    head, *lines = page.split("<tr>")[1:]
    assert "this run" in head and {line.count("<td") for line in lines} == {head.count("<th")}
    assert "partial" in lines[0] and "X999" not in page


def chosen(page):
    return [r["id"] for r in ROWS if f"<td>{r['id']}</td>" in page]


def test_filters_change_the_page():
    widget = filters(ROWS, {"C026": ROWS[0]})
    (sections, verdicts), page = widget.children[0].children, widget.children[1]
    assert sections.options == ("all", "Section 5.1", "Sections 1-3", "Appendix C.1")
    assert verdicts.options == (
        "all",
        "refuted as stated",
        "partial",
        "reproduced",
        "not tested",
    ), "only what there is, in the verdicts' order"
    assert page.value == board(ROWS, {"C026": ROWS[0]})
    sections.value = "Sections 1-3"
    assert chosen(page.value) == ["C005", "C003"]
    verdicts.value = "not tested"
    assert chosen(page.value) == ["C003"]
    sections.value = "Section 5.1"
    assert chosen(page.value) == [] and "<table>" in page.value
    sections.value = verdicts.value = "all"
    assert chosen(page.value) == [r["id"] for r in ROWS]

"""What a committed page says is what the bank says today: its cards are the records', and its
figures and sentences come out again when the cells above "Run it yourself" are run.

A rounding may differ between processors, so a number may be a little different; words may not.
"""

import os
import re

import nbformat
import pytest

from mamlkit.audit.claims import claim
from mamlkit.book import notebooks as book
from tests.kernels import client

REMEDY = "run `make notebooks`"
CHAPTERS = [p for p in book.notebooks() if "01" <= p.stem[:2] <= "07"]
NUMBER = re.compile(r"[-−+]?\d[\d,]*\.?\d*(?:e-?\d+)?")
SHARE = 0.05  # by which another processor may change a number that comes out of two hundred walks
PROVENANCE = re.compile(r"<p><small>.*?</small></p>")


def committed(path):
    if not path.with_suffix(".ipynb").exists():
        pytest.skip("there is no .ipynb; the test of its source fails")
    return nbformat.read(path.with_suffix(".ipynb"), 4)


def stale_cards(notebook) -> list[str]:
    """The claim cells whose cards are not what the records say now; commits and dates apart."""
    old = []
    for cell in notebook.cells:
        if "claim" not in cell.metadata.get("tags", ()):
            continue
        now = claim(*re.findall(r'"(\w+)"', cell.source))._repr_html_()
        (shown,) = (o.data["text/html"] for o in cell.outputs if "data" in o)
        if PROVENANCE.sub("", shown) != PROVENANCE.sub("", now):
            old.append(cell.source.splitlines()[-1])
    return old


def said(cell) -> list[str]:
    """The sentences, titles and alt texts of a cell, without how often words are spaced."""
    found = []
    for output in cell.get("outputs", ()):
        about = output.get("metadata", {}).get("image/png", {})
        found += [about.get("title", ""), about.get("alt", "")]
        found += [output.get("data", {}).get("text/markdown", "")]
    return [" ".join(text.split()) for text in found if text]


def same(now: str, then: str) -> bool:
    """The same words, and numbers that are another rounding at most."""
    if NUMBER.sub("#", now) != NUMBER.sub("#", then):
        return False
    return all(map(_near, NUMBER.findall(now), NUMBER.findall(then)))


def _near(a: str, b: str) -> bool:
    value = lambda x: float(x.replace("−", "-").replace(",", "").rstrip("."))
    unit = 10.0 ** -len(b.rstrip(".").partition(".")[2])
    return abs(value(a) - value(b)) <= max(1.01 * unit, SHARE * abs(value(b)))


@pytest.fixture(scope="module")
def rerun():
    """Runs cells from top to bottom; one kernel for all chapters, which forgets all names between
    two."""
    where = {"metadata": {"path": book.NOTEBOOKS}}
    runner = client(nbformat.v4.new_notebook(), resources=where)
    runner.reset_execution_trackers()

    def run(cells):
        again = [nbformat.v4.new_code_cell(s) for s in ("%reset -f", *(c.source for c in cells))]
        runner.nb.cells = again
        for i, cell in enumerate(again):
            runner.execute_cell(cell, i)
        return again[1:]

    with runner.setup_kernel(env=os.environ | {"MAMLKIT_HEADLESS": "1", "OMP_NUM_THREADS": "1"}):
        yield run


def stale_sentences(notebook, rerun) -> list[str]:
    """What the page says above its last section, and the bank does not say so any more."""
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    tags = [set(c.metadata.get("tags", ())) for c in cells]
    end = next((i for i, t in enumerate(tags) if "parameters" in t), len(cells))
    kept = [c for c, t in zip(cells[:end], tags) if not t & {"widget", "claim"}]
    wrong = []
    for then, now in zip(kept, rerun(kept), strict=True):
        before, after = said(then), said(now)
        if len(before) != len(after):
            wrong.append(f"{len(before)} sentences were said by: {then.source[:60]}")
        wrong += [f"{b!r}, now {a!r}" for b, a in zip(before, after) if not same(a, b)]
    return wrong


@pytest.mark.parametrize("path", book.notebooks(), ids=lambda path: path.stem)
def test_cards_are_the_records(path):
    assert not stale_cards(committed(path)), f"{path.stem}.ipynb shows old records: {REMEDY}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_sentences_and_figures_are_the_banks(path, rerun):
    assert not stale_sentences(committed(path), rerun), f"{path.stem}.ipynb says what was: {REMEDY}"


def test_an_old_card_is_found():
    """As on the page that said "reproduced" where the record says partial."""
    notebook = committed(book.find(["04"])[0])
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "◐ partial" in output.get("data", {}).get("text/html", ""):
                output.data["text/html"] = output.data["text/html"].replace(
                    "◐ partial", "✔ reproduced", 1
                )
    assert 'claim("C100", "C101", "C102", "S109")' in stale_cards(notebook)


def test_an_old_sentence_is_found(rerun):
    """An old number, an old word, a figure that is no more; a rounding is none of them."""
    notebook = committed(book.find(["07"])[0])
    notebook.cells = notebook.cells[:4]  # the picture of all claims and their counts
    pictures = [o for c in notebook.cells for o in c.get("outputs", ()) if said({"outputs": [o]})]
    about = pictures[0].metadata["image/png"]
    about["title"] = about["title"].replace("false as stated", "true as stated")
    (wrong,) = stale_sentences(notebook, rerun)
    assert "true as stated" in wrong
    assert same("it is 5.65 after 1,000", "it is 5.67 after 1,000")
    assert not same("it is 5.65", "it is 6.35") and not same("it is 5.65", "it was 5.65")
    assert not same("-38 of it", "38 of it") and same("-38", "−39")

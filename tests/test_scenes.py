"""Each chapter's second code cell is its live scene: it runs alone, before any other cell."""

import nbformat
import pytest

from mamlkit.book import notebooks as book
from mamlkit.book.html import VIEW
from tests.kernels import client

CHAPTERS = [p for p in book.notebooks() if p.stem[:2] <= "06"]


def second(path):
    """The source of a chapter's second code cell."""
    return [c for c in book.read(path).cells if c.cell_type == "code"][1].source


@pytest.fixture(scope="module")
def outputs():
    """What every chapter's second cell shows, by its name: one kernel forgets all names between
    two."""
    cells = []
    for path in CHAPTERS:
        cells += [nbformat.v4.new_code_cell(source) for source in ("%reset -f", second(path))]
    alone = nbformat.v4.new_notebook(cells=cells)
    client(alone).execute()
    return {path.stem: cell.outputs for path, cell in zip(CHAPTERS, cells[1::2], strict=True)}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_second_cell_is_a_scene_by_itself(outputs, path):
    assert len(second(path).split("\n")) <= 12
    shown = outputs[path.stem]
    assert any(VIEW in output.get("data", {}) for output in shown), "there is no live scene"

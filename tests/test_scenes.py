"""Each chapter's second code cell is its live scene: it runs alone, on a fresh kernel."""

import nbformat
import pytest
from nbclient import NotebookClient

from mamlkit.book import notebooks as book
from mamlkit.book.html import VIEW

CHAPTERS = [p for p in book.notebooks() if p.stem[:2] <= "06"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_second_cell_is_a_scene_by_itself(path):
    code = [c for c in book.read(path).cells if c.cell_type == "code"]
    alone = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code[1].source)])
    assert len(code[1].source.split("\n")) <= 12
    NotebookClient(alone, timeout=60, kernel_name="python3").execute()
    outputs = alone.cells[0].outputs
    assert any(VIEW in output.get("data", {}) for output in outputs), "there is no live scene"

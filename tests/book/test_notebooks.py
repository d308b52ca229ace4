"""Notebooks as files: what a reader wrote is never lost, and an .ipynb is there whole or not."""

import json
import re
import shutil

import nbformat
import pytest

from mamlkit.book import notebooks as book
from mamlkit.files import ROOT
from tests.small_notebooks import OTHER, write


@pytest.fixture
def path(tmp_path):
    """A source and the .ipynb published from it."""
    path = write(tmp_path / "book", _00_a=OTHER) / "00_a.py"
    book.publish(path, book.read(path))
    return path


def change(target, do):
    """As JupyterLab does: reads, changes and saves it."""
    notebook = nbformat.read(target, 4)
    do(notebook.cells)
    nbformat.write(notebook, target)


def add(cells):
    cells.append(nbformat.v4.new_markdown_cell("My thoughts."))


def insert(cells):
    cells.insert(1, nbformat.v4.new_code_cell("mine = 1"))


def alter(cells):
    cells[3].source += "\nmine = 2"


def remove(cells):
    del cells[2]


def swap(cells):
    cells[2], cells[3] = cells[3], cells[2]


@pytest.mark.parametrize(
    "do, words",
    [
        (add, r"1 cells of a reader's \(the first is cell 5\)"),
        (insert, r"1 cells of a reader's \(the first is cell 2\)"),
        (alter, r"1 cells of a reader's \(the first is cell 4\)"),
        (remove, "cells that a reader moved or removed"),
        (swap, "cells that a reader moved or removed"),
    ],
)
def test_what_a_reader_wrote_is_not_thrown_away(path, do, words):
    target = path.with_suffix(".ipynb")
    change(target, do)
    before = target.read_bytes()
    for stale in (False, True):
        if stale:
            path.write_text(OTHER + "\n# %%\nmore = 1\n")
        with pytest.raises(ValueError, match=rf"00_a\.ipynb holds {words}, which would be lost"):
            book.publish(path, book.read(path))
        assert target.read_bytes() == before
    target.rename(path.with_name("mine.ipynb"))
    book.publish(path, book.read(path))


@pytest.mark.parametrize(
    "do",
    [
        lambda cells: None,
        lambda cells: cells.append(
            nbformat.v4.new_code_cell("")
        ),  # what running the last cell adds
        lambda cells: cells[3].update(outputs=[], execution_count=7),
    ],
    ids=["saved", "an empty cell", "run"],
)
def test_what_is_no_work_is_written_anew(path, do):
    change(path.with_suffix(".ipynb"), do)
    path.write_text(OTHER + "\n# %%\nmore = 1\n")
    book.publish(path, book.read(path))
    assert "more = 1" in path.with_suffix(".ipynb").read_text()


def test_what_the_source_has_too_is_written_anew(path):
    """Whoever edits the pair in JupyterLab has the same in both."""
    change(path.with_suffix(".ipynb"), insert)
    path.write_text(
        OTHER.replace('# %% tags=["parameters"]', '# %%\nmine = 1\n\n# %% tags=["parameters"]')
    )
    book.untouched(path)


def test_older_ones_are_known_by_their_source(path):
    target = path.with_suffix(".ipynb")
    notebook = json.loads(target.read_text())
    del notebook["metadata"]["mamlkit"]["cells"]
    target.write_text(json.dumps(notebook))
    book.untouched(path)
    change(target, add)
    with pytest.raises(ValueError, match="1 cells of a reader's"):
        book.untouched(path)


@pytest.mark.parametrize("content", [b"", b"<<<<<<< HEAD", b"[]", b'{"cells": 3}', b"\xff\xfe"])
def test_what_is_no_notebook_is_not_overwritten(path, content):
    path.with_suffix(".ipynb").write_bytes(content)
    with pytest.raises(ValueError, match="holds something that is no notebook"):
        book.publish(path, book.read(path))
    assert book.expected_seconds(path, "quick") == {}


def test_a_notebook_is_written_whole_or_not_at_all(path, monkeypatch):
    before = path.with_suffix(".ipynb").read_bytes()
    monkeypatch.setattr(nbformat, "writes", lambda notebook: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError):
        book.publish(path, book.read(path))
    assert path.with_suffix(".ipynb").read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["00_a.ipynb", "00_a.py"]


def test_a_reader_works_on_copies(path, tmp_path):
    lab = tmp_path / "lab"
    target, copy = path.with_suffix(".ipynb"), lab / "00_a.ipynb"
    assert book.lend([path], lab) == [] and copy.read_bytes() == target.read_bytes()
    change(copy, lambda cells: cells[3].update(execution_count=9))
    run = copy.read_bytes()
    assert book.lend([path], lab) == [] and copy.read_bytes() == run, "its outputs are the reader's"
    path.write_text(OTHER + "\n# %%\nmore = 1\n")
    book.publish(path, book.read(path))
    assert book.lend([path], lab) == [] and copy.read_bytes() == target.read_bytes(), "a newer one"
    change(copy, add)
    mine = copy.read_bytes()
    assert book.lend([path], lab) == [] and copy.read_bytes() == mine
    path.write_text(OTHER)
    book.publish(path, book.read(path))
    (sentence,) = book.lend([path], lab)
    assert copy.read_bytes() == mine and "00_a.ipynb stays, with 1 cells of a reader's" in sentence
    copy.unlink()
    assert book.lend([path], lab) == [] and copy.read_bytes() == target.read_bytes()


def test_a_copy_is_made_of_the_source_where_nothing_was_published(path, tmp_path):
    path.with_suffix(".ipynb").unlink()
    assert book.lend([path], tmp_path / "lab") == []
    copy = nbformat.read(tmp_path / "lab" / "00_a.ipynb", 4)
    assert [cell.source for cell in copy.cells] == [cell.source for cell in book.read(path).cells]
    shutil.copy(tmp_path / "lab" / "00_a.ipynb", path.with_suffix(".ipynb"))
    book.untouched(path)


def test_the_readme_asks_what_the_chapters_ask():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\((\w+\.ipynb)\) (\|.*\|)$", book.contents(), re.MULTILINE)
    assert len(rows) == len(book.notebooks())
    assert not [name for name, question in rows if f"notebooks/{name}) {question}" not in readme]


@pytest.mark.parametrize(
    "name, content",
    [
        ("00_x.py", b"\xff\xfe\x00"),
        ("00_x.ipynb", b"\x00\x01"),
        ("00_x.ipynb", b"{}"),
        ("00_x.ipynb", b"[]"),
        ("00_x.ipynb", b"3"),
        ("00_x.ipynb", b""),
        ("00_x.ipynb", b'{"nbformat": 4}'),
        ("00_x.ipynb", b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}'),
        ("00_x.ipynb", b'{"nbformat": 4, "nbformat_minor": 5, "metadata": 1, "cells": []}'),
        ("00_x.ipynb", b'{"nbformat": 99, "nbformat_minor": 5, "metadata": {}, "cells": []}'),
    ],
)
def test_what_is_no_notebook_is_named_in_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        book.read(tmp_path / name)
    assert type(refusal.value) is ValueError and "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path / name} holds no notebook (")

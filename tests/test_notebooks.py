"""What every notebook of the book keeps to, and that its .ipynb is the executed image of its
.py."""

import ast
import json
import re

import nbformat
import pytest

from mamlkit.book import html as page
from mamlkit.book import notebooks as book
from mamlkit.book.html import STATE, VIEW
from mamlkit.book.parameters import allowed, parameters

ALL = pytest.mark.parametrize("path", book.notebooks(), ids=lambda path: path.stem)
REMEDY = "run `make notebooks`"


def executed(path):
    """The notebook as committed."""
    if not path.with_suffix(".ipynb").exists():
        pytest.skip("there is no .ipynb; the test of its source fails")
    return nbformat.read(path.with_suffix(".ipynb"), 4)


def test_every_ipynb_has_its_source():
    assert {p.stem for p in book.NOTEBOOKS.glob("*.ipynb")} <= {p.stem for p in book.notebooks()}


@ALL
def test_the_ipynb_is_made_from_this_source(path):
    assert path.with_suffix(".ipynb").exists(), f"{path.stem}.ipynb is missing: {REMEDY}"
    made = executed(path)
    about = made.metadata.get("mamlkit", {})
    assert (about.get("source"), about.get("profile")) == (book.digest(path), "quick"), (
        f"{path.stem}.ipynb is stale: {REMEDY}"
    )
    assert [c.source for c in made.cells] == [c.source for c in book.read(path).cells], (
        f"{path.stem}.ipynb differs: {REMEDY}"
    )
    assert path.with_suffix(".ipynb").stat().st_size < 1e6


@ALL
def test_it_ran_from_top_to_bottom_without_error(path):
    code = [
        cell for cell in executed(path).cells if cell.cell_type == "code" and cell.source.strip()
    ]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [
        output.ename for cell in code for output in cell.outputs if output.output_type == "error"
    ]


@ALL
def test_every_picture_has_alt_text(path):
    made = executed(path)
    for cell in made.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                assert output.metadata.get("image/png", {}).get("alt"), (
                    f"a picture without alt text below: {cell.source[:80]}"
                )
            for tag in re.findall(r"<img[^>]*>", output.get("data", {}).get("text/html", "")):
                assert "alt=" in tag, f"a picture without alt text below: {cell.source[:80]}"


@ALL
def test_widgets_are_never_an_empty_box(path):
    made = executed(path)
    state = made.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    for cell in made.cells:
        for output in cell.get("outputs", ()):
            if view := output.get("data", {}).get(VIEW):
                assert output.data.keys() - {VIEW, "text/plain"} or page.still(
                    view["model_id"], state
                ), cell.source[:80]


@ALL
def test_parameters_are_typed_documented_and_ranged(path):
    cells = [c for c in book.read(path).cells if "parameters" in c.metadata.get("tags", ())]
    assert len(cells) <= 1
    for parameter in parameters(path).values() if cells else ():
        assert parameter.type in ("int", "float", "bool", "str"), parameter
        assert parameter.type == "bool" or allowed(parameter.range), parameter


def code_cells(path):
    """(tags, source) of every code cell."""
    return [
        (set(cell.metadata.get("tags", ())), cell.source)
        for cell in book.read(path).cells
        if cell.cell_type == "code"
    ]


@ALL
def test_it_is_an_essay_more_than_a_program(path):
    """At least as many characters of prose as of visible code, at most 120 visible lines of it, in
    cells of at most fifteen."""
    prose = sum(len(c.source) for c in book.read(path).cells if c.cell_type == "markdown")
    visible = [source for tags, source in code_cells(path) if not tags & book.FOLDED]
    assert prose >= sum(map(len, visible))
    assert sum(len(source.split("\n")) for source in visible) <= 120
    for source in visible:
        assert len(source.split("\n")) <= 15, f"a long cell: {source[:80]}"


@ALL
def test_lines_are_at_most_100_characters(path):
    """Of code and of prose; a row of a table and a link have no place to break."""
    for number, line in enumerate(path.read_text().split("\n"), 1):
        whole = line.startswith("# |") or " " not in line.removeprefix("# ")
        assert len(line) <= 100 or whole, f"{path.name}, line {number}: {line}"


@ALL
def test_cells_define_no_classes_and_install_nothing(path):
    for _, source in code_cells(path):
        for node in ast.walk(ast.parse(source)):
            own = path.stem == "08_your_own"  # where a reader writes what the package would hold
            assert own or not isinstance(node, ast.ClassDef), "a class belongs in the package"
        assert not re.search(r"^\s*#?\s*[!%]\s*pip\b|\bpip install\b", source, re.MULTILINE)


def test_no_two_notebooks_define_the_same_function():
    where = {}
    for path in book.notebooks():
        for _, source in code_cells(path):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef):
                    where.setdefault(node.name, set()).add(path.stem)
    assert not {name: at for name, at in where.items() if len(at) > 1}


def test_notebooks_use_few_rooms():
    """Of the package, a page imports what it teaches."""
    for path in book.notebooks():
        text = "\n".join(source for _, source in code_cells(path))
        assert len(set(re.findall(r"from (mamlkit[\w.]*) import", text))) <= 22, path.stem


def test_links_between_notebooks_lead_somewhere():
    for path in book.notebooks():
        for target in re.findall(r"\]\((\d\d_\w+)\.ipynb", json.dumps(path.read_text())):
            assert path.with_name(f"{target}.py").exists(), f"{path.stem} links to {target}"

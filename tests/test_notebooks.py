"""What every notebook of the book keeps to, and that its .ipynb is the executed image of its
.py."""

import ast
import json
import re

import nbformat
import pytest

from mamlkit.book import bank
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
def test_equations_can_be_drawn_on_the_page(path):
    text = page.html(executed(path), path.stem)
    assert not re.findall(r"<m[a-z]+>(\\[a-z]+)", text), "TeX that latex2mathml does not know"


@ALL
def test_parameters_are_typed_documented_and_ranged(path):
    assert sum("parameters" in cell.tags for cell in bank.cells(path.read_text())) == 1
    known = parameters(path)
    assert {"profile": '"quick"', "seed": "0", "device": '"auto"'}.items() <= {
        p.name: p.default for p in known.values()
    }.items()
    for parameter in known.values():
        assert parameter.type in ("int", "float", "bool", "str"), parameter
        assert parameter.type == "bool" or allowed(parameter.range), parameter


@ALL
def test_cells_are_thin(path):
    for cell in bank.cells(path.read_text()):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef), (
                f"line {cell.line}: a class belongs in the package"
            )
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 8, (
                    f"line {cell.line + node.lineno - 1}: {node.name} is over 8 lines"
                )
        assert not re.search(r"^\s*#?\s*[!%]\s*pip\b|\bpip install\b", cell.source, re.M), (
            f"line {cell.line}: pip in a cell"
        )


def test_the_splitter_finds_the_cells_that_jupytext_finds():
    for path in book.notebooks():
        ours = [cell.source.strip() for cell in bank.cells(path.read_text())]
        theirs = [cell.source.strip() for cell in book.read(path).cells if cell.cell_type == "code"]
        assert ours == theirs, path.stem


def test_links_between_notebooks_lead_somewhere():
    for path in book.notebooks():
        for target in re.findall(r"\]\((\d\d_\w+)\.ipynb", json.dumps(path.read_text())):
            assert path.with_name(f"{target}.py").exists(), f"{path.stem} links to {target}"

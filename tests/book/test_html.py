"""The HTML page of every committed notebook: nothing is fetched, and everything has words."""

import re

import nbformat
import nbformat.v4 as v4
import pytest

from mamlkit.book import html
from mamlkit.book import notebooks as book

FETCHED = re.compile(
    r"<script|<link\b[^>]*\bhref|<(?:img|iframe|source|video|audio|object|embed)\b[^>]*"
    r"\b(?:src|data)=[\"']?(?:https?:|//)|url\([\"']?(?:https?:|//)|@import"
)


@pytest.fixture(scope="module", params=book.notebooks(), ids=lambda path: path.stem)
def page(request):
    path = request.param.with_suffix(".ipynb")
    if not path.exists():
        pytest.skip("there is no .ipynb; the test of its source fails")
    return html.html(nbformat.read(path, 4), path.stem)


def test_it_opens_without_a_network(page):
    assert not FETCHED.findall(page)


def test_what_would_fetch_is_found():
    for line in (
        '<script src="https://cdn/x.js"></script>',
        "<script>fetch('x')</script>",
        '<link rel="stylesheet" href="http://x/y.css">',
        "<img src='https://x/y.png'>",
        '<div style="background:url(https://x/y.png)">',
        '<style>@import "x.css";</style>',
        '<iframe src="//x/y"></iframe>',
    ):
        assert FETCHED.search(line), line
    assert not FETCHED.search('<a href="https://arxiv.org">the paper</a><img src="data:image/png">')


def test_every_picture_has_words(page):
    for tag in re.findall(r"<img[^>]*>", page):
        alt = re.search(r'alt="([^"]+)"', tag)
        assert alt and "No description has been provided" not in alt[1], tag[:200]


def test_equations_can_be_drawn(page):
    assert not re.findall(r"<m[a-z]+>(\\[a-z]+)", page), "TeX that latex2mathml does not know"


def test_it_is_dark_where_the_system_is(page):
    dark = page.partition("@media (prefers-color-scheme: dark) {")[2].partition("</style>")[0]
    assert "--jp-layout-color0: var(--md-grey-900" in dark or "--jp-layout-color0: #111" in dark
    assert dark.count("{") == dark.count("}") - 1, "the rules of the dark page end where they do"


def test_links_lead_to_pages(page):
    """To those of the book: no link leads to a notebook that this folder does not hold."""
    for target in re.findall(r'href="([^":#/]+)"', page):
        assert target.endswith(".html"), target
        assert (book.NOTEBOOKS / target).with_suffix(".py").exists(), target


def test_no_widget_is_an_empty_box(page):
    assert "widget-view" not in page and "A Jupyter widget" not in page


LINES = r"""$$
\begin{aligned}
\theta' &= \theta - \alpha g \\
\theta &\leftarrow \theta - \beta h
\end{aligned}
$$"""


def test_equations_of_several_lines_are_tables():
    """MathML draws their lines one below the other; without a table it shows each "&"."""
    for text in (LINES, LINES.replace("$$", "").strip(), "As $a$ says: " + LINES):
        page = html.html(v4.new_notebook(cells=[v4.new_markdown_cell(text)]), "equations")
        body = page.partition("<body")[2]
        assert body.count("<mtr>") == 2, body[-2000:]
        assert "<mi>&</mi>" not in body and "aligned" not in body

"""The HTML book as a reader opens it: a file, a browser, no network, no kernel; light and dark."""

import nbformat
import pytest
from test_browser import browser  # noqa: F401 (fixture)

from mamlkit.book import html
from mamlkit.book import notebooks as book

pytestmark = pytest.mark.browser


@pytest.fixture(params=["light", "dark"])
def reader(browser, request):  # noqa: F811
    """A page of a browser without a network, and what it asked for besides files."""
    context = browser.new_context(color_scheme=request.param, offline=True)
    page = context.new_page()
    page.theme, page.asked = request.param, []
    page.on("request", lambda asked: page.asked.append(asked.url))
    yield page
    context.close()


def opened(page, folder, stem):
    """The page of a committed notebook, opened as a file."""
    path = book.NOTEBOOKS / f"{stem}.ipynb"
    file = folder / f"{stem}.html"
    file.write_text(html.html(nbformat.read(path, 4), stem))
    page.goto(file.as_uri())
    return page


def luminance(color):
    """0 for black, 1 for white, of a colour as the browser tells it."""
    r, g, b = (float(part) / 255 for part in color.partition("(")[2].rstrip(")").split(",")[:3])
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_a_page_follows_the_system_and_asks_for_nothing(reader, tmp_path):
    page = opened(reader, tmp_path, "01_sinusoids")
    ground, ink = page.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('.jp-MarkdownOutput p')).color]"
    )
    assert abs(luminance(ground) - luminance(ink)) > 0.6
    assert (luminance(ground) < luminance(ink)) == (page.theme == "dark")
    code = page.evaluate(
        "() => [...document.querySelectorAll('.highlight, .highlight pre')].map(box => ["
        "getComputedStyle(box).backgroundColor, getComputedStyle(box).color, box.innerText])"
    )
    shown = [(g, i) for g, i, text in code if "def inner_step" in text]
    assert shown and all(luminance(g) > 0.9 and luminance(i) < 0.2 for g, i in shown)
    assert [u for u in page.asked if not u.startswith(("file:", "data:"))] == []
    assert page.evaluate(
        "() => [...document.images].every(i => i.complete && i.naturalWidth && i.alt)"
    )
    page.screenshot(path=tmp_path / f"{page.theme}.png")


def test_the_claims_are_filtered_without_a_kernel(reader, tmp_path):
    page = opened(reader, tmp_path, "07_scoreboard")
    rows = page.locator(".board tbody tr")
    every = rows.count()
    page.get_by_label("refuted as stated", exact=True).check()
    seen = rows.locator("visible=true")
    assert 0 < seen.count() < every and "refuted as stated" in seen.first.inner_text()
    page.get_by_label("documents: quoted numbers, file names, code").check()
    assert 0 < seen.count() < every
    where = seen.first.locator("a").get_attribute("href")
    assert where.endswith(".html") and (book.NOTEBOOKS / where).with_suffix(".py").exists()

"""Every chapter's live scene as a reader meets it: a real JupyterLab and browser, profile quick.

Opened, and only the second cell run, the scene is drawn and answers a key. Then all cells run: the
scene is drawn and answers before the last of them has ended. What was measured is left in pytest's
temporary folder, scenes.json; `AT_ONCE` holds on a quiet machine and is asked of it only where
MAMLKIT_QUIET is set, since a key on a busy one waits for others.
"""

import json
import os
import shutil
import statistics
import time

import pytest
from test_browser import PATIENCE, browser, folder, serve  # noqa: F401 (fixtures)

from mamlkit.book import notebooks as book

pytestmark = pytest.mark.browser

AT_ONCE, BUSY = {False: 200, True: 1_500}, 10_000  # milliseconds; True: frames are rendered
PRESSES = 5
# What is pressed: the label of a slider and a key, or the name of a pad.
KEYS = {
    "00_start": ("spread", "ArrowRight"),
    "01_sinusoids": ("amplitude", "ArrowRight"),
    "02_classification": ("steps", "ArrowRight"),
    "03_first_order": ("steps", "ArrowRight"),
    "04_navigation": ("goal x", "ArrowRight"),
    "05_locomotion": ("picture", "ArrowLeft"),
    "06_variants": ("steps", "ArrowRight"),
}
FRAMES = {"05_locomotion"}
BRIEF = {"00_start"}  # what follows its scene takes less time than drawing it


@pytest.fixture(scope="module")
def lab(browser, folder):  # noqa: F811
    """A JupyterLab on copies of the committed notebooks, at their own parameters."""
    (folder / "notebooks").mkdir()
    for path in book.notebooks():
        shutil.copy(path.with_suffix(".ipynb"), folder / "notebooks")
    with serve(folder) as address:
        yield address


class Chapter:
    """One notebook, open in Lab."""

    def __init__(self, page, lab, stem):
        self.page, self.stem = page, stem
        page.goto(f"{lab}/lab?token=test&reset", wait_until="domcontentloaded")
        page.wait_for_function("() => window.jupyterapp?.commands", timeout=120_000)
        page.evaluate("() => window.jupyterapp.restored")
        page.evaluate(
            """async path => {
            const w = await jupyterapp.commands.execute('docmanager:open', {path});
            await w.context.ready; await w.context.sessionContext.ready;
            window.notebook = w;
            window.codes = w.content.widgets.filter(c => c.model.type === 'code');
        }""",
            f"{stem}.ipynb",
        )

    def run_second(self):
        """Runs the second code cell alone and waits for the live scene; seconds that it took."""
        begin = time.monotonic()
        self.page.evaluate(
            """async () => {
            const cell = window.codes[1], all = notebook.content.widgets;
            notebook.content.activeCellIndex = all.indexOf(cell);
            await notebook.content.scrollToItem(all.indexOf(cell), 'start');
            await jupyterapp.commands.execute('notebook:run-cell');
            cell.node.dataset.scene = 'live';
        }"""
        )
        self.find()
        return time.monotonic() - begin

    def find(self):
        self.at = self.page.locator("[data-scene=live] .jp-OutputArea").first
        self.at.locator("canvas").first.wait_for(timeout=PATIENCE)
        self.slider.wait_for(timeout=PATIENCE)

    @property
    def slider(self):
        label = KEYS[self.stem][0]
        return self.at.locator(
            ".widget-inline-hbox", has=self.page.get_by_text(label, exact=True)
        ).locator(".noUi-handle")

    def press(self, patience=PATIENCE) -> float:
        """Presses the key; milliseconds until the scene looks another way: a pixel of a canvas, the
        length of a bar, or a number in its table."""
        self.slider.focus()
        self.at.evaluate(
            """scene => {
            const look = () => [...scene.querySelectorAll('canvas')].map(c => c.toDataURL())
                .join() + [...scene.querySelectorAll('table, .bar')]
                .map(n => n.innerText + (n.getAttribute('style') || '')).join();
            const before = look();
            window.latency = null;
            addEventListener('keydown', () => {
                const start = performance.now();
                const again = () => {
                    if (look() !== before) window.latency = Math.round(performance.now() - start);
                    else requestAnimationFrame(again);
                };
                requestAnimationFrame(again);
            }, {capture: true, once: true});
        }"""
        )
        self.page.keyboard.press(KEYS[self.stem][1])
        took = self.page.wait_for_function("() => window.latency", timeout=patience).json_value()
        self.page.wait_for_timeout(400)
        return took

    @property
    def count(self) -> int:
        return self.page.evaluate("() => window.codes[1].model.executionCount")

    def run_all(self) -> float:
        """Begins to run all cells; when that was."""
        self.page.evaluate(
            """() => { window.ended = false;
            jupyterapp.commands.execute('notebook:run-all-cells').then(() => {
                window.ended = true; }); }"""
        )
        return time.monotonic()

    @property
    def errors(self) -> list[str]:
        return self.page.evaluate(
            """() => window.codes.flatMap(c => [...Array(c.model.outputs.length).keys()]
            .map(i => c.model.outputs.get(i).toJSON()).filter(o => o.output_type === 'error')
            .map(o => o.ename + ': ' + o.evalue))"""
        )

    @property
    def last_has_ended(self) -> bool:
        return self.page.evaluate("() => window.ended")

    def close(self):
        self.page.evaluate("() => window.notebook?.context.sessionContext.shutdown()")
        self.page.close()


@pytest.fixture(params=KEYS)
def chapter(browser, lab, folder, request):  # noqa: F811
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    chapter = Chapter(page, lab, request.param)
    try:
        yield chapter
    finally:
        page.screenshot(path=folder / f"{request.param}.png")
        chapter.close()


def test_the_scene_answers_alone_and_while_all_cells_run(chapter, folder):  # noqa: F811
    measured = {"second cell, seconds": round(chapter.run_second(), 1)}
    alone = [chapter.press() for _ in range(PRESSES)]
    measured["alone, ms"] = alone
    before = chapter.count
    begin = chapter.run_all()
    chapter.page.wait_for_function(
        "before => window.codes[1].model.executionCount > before", arg=before, timeout=PATIENCE
    )
    chapter.find()
    measured["drawn after, seconds"] = round(time.monotonic() - begin, 1)
    measured["while all run, ms"] = chapter.press()
    measured["the last cell had ended"] = ended = chapter.last_has_ended
    place = folder / "scenes.json"
    known = json.loads(place.read_text()) if place.exists() else {}
    place.write_text(json.dumps(known | {chapter.stem: measured}, indent=1))
    print(f"\n{chapter.stem}: {measured}")
    assert chapter.errors == []
    assert not ended or chapter.stem in BRIEF, f"only after the last cell: {measured}"
    limit = AT_ONCE[chapter.stem in FRAMES] if os.environ.get("MAMLKIT_QUIET") else BUSY
    assert statistics.median(alone) <= limit

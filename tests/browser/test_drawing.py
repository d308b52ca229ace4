"""The drawing pads as a reader meets them: a real JupyterLab, a real browser; mouse, finger, keys,
and buttons alone.

The notebook is a small one of its own with random parameters. Skips, screenshots and latency.json
as in test_browser.py.
"""

import statistics

import pytest
from test_browser import Scene, browser, folder, serve  # noqa: F401 (fixtures)

from tests.small_notebooks import HEADER, write

pytestmark = pytest.mark.browser

NOTEBOOK = (
    HEADER.split("# %% [markdown]")[0]
    + """# %%
import torch

from mamlkit import nets
from mamlkit.knobs.drawing import drawing_pads
from mamlkit.knobs.strokes import picture

# %%
generator = torch.Generator().manual_seed(0)
corners = torch.rand(10, 1, 4, 2, generator=generator)
drawings = (corners + 0.05 * torch.randn(10, 4, 4, 2, generator=generator)).clamp(0, 1)
drawn = lambda one: torch.stack([255 * picture([stroke.tolist()]) for stroke in one])
samples = torch.stack([drawn(one) for one in drawings]).to(torch.uint8)
net = nets.strided_convnet(5)
drawing_pads(net.forward, net.init(generator), alpha=0.5, samples=samples)
"""
)
PADS = [*(f"class {i}" for i in range(1, 6)), "new drawing"]


@pytest.fixture(scope="module")
def lab(browser, folder):  # noqa: F811
    write(folder / "notebooks", _pads=NOTEBOOK)
    with serve(folder) as address:
        yield address


@pytest.fixture(scope="module")
def scene(browser, lab, folder):  # noqa: F811
    scene = Pads(
        browser.new_page(viewport={"width": 1280, "height": 900}, has_touch=True), lab, folder
    )
    try:
        scene.open("pads.py")
        yield scene
    finally:
        scene.shoot("last")
        scene.close()


class Pads(Scene):
    """The six pads, and what stands beside them."""

    def show(self):
        self.page.evaluate("""async () => {
            const calls = c => c.model.sharedModel.getSource().includes('drawing_pads(');
            const i = notebook.content.widgets.findIndex(calls);
            notebook.content.activeCellIndex = i;
            await notebook.content.scrollToItem(i, 'start');
            notebook.content.widgets[i].node.dataset.scene = 'pads';
        }""")
        self.at = self.page.locator("[data-scene=pads]")
        self.root = self.at.locator(".mamlkit-pads")
        self.root.wait_for(timeout=60_000)

    def fresh(self):
        """All pads ready-made, in view; the bars' numbers."""
        self.show()
        self.click("reset")
        self.says("Truth: class")
        self.root.scroll_into_view_if_needed()
        return self.numbers()

    def pad(self, name):
        return self.root.locator(f"canvas.pad[aria-label^='{name},']")

    def held(self):
        return [self.pad(name).get_attribute("aria-label").split(", ")[1] for name in PADS]

    def says(self, words):
        self.root.locator(".message", has_text=words).wait_for(timeout=30_000)

    def numbers(self):
        return self.root.locator("td").all_inner_texts()

    def changed(self, before):
        """The numbers, once they are others and have come to rest."""
        for _ in range(100):
            now = self.numbers()
            self.page.wait_for_timeout(300)
            if now != before and now == self.numbers():
                return now
        raise AssertionError("the numbers stay as they were")

    def points(self, name, shape):
        box = self.pad(name).bounding_box()
        return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shape]

    def draw(self, name, shape):
        first, *others = self.points(name, shape)
        self.page.mouse.move(*first)
        self.page.mouse.down()
        for point in others:
            self.page.mouse.move(*point, steps=6)
        self.page.mouse.up()

    def clock(self):
        """From the next move of the pointer until a bar has another length: milliseconds in
        window.latency."""
        self.root.evaluate("""root => {
            window.latency = null;
            const look = new MutationObserver(() => {
                    window.latency = performance.now() - start; look.disconnect(); });
            let start;
            root.addEventListener('pointermove', () => {
                start = performance.now();
                const styles = {attributes: true, attributeFilter: ['style']};
                root.querySelectorAll('.after .bar').forEach(bar => look.observe(bar, styles));
            }, {capture: true, once: true});
        }""")

    def took(self):
        return self.page.wait_for_function("() => window.latency", timeout=30_000).json_value()


CORNER, ZIGZAG = (
    [(0.2, 0.2), (0.2, 0.8), (0.8, 0.8)],
    [(0.2, 0.2), (0.8, 0.3), (0.2, 0.7), (0.8, 0.8)],
)


def test_all_cells_ran_without_an_error(scene):
    assert len(scene.cells) == 2 and not [cell["errors"] for cell in scene.cells if cell["errors"]]


def test_a_reader_draws_six_with_the_mouse(scene):
    before = scene.fresh()
    scene.click("clear all")
    scene.says("1, 2, 3, 4, 5 are still empty")
    assert scene.held() == ["empty"] * 6 and set(scene.numbers()) == {"–"}
    for i, name in enumerate(PADS[:5]):
        scene.draw(name, CORNER if i % 2 else [(x, 1 - y + 0.03 * i) for x, y in CORNER])
    scene.says("Draw a new one")
    scene.draw("new drawing", ZIGZAG)
    numbers = scene.changed(["–"] * 10)
    assert scene.held() == ["drawn"] * 6 and numbers != before and "–" not in numbers
    assert sum(float(n.rstrip(" ◀")) for n in numbers[::2]) == pytest.approx(1, abs=0.03)
    scene.shoot("drawn")


@pytest.mark.parametrize("name", ["new drawing", "class 3"])
def test_it_answers_while_the_pen_moves(scene, name):
    scene.fresh()
    start, *path = scene.points(
        name, [(0.2, 0.2), *((0.2 + 0.05 * k, 0.25 + 0.3 * (k % 2)) for k in range(1, 13))]
    )
    scene.page.mouse.move(*start)
    scene.page.mouse.down()
    took = []
    for point in path:
        scene.page.wait_for_timeout(500)
        scene.clock()
        scene.page.mouse.move(*point)
        took.append(round(scene.took()))
    scene.page.mouse.up()
    scene.latency[f"{name}, move to bars"] = {
        "smallest": min(took),
        "median": statistics.median(took),
        "largest": max(took),
        "moves": len(took),
    }
    print(f"\n{name}: {scene.latency}")
    assert statistics.median(took) < 2_000


def test_a_finger_draws_and_the_page_does_not_scroll(scene):
    before = scene.fresh()
    place = scene.pad("new drawing").bounding_box()
    touch = scene.page.context.new_cdp_session(scene.page)
    for kind, point in zip(
        ["touchStart", "touchMove", "touchMove", "touchMove"], scene.points("new drawing", ZIGZAG)
    ):
        touch.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [dict(zip("xy", point))]}
        )
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert scene.changed(before)[1::2] != before[1::2]
    assert (
        scene.held() == ["ready-made"] * 5 + ["drawn"]
        and scene.pad("new drawing").bounding_box() == place
    )


def test_keys_alone_draw_and_lab_does_not_take_them(scene):
    before = scene.fresh()
    page, cells = scene.page, scene.page.evaluate("() => notebook.content.widgets.length")
    scene.pad("class 5").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # over the button that clears class 5
    assert scene.pad("new drawing").evaluate("pad => pad === document.activeElement")
    place = scene.pad("new drawing").bounding_box()
    page.keyboard.press("Delete")
    scene.says("The model has its five drawings")
    for key in ["ArrowUp"] * 3 + ["Space"] + ["ArrowRight"] * 6 + ["Shift+ArrowDown"] * 2:
        page.keyboard.press(key)
    help = scene.root.locator(".help")
    assert help.inner_text() == "New drawing: pen down, column 21 of 28, row 20 of 28."
    scene.shoot("keys")
    page.keyboard.press("Space")
    assert "pen up, column 21" in help.inner_text()
    page.keyboard.press("ArrowLeft")
    numbers = scene.changed(["–"] * 10)
    assert "–" not in numbers and numbers != before
    assert scene.held()[-1] == "drawn" and scene.pad("new drawing").bounding_box() == place
    assert page.evaluate("() => [notebook.content.widgets.length, notebook.content.mode]") == [
        cells,
        "command",
    ]
    page.keyboard.press("Backspace")
    scene.says("The model has its five drawings")


def test_without_drawing_there_are_ready_made_characters(scene):
    numbers = scene.fresh()
    seen = {scene.root.locator(".message").inner_text().split("Truth")[1]}
    for _ in range(8):  # it begins in the middle of a lap, maybe
        scene.at.get_by_role("button", name="next new drawing").focus()
        scene.page.keyboard.press("Enter")
        numbers = scene.changed(numbers)
        seen.add(scene.root.locator(".message").inner_text().split("Truth")[1])
    assert len(seen) == 5, "each class was the new drawing"
    scene.at.get_by_label("character set").select_option("2")
    assert scene.changed(numbers) and scene.held() == ["ready-made"] * 6
    before = scene.numbers()
    scene.slider("steps", ".noUi-handle").focus()
    scene.page.keyboard.press("ArrowRight")
    after = scene.changed(before)
    assert (
        after[0::2] == before[0::2]
        and after[1::2] != before[1::2]
        and scene.root.get_by_text("after 2 steps", exact=True).count()
    )


def test_nothing_jumps(scene):
    scene.fresh()
    tall = [scene.at.bounding_box()["height"]]
    for action in (
        lambda: scene.click("clear all"),
        lambda: scene.pad("class 1").focus(),
        lambda: scene.page.keyboard.press("Space"),
        lambda: scene.root.get_by_role("button", name="clear class 1").click(),
        lambda: scene.click("reset"),
    ):
        action()
        scene.page.wait_for_timeout(500)
        tall.append(scene.at.bounding_box()["height"])
    assert len(set(tall)) == 1, tall


def test_it_can_be_read_in_light_and_in_dark(scene):
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        scene.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        scene.page.wait_for_function(
            "theme => document.body.dataset.jpThemeName === theme", arg=theme, timeout=60_000
        )
        scene.fresh()
        scene.shoot(theme.split()[-1].lower())
        dark, light = scene.root.evaluate(
            "root => [getComputedStyle(root).color, getComputedStyle(root).backgroundColor]"
        )
        assert (dark, light) == ("rgb(34, 34, 34)", "rgb(253, 253, 251)")
        cells = scene.root.evaluate(
            "root => [...root.querySelectorAll('th, td, button')].map(cell =>"
            " getComputedStyle(cell).color)"
        )
        assert set(cells) == {dark}


def test_nothing_left_the_machine_and_no_page_error(scene):
    assert scene.outside == []
    assert scene.errors == []
    assert "cannot be shown" not in scene.at.inner_text()

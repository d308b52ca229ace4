"""The live scene of 01_sinusoids as a reader meets it: a real JupyterLab, a real browser, keys and
mouse.

Where there is no Chromium or Playwright these tests are skipped, and say so; with MAMLKIT_BROWSER
set they fail instead. What they see and measure is left in pytest's temporary folder: screenshots,
and latency.json.
"""

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mamlkit import nets
from mamlkit.knobs.sinusoids import SineKnobs
from mamlkit.show.plots import LOOKS

pytestmark = pytest.mark.browser

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NOTEBOOK, CALL = "01_sinusoids.py", "sine_knobs("
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 600_000  # milliseconds for all cells: two cores that others use too
PRESSES = 12


def playwright():
    """Playwright's entry, or a skip (a failure where MAMLKIT_BROWSER asks for the tests) that says
    what is missing."""
    missing = (
        None
        if CHROMIUM
        else "there is no chromium on this machine (Debian: apt-get install chromium)"
    )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "playwright is not installed (pip install playwright)"
    if missing:
        (pytest.fail if os.environ.get("MAMLKIT_BROWSER") else pytest.skip)(missing)
    return sync_playwright()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser():
    with playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, folder):
    """The address of a JupyterLab of our own, on copies of the notebooks at profile smoke; it ends
    with the tests."""
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    for path in (folder / "notebooks").glob("*.py"):
        path.write_text(
            re.sub(r'^(profile(?:: str)? = )"\w+"', r'\1"smoke"', path.read_text(), flags=re.M)
        )
    with serve(folder) as address:
        yield address


@contextmanager
def serve(folder):
    """A JupyterLab of our own on `folder`/notebooks: its address, until the block ends."""
    settings = (
        folder
        / "JUPYTER_CONFIG_DIR"
        / "lab"
        / "user-settings"
        / "@jupyterlab"
        / "apputils-extension"
    )
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}'
    )  # else Lab asks, over the page
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MAMLKIT_RESULTS",
    )
    inherited = {
        k: v
        for k, v in os.environ.items()
        if k not in ("MAMLKIT_HEADLESS", "MAMLKIT_PROGRESS", "MPLBACKEND")
    }
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ip=127.0.0.1",
                f"--port={port}",
                "--ServerApp.port_retries=0",
                "--IdentityProvider.token=test",
                f"--ServerApp.root_dir={folder / 'notebooks'}",
                "--LabApp.news_url=None",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.expose_app_in_browser=True",
                "--LabApp.extension_manager=readonly",
                "--ServerApp.terminals_enabled=False",
            ],
            env=inherited
            | {name: str(folder / name) for name in own}
            | {"JUPYTER_PREFER_ENV_PATH": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api/status?token=test", server, folder / "lab.log")
        yield address
    finally:
        server.terminate()  # Jupyter ends its kernels first
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(
                server.pid, signal.SIGKILL
            )  # its own session: nothing but this server and what it started
            server.wait()


def _wait_for(address, server, log):
    for _ in range(120):
        try:
            return urllib.request.urlopen(address, timeout=5)
        except OSError:
            assert server.poll() is None, f"JupyterLab ended:\n{log.read_text()[-2000:]}"
            time.sleep(1)
    raise AssertionError(f"JupyterLab did not answer in two minutes:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def scene(browser, lab, folder):
    """The notebook with all its cells run."""
    scene = Scene(browser.new_page(viewport={"width": 1280, "height": 900}), lab, folder)
    try:
        scene.open()
        yield scene
    finally:
        scene.shoot("last")
        scene.close()


class Scene:
    """The page as a reader uses it, and what went wrong on it. call: how the cell of the scene
    begins its call."""

    call = CALL

    def __init__(self, page, lab, folder):
        self.page, self.lab, self.folder, self.errors, self.outside, self.latency = (
            page,
            lab,
            folder,
            [],
            [],
            {},
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._watch(request.url))
        page.on("websocket", lambda socket: self._watch(socket.url))

    def _watch(self, url):
        host = self.lab.removeprefix("http://")
        if not url.startswith((f"http://{host}/", f"ws://{host}/", "data:", "blob:")):
            self.outside.append(url)

    def open(self, notebook=NOTEBOOK):
        page = self.page
        page.goto(f"{self.lab}/lab?token=test&reset", wait_until="domcontentloaded")
        page.wait_for_function(
            "() => window.jupyterapp && window.jupyterapp.commands", timeout=120_000
        )
        page.evaluate("() => window.jupyterapp.restored")
        page.evaluate(
            """async ([path, factory]) => {
            const w = await jupyterapp.commands.execute('docmanager:open', {path, factory});
            await w.context.ready; await w.context.sessionContext.ready; window.notebook = w;
        }""",
            [notebook, "Jupytext Notebook" if notebook.endswith(".py") else "Notebook"],
        )
        page.evaluate(
            "() => { jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.ran"
            " = true; }); }"
        )
        page.wait_for_function("() => window.ran", timeout=PATIENCE)
        self.cells = page.evaluate(
            """() => notebook.content.widgets.filter(c => c.model.type === 'code').map(c => ({
            source: c.model.sharedModel.getSource(), count: c.model.executionCount,
            errors: [...Array(c.model.outputs.length).keys()]
                .map(i => c.model.outputs.get(i).toJSON())
                .filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue)}))"""
        )

    def show(self):
        """Brings the scene into view: Lab keeps only the cells that are seen."""
        found = self.page.evaluate(
            """async call => {
            const calls = c => c.model.type === 'code'
                && c.model.sharedModel.getSource().includes(call);
            const i = notebook.content.widgets.findIndex(calls);
            if (i < 0) return false;
            document.querySelectorAll('[data-scene]').forEach(node => delete node.dataset.scene);
            notebook.content.activeCellIndex = i;
            await notebook.content.scrollToItem(i, 'start');
            notebook.content.widgets[i].node.dataset.scene = 'sine';
            return true;
        }""",
            self.call,
        )
        assert found, f"there is no cell that calls {self.call}...)"
        self.at = self.page.locator("[data-scene=sine]")
        self.canvas = self.at.locator("canvas").first
        self.canvas.wait_for(timeout=60_000)
        self.settle()

    def slider(self, label, part):
        return self.at.locator(
            ".widget-inline-hbox", has=self.page.get_by_text(label, exact=True)
        ).locator(part)

    def value(self, label) -> float:
        return float(self.slider(label, ".widget-readout").inner_text().replace("−", "-"))

    def picture(self) -> str:
        return self.canvas.evaluate("canvas => canvas.toDataURL()")

    def settle(self, wanted: str | None = None) -> str:
        """The picture, once it has stayed the same for half a second; a slow machine is given ten
        seconds to show `wanted`."""
        before = None
        for i in range(60):
            now = self.picture()
            if now == before and (wanted in (None, now) or i >= 20):
                return now
            before = now
            time.sleep(0.5)
        raise AssertionError("the picture does not come to rest")

    def press(self, label, key) -> float:
        """Presses a key on a slider; milliseconds until the browser shows another picture. Fails
        after 10 seconds."""
        self.slider(label, ".noUi-handle").focus()
        self.canvas.evaluate("""canvas => {
            const brush = canvas.getContext('2d');
            const all = () => brush.getImageData(0, 0, canvas.width, canvas.height);
            const pixels = () => new Uint32Array(all().data.buffer);
            const before = pixels();
            window.latency = null;
            addEventListener('keydown', () => {
                const start = performance.now();
                const look = () => {
                    const now = pixels();
                    if (now.some((pixel, i) => pixel !== before[i]))
                        window.latency = Math.round(performance.now() - start);
                    else if (performance.now() - start < 10000) requestAnimationFrame(look);
                };
                requestAnimationFrame(look);
            }, {capture: true, once: true});
        }""")
        self.page.keyboard.press(key)
        return self.page.wait_for_function("() => window.latency", timeout=10_000).json_value()

    def fresh(self) -> str:
        """The scene in view and in its first state; its picture."""
        self.show()
        self.click("reset")
        self.canvas.scroll_into_view_if_needed()
        return self.settle()

    def click(self, label):
        self.at.get_by_role("button", name=label).click()

    def shoot(self, name):
        self.page.screenshot(path=self.folder / f"{name}.png")

    def close(self):
        (self.folder / "latency.json").write_text(json.dumps(self.latency, indent=1))
        print(
            f"\nmilliseconds from key press to changed picture: {self.latency}\nscreenshots:"
            f" {self.folder}"
        )
        if self.page.evaluate("() => Boolean(window.notebook)"):
            self.page.evaluate("() => window.notebook.context.sessionContext.shutdown()")


def test_all_cells_ran_without_an_error(scene):
    assert not [(cell["source"][:80], cell["errors"]) for cell in scene.cells if cell["errors"]]
    assert all(cell["count"] for cell in scene.cells if cell["source"].strip())


@pytest.mark.parametrize("label", ["amplitude", "steps"])
def test_a_key_on_a_slider_changes_the_picture_at_once(scene, label):
    scene.fresh()
    before, took = scene.value(label), []
    for i in range(PRESSES):
        took.append(scene.press(label, "ArrowRight" if i % 2 == 0 else "ArrowLeft"))
        scene.settle()
    assert scene.value(label) == before, "as many keys to the right as to the left"
    scene.latency[label] = {
        "smallest": min(took),
        "median": statistics.median(took),
        "largest": max(took),
        "presses": PRESSES,
    }
    print(f"\n{label}: {scene.latency[label]} ms")
    assert statistics.median(took) < 2_000


def test_every_slider_answers_to_the_keyboard_and_reset_brings_all_back(scene):
    first = scene.fresh()
    for label in (
        "amplitude",
        "phase",
        "points K",
        "noise",
        "step size α",
        "steps",
        "its x",
        "its y",
        "point no.",
    ):
        scene.press(label, "ArrowLeft" if label == "phase" else "ArrowRight")
    assert scene.settle() != first
    scene.click("reset")
    assert scene.settle(first) == first


def test_a_point_follows_the_mouse(scene):
    before = scene.fresh()
    x, y = scene.value("its x"), scene.value("its y")
    net = nets.mlp(1, 2, 1)
    start = net.init(torch.Generator().manual_seed(0))
    twin = SineKnobs(
        net.forward, {"maml": start, "pretrained": start}, alpha=0.01
    )  # laid out as the figure in the browser
    ax, box = twin.panels["maml"][0], scene.canvas.bounding_box()
    assert LOOKS["maml"].label in scene.at.locator("table").inner_text()

    def pixel(x, y):
        px, py = ax.transData.transform((x, y))
        return box["x"] + px, box["y"] + box["height"] - py

    scene.page.mouse.move(*pixel(x, y))
    scene.page.mouse.down()
    scene.page.mouse.move(*pixel(x + 0.5, y - 1), steps=8)
    scene.page.mouse.move(*pixel(x + 1, y - 3), steps=8)
    scene.page.mouse.up()
    assert scene.settle() != before
    scene.shoot("dragged")
    assert scene.value("its x") == pytest.approx(x + 1, abs=0.2) and scene.value(
        "its y"
    ) == pytest.approx(y - 3, abs=0.2)
    scene.click("reset")
    assert scene.settle(before) == before


def test_pictures_that_a_busy_page_drops_leave_nothing_behind(scene):
    """A picture whose successor comes before it is decoded is never shown; here decoding is
    slow."""
    before = scene.fresh()
    scene.press("amplitude", "ArrowRight")
    assert scene.settle() != before
    scene.page.evaluate("""() => {
        const src = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src');
        window.decoding = src; window.dropped = 0;
        Object.defineProperty(HTMLImageElement.prototype, 'src', {...src, set(url) {
            if (this.coming) { clearTimeout(this.coming); window.dropped += 1; }
            this.coming = setTimeout(() => { this.coming = null; src.set.call(this, url); }, 400);
        }});
    }""")
    for label in ("amplitude", "phase"):
        scene.slider(label, ".noUi-handle").focus()
        scene.page.keyboard.press("ArrowLeft")
    scene.click("reset")
    after = scene.settle(before)
    dropped = scene.page.evaluate("""() => {
        Object.defineProperty(HTMLImageElement.prototype, 'src', window.decoding);
        return window.dropped;
    }""")
    assert after == before and dropped


def test_play_goes_through_the_steps(scene):
    before = scene.fresh()
    scene.at.locator(".widget-play button").first.click()
    scene.slider("steps", ".widget-readout").filter(has_text="10").wait_for(timeout=60_000)
    assert scene.value("steps") == 10 and scene.settle() != before


def test_it_can_be_read_in_light_and_in_dark(scene):
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        scene.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        scene.page.wait_for_function(
            "theme => document.body.dataset.jpThemeName === theme", arg=theme, timeout=60_000
        )
        scene.show()
        scene.shoot(theme.split()[-1].lower())
        corner = scene.canvas.evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(2, canvas.height - 3, 1, 1).data]"
        )
        assert corner[3] == 255 and min(corner[:3]) > 200, (
            "the ground of the figure is opaque and light"
        )


def test_nothing_left_the_machine_and_no_page_error(scene):
    assert scene.outside == []
    assert scene.errors == []
    assert "cannot be shown" not in scene.at.inner_text()

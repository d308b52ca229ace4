"""The scenes of section 5.3 as a reader meets them: a real JupyterLab, a real browser, keys and
mouse.

The notebook is a small one of its own with random policies. Skips, screenshots and latency.json as
in test_browser.py.
"""

import time

import pytest
from test_browser import Scene, browser, folder, serve  # noqa: F401 (fixtures)

from mamlkit.knobs.navigation import WalkKnobs
from mamlkit.machine import seeded
from mamlkit.rl.policy import gaussian
from tests.small_notebooks import HEADER, write

pytestmark = pytest.mark.browser

NOTEBOOK = (
    HEADER.split("# %% [markdown]")[0]
    + """# %%
from mamlkit.knobs.locomotion import Start, gait_knobs
from mamlkit.machine import seeded
from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.policy import gaussian
from mamlkit.knobs.navigation import walk_knobs

# %%
point = gaussian(2, 2)
starts = {name: point.init(seeded(i)) for i, name in enumerate(("maml", "pretrained"))}
walk_knobs(starts, alphas={"maml": 0.1, "pretrained": 0.5})

# %%
cheetah = Locomotion("cheetah", "direction", horizon=20)
theta = gaussian(cheetah.observations, cheetah.actions).init(seeded(0))
gait_knobs({"cheetah, direction": Start(cheetah, theta, 0.1)})
"""
)


@pytest.fixture(scope="module")
def page(browser, folder):  # noqa: F811
    write(folder / "notebooks", _robots=NOTEBOOK)
    with serve(folder) as lab:
        page = Robots(browser.new_page(viewport={"width": 1280, "height": 900}), lab, folder)
        try:
            page.open("robots.py")
            yield page
        finally:
            page.shoot("last")
            page.close()


class Robots(Scene):
    """Two scenes; `call` says which of them is meant."""

    call = "walk_knobs("


@pytest.fixture
def plane(page):
    page.call = "walk_knobs(starts"
    return page, page.fresh()


@pytest.fixture
def cheetah(page):
    page.call = "gait_knobs({"
    return page, page.fresh()


def test_all_cells_ran_without_an_error(page):
    assert not [cell["errors"] for cell in page.cells if cell["errors"]]


def test_a_click_puts_the_goal_there_and_reset_brings_it_back(plane):
    scene, before = plane
    policy = gaussian(2, 2)
    twin = WalkKnobs(
        {name: policy.init(seeded(0)) for name in ("maml", "pretrained")},
        alphas={"maml": 0.1, "pretrained": 0.5},
    )  # laid out as in the browser
    x, y = twin.panels["pretrained"][0].transData.transform((0.25, -0.35))
    box = scene.canvas.bounding_box()
    scene.page.mouse.click(box["x"] + x, box["y"] + box["height"] - y)
    assert scene.settle() != before
    assert scene.value("goal x") == pytest.approx(0.25, abs=0.02) and scene.value(
        "goal y"
    ) == pytest.approx(-0.35, abs=0.02)
    scene.shoot("goal")
    scene.click("reset")
    assert scene.settle(before) == before and scene.value("goal x") == -0.3


def test_play_goes_through_the_updates(plane):
    scene, before = plane
    scene.at.locator(".widget-play button").first.click()
    scene.slider("updates", ".widget-readout").filter(has_text="3").wait_for(timeout=60_000)
    assert scene.settle() != before
    row = scene.at.locator("table tr").last.inner_text().split()
    assert len([word for word in row if word.lstrip("-−").replace(".", "").isdigit()]) == 4, (
        "a return before and after each update"
    )
    scene.shoot("updates")


@pytest.mark.parametrize("label", ["goal x", "walks", "updates"])
def test_a_key_changes_the_walks(plane, label):
    scene, before = plane
    scene.latency[label] = scene.press(label, "ArrowRight")
    assert scene.latency[label] < 5_000 and scene.settle() != before


@pytest.mark.parametrize("label", ["steps", "picture"])
def test_a_key_changes_the_gait(cheetah, label):
    scene, before = cheetah
    scene.latency[label] = scene.press(label, "ArrowLeft")
    assert scene.latency[label] < 5_000 and scene.settle() != before


def test_the_other_direction_is_learned_anew(cheetah):
    scene, before = cheetah
    scene.click("backward")
    until = time.monotonic() + 20
    while scene.picture() == before and time.monotonic() < until:
        time.sleep(0.25)
    assert scene.settle() != before
    scene.shoot("backward")


def test_play_shows_the_episode(cheetah):
    scene, _ = cheetah
    scene.press("picture", "Home")
    first = scene.settle()
    scene.at.locator(".widget-play button").first.click()
    scene.slider("picture", ".widget-readout").filter(has_text="20").wait_for(timeout=60_000)
    assert scene.settle() != first
    beside = scene.at.get_by_text("Adapting to it").bounding_box()
    assert beside["x"] > scene.canvas.bounding_box()["x"] + scene.canvas.bounding_box()["width"], (
        "the controls stand beside the figure"
    )


def test_nothing_left_the_machine_and_no_page_error(page):
    assert page.outside == [] and page.errors == []
    assert "cannot be shown" not in page.page.locator("body").inner_text()

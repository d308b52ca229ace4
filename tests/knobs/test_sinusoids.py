"""The live scene of section 5.1, without a browser: what the controls do to the numbers and to the
picture."""

import pytest
import torch

from mamlkit import nets
from mamlkit.inner import adapt, repeated
from mamlkit.knobs import sinusoids as widgets
from mamlkit.knobs.sinusoids import GRID, STEPS, SineKnobs
from mamlkit.losses import mse
from mamlkit.show.plots import LOOKS
from mamlkit.task import Data

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

ALPHA = 0.02
NET = nets.mlp(1, 8, 8, 1, weight=nets.normal(0.4))
MODELS = {
    name: NET.init(torch.Generator().manual_seed(seed))
    for seed, name in enumerate(("maml", "pretrained"))
}


@pytest.fixture
def scene():
    return SineKnobs(NET.forward, MODELS, alpha=ALPHA)


def line(scene, method, artist):
    return torch.as_tensor(scene.panels[method][1][artist].get_xydata()).float()


def set_(scene, **values):
    for name, value in values.items():
        scene.controls[name].value = value


def mouse(scene, kind, at, method="maml"):
    from matplotlib.backend_bases import MouseEvent

    MouseEvent(
        f"{kind}_event", scene.fig.canvas, *scene.panels[method][0].transData.transform(at), 1
    )._process()


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_curve_is_the_adapted_nets(scene, steps):
    set_(scene, amplitude=4.2, phase=0.3, shots=8, noise=0.5, alpha=0.05, steps=steps)
    support = scene.task().support
    assert len(support.x) == 8
    for method, params in MODELS.items():
        for artist, taken in (("before", 0), ("after", steps)):
            adapted = adapt(params, repeated(mse(NET.forward), support, taken), [0.05] * taken)[-1]
            torch.testing.assert_close(
                line(scene, method, artist), torch.cat([GRID, NET.forward(adapted, GRID)], 1)
            )
    torch.testing.assert_close(
        line(scene, "maml", "truth"), torch.cat([GRID, 4.2 * torch.sin(GRID - 0.3)], 1)
    )


def test_the_errors_in_words_are_those_of_an_independent_computation(scene):
    set_(scene, amplitude=2.0, phase=2.0, steps=3)
    support, truth = scene.task().support, 2.0 * torch.sin(GRID - 2.0)
    for method, params in MODELS.items():
        errors = []
        for _ in range(STEPS + 1):
            errors.append((NET.forward(params, GRID) - truth).square().mean().item())
            leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
            (NET.forward(leaves, support.x) - support.y).square().mean().backward()
            params = {name: (p - ALPHA * p.grad).detach() for name, p in leaves.items()}
        row = scene.words.value.split(LOOKS[method].label)[1].split("</tr>")[0]
        said = [cell.rpartition(">")[2] for cell in row.split("</td")[:-1]]
        assert [float(s) for s in said] == pytest.approx(errors, abs=0.006)
        assert (
            scene.panels[method][1]["error"].get_text() == f"{LOOKS[method].label}: error {said[3]}"
        )


def test_the_oracle_is_exact_without_noise_and_says_so(scene):
    set_(scene, amplitude=1.3, phase=2.4, steps=0)
    torch.testing.assert_close(
        line(scene, "oracle", "after"), line(scene, "oracle", "truth"), atol=1e-4, rtol=0
    )
    assert "0.00, no steps needed" in scene.words.value


def test_more_points_keep_the_others_and_noise_is_added_to_points_only(scene):
    few = scene.task()
    set_(scene, shots=12)
    many = scene.task()
    for before, after in zip(few.support, many.support):
        torch.testing.assert_close(after[:5], before)
    set_(scene, noise=0.5)
    noisy = scene.task()
    assert torch.equal(noisy.support.x, many.support.x) and torch.equal(noisy.query.y, many.query.y)
    assert (noisy.support.y - many.support.y).std() > 0.1


def test_dragging_moves_that_point_only_in_every_panel(scene):
    before = scene.task().support
    x, y = before.x[2].item(), before.y[2].item()
    mouse(scene, "button_press", (x + 0.3, y - 0.2), "pretrained")
    mouse(scene, "button_release", (x + 0.3, y - 0.2), "pretrained")
    assert scene.controls["point"].value == 3 and not scene.placed, "a click chooses"
    mouse(scene, "button_press", (x + 0.3, y), "pretrained")
    mouse(scene, "motion_notify", (x + 0.3, y - 1), "pretrained")
    mouse(scene, "button_release", (x + 0.3, y - 2), "pretrained")
    after = scene.task().support
    assert after.y[2].item() == pytest.approx(y - 2, abs=0.1) and after.x[
        2
    ].item() == pytest.approx(x, abs=0.1)  # a pixel
    others = [0, 1, 3, 4]
    assert torch.equal(after.x[others], before.x[others]) and torch.equal(
        after.y[others], before.y[others]
    )
    for method in (*MODELS, "oracle"):
        torch.testing.assert_close(line(scene, method, "points"), torch.cat(after, 1))
        torch.testing.assert_close(line(scene, method, "chosen"), torch.cat(after, 1)[2:3])
    mouse(scene, "motion_notify", (x, 5.0))
    assert torch.equal(scene.task().support.y, after.y), "released is released"


def test_a_point_cannot_leave_the_panel_and_a_click_beside_it_does_nothing(scene):
    point = tuple(column[0].item() for column in scene.task().support)
    mouse(scene, "button_press", (point[0] + 2.0, point[1] + 2.0))
    mouse(scene, "button_release", (0.0, 0.0))
    assert not scene.placed
    mouse(scene, "button_press", point)
    mouse(scene, "button_release", (-30.0, 30.0))
    assert scene.placed == {0: (-5.0, 6.0)}


def test_the_keyboards_way_to_move_a_point(scene):
    before = scene.task().support
    set_(scene, point=4)
    for name, column in (("x", before.x), ("y", before.y)):
        assert scene.controls[name].value == pytest.approx(column[3].item())
    assert torch.equal(scene.task().support.y, before.y), "choosing is not moving"
    set_(scene, y=-5.0)
    after = scene.task().support
    assert after.y[3] == -5.0 and torch.equal(after.x, before.x)
    set_(scene, amplitude=1.0)
    assert scene.task().support.y[3] == -5.0, "a point that was moved stays where it was put"
    assert not torch.equal(scene.task().support.y[:3], before.y[:3]), "the others are on the wave"
    set_(scene, shots=2)
    assert scene.controls["point"].value == 2 and scene.controls["point"].max == 2


def test_the_sliders_of_a_point_do_not_talk_back(scene):
    """With continuous_update a browser answers a value from the kernel with its own rounding, which
    would count as a move."""
    assert not scene.controls["x"].continuous_update and not scene.controls["y"].continuous_update
    for point in range(1, 6):
        set_(scene, point=point)
    assert not scene.placed


def test_new_points_and_reset(scene):
    picture, first = scene.png(), scene.task().support
    scene.new_points()
    assert not torch.equal(scene.task().support.x, first.x)
    set_(scene, amplitude=1.0, steps=9, shots=20, point=17, x=0.0, alpha=0.05)
    scene.reset()
    assert torch.equal(scene.task().support.x, first.x) and scene.png() == picture


def test_playing_the_steps_adapts_once(scene, monkeypatch):
    monkeypatch.setattr(
        widgets,
        "adapt",
        lambda *args: pytest.fail("adapted anew although only the step shown changed"),
    )
    for step in range(STEPS + 1):
        set_(scene, steps=step)
    assert scene.title.get_text() == "5 points, 10 gradient steps"


def test_what_diverges_is_called_so_and_still_drawn():
    wild = {name: 40 * p for name, p in MODELS["maml"].items()}
    scene = SineKnobs(NET.forward, {"maml": wild}, alpha=1.0, steps=10)
    assert scene.panels["maml"][1]["error"].get_text() == "MAML: diverged"
    assert scene.png()


def test_points_in_one_place_leave_the_oracle_without_an_answer_and_nothing_fails(scene):
    set_(scene, shots=2)
    scene.place(0, 0.0, 1.0)
    scene.place(1, 0.0, -1.0)
    assert "diverged" in scene.panels["oracle"][1]["error"].get_text() and scene.png()


def test_the_whole_scene_survives_its_exercise(scene):
    picture = scene.png()
    scene.exercise()
    assert scene.png() == picture and scene.trouble.value == ""


def test_threads_are_given_back(scene):
    threads = torch.get_num_threads()
    set_(scene, amplitude=2.0)
    assert torch.get_num_threads() == threads


def test_all_controls_have_descriptions(scene):
    import ipywidgets as W

    def below(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from below(child)

    controls = [
        w for w in below(scene.widget) if isinstance(w, (W.IntSlider, W.FloatSlider, W.Button))
    ]
    assert len(controls) == len(scene.controls) + 2 and all(w.description for w in controls)
    assert all(w.tooltip for w in below(scene.widget) if isinstance(w, W.Play))
    said = [w.description for w in controls]
    assert len(set(said)) == len(said)


def test_the_alt_text_says_what_is_seen(scene):
    set_(scene, steps=4)
    alt = scene.alt()
    assert "amplitude 3," in alt and "5 points" in alt and "after 4 gradient steps" in alt
    for method in MODELS:
        assert scene.panels[method][1]["error"].get_text().replace(": error", "") in alt


def test_the_starts_given_are_not_changed_and_may_require_gradients():
    starts = {
        "maml": {name: p.clone().double().requires_grad_() for name, p in MODELS["maml"].items()}
    }
    scene = SineKnobs(NET.forward, starts, alpha=ALPHA)
    set_(scene, steps=5)
    assert all(
        torch.equal(p, MODELS["maml"][name].double()) and p.grad is None
        for name, p in starts["maml"].items()
    )


@pytest.mark.parametrize(
    "wrong, said",
    [
        (dict(alpha=-0.1), "alpha is -0.1"),
        (dict(alpha=float("nan")), "alpha is nan"),
        (dict(shots=1), "shots is 1: it must be from 2 to 20"),
        (dict(shots=2.5), "whole number"),
        (dict(steps=11), "steps is 11: it must be from 0 to 10"),
        (dict(amplitude=6.0), "amplitude is 6.0"),
        (dict(phase=-1.0), "phase is -1.0"),
        (dict(noise=2.0), "noise is 2.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        SineKnobs(NET.forward, MODELS, **{"alpha": ALPHA} | wrong)


def test_methods_without_a_look_or_without_room_are_refused():
    with pytest.raises(ValueError, match="no look for .'magic'."):
        SineKnobs(NET.forward, {"magic": MODELS["maml"]}, alpha=ALPHA)
    for models in ({}, dict.fromkeys(("maml", "fomaml", "pretrained", "random"), MODELS["maml"])):
        with pytest.raises(ValueError, match="one to three"):
            SineKnobs(NET.forward, models, alpha=ALPHA)


def test_a_support_set_is_never_shared_between_states(scene):
    first = scene.task().support
    scene.place(0, 1.0, 1.0)
    assert isinstance(first, Data) and not torch.equal(first.x, scene.task().support.x)

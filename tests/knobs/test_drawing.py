"""Five drawn characters and a new one, without a browser: ink to image, and what the model makes of
it."""

import pytest
import torch

from mamlkit import nets
from mamlkit.inner import adapt, repeated
from mamlkit.knobs import drawing as pads
from mamlkit.knobs.drawing import (
    NORMALISED,
    STEPS,
    WAY,
    DrawingPads,
)
from mamlkit.knobs.strokes import LEAST, MOST, PEN, SIZE, picture
from mamlkit.losses import cross_entropy
from mamlkit.task import Data

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")
pytest.importorskip("matplotlib")

NET = nets.strided_convnet(WAY, filters=4)
THETA = NET.init(torch.Generator().manual_seed(0))
ALPHA = 0.3
SAMPLES = (torch.rand(11, 3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) > 0.8).to(
    torch.uint8
) * 255
LINES = [
    [[[0.2, 0.1 + 0.1 * i], [0.8, 0.9 - 0.15 * i]]] for i in range(WAY + 1)
]  # six drawings of one straight stroke


@pytest.fixture
def scene():
    return DrawingPads(NET.forward, THETA, alpha=ALPHA, samples=SAMPLES)


def expected(images, steps, alpha=ALPHA, theta=THETA):
    """Probabilities before and after, from the functions that the notebook trains with."""
    support = Data(torch.stack(images[:WAY]), torch.arange(WAY))
    adapted = adapt(theta, repeated(cross_entropy(NET.forward), support, steps), [alpha] * steps)[
        -1
    ]
    return [NET.forward(p, torch.stack(images))[-1].softmax(-1).tolist() for p in (theta, adapted)]


def seen(scene):
    return torch.frombuffer(bytearray(scene.pads.seen), dtype=torch.uint8).view(
        WAY + 1, 1, SIZE, SIZE
    )


def longer_side(image):
    rows, columns = (image[0] > 0.35).nonzero().unbind(1)
    return max(int(rows.max() - rows.min()), int(columns.max() - columns.min())) + 1


def test_a_stroke_is_as_wide_as_omniglots_and_lies_in_the_middle():
    image = picture([[[0.1, 0.3], [0.7, 0.3]]])
    assert image.shape == (1, SIZE, SIZE) and image.min() == 0 and 0.7 < image.max() <= 1
    torch.testing.assert_close(image[0, :, SIZE // 2].sum(), torch.tensor(PEN))
    torch.testing.assert_close(image, image.flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(image, image.flip(-2), atol=1e-4, rtol=0)
    assert longer_side(image) == pytest.approx(0.6 * SIZE + PEN, abs=1), "its size is kept"


def test_x_goes_right_and_y_goes_down():
    image = picture([[[0.2, 0.2], [0.2, 0.8], [0.8, 0.8]]])  # an L
    ink = image[0] > 0.5
    assert ink[:, 5].sum() > 10 and ink[22].sum() > 10 and not ink[:14, 14:].any()


@pytest.mark.parametrize("extent, pixels", [(0.3, LEAST), (0.6, 0.6 * SIZE + PEN), (1.0, MOST)])
def test_a_drawing_has_the_size_of_omniglots(extent, pixels):
    image = picture([[[0, 0], [extent / 2, extent], [extent, 0]]])
    assert longer_side(image) == pytest.approx(pixels, abs=1)
    assert image[0, :, 0].sum() == 0 and image[0, -1].sum() == 0, "with a margin"


def test_where_it_was_drawn_and_in_which_order_does_not_matter():
    strokes = [[[0.1, 0.1], [0.3, 0.5]], [[0.5, 0.2], [0.2, 0.4]]]
    moved = [[[x + 0.4, y + 0.45] for x, y in stroke][::-1] for stroke in strokes[::-1]]
    torch.testing.assert_close(picture(strokes), picture(moved), atol=1e-4, rtol=0)


def test_a_dot_stays_a_dot_and_a_tiny_drawing_is_doubled_at_most():
    assert 2 <= longer_side(picture([[[0.9, 0.9]]])) <= 4
    assert longer_side(picture([[[0.5, 0.5], [0.6, 0.5]]])) == pytest.approx(
        2 * 0.1 * SIZE + PEN, abs=1.1
    )


def test_strokes_do_not_touch_unless_drawn_so():
    apart = picture([[[0.2, 0.2], [0.2, 0.8]], [[0.8, 0.2], [0.8, 0.8]]])
    assert apart[0, :, SIZE // 2].sum() == 0
    assert picture([[[0.2, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.8]]])[0, :, SIZE // 2].sum() > 1


def test_no_strokes_no_ink():
    assert torch.equal(picture([]), torch.zeros(1, SIZE, SIZE))


@pytest.mark.parametrize(
    "wrong",
    [
        [[[0.5, 1.2]]],
        [[[0.5, float("nan")]]],
        [[[0.5]]],
        [[0.5, 0.5]],
        [[[0.5, "x"]]],
        [[]],
        ["ab"],
        7,
        [None],
    ],
)
def test_what_is_not_a_drawing_is_refused(wrong):
    with pytest.raises(ValueError, match="a drawing is a list of strokes"):
        picture(wrong)


@pytest.mark.parametrize("steps", [0, 1, 4, STEPS])
def test_the_probabilities_are_those_of_adapting_by_hand(scene, steps):
    scene.controls["steps"].value = steps
    scene.pads.ink = LINES
    before, after = expected([picture(strokes) for strokes in LINES], steps)
    assert scene.pads.state["before"] == pytest.approx(before, abs=1e-5)
    assert scene.pads.state["after"] == pytest.approx(after, abs=1e-5)
    assert (before == after) == (steps == 0)
    assert scene.pads.state["steps"] == f"after {steps} step{'s' * (steps != 1)}"
    best = max(range(WAY), key=after.__getitem__)
    assert scene.title.get_text().startswith(
        f"{scene.pads.state['steps'].capitalize()}: class {best + 1} ({after[best]:.2f})."
    )


def test_more_and_fewer_steps_go_along_one_path(scene):
    scene.pads.ink = LINES
    images = [picture(strokes) for strokes in LINES]
    for steps in (3, 1, 5):
        scene.controls["steps"].value = steps
        assert scene.pads.state["after"] == pytest.approx(expected(images, steps)[1], abs=1e-5)


def test_it_begins_with_a_query_that_the_steps_set_right():
    """Which of the first five it is, is found here by looking at each. New drawings are the old
    ones, so that steps can help, but one."""
    same = dict(alpha=ALPHA, samples=SAMPLES[:, :1].repeat(1, 3, 1, 1, 1), steps=5)
    same["samples"][4, 1] = SAMPLES[
        1, 0
    ]  # the first query says it is of class 5 and looks like class 2
    scene, wrong_then_right = DrawingPads(NET.forward, THETA, **same), []
    began = scene.turn
    for scene.turn in range(-1, WAY - 1):
        scene.next_query()
        truth = scene.ready()[1]
        before, after = (
            torch.tensor(scene.pads.state[when]).argmax() for when in ("before", "after")
        )
        wrong_then_right.append(bool(before != truth == after))
    assert began == wrong_then_right.index(True) > 0
    scene.reset()
    assert scene.turn == began


def test_a_new_drawing_does_not_adapt_anew_and_a_support_drawing_does(scene, monkeypatch):
    scene.pads.ink = LINES
    calls = []
    monkeypatch.setattr(pads, "adapt", lambda *args: calls.append(args) or adapt(*args))
    first = scene.pads.state["after"]
    scene.pads.ink = [*LINES[:WAY], LINES[2]]
    assert not calls and scene.pads.state["after"] != first
    changed = [LINES[5], *LINES[1:WAY], LINES[2]]
    scene.pads.ink = changed
    assert len(calls) == 1
    assert scene.pads.state["after"] == pytest.approx(
        expected([picture(strokes) for strokes in changed], 1)[1], abs=1e-5
    )


def test_what_adapts_can_be_named(scene):
    alpha = {name: torch.tensor(0.5) for name in THETA if "beta" not in name}
    part = DrawingPads(NET.forward, THETA, alpha=alpha, samples=SAMPLES)
    part.pads.ink = LINES
    assert part.pads.state["after"] == pytest.approx(
        expected([picture(s) for s in LINES], 1, alpha)[1], abs=1e-5
    )
    assert all(torch.equal(part.path[1][name], p) for name, p in THETA.items() if "beta" in name)


def test_at_first_all_pads_hold_ready_made_characters_and_the_truth_is_known(scene):
    shown, (samples, truth) = seen(scene), scene.ready()
    assert (
        torch.equal(shown[:WAY], SAMPLES[:WAY, 0])
        and torch.equal(shown[WAY], SAMPLES[truth, 1])
        and torch.equal(shown, torch.stack(samples))
    )
    assert scene.pads.state["after"] == pytest.approx(
        expected([s / 255 for s in samples], 1)[1], abs=1e-5
    )
    assert scene.pads.state["held"] == ["ready-made"] * 6 and scene.pads.state["message"].endswith(
        f"Truth: class {truth + 1}."
    )


def test_next_query_goes_through_all_classes_then_to_their_other_drawings(scene):
    found = []
    for _ in range(2 * WAY):
        found.append((scene.ready()[1], seen(scene)[WAY]))
        assert torch.equal(seen(scene)[:WAY], SAMPLES[:WAY, 0])
        scene.next_query()
    assert (
        {truth for truth, _ in found[:WAY]}
        == {truth for truth, _ in found[WAY:]}
        == set(range(WAY))
    )
    for i, (truth, image) in enumerate(found):
        assert torch.equal(image, SAMPLES[truth, 1 + i // WAY])


def test_a_set_is_five_other_characters_and_what_is_left_over_is_in_none(scene):
    assert scene.controls["characters"].options == (1, 2)
    scene.pads.ink = LINES
    scene.next_query()
    scene.controls["characters"].value = 2
    assert (
        torch.equal(seen(scene)[:WAY], SAMPLES[5:10, 0])
        and scene.turn == 0
        and scene.pads.state["held"] == ["ready-made"] * 6
    )


def test_a_drawing_replaces_one_character_only_and_then_the_truth_is_not_claimed(scene):
    truth = scene.ready()[1]
    ink = [None] * (WAY + 1)
    ink[truth] = LINES[0]
    scene.pads.ink = ink
    shown = seen(scene)
    torch.testing.assert_close(shown[truth] / 255, picture(LINES[0]), atol=1 / 255, rtol=0)
    assert all(torch.equal(shown[i], SAMPLES[i, 0]) for i in range(WAY) if i != truth)
    assert scene.pads.state["held"][truth] == "drawn" and "Truth" not in scene.pads.state["message"]


@pytest.mark.parametrize(
    "empty, said",
    [
        ([2], "3 is still empty"),
        ([0, 4], "1, 5 are still empty"),
        (range(5), "1, 2, 3, 4, 5 are still empty"),
    ],
)
def test_too_few_drawings_get_a_hint(scene, empty, said):
    scene.pads.ink = [[] if i in empty else strokes for i, strokes in enumerate(LINES)]
    state = scene.pads.state
    assert said in state["message"] and state["before"] == state["after"] == [None] * WAY
    assert [held == "empty" for held in state["held"]] == [i in empty for i in range(WAY + 1)]
    assert said in scene.alt() and scene.png()


def test_five_without_a_sixth_get_a_hint(scene):
    scene.pads.ink = [*LINES[:WAY], []]
    assert (
        "Draw a new one" in scene.pads.state["message"]
        and scene.pads.state["after"] == [None] * WAY
    )


def test_clear_and_reset(scene):
    first, image = (scene.pads.state, scene.pads.seen), scene.png()
    scene.clear()
    assert not any(scene.pads.seen) and scene.pads.ink == [[]] * (WAY + 1)
    scene.controls["characters"].value = 2
    scene.controls["steps"].value = 7
    scene.next_query()
    scene.pads.ink = LINES
    scene.reset()
    assert (
        (scene.pads.state, scene.pads.seen) == first
        and scene.png() == image
        and scene.pads.ink == [None] * (WAY + 1)
    )


def test_bad_ink_from_a_page_is_said_and_does_not_stop_the_pads(scene):
    for wrong in ([[[[2.0, 0.5]]], *LINES[1:]], LINES[:3]):
        with pytest.raises(ValueError):
            scene.pads.ink = wrong
        assert 'role="alert"' in scene.trouble.value
        scene.pads.ink = LINES
        assert scene.trouble.value == "" and scene.pads.state["held"] == ["drawn"] * 6


def test_what_diverges_is_called_so(scene):
    wild = DrawingPads(NET.forward, THETA, alpha=1e38, samples=SAMPLES, steps=STEPS)
    assert (
        "diverge" in wild.pads.state["message"]
        and wild.pads.state["after"] == [None] * WAY
        and wild.png()
    )


def test_the_whole_scene_survives_its_exercise(scene):
    image = scene.png()
    scene.exercise()
    assert scene.png() == image and scene.trouble.value == ""


def test_the_start_given_is_not_changed_and_may_require_gradients():
    start = {name: p.clone().double().requires_grad_() for name, p in THETA.items()}
    scene = DrawingPads(NET.forward, start, alpha=ALPHA, samples=SAMPLES, steps=2)
    assert all(torch.equal(p, THETA[name].double()) and p.grad is None for name, p in start.items())
    assert scene.pads.state["after"] == pytest.approx(
        expected([s / 255 for s in scene.ready()[0]], 2)[1], abs=1e-5
    )


def test_the_picture_and_its_words_say_what_the_page_says(scene):
    for (_, numbers), name in zip((zip(*bars) for bars in scene.bars), ("before", "after")):
        assert [text.get_text() for text in numbers] == [f"{p:.2f}" for p in scene.pads.state[name]]
        assert all(f"{p:.2f}" in scene.alt() for p in scene.pads.state[name])
    for place, image in zip(scene.places, seen(scene)):
        torch.testing.assert_close(
            torch.as_tensor(place.get_array().data).float(), image[0] / 255, atol=1e-6, rtol=0
        )
    assert NORMALISED in scene.words.value and scene.pads.state["message"] in scene.alt()


@pytest.mark.parametrize(
    "wrong, said",
    [
        (dict(steps=11), "steps is 11"),
        (dict(alpha=-0.1), "alpha is -0.1"),
        (dict(alpha={"nothing": 0.1}), "no parameter is called"),
        (dict(samples=SAMPLES.float()), "samples are torch.float32"),
        (dict(samples=SAMPLES[:4]), "5 classes or more"),
        (dict(samples=SAMPLES[:, :1]), "2 drawings or more"),
        (dict(samples=SAMPLES[..., :20]), r"\(11, 3, 1, 28, 20\)"),
        (dict(steps=0, alpha=-1.0), "alpha is -1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        DrawingPads(NET.forward, THETA, **{"alpha": ALPHA, "samples": SAMPLES} | wrong)


def test_a_net_of_other_ways_is_refused():
    net = nets.strided_convnet(7, filters=3)
    with pytest.raises(ValueError, match="one logit for each of 5 classes"):
        DrawingPads(
            net.forward, net.init(torch.Generator().manual_seed(0)), alpha=ALPHA, samples=SAMPLES
        )


def test_the_page_asks_nothing_of_the_network(scene):
    for text in (scene.pads._esm, scene.pads._css):
        assert not any(word in text for word in ("http", "import ", "fetch", "url("))

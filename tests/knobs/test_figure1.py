"""The live Figure 1, without a browser: the picture shows the closed forms."""

import pytest
import torch

from mamlkit.knobs.figure1 import CurvatureKnob
from mamlkit.probes import quadratic
from mamlkit.probes.quadratic import joint_optimum, maml_optimum, three_tasks

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")


@pytest.fixture
def knob():
    return CurvatureKnob()


def test_the_points_and_arrows_are_the_closed_forms(knob):
    for name, value in dict(spread=3.0, anisotropy=2.5, alpha=0.6).items():
        knob.controls[name].value = value
    tasks = three_tasks(spread=3.0, anisotropy=2.5)
    for method, start in (
        ("pretrained", joint_optimum(tasks)["theta"]),
        ("maml", maml_optimum(tasks, 0.6)["theta"]),
    ):
        for panel in knob.starts:
            assert torch.equal(torch.as_tensor(panel[method].get_xydata())[0], start)
        for arrow, A, c in zip(knob.arrows[method], *tasks):
            begin, end = arrow._posA_posB
            torch.testing.assert_close(torch.tensor(begin, dtype=torch.float64), start)
            torch.testing.assert_close(
                torch.tensor(end, dtype=torch.float64), start - 0.6 * A @ (start - c)
            )


def test_equal_curvatures_bring_the_points_together_and_the_title_says_so(knob):
    assert knob.title.get_text() == "MAML starts worse, and is better after one step"
    knob.equalise()
    assert knob.title.get_text() == "The two starting points coincide" and "coincide" in knob.alt()
    knob.reset()
    knob.controls["alpha"].value = 0.0
    assert knob.title.get_text() == "The two starting points coincide", (
        "without a step there is nothing else to prepare for"
    )


def test_the_message_is_true_wherever_the_sliders_stand(knob):
    for spread in (1.0, 2.0, 6.0):
        for anisotropy in (1.0, 2.0, 4.0):
            for alpha in (0.0, 0.05, 0.5, 0.95):
                knob.set(spread=spread, anisotropy=anisotropy, alpha=alpha)
                (_, _, before, after), (_, _, high, low) = knob.outcome()[1].values()
                together = "coincide" in knob.title.get_text()
                assert together == (alpha == 0 or spread == anisotropy == 1)
                assert together or high.mean() > before.mean() and low.mean() < after.mean()


def test_the_losses_in_words_are_independent_of_the_knobs_own(knob):
    tasks = three_tasks()
    start = maml_optimum(tasks, 0.8)["theta"]
    after = [
        quadratic.loss({"theta": start - 0.8 * A @ (start - c)}, quadratic.Quadratic(A, c)).item()
        for A, c in zip(*tasks)
    ]
    row = knob.words.value.split(">MAML<")[1]
    assert all(f"{loss:.3f}" in row for loss in (*after, sum(after) / 3))


def test_rings_have_one_loss(knob):
    tasks = three_tasks()
    for ring, A, c in zip(knob.rings[0], *tasks):
        losses = [
            quadratic.loss({"theta": point}, quadratic.Quadratic(A, c))
            for point in torch.as_tensor(ring.get_xydata())
        ]
        torch.testing.assert_close(
            torch.stack(losses), torch.full((91,), 0.08, dtype=torch.float64)
        )


def test_it_survives_its_exercise_and_refuses_what_cannot_be(knob):
    picture = knob.png()
    knob.exercise()
    assert knob.png() == picture
    for name, value in dict(spread=0.5, anisotropy=9.0, alpha=1.0).items():
        with pytest.raises(ValueError, match=f"{name} is {value}: it must be from"):
            CurvatureKnob(**{name: value})

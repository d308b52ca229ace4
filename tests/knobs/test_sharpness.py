"""The live figure of the page on blow-ups, without a browser: its numbers are those of ten
steps."""

import pytest
import torch
from torch.func import jacrev, vmap

from mamlkit.inner import inner_step
from mamlkit.knobs.sharpness import GRID, LOST, STEPS, SharpnessKnobs
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp, normal

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

NET = mlp(1, 9, 7, 1, weight=normal(0.6))
THETA = NET.init(seeded(0))


@pytest.fixture
def scene():
    return SharpnessKnobs(NET.forward, THETA, alpha=0.02)


@pytest.mark.parametrize("alpha, wave", [(0.02, 0), (0.05, 3)])
def test_the_dots_are_those_of_an_independent_computation(scene, alpha, wave):
    scene.set(alpha=alpha, wave=wave)
    task, theta, loss = scene.task(), THETA, mse(NET.forward)
    errors, edges = [], []
    for _ in range(STEPS + 1):
        errors.append((NET.forward(theta, GRID) - task.query.y).square().mean())
        rows = vmap(lambda x: jacrev(lambda p: NET.forward(p, x[None]).squeeze())(theta))(
            task.support.x
        )
        j = torch.cat([r.flatten(1) for r in rows.values()], 1)
        edges.append(alpha / 2 * 2 / len(j) * torch.linalg.matrix_norm(j, 2) ** 2)
        theta = inner_step(theta, lambda p: loss(p, task.support), alpha)
    for name, wanted in (("error", errors), ("edge", edges)):
        drawn = torch.as_tensor(scene.lines[name].get_ydata())
        torch.testing.assert_close(drawn, torch.stack(wanted), rtol=1e-3, atol=1e-4)
    assert f"after step two {errors[2]:.2f}" in scene.title.get_text()
    assert scene.controls["alpha"].value == alpha and len(task.support.x) == 5


def test_a_larger_step_is_further_past_the_edge_and_a_reset_brings_it_back(scene):
    before = scene.outcome()[3].clone()
    scene.controls["alpha"].value = 0.04
    assert scene.outcome()[3][0] == pytest.approx(2 * before[0].item())
    scene.reset()
    torch.testing.assert_close(scene.outcome()[3], before)


def test_it_finds_a_wave_that_blows_up_and_draws_what_left_the_numbers(scene):
    wild = SharpnessKnobs(NET.forward, {k: 3 * p for k, p in THETA.items()}, alpha=0.05)
    wild.next_lost()
    first, (_, curves, error, _) = wild.controls["wave"].value, wild.outcome()
    assert error[1:].nan_to_num(1e30).max() > LOST and curves.shape == (STEPS + 1, len(GRID))
    wild.next_lost()
    assert wild.controls["wave"].value != first and wild.controls["alpha"].value == 0.05
    assert torch.as_tensor(wild.lines["error"].get_ydata()).isfinite().all()
    assert torch.as_tensor(wild.lines["edge"].get_ydata()).isfinite().all()
    for number in wild.losing()[:20]:
        wild.set(alpha=0.2, wave=number)  # every one can be drawn, wherever it ends
    scene.lost = []
    with pytest.raises(ValueError, match=r"none of the 2,000 waves diverges at α = 0.02"):
        scene.next_lost()


def test_an_alpha_that_is_none_is_refused():
    with pytest.raises(ValueError, match="alpha is 0: it must be a finite number above 0"):
        SharpnessKnobs(NET.forward, THETA, alpha=0)


def test_every_control_can_be_tried(scene):
    scene.exercise()
    assert "its edge at 1" in scene.alt() and "step one" in scene.message()

"""The exact oracle knows the wave from two points on."""

from math import pi

import pytest
import torch
from torch.func import vmap

from mamlkit.baselines.oracle import sine, sine_fit
from mamlkit.families.sinusoid import sinusoid
from mamlkit.machine import seeded
from mamlkit.task import Data, sample

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("points", [2, 3, 5, 11])
@pytest.mark.parametrize(("amplitude", "phase"), [(0.1, 0.0), (5.0, pi), (2.3, 0.7), (1.0, 2.9)])
def test_two_or_more_points_give_amplitude_and_phase(points, amplitude, phase):
    x = torch.linspace(-4.5, 4.1, points).unsqueeze(1)
    a, b = sine_fit(Data(x, amplitude * torch.sin(x - phase)))
    assert torch.hypot(a, b).item() == pytest.approx(amplitude, rel=1e-12)
    assert (a.item(), -b.item()) == pytest.approx(
        (
            amplitude * torch.cos(torch.tensor(phase)).item(),
            amplitude * torch.sin(torch.tensor(phase)).item(),
        ),
        abs=1e-12,
    )
    assert torch.atan2(-b, a).item() == pytest.approx(phase, abs=1e-11)


@pytest.mark.parametrize("shots", [2, 5])
def test_the_familys_waves_are_known_everywhere(shots):
    """The error elsewhere is rounding: two points a multiple of pi apart say little, so the median
    is held to it."""
    tasks = sample(sinusoid(shots=shots, queries=13), seeded(1), 40)
    outputs = vmap(lambda task: sine(sine_fit(task.support), task.query.x))(tasks)
    worst = (outputs - tasks.query.y).abs().amax((1, 2))
    assert outputs.shape == (40, 13, 1) and worst.median() < 1e-14 * 10 and worst.max() < 1e-8


def test_noisy_points_are_fitted_by_least_squares():
    x, generator = torch.linspace(-5, 5, 9).unsqueeze(1), seeded(2)
    y = torch.randn(9, 1, generator=generator)
    basis = torch.cat([torch.sin(x), torch.cos(x)], 1)
    expected = torch.linalg.lstsq(basis, y).solution.squeeze(1)
    assert torch.allclose(sine_fit(Data(x, y)), expected, rtol=1e-12)
    residual = y - sine(sine_fit(Data(x, y)), x)
    assert (basis.T @ residual).norm() < 1e-13 < residual.norm(), (
        "the rest is orthogonal to both waves"
    )


def test_single_precision_points_are_fitted_in_double():
    x = torch.tensor([[-2.0], [0.25], [3.0]], dtype=torch.float32)
    coefficients = sine_fit(Data(x, torch.sin(x)))
    assert coefficients.dtype == torch.float64 and coefficients == pytest.approx(
        [1.0, 0.0], abs=1e-6
    )


def test_the_wave_of_known_coefficients():
    x = torch.tensor([[0.0], [pi / 2], [1.2]])
    y = sine(torch.tensor([3.0, -0.5]), x)
    assert y.shape == (3, 1) and y[:2, 0] == pytest.approx([-0.5, 3.0])
    assert y[2].item() == pytest.approx(3 * torch.sin(x[2]).item() - 0.5 * torch.cos(x[2]).item())

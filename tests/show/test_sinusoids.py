import pytest
import torch
from matplotlib import pyplot as plt

from mamlkit.show import sinusoids as pictures
from mamlkit.show.plots import LOOKS
from mamlkit.task import Data


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lines(ax):
    return [line for line in ax.lines if len(line.get_xdata())]


def test_the_papers_values_are_open_diamonds_in_the_methods_colour():
    values = torch.linspace(3, 0.3, 11).expand(5, 11)
    panels = {k: {"maml": values, "pretrained": values + 1} for k in (5, 10)}
    fig = pictures.gradient_steps(panels, {5: {"maml": {1: 0.67, 10: 0.35}}}, "title")
    five, ten = fig.axes
    (marks,) = [line for line in lines(five) if line.get_marker() == "D"]
    assert (marks.get_markerfacecolor(), marks.get_markeredgecolor()) == (
        "none",
        LOOKS["maml"].color,
    )
    assert [*marks.get_ydata()] == [0.67, 0.35]
    assert not [line for line in lines(ten) if line.get_marker() == "D"]


def test_the_share_that_diverges_is_drawn_by_sharpness():
    sharp = torch.linspace(50, 450, 4_000)
    fig = pictures.who_diverges(sharp, sharp > 350, 200.0, "title")
    left, right = fig.axes
    rates = lines(right)[0].get_ydata()
    assert min(rates) == 0 and max(rates) == 100 and [*rates] == sorted(rates)
    assert all([*ax.lines[-1].get_xdata()] == [200.0, 200.0] for ax in (left, right))


def test_a_share_has_a_line_for_each_label():
    by_step = {"K = 5": torch.linspace(0, 1, 11), "K = 10": torch.zeros(11)}
    by_alpha = {a: {"K = 5": 10 * a, "K = 10": a} for a in (0.5, 1.0, 2.0)}
    left, right = pictures.share_lost(by_step, by_alpha, "title").axes
    assert [len(lines(ax)) for ax in (left, right)] == [2, 2]
    assert [*lines(right)[0].get_ydata()] == [5.0, 10.0, 20.0]


def test_a_panel_for_each_wave():
    x = torch.linspace(-5, 5, 11)[:, None]
    panel = (torch.sin(x), Data(x[:3], torch.sin(x[:3])), {"maml": 99 * x})
    fig, axes = pictures.waves_and_curves([panel] * 4, x, "title", 2, 2, 3.0)
    assert axes.shape == (2, 2) and all(len(lines(ax)) == 3 for ax in axes.flat)
    assert max(lines(axes[0, 0])[1].get_ydata()) == 9.0  # what leaves the panel is cut


def test_outputs_lie_over_the_mean_of_the_tasks():
    x = torch.linspace(-5, 5, 11)[:, None]
    (ax,) = pictures.mean_of_tasks(x, torch.cos(x), [torch.cos(x) + 0.1] * 3, "title").axes
    assert len(lines(ax)) == 4


def test_two_eigenfunctions_over_sine_and_cosine():
    x = torch.linspace(-5, 5, 21)[:, None]
    wave = torch.sin(x)
    kernels = {m: wave @ wave.T for m in ("maml", "random")}
    fig = pictures.eigenfunctions(x, kernels, {"maml": 0.8, "random": 0.1}, "title")
    first = torch.as_tensor(lines(fig.axes[0])[2].get_ydata())
    assert abs(first @ (wave[:, 0] / wave.norm())) > 0.999
    assert "0.80" in fig.axes[0].get_title()

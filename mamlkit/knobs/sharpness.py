"""The live figure of the page on blow-ups: one wave, ten steps, and where the sharpness stands next
to the edge of stability as alpha is dragged across it."""

from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.families.sinusoid import RANGE, make, sinusoid
from mamlkit.inner import adapt, repeated
from mamlkit.knobs.base import Knobs, headline, one_thread, present, slider
from mamlkit.knobs.table import table
from mamlkit.losses import Forward, mse
from mamlkit.machine import seeded
from mamlkit.probes.tangent_kernel import sharpness
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style
from mamlkit.task import Task
from mamlkit.trees import Params, tree_map

STEPS, SHOTS, WAVES = 10, 5, 2_000
LOST = 100.0  # an error above this counts as diverged, as everywhere in the chapter
GRID = torch.linspace(*RANGE, 201).unsqueeze(-1)
FAMILY = sinusoid(shots=SHOTS, queries=1)
LEAST, MOST = 0.03, 30.0  # of alpha x sharpness / 2 as it is drawn
BEST, WORST = 1e-3, 1e4  # of the error as it is drawn


def sharpness_knobs(forward: Forward, theta: Params, *, alpha: float, seed: int = 0) -> None:
    """One wave, five points, ten gradient steps: the curve after one step and after two, and for
    every step alpha x sharpness / 2, whose edge is 1, above the error: a live figure, or its first
    state.

    forward: the net, one number in and one out. theta: its trained start. alpha: the step that it
    was trained with, above 0; the slider goes from a quarter to four times of it. seed: draws the
    waves. Raises ValueError for an alpha out of range.
    """
    present(lambda: SharpnessKnobs(forward, theta, alpha=alpha, seed=seed))


class SharpnessKnobs(Knobs):
    """The scene of the page on blow-ups."""

    def __init__(self, forward, theta, *, alpha, seed=0):
        if not 0 < alpha < float("inf"):
            raise ValueError(f"alpha is {alpha}: it must be a finite number above 0")
        self.forward, self.loss, self.alpha = forward, mse(forward), alpha
        self.theta = tree_map(lambda p: p.detach().cpu().float(), theta)
        self.waves = FAMILY.noise(seeded(seed), WAVES)
        self.seen = self.lost = None
        controls = {
            "alpha": slider("step size α", alpha, alpha / 4, 4 * alpha, alpha / 20, form=".4f"),
            "wave": slider("wave no.", 0, 0, WAVES - 1, 1, name="wave"),
        }
        buttons = self.buttons({"one that blows up": self.next_lost, "reset": self.reset})
        self.assemble(
            controls,
            [*controls.values(), buttons],
            "Drag α until a dot of the upper panel passes the edge: what does step two do?",
        )

    def figure(self):
        from matplotlib.figure import Figure

        fig = Figure(figsize=(6.4, 3.5), dpi=100, facecolor=GROUND, layout="constrained")
        axes = fig.subplot_mosaic([["wave", "edge"], ["wave", "error"]], width_ratios=(5, 4))
        self.title = headline(fig)
        for ax in axes.values():
            style(ax)
        look, x = LOOKS["maml"], GRID.squeeze(-1)
        wave = axes["wave"]
        wave.set(xlim=RANGE, ylim=(-6, 6), xlabel="x", ylabel="y")
        line = lambda **how: wave.plot(x, x, **how)[0]
        self.curves = {
            "truth": line(color=INK, linewidth=5, alpha=0.22, label="truth"),
            0: line(color=QUIET, linestyle=":", linewidth=1.4, label="before"),
            1: line(color=look.color, linestyle="--", linewidth=1.6, label="after step one"),
            2: line(color=look.color, linewidth=2, label="after step two"),
        }
        self.points = wave.plot([], [], "o", color=INK, markersize=6)[0]
        wave.legend(frameon=False, fontsize=8.5, loc="lower left", labelcolor=INK, ncols=2)
        steps = range(STEPS + 1)
        axes["edge"].set(yscale="log", ylim=(LEAST, MOST), ylabel="α × sharpness / 2")
        axes["edge"].axhline(1, color=INK, linewidth=0.9, linestyle="--")
        axes["edge"].annotate("edge", (STEPS, 1.12), ha="right", fontsize=8.5, color=INK)
        axes["error"].set(yscale="log", ylim=(BEST, WORST), ylabel="error", xlabel="step")
        for name in ("edge", "error"):
            axes[name].set(xticks=range(0, STEPS + 1, 2), xlim=(-0.4, STEPS + 0.4))
        dots: dict[str, Any] = dict(color=look.color, marker="o", markersize=4, linewidth=1)
        self.lines = {name: axes[name].plot(steps, steps, **dots)[0] for name in ("edge", "error")}
        moving = [*self.curves.values(), self.points, *self.lines.values()]
        return fig, [self.title, *moving]

    def task(self) -> Task:
        """The wave that is chosen; its query set is the whole grid."""
        number = self.controls["wave"].value
        return make(tree_map(lambda noise: noise[number], self.waves)._replace(query_x=GRID))

    def outcome(self) -> tuple[Task, Tensor, Tensor, Tensor]:
        """The task, the curve before and after each step (steps + 1, grid), its mean squared error
        and alpha x sharpness / 2 on the points, (steps + 1,) each."""
        alpha, number = self.controls["alpha"].value, self.controls["wave"].value
        if self.seen is None or self.seen[0] != (alpha, number):
            with one_thread():
                task = self.task()
                path = adapt(self.theta, repeated(self.loss, task.support, STEPS), [alpha] * STEPS)
                path = tree_map(lambda *steps: torch.stack(steps), *path)
                curves = vmap(self.forward, (0, None))(path, GRID).squeeze(-1)
                sharp = _sharpnesses(self.forward, path, task.support.x)
                error = (curves - task.query.y.squeeze(-1)).square().mean(-1)
            self.seen = (alpha, number), (task, curves, error, alpha / 2 * sharp)
        return self.seen[1]

    def losing(self) -> list[int]:
        """The waves that diverge within ten steps of the trained size."""
        if self.lost is None:

            def ends(noise):
                task = make(noise._replace(query_x=GRID))
                objectives = repeated(self.loss, task.support, STEPS)
                path = adapt(self.theta, objectives, [self.alpha] * STEPS)
                return torch.stack([self.loss(p, task.query) for p in path[1:]]).nan_to_num(1e30)

            with one_thread():
                errors = vmap(ends, chunk_size=500)(self.waves)
            self.lost = (errors > LOST).any(1).nonzero().flatten().tolist()
        return self.lost

    def next_lost(self) -> None:
        """Chooses the next of the waves that diverge, at the trained alpha."""
        lost = self.losing()
        if not lost:
            raise ValueError(f"none of the {WAVES:,} waves diverges at α = {self.alpha:g}")
        now = self.controls["wave"].value
        self.set(alpha=self.alpha, wave=next((i for i in lost if i > now), lost[0]))

    def update(self) -> None:
        task, curves, error, edge = self.outcome()
        self.curves["truth"].set_ydata(task.query.y)
        for step in (0, 1, 2):
            self.curves[step].set_ydata(curves[step].nan_to_num(99).clip(-99, 99))
        self.points.set_data(*(side.squeeze(-1).numpy() for side in task.support))
        self.lines["edge"].set_ydata(edge.nan_to_num(MOST, posinf=MOST).clip(LEAST, MOST))
        self.lines["error"].set_ydata(error.nan_to_num(WORST).clip(BEST, WORST))
        self.title.set_text(self.message())
        self.redraw()
        steps = (0, 1, 2, 3, 5, 10)
        self.words.value = table(
            f"α {self.controls['alpha'].value:.4g}; the edge is at α × sharpness / 2 = 1",
            ["step", *map(str, steps)],
            {
                "α × sharpness / 2": [_short(edge[k]) for k in steps],
                "error": [_short(error[k]) for k in steps],
            },
        )

    def message(self) -> str:
        """What the figure says, in one line."""
        _, _, error, edge = self.outcome()
        one, two = (_short(error[k]) for k in (1, 2))
        return f"After step one {_short(edge[1])} of the edge, error {one}; after step two {two}"

    def alt(self) -> str:
        _, _, error, edge = self.outcome()
        return (
            "Left: a wave, five points, and the network's curve before, after one and after two "
            f"gradient steps of {self.controls['alpha'].value:.4g}. Right: alpha x sharpness / 2 "
            f"over ten steps, from {_short(edge[0])} to {_short(edge[-1])}, with its edge at 1, "
            f"and the error, from {_short(error[0])} to {_short(error[-1])}."
        )


def _sharpnesses(forward: Forward, path: Params, x: Tensor) -> Tensor:
    """The sharpness at each place of a path; infinite where parameters have left for infinity: of
    their kernel nobody can find eigenvalues."""
    whole = torch.stack([(p.flatten(1).abs() < 1e6).all(1) for p in path.values()]).all(0)
    tame = {k: p.where(whole.view(-1, *[1] * (p.ndim - 1)), 0.0) for k, p in path.items()}
    return vmap(lambda p: sharpness(forward, p, x))(tame).where(whole, float("inf"))


def _short(value) -> str:
    value = float(value)
    return "∞" if not abs(value) < 1e30 else f"{value:.2f}" if value < 999.5 else f"{value:.0e}"

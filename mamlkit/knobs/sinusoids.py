"""The live scene of section 5.1: one sine, its points, and what each method makes of them."""

import time
from collections.abc import Callable
from math import pi
from typing import Any

import torch
from torch import Tensor

from mamlkit.baselines.oracle import sine, sine_fit
from mamlkit.families.sinusoid import AMPLITUDE, PHASE, RANGE, make, sinusoid
from mamlkit.inner import adapt, repeated
from mamlkit.knobs.base import Knobs, headline, one_thread, present, slider
from mamlkit.knobs.table import table
from mamlkit.losses import mse
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style
from mamlkit.task import Task
from mamlkit.trees import Params, tree_map

STEPS, SHOTS, HEIGHT = 10, 20, 6.0  # the most there can be; of the panels, from their middle
REACH = 12  # pixels from a point at which it can be taken
GRID = torch.linspace(*RANGE, 201).unsqueeze(-1)


def sine_knobs(
    forward: Callable[[Params, Tensor], Tensor],
    models: dict[str, Params],
    *,
    alpha: float,
    amplitude: float = 3.0,
    phase: float = 1.0,
    shots: int = 5,
    noise: float = 0.0,
    steps: int = 1,
    seed: int = 0,
) -> None:
    """One sine, its K points and what each method makes of them, step by step: a live figure, or
    its first state.

    models: trained starts by method, from `plots.LOOKS`, e.g. {"maml": ..., "pretrained": ...}, one
    to three; the exact oracle is added. All take gradient steps of the same size alpha, 0 to five
    times the given one. amplitude in [0.1, 5], phase in [0, pi]: the wave. shots: K, 2 to 20.
    noise: standard deviation of the points' errors, 0 to 1. steps: gradient steps shown, 0 to 10.
    seed: draws the points. Raises ValueError for values out of range.
    """
    present(
        lambda: SineKnobs(
            forward,
            models,
            alpha=alpha,
            amplitude=amplitude,
            phase=phase,
            shots=shots,
            noise=noise,
            steps=steps,
            seed=seed,
        )
    )


class SineKnobs(Knobs):
    """The scene of section 5.1. Points that a reader moved stay where they were put until `new
    points` or `reset`."""

    def __init__(
        self,
        forward,
        models,
        *,
        alpha,
        amplitude=3.0,
        phase=1.0,
        shots=5,
        noise=0.0,
        steps=1,
        seed=0,
    ):
        import ipywidgets as W

        if unknown := models.keys() - LOOKS.keys():
            raise ValueError(f"no look for {sorted(unknown)}: models are named {', '.join(LOOKS)}")
        if not 1 <= len(models) <= 3:
            raise ValueError(f"{len(models)} models are given: there is room for one to three")
        if not 0 < alpha < float("inf"):
            raise ValueError(f"alpha is {alpha}: it must be a finite number above 0")
        self.forward, self.loss = forward, mse(forward)
        self.models = {
            name: {k: p.detach().cpu().float() for k, p in params.items()}
            for name, params in models.items()
        }
        self.seed = self.first_seed = seed
        self.placed, self.known, self.free_at = {}, None, 0.0
        self.grabbed: Any = None
        controls = {
            "amplitude": slider("amplitude", amplitude, *AMPLITUDE, 0.1),
            "phase": slider("phase", phase, PHASE[0], pi, 0.05),
            "shots": slider("points K", shots, 2, SHOTS, 1, name="shots"),
            "noise": slider("noise", noise, 0.0, 1.0, 0.05),
            "alpha": slider("step size α", alpha, 0.0, 5 * alpha, alpha / 10, form=".2g"),
            "steps": slider("steps", steps, 0, STEPS, 1),
            "point": slider("point no.", 1, 1, shots, 1),
            "x": slider("its x", 0.0, *RANGE, 0.1),
            "y": slider("its y", 0.0, -HEIGHT, HEIGHT, 0.1),
        }
        for name in ("x", "y"):  # an eager one sends back, rounded and late, what a drag sent it
            controls[name].continuous_update = False
        c = controls
        column = [
            W.HTML("<b>The wave</b>"),
            c["amplitude"],
            c["phase"],
            W.HTML("<b>The points</b>"),
            c["shots"],
            c["noise"],
            W.HTML("<b>Adapting to them</b>"),
            c["alpha"],
            c["steps"],
            self.player("play the steps", c["steps"], 600),
            W.HTML("<b>Move a point</b>, here or with the mouse"),
            c["point"],
            c["x"],
            c["y"],
            self.buttons({"new points": self.new_points, "reset": self.reset}),
        ]
        self.assemble(
            controls,
            column,
            "Press play, then move all points to one side: which curve still knows the other side?",
        )
        self.fig.canvas.mpl_connect("button_press_event", self._press)
        self.fig.canvas.mpl_connect("motion_notify_event", self._motion)
        self.fig.canvas.mpl_connect("button_release_event", self._release)

    def figure(self):
        """The panels, one for each method, and the artists in them that move."""
        from matplotlib.figure import Figure

        fig = Figure(figsize=(5.6, 3.1), dpi=100, facecolor=GROUND, layout="constrained")
        axes = fig.subplots(1, len(self.models) + 1, sharex=True, sharey=True)
        self.title = headline(fig)
        self.panels = {}
        for ax, method in zip(axes, [*self.models, "oracle"]):
            style(ax)
            ax.set(
                xlim=RANGE, ylim=(-HEIGHT, HEIGHT), xlabel="x", xticks=[-5, 0, 5], yticks=[-5, 0, 5]
            )
            look, x = LOOKS[method], GRID.squeeze(-1).numpy()
            line = lambda ax=ax, **how: ax.plot(x, x, **how)[0]
            dots = lambda ax=ax, **how: ax.plot([], [], "o", color=INK, **how)[0]
            artists = {
                "truth": line(color=INK, lw=5, alpha=0.22, solid_capstyle="butt", label="truth"),
                "before": line(color=QUIET, linestyle=":", linewidth=1.4, label="before"),
                "after": line(color=look.color, linestyle=look.line, linewidth=2, label="after"),
                "points": dots(markersize=6, label="points"),
                "chosen": dots(markersize=11, fillstyle="none"),
                "error": ax.text(
                    0, 1.03, " ", transform=ax.transAxes, fontsize=9.5, color=look.color
                ),
            }
            artists["before"].set_ydata(x * float("nan"))  # the oracle has none
            self.panels[method] = ax, artists
        axes[0].set_ylabel("y")
        fig.legend(
            handles=[self.panels["oracle"][1][k] for k in ("truth", "before", "points")],
            loc="outside lower center",
            ncols=3,
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
        moving = (artist for _, artists in self.panels.values() for artist in artists.values())
        return fig, [self.title, *moving]

    def task(self) -> Task:
        """The task that the controls describe; its query set is the whole grid."""
        c = {name: control.value for name, control in self.controls.items()}
        wave = sinusoid(shots=SHOTS, noise=1.0).noise(torch.Generator().manual_seed(self.seed), 1)
        wave = tree_map(lambda n: n[0], wave)
        task = make(
            wave._replace(
                amplitude=torch.tensor(c["amplitude"]),
                phase=torch.tensor(c["phase"]),
                query_x=GRID,
                support_x=wave.support_x[: c["shots"]],
                support_error=c["noise"] * wave.support_error[: c["shots"]],
            )
        )
        for i, (x, y) in self.placed.items():
            if i < c["shots"]:
                task.support.x[i], task.support.y[i] = x, y
        return task

    def outcome(self) -> tuple[Task, dict[str, Tensor], dict[str, Tensor]]:
        """The task; each method's curve after every step, (steps + 1, grid); and the mean squared
        error of each.

        The oracle takes no steps: one curve. Kept until a control other than `steps` moves.
        """
        decide = ("amplitude", "phase", "shots", "noise", "alpha")
        key = [self.seed, dict(self.placed), *(self.controls[name].value for name in decide)]
        if self.known is None or self.known[0] != key:
            task = self.task()
            with one_thread():
                curves = {
                    method: self._curves(params, task) for method, params in self.models.items()
                } | {"oracle": _oracle(task)}
            errors = {
                method: (curve - task.query.y.squeeze(-1)).square().mean(-1)
                for method, curve in curves.items()
            }
            self.known = key, (task, curves, errors)
        return self.known[1]

    def _curves(self, params, task):
        sizes = [self.controls["alpha"].value] * STEPS
        path = adapt(params, repeated(self.loss, task.support, STEPS), sizes)
        return torch.stack([self.forward(params, GRID).squeeze(-1) for params in path])

    def update(self) -> None:
        self.quiet = True
        try:
            self._update()
        finally:
            self.quiet = False

    def _update(self):
        task, curves, errors = self.outcome()
        c, support = self.controls, [data.squeeze(-1).numpy() for data in task.support]
        c["point"].max = len(support[0])
        i, steps = c["point"].value - 1, c["steps"].value
        self.chosen = {c["x"]: float(support[0][i]), c["y"]: float(support[1][i])}
        for control, value in self.chosen.items():
            control.value = value
        for method, (_, artist) in self.panels.items():
            step = steps if method in self.models else 0
            artist["truth"].set_ydata(task.query.y)
            artist["after"].set_ydata(curves[method][step].clip(-99, 99))
            if method in self.models:
                artist["before"].set_ydata(curves[method][0])
            artist["points"].set_data(*support)
            artist["chosen"].set_data(*(data[i : i + 1] for data in support))
            artist["error"].set_text(f"{LOOKS[method].label}: {_error(errors[method][step])}")
        self.title.set_text(f"{len(support[0])} points, {_steps(steps)}")
        self.redraw()
        rows = {
            LOOKS[method].label: [_short(error) for error in errors[method]]
            for method in self.models
        }
        rows[LOOKS["oracle"].label] = [f"{_short(errors['oracle'][0])}, no steps needed"]
        self.words.value = table(
            "Mean squared error over the panel after each gradient step",
            ["step", *map(str, range(STEPS + 1))],
            rows,
            chosen=steps,
        )

    def moved(self, control) -> None:
        if control in self.chosen:
            self.place(
                self.controls["point"].value - 1, *(self.chosen | {control: control.value}).values()
            )
        else:
            self.update()

    def place(self, point: int, x: float, y: float) -> None:
        """Puts one point (0 is the first) at (x, y), or where the panel ends."""
        self.placed[point] = min(max(x, RANGE[0]), RANGE[1]), min(max(y, -HEIGHT), HEIGHT)
        self.set(point=point + 1)

    def new_points(self) -> None:
        """Other points on the same wave."""
        self.seed, self.placed = self.seed + 1, {}
        self.update()

    def reset(self) -> None:
        self.seed, self.placed = self.first_seed, {}
        super().reset()

    def exercise(self) -> None:
        self.place(0, 0.0, 1.0)
        self.new_points()
        super().exercise()

    def alt(self) -> str:
        task, _, errors = self.outcome()
        steps = self.controls["steps"].value
        said = ", ".join(
            f"{LOOKS[m].label} {_short(e[steps if m in self.models else 0])}"
            for m, e in errors.items()
        )
        amplitude = self.controls["amplitude"].value
        return (
            f"One panel for each method: the same sine wave of amplitude {amplitude:.3g},"
            f" {len(task.support.x)} points on it, and the method's curve before and after"
            f" {_steps(steps)}. Mean squared errors: {said}."
        )

    def _press(self, event) -> None:
        ax = event.inaxes
        if ax is None or event.button != 1:
            return
        points = torch.cat(self.outcome()[0].support, 1).numpy()
        away = ((ax.transData.transform(points) - (event.x, event.y)) ** 2).sum(1) ** 0.5
        if away.min() <= REACH * self.fig.canvas.device_pixel_ratio:
            point = int(away.argmin())
            self.grabbed = ax, point, (event.x, event.y), points[point] - (event.xdata, event.ydata)
            self.attempt(lambda: self.set(point=point + 1))

    def _motion(self, event) -> None:
        if self.grabbed and time.monotonic() >= self.free_at:
            begin = time.monotonic()
            self._drag(event)
            # What came meanwhile is skipped, so that the point keeps up with the hand.
            self.free_at = 2 * time.monotonic() - begin

    def _release(self, event) -> None:
        if self.grabbed:
            self._drag(event)
            self.grabbed = None

    def _drag(self, event):
        ax, point, start, offset = self.grabbed
        # A click chooses a point and leaves it on its wave.
        if (event.x, event.y) != start or point in self.placed:
            x, y = ax.transData.inverted().transform((event.x, event.y)) + offset
            self.attempt(lambda: self.place(point, float(x), float(y)))


def _oracle(task) -> Tensor:
    """Least squares on sin x and cos x; nowhere if the points do not decide a wave."""
    try:
        return sine(sine_fit(task.support), GRID).squeeze(-1).float().unsqueeze(0)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage], public there
        return torch.full((1, len(GRID)), float("nan"))


def _steps(number) -> str:
    return f"{number} gradient step{'s' * (number != 1)}"


def _error(value) -> str:
    return "diverged" if _short(value) == "diverged" else f"error {_short(value)}"


def _short(value) -> str:
    value = float(value)
    return (
        "diverged" if not abs(value) < 1e30 else f"{value:.2f}" if value < 999.5 else f"{value:.0e}"
    )

"""The live figure of notebook 06: one wave, what a variant makes of its points, and how near every
meta-gradient is to MAML's."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.experiment import Result, load
from mamlkit.families.sinusoid import RANGE, make, sinusoid
from mamlkit.knobs.base import WaveKnobs, headline, one_thread, present, slider
from mamlkit.knobs.table import table
from mamlkit.learner import Learner
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style
from mamlkit.studies import variants_waves as waves
from mamlkit.studies.variant_methods import NAMES, VARIANTS
from mamlkit.studies.variants_costs import cosine
from mamlkit.task import Task
from mamlkit.trees import Params, tree_map

STEPS, SHOTS, TIMES = 10, 20, 4.0  # the most there can be
HEIGHT = 6.0  # of the panel, from its middle
GRID = torch.linspace(*RANGE, 201).unsqueeze(-1)
FAMILY = sinusoid(shots=SHOTS, queries=100)


class Start(NamedTuple):
    """A variant as the knob takes it. label: its name. learner: (steps, times) -> Learner that
    takes `steps` inner steps, its step size `times` the one it was trained with. meta: its trained
    meta-parameters. forward: of its net."""

    label: str
    learner: Callable[[int, float], Learner]
    meta: Params
    forward: Callable[[Params, Tensor], Tensor]


def banked_starts() -> dict[str, Start]:
    """The variants as they were trained on waves: of each the first seed whose training did not
    fail.

    Raises FileNotFoundError if a variant is not banked.
    """
    kept = load(waves.WAVES)
    if missing := [name for name in VARIANTS if f"{name}-0" not in kept]:
        raise FileNotFoundError(
            f"{missing[0]} is not banked; `python -m mamlkit bank --only {waves.WAVES.name}` "
            "trains it"
        )
    return {name: _start(name, kept) for name in VARIANTS}


def _start(name: str, kept: dict[str, Result]) -> Start:
    runs = [r for r in kept.values() if r.setting["method"] == name]
    whole = [r for r in runs if r.measured["made"].item() == r.setting["iterations"]]
    chosen = (whole or runs)[0]
    learner = partial(waves.learner_of, chosen.setting)
    return Start(NAMES[name], learner, chosen.params, waves.net_of(name).forward)


def stretched(meta: Params, times: float) -> Params:
    """The same meta-parameters with learned step sizes ("alpha/...") `times` as long."""
    return {name: times * p if name.startswith("alpha/") else p for name, p in meta.items()}


def common(start: Start, theta: Params, steps: int, times: float) -> Params:
    """The variant's meta-parameters at the model parameters `theta`: step sizes as at the start of
    training, a context of its own."""
    context = {name: p for name, p in start.meta.items() if name.startswith("context")}
    return start.learner(steps, times).init(context | theta)


def variant_knobs(
    starts: dict[str, Start],
    *,
    variant: str = "maml",
    times: float = 1.0,
    steps: int = 1,
    shots: int = 5,
    seed: int = 0,
) -> None:
    """One wave and its points: the curve of the chosen variant after so many steps, from its own
    start; and the cosine of every variant's meta-gradient to exact MAML's, on this wave and at
    MAML's start: a live figure, or its first state.

    starts: trained variants by name, "maml" among them. times: the step size over the one trained
    with, 0.1 to 4. steps: 1 to 10, also of the meta-gradients. shots: points, 2 to 20. seed: draws
    waves. Raises ValueError for values out of range.
    """
    present(
        lambda: VariantKnobs(
            starts, variant=variant, times=times, steps=steps, shots=shots, seed=seed
        )
    )


class VariantKnobs(WaveKnobs):
    """The scene of notebook 06."""

    def __init__(self, starts, *, variant="maml", times=1.0, steps=1, shots=5, seed=0):
        import ipywidgets as W

        if "maml" not in starts or variant not in starts:
            raise ValueError(
                f'variant is "{variant}" and there are {", ".join(starts)}: it must be one of '
                "them, and maml must be there to compare with"
            )
        self.starts = {
            name: s._replace(meta=tree_map(lambda p: p.detach().cpu().float(), s.meta))
            for name, s in starts.items()
        }
        self.seed = self.first_seed = seed
        self.known = None
        choose = W.Dropdown(
            options=[s.label for s in starts.values()],
            value=starts[variant].label,
            description="variant",
            style={"description_width": "5.8em"},
            layout={"width": "270px"},
        )
        controls = {
            "variant": choose,
            "times": slider("α, times", times, 0.1, TIMES, 0.1, name="times"),
            "steps": slider("steps", steps, 1, STEPS, 1),
            "shots": slider("points K", shots, 2, SHOTS, 1, name="shots"),
        }
        buttons = self.buttons({"new wave": self.new_wave, "reset": self.reset})
        self.assemble(
            controls,
            [*controls.values(), buttons],
            "Raise the steps: which direction stays with MAML's, and does its curve care?",
        )

    def figure(self):
        from matplotlib.figure import Figure

        fig = Figure(figsize=(6.4, 3.2), dpi=100, facecolor=GROUND, layout="constrained")
        left, right = fig.subplots(1, 2, width_ratios=(3, 2))
        self.title = headline(fig)
        for ax in (left, right):
            style(ax)
        left.set(xlim=RANGE, ylim=(-HEIGHT, HEIGHT), xlabel="x", ylabel="y")
        rows = range(len(self.starts))
        right.set(
            xlim=(-1.1, 1.12),
            ylim=(len(rows) - 0.5, -0.5),
            yticks=rows,
            yticklabels=[s.label for s in self.starts.values()],
            xlabel="cosine to MAML's",
        )
        right.axvline(0, color=QUIET, linewidth=0.8)
        x = GRID.squeeze(-1).numpy()
        self.artists = {
            "truth": left.plot(x, x, color=INK, linewidth=5, alpha=0.22, label="truth")[0],
            "before": left.plot(x, x, color=QUIET, linestyle=":", linewidth=1.4, label="before")[0],
            "after": left.plot(x, x, color=LOOKS["maml"].color, linewidth=2, label="after")[0],
            "points": left.plot([], [], linestyle="none", marker="o", markersize=6, color=INK)[0],
            "cosines": right.plot(
                [0.0] * len(rows), rows, linestyle="none", marker="o", markersize=6, color=QUIET
            )[0],
            "chosen": right.plot(
                [0.0], [0.0], linestyle="none", marker="o", markersize=9, color=LOOKS["maml"].color
            )[0],
        }
        left.legend(
            handles=[self.artists[k] for k in ("truth", "before", "after")],
            frameon=False,
            fontsize=8,
            loc="lower left",
        )
        return fig, [self.title, *self.artists.values()]

    def variant(self) -> str:
        """The name of the chosen variant."""
        return next(
            name for name, s in self.starts.items() if s.label == self.controls["variant"].value
        )

    def task(self) -> Task:
        """The wave and its points; the query is a hundred other points of it."""
        wave = tree_map(lambda n: n[0], FAMILY.noise(torch.Generator().manual_seed(self.seed), 1))
        self.wave = wave
        shots = self.controls["shots"].value
        return make(
            wave._replace(
                support_x=wave.support_x[:shots], support_error=wave.support_error[:shots]
            )
        )

    def outcome(self) -> tuple[Task, Tensor, dict[str, float]]:
        """The task; the chosen variant's curves after 0 to `steps` steps (steps + 1, grid); every
        variant's cosine. Kept until a control moves."""
        c = {name: control.value for name, control in self.controls.items()}
        key = [self.seed, *c.values()]
        if self.known is None or self.known[0] != key:
            task, start = self.task(), self.starts[self.variant()]
            with one_thread():
                path = start.learner(c["steps"], c["times"]).adapt(
                    stretched(start.meta, c["times"]), task.support
                )
                curves = torch.stack([start.forward(theta, GRID).squeeze(-1) for theta in path])
                self.known = key, (task, curves, self._cosines(task, c["steps"], c["times"]))
        return self.known[1]

    def _cosines(self, task, steps, times):
        theta = self.starts["maml"].meta
        exact = self.starts["maml"].learner(steps, times).meta_grad(theta, task)[0]
        gradients = {
            name: s.learner(steps, times).meta_grad(common(s, theta, steps, times), task)[0]
            for name, s in self.starts.items()
        }
        return {name: cosine(g, exact).item() for name, g in gradients.items()}

    def update(self) -> None:
        task, curves, cosines = self.outcome()
        c, artists = self.controls, self.artists
        wave = (self.wave.amplitude * torch.sin(GRID - self.wave.phase)).squeeze(-1)
        artists["truth"].set_ydata(wave)
        artists["before"].set_ydata(curves[0].clip(-99, 99))
        artists["after"].set_ydata(curves[-1].clip(-99, 99))
        artists["points"].set_data(*(data.squeeze(-1).numpy() for data in task.support))
        artists["cosines"].set_xdata([*cosines.values()])
        chosen = self.variant()
        label, steps = self.starts[chosen].label, c["steps"].value
        artists["chosen"].set_data([cosines[chosen]], [[*cosines].index(chosen)])
        error = (curves - wave).square().mean(-1)
        self.title.set_text(
            f"{label}, {len(task.support.x)} points: error {_short(error[0])} to "
            f"{_short(error[-1])} after {steps} step{'s' * (steps > 1)}; "
            f"cosine {cosines[chosen]:.2f}"
        )
        self.redraw()
        shown = sorted({0, 1, steps // 2, steps})
        self.words.value = table(
            "Mean squared error over the panel after so many steps",
            ["steps", *map(str, shown)],
            {label: [_short(error[i]) for i in shown]},
            chosen=len(shown) - 1,
        )

    def alt(self) -> str:
        task, curves, cosines = self.outcome()
        steps = self.controls["steps"].value
        return (
            f"Left: a sine wave, {len(task.support.x)} points on it, and the curve of "
            f"{self.controls['variant'].value} before and after {steps} step{'s' * (steps > 1)}. "
            "Right: the cosine of each variant's meta-gradient to MAML's: "
            + ", ".join(f"{self.starts[m].label} {v:.2f}" for m, v in cosines.items())
            + "."
        )


def _short(value) -> str:
    value = float(value)
    return (
        "diverged" if not abs(value) < 1e6 else f"{value:.2f}" if value < 999.5 else f"{value:.0e}"
    )

"""The live Figure 1: three tasks in a plane, where joint training and MAML start, and where one
step leads."""

from math import pi
from typing import Any

import torch

from mamlkit.inner import inner_step
from mamlkit.knobs.base import Knobs, headline, present, slider
from mamlkit.knobs.table import table
from mamlkit.probes import quadratic
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style


def curvature_knob(*, spread: float = 2.0, anisotropy: float = 2.0, alpha: float = 0.8) -> None:
    """Figure 1 in numbers: where joint training and MAML start, and where one step leads: a live
    figure, or its first state.

    spread: how many times the steepest of the three tasks is steeper than the flattest, 1 to 6.
    anisotropy: how many times a task is steeper along one axis than across it, 1 to 4. alpha: the
    inner step, 0 to 0.95 (the steepest curvature is 1). Raises ValueError for values out of range.
    """
    present(lambda: CurvatureKnob(spread=spread, anisotropy=anisotropy, alpha=alpha))


NAMES = {"pretrained": "joint training", "maml": "MAML"}


class CurvatureKnob(Knobs):
    """Figure 1 with numbers: three tasks with quadratic losses, and the two starts that their
    curvatures decide."""

    def __init__(self, *, spread=2.0, anisotropy=2.0, alpha=0.8):
        import ipywidgets as W

        controls = {
            "spread": slider("spread", spread, 1.0, 6.0, 0.25),
            "anisotropy": slider("anisotropy", anisotropy, 1.0, 4.0, 0.25),
            "alpha": slider("step size α", alpha, 0.0, 0.95, 0.05, name="alpha"),
        }
        column = [
            W.HTML("<b>The tasks' curvatures</b>"),
            controls["spread"],
            controls["anisotropy"],
            W.HTML("<b>The inner step</b>"),
            controls["alpha"],
            self.buttons({"equal curvatures": self.equalise, "reset": self.reset}),
        ]
        self.assemble(
            controls,
            column,
            "Stars: the tasks' optima; hollow: the other start. Make all curvatures equal: what is"
            " left?",
        )

    def figure(self):
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyArrowPatch

        fig = Figure(figsize=(5.6, 3.3), dpi=100, facecolor=GROUND, layout="constrained")
        axes = dict(zip(NAMES, fig.subplots(1, 2, sharex=True, sharey=True)))
        self.title, self.rings, self.arrows, self.starts, self.errors = (
            headline(fig),
            [],
            {},
            [],
            {},
        )
        for method, ax in axes.items():
            look = LOOKS[method]
            style(ax)
            ax.set(xlim=(-3.6, 3.6), ylim=(-3, 3.5), aspect="equal", xlabel=r"$\theta_1$")
            self.rings.append([ax.plot([], [], color=QUIET, linewidth=1)[0] for _ in range(3)])
            for i, (x, y) in enumerate(quadratic.three_tasks().c, 1):
                ax.plot(x, y, marker="*", markersize=9, color=INK)
                ax.annotate(
                    str(i),
                    (x, y),
                    xytext=(7, -5),
                    textcoords="offset points",
                    fontsize=9,
                    color=INK,
                )
            self.starts.append(
                {
                    m: ax.plot(
                        [],
                        [],
                        linestyle="none",
                        marker=LOOKS[m].marker,
                        markersize=7,
                        color=LOOKS[m].color,
                        markerfacecolor=LOOKS[m].color if m == method else "none",
                    )[0]
                    for m in NAMES
                }
            )
            arrow: dict[str, Any] = dict(
                arrowstyle="-|>", mutation_scale=9, linewidth=1.6, shrinkA=0, shrinkB=0
            )
            self.arrows[method] = [
                ax.add_patch(
                    FancyArrowPatch((0, 0), (1, 1), color=look.color, linestyle=look.line, **arrow)
                )
                for _ in range(3)
            ]
            self.errors[method] = ax.text(
                0, 1.02, " ", transform=ax.transAxes, fontsize=9.5, color=look.color
            )
        axes["pretrained"].set_ylabel(r"$\theta_2$")
        starts = [start for panel in self.starts for start in panel.values()]
        return fig, [
            self.title,
            *sum(self.rings, []),
            *sum(self.arrows.values(), []),
            *starts,
            *self.errors.values(),
        ]

    def outcome(self) -> tuple[quadratic.Quadratic, dict]:
        """The tasks; for each method its start, (2,), the points after a step towards each task,
        (3, 2), and the losses there before and after that step, (3,) each."""
        spread, anisotropy, alpha = (
            self.controls[name].value for name in ("spread", "anisotropy", "alpha")
        )
        tasks = quadratic.three_tasks(spread=spread, anisotropy=anisotropy)
        found = {}
        for method, start in {
            "pretrained": quadratic.joint_optimum(tasks),
            "maml": quadratic.maml_optimum(tasks, alpha),
        }.items():
            each = [quadratic.Quadratic(A, c) for A, c in zip(*tasks)]
            ends = [
                inner_step(start, lambda p, task=task: quadratic.loss(p, task), alpha)
                for task in each
            ]
            found[method] = (
                start["theta"],
                torch.stack([end["theta"] for end in ends]),
                torch.stack([quadratic.loss(start, task) for task in each]),
                torch.stack([quadratic.loss(end, task) for end, task in zip(ends, each)]),
            )
        return tasks, found

    def update(self) -> None:
        tasks, found = self.outcome()
        for rings in self.rings:
            for ring, A, c in zip(rings, *tasks):
                ring.set_data(*_ring(A, c))
        rows = {}
        for method, (start, ends, before, after) in found.items():
            for panel in self.starts:
                panel[method].set_data(start[:1], start[1:])
            for arrow, end in zip(self.arrows[method], ends):
                arrow.set_positions(start.tolist(), end.tolist())
            self.errors[method].set_text(
                f"{NAMES[method]}: loss {before.mean():.2f} → {after.mean():.2f}"
            )
            rows[NAMES[method]] = [f"{loss:.3f}" for loss in (before.mean(), after.mean(), *after)]
        self.title.set_text(self.message(found))
        self.redraw()
        self.words.value = table(
            "Loss before and after one inner step towards each task",
            ["start", "mean before", "mean after", "task 1 after", "task 2 after", "task 3 after"],
            rows,
            chosen=1,
        )

    def message(self, found) -> str:
        """What the picture says, from its numbers."""
        if (found["pretrained"][0] - found["maml"][0]).norm() < 1e-9:
            return "The two starting points coincide"
        return "MAML starts worse, and is better after one step"

    def equalise(self) -> None:
        """All curvatures the same multiple of the identity."""
        self.set(spread=1.0, anisotropy=1.0)

    def exercise(self) -> None:
        self.equalise()
        super().exercise()

    def alt(self) -> str:
        found = self.outcome()[1]
        said = ", ".join(
            f"{NAMES[m]} from {before.mean():.3f} to {after.mean():.3f}"
            for m, (_, _, before, after) in found.items()
        )
        return (
            "Two panels, joint training and MAML: three task optima in a plane with rings of equal"
            " loss, the starting point, and arrows of one step towards each task."
            f" {self.message(found)}. Mean losses: {said}."
        )


def _ring(A, c):
    """Where a task's loss has one small value: long where it is flat."""
    values, axes = torch.linalg.eigh(A)
    angle = torch.linspace(0, 2 * pi, 91, dtype=A.dtype)
    circle = torch.stack([angle.cos(), angle.sin()])
    return c.unsqueeze(-1) + axes @ (0.4 * values.rsqrt().unsqueeze(-1) * circle)

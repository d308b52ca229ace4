"""The live figure of notebook 03: the meta-gradient with and without second derivatives, on one
wave, as the inner step grows."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.families.sinusoid import make, sinusoid
from mamlkit.knobs.base import WIDE, WaveKnobs, headline, one_thread, present, slider
from mamlkit.knobs.table import table
from mamlkit.losses import Forward, mse
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style
from mamlkit.task import Task
from mamlkit.trees import Params, dot, tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

STEPS = 10  # the most there can be
ALPHAS = [float(f"{10 ** (i / 10 - 4):.2e}") for i in range(31)]  # 0.0001 to 0.1, ten a decade
FAMILY = sinusoid(shots=10, queries=100)
LEAST, MOST = 1e-3, 1e3  # of the omitted part over the kept one, as it is drawn


def first_order_knobs(
    networks: Mapping[str, Params],
    forward: Forward,
    *,
    alpha: float = 0.01,
    steps: int = 1,
    seed: int = 0,
) -> None:
    """The two meta-gradients of one wave as arrows, their cosine, and the length of what first
    order leaves out, |alpha H g| after one step, over that of what it keeps: a live figure, or its
    first state.

    networks: parameters by the name that a reader sees, the first one is shown first. forward: of
    their net, one number in and one out. alpha: the inner step, 0.0001 to 0.1. steps: 1 to 10.
    seed: draws waves. Raises ValueError for values out of range.
    """
    present(lambda: FirstOrderKnobs(networks, forward, alpha=alpha, steps=steps, seed=seed))


def compare(
    forward: Forward, theta: Params, task: Task, alphas: Tensor, steps: int
) -> dict[str, Tensor]:
    """The meta-gradients of one task with and without second derivatives, for each inner step size:
    "cosine" between them, "second" and "omitted", lengths over that of first order's; (alphas,)."""

    def one(alpha):
        second, g = (
            variant(mse(forward), alpha=alpha, steps=steps).meta_grad(theta, task)[0]
            for variant in (maml, fomaml)
        )
        left_out = tree_map(torch.sub, g, second)
        of_g, of_second, of_rest = (dot(t, t).sqrt() for t in (g, second, left_out))
        cosine = dot(g, second) / of_g / of_second
        return torch.stack([cosine, of_second / of_g, of_rest / of_g])

    with one_thread():
        numbers = vmap(one)(alphas)
    return dict(zip(("cosine", "second", "omitted"), numbers.T))


class FirstOrderKnobs(WaveKnobs):
    """The scene of notebook 03."""

    def __init__(self, networks, forward, *, alpha=0.01, steps=1, seed=0):
        import ipywidgets as W

        if not ALPHAS[0] <= alpha <= ALPHAS[-1]:
            raise ValueError(f"alpha is {alpha}: it must be from 0.0001 to 0.1")
        self.networks = {
            name: tree_map(lambda p: p.detach().cpu().float(), theta)
            for name, theta in networks.items()
        }
        self.forward, self.seed, self.first_seed = forward, seed, seed
        self.known = None
        look = dict(style={"description_width": "5.8em"}, layout={"width": WIDE})
        nearest = min(ALPHAS, key=lambda a: abs(a - alpha))
        controls = {
            "alpha": W.SelectionSlider(
                options=ALPHAS,
                value=nearest,
                description="step size α",
                **look,
            ),
            "steps": slider("steps", steps, 1, STEPS, 1),
            "network": W.Dropdown(options=[*networks], description="network", **look),
        }
        buttons = self.buttons({"new wave": self.new_wave, "reset": self.reset})
        self.assemble(
            controls,
            [*controls.values(), buttons],
            "Make α ten times smaller, then add steps: when do the two arrows part?",
        )

    def figure(self):
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyArrowPatch

        fig = Figure(figsize=(6.4, 3.4), dpi=100, facecolor=GROUND, layout="constrained")
        axes = fig.subplot_mosaic([["plane", "cosine"], ["plane", "omitted"]], width_ratios=(5, 4))
        self.title = headline(fig)
        for ax in axes.values():
            style(ax)
        axes["plane"].set(
            xlim=(-1.15, 1.15), ylim=(-0.25, 1.15), aspect="equal", xticks=[], yticks=[]
        )
        axes["plane"].spines[:].set_visible(False)
        axes["plane"].set_title("the plane of the two meta-gradients", fontsize=9.5)
        for name, low, high in (("cosine", -1.1, 1.1), ("omitted", LEAST, MOST)):
            axes[name].set(xscale="log", ylim=(low, high), xlim=(ALPHAS[0] / 1.2, ALPHAS[-1] * 1.2))
        axes["omitted"].set(yscale="log", xlabel="inner step α", ylabel="left out\nover kept")
        axes["cosine"].set(ylabel="cosine", xticklabels=[])
        axes["cosine"].axhline(0, color=QUIET, linewidth=0.8)
        axes["omitted"].axhline(1, color=QUIET, linewidth=0.8)
        arrow: dict[str, Any] = dict(arrowstyle="-|>", mutation_scale=14, shrinkA=0, shrinkB=0)
        looks = {"fomaml": LOOKS["fomaml"], "maml": LOOKS["maml"], "omitted": LOOKS["pretrained"]}
        self.arrows: dict[str, Any] = {
            name: axes["plane"].add_patch(
                FancyArrowPatch(
                    (0, 0), (1, 1), color=look.color, linewidth=2.4 - (name == "omitted"), **arrow
                )
            )
            for name, look in looks.items()
        }
        said = {"fomaml": "first order", "maml": "second order", "omitted": "left out"}
        for i, (name, look) in enumerate(looks.items()):
            axes["plane"].text(
                0.03, 0.92 - 0.085 * i, said[name], transform=axes["plane"].transAxes, fontsize=9,
                color=look.color,
            )  # fmt: skip
        marker: dict[str, Any] = dict(linestyle="none", marker="o", markersize=7, color=INK)
        self.curves = {
            name: axes[name].plot(ALPHAS, ALPHAS, color=LOOKS["maml"].color, linewidth=1.8)[0]
            for name in ("cosine", "omitted")
        }
        self.dots = {name: axes[name].plot([1], [1], **marker)[0] for name in self.curves}
        moving = [*self.arrows.values(), *self.curves.values(), *self.dots.values()]
        return fig, [self.title, *moving]

    def task(self) -> Task:
        """The wave of the seed: 10 points to adapt to and 100 to be asked about."""
        noise = FAMILY.noise(torch.Generator().manual_seed(self.seed), 1)
        return make(tree_map(lambda n: n[0], noise))

    def outcome(self) -> dict[str, Tensor]:
        """What `compare` finds for each of the slider's step sizes. Kept until a wave, a network or
        the number of steps changes."""
        network, steps = self.controls["network"].value, self.controls["steps"].value
        key = self.seed, network, steps
        if self.known is None or self.known[0] != key:
            theta = self.networks[network]
            found = compare(self.forward, theta, self.task(), torch.tensor(ALPHAS), steps)
            self.known = key, found
        return self.known[1]

    def now(self) -> dict[str, float]:
        """The numbers at the step size that is chosen."""
        i = ALPHAS.index(self.controls["alpha"].value)
        return {name: numbers[i].item() for name, numbers in self.outcome().items()}

    def update(self) -> None:
        found, now = self.outcome(), self.now()
        alpha, steps = self.controls["alpha"].value, self.controls["steps"].value
        shown = {"cosine": found["cosine"], "omitted": found["omitted"].clip(LEAST, MOST)}
        for name, numbers in shown.items():
            self.curves[name].set_ydata(numbers)
            self.dots[name].set_data([alpha], [numbers[ALPHAS.index(alpha)]])
        first, second = self.ends(now)
        self.arrows["fomaml"].set_positions((0, 0), first)
        self.arrows["maml"].set_positions((0, 0), second)
        self.arrows["omitted"].set_positions(second, first)
        self.title.set_text(self.message(now))
        self.redraw()
        self.words.value = table(
            f"Lengths over that of first order's meta-gradient; α {alpha:.4g}, {_steps(steps)}",
            ["", "first order", "second order", "left out", "cosine"],
            {"this wave": ["1", *(_short(now[k]) for k in ("second", "omitted", "cosine"))]},
        )

    @staticmethod
    def ends(now: Mapping[str, float]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the arrows of first and second order end, the longer one having length 1."""
        cosine, length = now["cosine"], now["second"]
        if not (abs(cosine) <= 1.001 and length < 1e30):
            return (0.0, 0.0), (0.0, 0.0)
        cosine, scale = max(-1.0, min(1.0, cosine)), 1 / max(1.0, length)
        sine = (1 - cosine**2) ** 0.5
        return (scale, 0.0), (scale * length * cosine, scale * length * sine)

    def message(self, now: Mapping[str, float]) -> str:
        """What the figure says, in one line."""
        alpha, steps = self.controls["alpha"].value, self.controls["steps"].value
        if not now["omitted"] < 1e30:
            return f"With α {alpha:.4g} the {steps} steps diverge: there is no gradient to compare"
        return (
            f"α {alpha:.4g}, {_steps(steps)}: cosine {now['cosine']:.2f}; "
            f"left out is {_short(now['omitted'])} times what is kept"
        )

    def alt(self) -> str:
        found = self.outcome()
        low, high = (f"{found['cosine'][i].item():.2f}" for i in (0, -1))
        return (
            "The meta-gradients of first and second order of one wave as two arrows in a plane, "
            "beside them their cosine and the length of what first order leaves out against the "
            f"inner step. {self.message(self.now())}. Over the steps from {ALPHAS[0]:g} to "
            f"{ALPHAS[-1]:g} the cosine goes from {low} to {high}."
        )


def _steps(n: int) -> str:
    return f"{n} step{'s' * (n > 1)}"


def _short(value: float) -> str:
    if not abs(value) < 1e30:
        return "diverged"
    return f"{value:.2f}" if abs(value) < 99.95 else f"{value:.3g}"

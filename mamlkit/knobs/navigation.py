"""The live scene of section 5.3: a goal in the plane, and the walks of policies that learn where it
is from their rewards."""

from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.experiment import load
from mamlkit.inner import inner_step
from mamlkit.knobs.base import Knobs, headline, one_thread, present, slider
from mamlkit.knobs.table import table
from mamlkit.machine import seeded
from mamlkit.rl.baseline import experience
from mamlkit.rl.navigation import SQUARE, Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import Trajectories, mean_return, rollout
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style
from mamlkit.studies.navigation import NAVIGATION
from mamlkit.trees import Params, tree_map

UPDATES = 3  # the most there can be
VIEW = (-0.8, 0.8)  # of a panel, both ways


class Walks(NamedTuple):
    """What a policy did: params, its parameters; played, its trajectories (1, lanes, time, ...);
    value, their mean return."""

    params: Params
    played: Trajectories
    value: float


def walk_knobs(
    models: dict[str, Params],
    *,
    alphas: dict[str, float],
    goal: tuple[float, float] = (-0.3, 0.4),
    walks: int = 20,
    seed: int = 0,
) -> None:
    """Walks towards a goal that a reader places, before and after up to three updates: a live
    figure, or its first state.

    models: trained policies (`gaussian(2, 2)`) by method, from `plots.LOOKS`, e.g. {"maml": ...,
    "pretrained": ...}, one or two. alphas: each one's first step size, above 0; later steps are
    half of it. goal: in [-0.5, 0.5] both ways. walks: rollouts before each update, 5 to 40. seed:
    draws the actions. Raises ValueError for values out of range.
    """
    present(lambda: WalkKnobs(models, alphas=alphas, goal=goal, walks=walks, seed=seed))


def banked_policies() -> dict:
    """The first banked policies of MAML and of joint training, and the step sizes of their tests:
    what `walk_knobs` takes."""
    cells = {m: load(NAVIGATION)[f"{m}-0"] for m in ("maml", "pretrained")}
    return {
        "models": {m: cell.params for m, cell in cells.items()},
        "alphas": {m: cell.setting["tested"][0] for m, cell in cells.items()},
    }


class WalkKnobs(Knobs):
    """The scene of section 5.3. Each update is computed when it is first asked for, and kept until
    the goal moves."""

    def __init__(self, models, *, alphas, goal=(-0.3, 0.4), walks=20, seed=0):
        import ipywidgets as W

        if unknown := models.keys() - LOOKS.keys():
            raise ValueError(f"no look for {sorted(unknown)}: models are named {', '.join(LOOKS)}")
        if not 1 <= len(models) <= 2:
            raise ValueError(f"{len(models)} models are given: there is room for one or two")
        for name in models:
            if not 0 < alphas.get(name, 0) < float("inf"):
                raise ValueError(
                    f"alpha of {name} is {alphas.get(name)}: it must be a finite number above 0"
                )
        self.models = {
            name: {k: p.detach().cpu().float() for k, p in params.items()}
            for name, params in models.items()
        }
        self.alphas, self.seed, self.first_seed, self.known = alphas, seed, seed, None
        self.env, self.policy = Navigation(), gaussian(2, 2)
        controls = {
            "x": slider("goal x", goal[0], *SQUARE, 0.01, name="goal"),
            "y": slider("goal y", goal[1], *SQUARE, 0.01, name="goal"),
            "walks": slider("walks", walks, 5, 40, 1),
            "updates": slider("updates", 0, 0, UPDATES, 1),
        }
        for name in ("x", "y", "walks"):
            controls[name].continuous_update = False
        c = controls
        column = [
            W.HTML("<b>The goal</b>, here or with the mouse"),
            c["x"],
            c["y"],
            W.HTML("<b>Learning it</b>"),
            c["walks"],
            c["updates"],
            self.player("play the updates", c["updates"], 1200),
            self.buttons({"other walks": self.other_walks, "reset": self.reset}),
        ]
        self.assemble(
            controls,
            column,
            "Put the goal somewhere and press play: after which update do the walks turn?",
        )
        self.fig.canvas.mpl_connect("button_press_event", self._press)

    def figure(self):
        """A panel for each method, and the artists in it that move."""
        from matplotlib.figure import Figure

        fig = Figure(figsize=(5.6, 3.3), dpi=100, facecolor=GROUND, layout="constrained")
        axes = fig.subplots(1, len(self.models), sharex=True, sharey=True, squeeze=False)[0]
        self.title = headline(fig)
        self.panels = {}
        for ax, method in zip(axes, self.models):
            style(ax)
            ax.set(
                xlim=VIEW,
                ylim=VIEW,
                xlabel="x",
                xticks=[-0.5, 0, 0.5],
                yticks=[-0.5, 0, 0.5],
                aspect="equal",
            )
            (low, high), look = SQUARE, LOOKS[method]
            ax.plot(
                [low, high, high, low, low],
                [low, low, high, high, low],
                color=QUIET,
                linewidth=1,
                linestyle=":",
            )
            ax.plot(0, 0, "o", color=INK, markersize=4)
            self.panels[method] = (
                ax,
                {
                    "walks": ax.plot([], [], color=look.color, linewidth=0.9, alpha=0.6)[0],
                    "ends": ax.plot(
                        [], [], linestyle="none", marker=look.marker, color=look.color, markersize=4
                    )[0],
                    "goal": ax.plot(
                        [],
                        [],
                        linestyle="none",
                        marker="*",
                        color=INK,
                        markersize=13,
                        markerfacecolor="none",
                    )[0],
                    "return": ax.text(
                        0, 1.03, " ", transform=ax.transAxes, fontsize=9.5, color=look.color
                    ),
                },
            )
        axes[0].set_ylabel("y")
        return fig, [
            self.title,
            *(artist for _, artists in self.panels.values() for artist in artists.values()),
        ]

    def goal(self) -> Tensor:
        """The goal of the one task, (1, 2)."""
        return torch.tensor([[self.controls["x"].value, self.controls["y"].value]])

    def outcome(self, updates: int) -> dict[str, list[Walks]]:
        """What each method did before the first update, after it, ... after `updates` of them."""
        key = [self.seed, *(self.controls[name].value for name in ("x", "y", "walks"))]
        if self.known is None or self.known[0] != key:
            self.known = key, {method: [] for method in self.models}
        known = self.known[1]
        with one_thread():
            for number in range(min(map(len, known.values())), updates + 1):
                params = [self._adapted(method, done) for method, done in known.items()]
                for done, walks in zip(known.values(), self._walked(params, number)):
                    done.append(walks)
        return known

    def _adapted(self, method, done: list[Walks]) -> Params:
        """The next policy, by one inner step on what the last one met."""
        if not done:
            return self.models[method]
        steps = tree_map(lambda t: t[0], experience(done[-1].played))
        alpha = self.alphas[method] / (1 if len(done) == 1 else 2)
        return inner_step(done[-1].params, lambda p: reinforce(self.policy)(p, steps), alpha)

    def _walked(self, params: list[Params], number: int) -> list[Walks]:
        """What policies do, side by side: an environment step costs the same for one and for two.
        number: of updates before."""
        with torch.no_grad():
            played = rollout(
                self.env,
                self.policy,
                tree_map(lambda *each: torch.stack(each), *params),
                self.goal().repeat(len(params), 1),
                lanes=self.controls["walks"].value,
                generator=seeded(1000 * self.seed + number),
            )
        values = mean_return(played, self.env.horizon).tolist()
        of = lambda i: tree_map(lambda t: t[i : i + 1], played)
        return [Walks(params[i], of(i), value) for i, value in enumerate(values)]

    def update(self) -> None:
        updates = self.controls["updates"].value
        outcome, goal = self.outcome(updates), self.goal()[0].tolist()
        for method, (_, artist) in self.panels.items():
            lines, ends = paths(outcome[method][updates].played)
            artist["walks"].set_data(*lines.T)
            artist["ends"].set_data(*ends.T)
            artist["goal"].set_data(*([v] for v in goal))
            artist["return"].set_text(
                f"{LOOKS[method].label}: return {outcome[method][updates].value:.1f}"
            )
        walks = self.controls["walks"].value
        self.title.set_text(
            f"Before any update: {walks} walks"
            if not updates
            else f"After {updates} update{'s' * (updates > 1)} on {walks} walks each"
        )
        self.redraw()
        rows = {
            LOOKS[m].label: (
                [f"{w.value:.1f}" for w in done[: updates + 1]]
                + ["" for _ in range(UPDATES - updates)]
            )
            for m, done in outcome.items()
        }
        self.words.value = table(
            "Mean return", ["updates", *map(str, range(UPDATES + 1))], rows, chosen=updates
        )

    def place(self, x: float, y: float) -> None:
        """Puts the goal at (x, y), or where the square ends, and nothing has been learned of it."""
        low, high = SQUARE
        self.set(x=min(max(x, low), high), y=min(max(y, low), high), updates=0)

    def moved(self, control) -> None:
        if control is self.controls["updates"]:
            self.update()
        else:
            self.set(updates=0)

    def other_walks(self) -> None:
        """Other random actions, the same goal."""
        self.seed += 1
        self.set(updates=0)

    def reset(self) -> None:
        self.seed = self.first_seed
        super().reset()

    def exercise(self) -> None:
        self.place(0.45, -0.2)
        self.other_walks()
        self.set(updates=UPDATES)
        self.reset()

    def alt(self) -> str:
        updates = self.controls["updates"].value
        said = ", ".join(
            f"{LOOKS[m].label} {done[updates].value:.1f}"
            for m, done in self.outcome(updates).items()
        )
        x, y = self.goal()[0].tolist()
        return (
            f"A panel for each method with its {self.controls['walks'].value} walks from the"
            f" middle, after {updates} update{'s' * (updates != 1)}, and the goal at"
            f" ({x:.2f}, {y:.2f}). Mean returns: {said}."
        )

    def _press(self, event) -> None:
        if event.inaxes is not None and event.button == 1:
            self.attempt(lambda: self.place(float(event.xdata), float(event.ydata)))


def paths(played: Trajectories, task: int = 0) -> tuple[Tensor, Tensor]:
    """The first episode of every lane as one line: points (points, 2) with NaN between walks, and
    where each walk ended (lanes, 2).

    The last point of a walk is the last place from which the agent chose an action; its final move
    leads at most 0.1 on.
    """
    lines, ends = [], []
    for observation, last in zip(played.observation[task].cpu(), played.last[task].cpu()):
        walk = observation[: int(last.int().argmax()) + 1, :2]
        lines += [walk, torch.full((1, 2), float("nan"))]
        ends.append(walk[-1])
    return torch.cat(lines), torch.stack(ends)

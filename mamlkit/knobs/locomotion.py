"""The knob of section 5.3: choose a robot and a goal, take a gradient step, and see how it moves
before and after."""

from typing import Any, NamedTuple

import numpy as np
import torch

from mamlkit.bank.experiment import load
from mamlkit.knobs.base import Knobs, headline, one_thread, present, slider
from mamlkit.machine import seeded
from mamlkit.rl.collect import collect, halved
from mamlkit.rl.frames import frames, walk
from mamlkit.rl.locomotion import TOP, Locomotion
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import mean_return
from mamlkit.show.plots import GROUND, INK, LOOKS, style
from mamlkit.studies.locomotion import TRAININGS
from mamlkit.trees import Params, tree_map

STEPS, PICTURES, SIZE, LANES = (
    3,
    21,
    (132, 176),
    20,
)  # gradient steps at most; pictures of an episode, and their pixels; tries before each step


class Start(NamedTuple):
    """A meta-trained start: the robot's environment, the parameters, and the step size that they
    were trained with."""

    env: Locomotion
    theta: Params
    alpha: float


def banked_starts() -> dict[str, Start]:
    """The meta-trained starts that the bank holds, by the names that the knob shows: the first
    training of each robot and task at its largest size."""
    found = {}
    for robot, task in ((r, t) for r in ("cheetah", "ant") for t in ("direction", "velocity")):
        for name in (f"{robot}-{task}", f"{robot}-{task}-half", f"{robot}-{task}-cpu"):
            kept = load(TRAININGS[name]) if name in TRAININGS else {}
            if "maml-0" in kept:
                env, result = Locomotion(robot, task), kept["maml-0"]
                found[f"{robot}, {task}"] = Start(env, result.params, result.setting["alpha"])
                break
    return found


def gait_knobs(starts: dict[str, Start], *, steps: int = 1) -> None:
    """A robot before and after gradient steps towards a goal: a live figure, or its first state.

    starts: by the name that a reader chooses from, one or more. steps: gradient steps shown, 0 to
    3, each on 20 fresh episodes, the later ones half as large. Raises ValueError for what is out of
    range, and for parameters of another robot.
    """
    present(lambda: GaitKnobs(starts, steps=steps))


class GaitKnobs(Knobs):
    """The scene of section 5.3. A robot is adapted anew when it or its goal is changed; steps and
    time only show."""

    def __init__(self, starts, *, steps=1):
        import ipywidgets as W

        if not starts:
            raise ValueError("no start is given: one or more are needed")
        for name, (env, theta, alpha) in starts.items():
            if not 0 < alpha < float("inf"):
                raise ValueError(f"alpha of {name} is {alpha}: it must be a finite number above 0")
            if theta["layer0.weight"].shape[1] != env.observations:
                raise ValueError(
                    f"the parameters of {name} take {theta['layer0.weight'].shape[1]} numbers, "
                    f"its robot shows {env.observations}: they are another robot's"
                )
        self.starts = starts
        self.known: Any = None
        first = next(iter(starts))
        controls = {
            "robot": W.Dropdown(
                options=[*starts],
                value=first,
                description="robot",
                style={"description_width": "5.8em"},
                layout={"width": "262px"},
            ),
            "goal": slider("goal", _top(starts[first].env), *_range(starts[first].env)),
            "steps": slider("steps", steps, 0, STEPS, 1),
            "time": slider("picture", PICTURES - 1, 0, PICTURES - 1, 1),
        }
        controls["goal"].continuous_update = False  # each goal is learned anew
        self.way = W.ToggleButtons(  # of a direction there are two: no slider
            options=[("backward", -1.0), ("forward", 1.0)],
            value=1.0,
            style={"button_width": "105px"},
            tooltips=["running backward pays", "running forward pays"],
        )
        self.way.observe(lambda change: self._turned(change.new), "value")
        self.unit = W.HTML()
        column = [
            W.HTML("<b>The robot, and what pays</b>"),
            controls["robot"],
            self.way,
            controls["goal"],
            self.unit,
            W.HTML("<b>Adapting to it</b>"),
            controls["steps"],
            W.HTML("<b>An episode</b>"),
            controls["time"],
            self.player("play the episode", controls["time"], 120),
            self.button("reset", self.reset),
        ]
        self.assemble(
            controls,
            column,
            "Turn the robot round, then take the step: what changes before it, what after?",
        )

    def figure(self):
        """Two pictures above the way that the robot has made, before and after."""
        from matplotlib.figure import Figure

        fig = Figure(figsize=(5.6, 3.7), dpi=100, facecolor=GROUND, layout="constrained")
        axes = fig.subplot_mosaic([["before", "after"], ["way", "way"]], height_ratios=(1.7, 1))
        self.pictures, self.lines, self.marks, self.names = {}, {}, {}, {}
        for when, look in (("before", LOOKS["random"]), ("after", LOOKS["maml"])):
            axes[when].set_axis_off()
            self.pictures[when] = axes[when].imshow(np.zeros((*SIZE, 3), np.uint8))
            self.names[when] = axes[when].text(
                0.5,
                1.02,
                " ",
                transform=axes[when].transAxes,
                ha="center",
                fontsize=9.5,
                color=look.color,
            )
            self.lines[when] = axes["way"].plot(
                [], [], color=look.color, linestyle=look.line, linewidth=2
            )[0]
            self.marks[when] = axes["way"].plot([], [], "o", color=look.color)[0]
        style(axes["way"])
        axes["way"].set(
            xlim=(0, 1), ylim=(-3, 3), xlabel="share of the episode", ylabel="way, metres"
        )
        axes["way"].axhline(0, color=INK, linewidth=0.6)
        self.title = headline(fig)
        axes["before"].set_title(" ")
        return fig, [
            self.title,
            *self.pictures.values(),
            *self.names.values(),
            *self.lines.values(),
            *self.marks.values(),
        ]

    def outcome(self):
        """For 0 to 3 steps: the mean return of the episodes played (twenty, or more where they end
        early), and one episode's joints. Kept until robot or goal change."""
        key = self.controls["robot"].value, self.controls["goal"].value
        if self.known is None or self.known[0] != key:
            with one_thread():
                self.known = (
                    key,
                    self._adapted(self.starts[key[0]], torch.tensor([key[1]], dtype=torch.float32)),
                    {},
                )
        return self.known[1]

    def _adapted(self, start, goal):
        env, policy = start.env, gaussian(start.env.observations, start.env.actions)
        learner = halved(reinforce(policy), alpha=start.alpha)
        task, played = collect(
            env,
            policy,
            learner,
            start.theta,
            goal[None],
            steps=STEPS,
            rollouts=LANES,
            generator=seeded(0),
        )
        path = learner(STEPS).adapt(start.theta, tree_map(lambda t: t[0], task.support))
        returns = [mean_return(t, env.horizon).item() for t in played]
        return returns, [walk(env, policy, theta, goal, generator=seeded(1))[0] for theta in path]

    def film(self, steps: int) -> np.ndarray:
        """The pictures of the episode after so many steps; of a robot that falls the last one
        stays."""
        walked = self.outcome()[1][steps]
        if steps not in self.known[2]:
            when = torch.linspace(0, len(walked) - 1, PICTURES).round().long()
            self.known[2][steps] = frames(
                self.starts[self.controls["robot"].value].env.robot.model, walked[when], size=SIZE
            )
        return self.known[2][steps]

    def _turned(self, way) -> None:
        """A reader chose a direction."""
        if self.starts[self.controls["robot"].value].env.task == "direction":
            self.controls["goal"].value = way

    def moved(self, control) -> None:
        if control is self.controls["robot"]:
            self.turn(control.value)
        self.update()

    def turn(self, robot: str) -> None:
        """Gives the goal slider the range of another robot's goals."""
        env, goal = self.starts[robot].env, self.controls["goal"]
        low, high, step = _range(env)
        self.quiet = True
        goal.min, goal.max = min(low, goal.min), max(high, goal.max)
        goal.value = _top(env)
        goal.min, goal.max, goal.step = low, high, step
        self.quiet = False

    def set(self, **values) -> None:
        robot = values.get("robot", self.controls["robot"].value)
        if robot not in self.starts:
            raise ValueError(f'robot is "{robot}": there are {", ".join(self.starts)}')
        low, high, _ = _range(self.starts[robot].env)
        if not low <= values.get("goal", high) <= high:
            raise ValueError(
                f"goal is {values['goal']}: for {robot} it must be from {low:g} to {high:g}"
            )
        if robot != self.controls["robot"].value:
            self.turn(robot)
        super().set(**values)

    def update(self) -> None:
        c, env = (
            {name: control.value for name, control in self.controls.items()},
            self.starts[self.controls["robot"].value].env,
        )
        returns, walks = self.outcome()
        for when, steps in (("before", 0), ("after", c["steps"])):
            way = (walks[steps][:, 0] - walks[steps][0, 0]).numpy()
            time, here = (
                np.arange(len(way)) / env.horizon,
                round(c["time"] / (PICTURES - 1) * (len(way) - 1)),
            )
            self.pictures[when].set_data(self.film(steps)[c["time"]])
            self.lines[when].set_data(time, way)
            self.marks[when].set_data(time[here : here + 1], way[here : here + 1])
            self.names[when].set_text(
                f"{'before' if not steps else _steps(steps)}: return {returns[steps]:.0f}"
            )
        directed = env.task == "direction"
        self.way.layout.display = "" if directed else "none"
        self.controls["goal"].layout.display = "none" if directed else ""
        if directed:
            self.way.value = c["goal"]
        self.unit.value = "" if directed else "the velocity that pays, m/s"
        self.title.set_text(self.says())
        self.redraw()

    def says(self) -> str:
        """The goal, and how far the robot came before and after the steps, in words."""
        c, env = (
            {name: control.value for name, control in self.controls.items()},
            self.starts[self.controls["robot"].value].env,
        )
        goal = (
            ("forward" if c["goal"] > 0 else "backward")
            if env.task == "direction"
            else f"{c['goal']:.2f} m/s"
        )
        way = [walked[-1, 0] - walked[0, 0] for walked in self.outcome()[1]]
        after = f"{way[c['steps']]:+.1f} m after {_steps(c['steps'])}"
        return f"{env.name}, {goal}: {way[0]:+.1f} m before, {after}"

    def alt(self) -> str:
        returns = self.outcome()[0]
        return (
            f"Two pictures of the {self.says()}, above the way that it made in one episode. "
            f"Mean returns before and after each step: {', '.join(f'{r:.0f}' for r in returns)}."
        )


def _range(env):
    return (-1.0, 1.0, 2.0) if env.task == "direction" else (0.0, TOP[env.name], 0.25)


def _top(env):
    return _range(env)[1]


def _steps(number) -> str:
    return f"{number} step{'s' * (number != 1)}"

"""Locomotion: the half-cheetah and the ant of section 5.3, which must run at a velocity or in a
direction."""

import numpy as np
import torch
from torch import Generator, Tensor

from mamlkit.boundary import one_of, said, whole
from mamlkit.rl import bodies
from mamlkit.rl.env import State

ROBOTS = {
    ("cheetah", "paper"): bodies.paper_cheetah,
    ("cheetah", "gym"): bodies.gym_cheetah,
    ("ant", "paper"): bodies.paper_ant,
    ("ant", "gym"): bodies.gym_ant,
}
TOP = {"cheetah": 2.0, "ant": 3.0}  # goal velocities are uniform in [0, TOP], in m/s
BONUS = (
    1.0  # a step, so that the ant does not end its episodes for fear of its reward (appendix A.2)
)


def half_cheetah_vel(**settings) -> "Locomotion":
    """The half-cheetah at a goal velocity, uniform in [0, 2]. settings: those of `Locomotion`."""
    return Locomotion("cheetah", "velocity", **settings)


def half_cheetah_dir(**settings) -> "Locomotion":
    """The half-cheetah as fast as it can, forward (1) or backward (-1). settings: those of
    `Locomotion`."""
    return Locomotion("cheetah", "direction", **settings)


def ant_vel(**settings) -> "Locomotion":
    """The ant at a goal velocity, uniform in [0, 3]. settings: those of `Locomotion`."""
    return Locomotion("ant", "velocity", **settings)


def ant_dir(**settings) -> "Locomotion":
    """The ant as fast as it can, forward (1) or backward (-1). settings: those of `Locomotion`."""
    return Locomotion("ant", "direction", **settings)


class Locomotion:
    """A robot that is rewarded for its velocity v along x: minus |v - goal|, or v times a
    direction, less what moving costs.

    robot: "cheetah" or "ant"; task: "velocity" or "direction"; goals are (batch, 1). variant:
    "paper", what the authors' code does (frames of one step, the velocity of the centre of mass,
    their costs, bonus and start), or "gym", what Gymnasium's HalfCheetah-v5 and Ant-v5 do, the task
    in the place of their forward reward. even: the goals of one draw are spread evenly (one in each
    of as many equal parts of p(T), in random order), not independent: each alone is still
    distributed as p(T), and an even number of directions is half forward. threads: MuJoCo's, which
    change no number. The ant's episode is over where its torso leaves the heights 0.2 to 1 m; the
    cheetah's never is. Where MuJoCo's numbers or the reward are not finite, observation and reward
    are NaN and the episode is over. Raises ValueError for other settings and for goals that are
    none. Source: section 5.3, "Locomotion", appendix A.2.
    """

    def __init__(
        self,
        robot: str,
        task: str,
        *,
        variant: str = "paper",
        even: bool = False,
        threads: int = 1,
        horizon: int = 200,
    ):
        one_of("robot", robot, *TOP)
        one_of("task", task, "velocity", "direction")
        one_of("variant", variant, "paper", "gym")
        if not isinstance(even, bool):
            raise ValueError(f"even is {said(even)}: it must be True or False")
        whole("threads", threads)
        whole("horizon", horizon)
        self.name, self.task, self.even, self.horizon = robot, task, even, horizon
        self.bonus = BONUS if (robot, task, variant) == ("ant", "velocity", "paper") else 0.0
        self.robot = ROBOTS[robot, variant](threads)
        self.observations, self.actions = self.robot.observations, self.robot.model.nu

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        """Velocities uniform between 0 and the robot's most, or directions 1 and -1 with equal
        odds, (tasks, 1)."""
        u = torch.rand(tasks, 1, generator=generator, device=generator.device)
        if self.even:
            u = (
                torch.randperm(tasks, generator=generator, device=generator.device)[:, None] + u
            ) / tasks
        return self._goals(u)

    def authors_goals(self, tasks: int = 40) -> Tensor:
        """The goals of the authors' evaluation, (tasks, 1), so that returns compare goal by goal
        with theirs.

        NumPy's legacy generator at seed 1, 2 for the ant's directions, is their code's
        (cbfinn/maml_rl, maml_examples).
        """
        seed = 2 if (self.name, self.task) == ("ant", "direction") else 1
        return self._goals(
            torch.tensor(
                np.random.RandomState(seed).uniform(size=(tasks, 1)),
                dtype=torch.get_default_dtype(),
            )
        )

    def _goals(self, u):
        return u * TOP[self.name] if self.task == "velocity" else torch.where(u < 0.5, -1.0, 1.0)

    def reset(self, goals: Tensor, generator: Generator) -> State:
        """The start pose with a little noise in it."""
        self._check(goals)
        place = self.robot.start(generator, len(goals))
        return self._state(self.robot.look(place), place, goals.device)

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        """One frame; reward and done are those of the place where it leads."""
        place, forces = tuple(map(_array, state.hidden)), _array(action.clamp(-1, 1))
        moved, goal = self.robot.move(place, forces), _array(goals)[:, 0]
        closeness = (
            -abs(moved.velocity - goal) if self.task == "velocity" else goal * moved.velocity
        )
        reward = closeness + self.bonus + moved.extra
        broken = moved.broken | ~np.isfinite(reward) | ~np.isfinite(moved.observation).all(1)
        if broken.any():
            reward[broken] = moved.observation[broken] = np.nan
            for now, rest in zip(moved.place, self.robot.rest):
                now[broken] = rest
        state = self._state(moved.observation, moved.place, goals.device)
        return (
            state,
            torch.tensor(reward, dtype=goals.dtype, device=goals.device),
            torch.tensor(moved.done | broken, device=goals.device),
        )

    def _state(self, observation, place, device):
        seen = torch.tensor(observation, dtype=torch.get_default_dtype(), device=device)
        return State(seen, tuple(torch.tensor(array, device=device) for array in place))

    def _check(self, goals):
        top = TOP[self.name]
        good = (0 <= goals) & (goals <= top) if self.task == "velocity" else goals.abs() == 1
        if goals.shape[1:] != (1,) or not good.all():
            given = (
                f"of shape {tuple(goals.shape[1:])}"
                if goals.shape[1:] != (1,)
                else goals[~good][0].item()
            )
            allowed = (
                f"a velocity from 0 to {top:g} m/s"
                if self.task == "velocity"
                else "a direction, 1 or -1"
            )
            raise ValueError(
                f"the goal {given} is refused: each task of the {self.name} is {allowed}"
            )


def _array(tensor):
    return tensor.detach().cpu().double().numpy()

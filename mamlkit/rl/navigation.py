"""2D navigation: the point agent of section 5.3, which must move to goals that it cannot see."""

import torch
from torch import Generator, Tensor

from mamlkit.boundary import one_of, whole
from mamlkit.rl.env import State

SPEED = 0.1  # the most a coordinate changes in one step
NEAR = 0.01  # how near the goal ends an episode
SQUARE = (-0.5, 0.5)  # the unit square of the goals, the agent in its middle


class Navigation:
    """A point in the plane, started at (0, 0), is told its position, commands its velocity, and is
    rewarded for being near the goal.

    reward: "distance", minus the distance to the goal, as the authors' code and their published
    returns have it, or "squared", minus its square, as the paper writes. done: an episode ends
    where the agent is within 0.01 of the goal: "box", in each coordinate, as the code has it, or
    "radius", in distance. horizon: H, 1 or more. Actions are velocities in units of 0.1, so that
    [-1, 1] is the paper's [-0.1, 0.1]; goals are (batch, 2). Raises ValueError for anything else.
    Source: section 5.3, "2D navigation".
    """

    observations, actions = 2, 2

    def __init__(self, *, reward: str = "distance", done: str = "box", horizon: int = 100):
        one_of("reward", reward, "distance", "squared")
        one_of("done", done, "box", "radius")
        whole("horizon", horizon)
        self.reward, self.done, self.horizon = reward, done, horizon

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        """Goals uniform in the unit square, (tasks, 2)."""
        low, high = SQUARE
        return low + (high - low) * torch.rand(
            tasks, 2, generator=generator, device=generator.device
        )

    def reset(self, goals: Tensor, generator: Generator) -> State:
        """Every episode starts at (0, 0); nothing is random. Raises ValueError for goals outside of
        the square."""
        low, high = SQUARE
        good = ((low <= goals) & (goals <= high)).all(-1)
        if goals.shape[1:] != (2,) or not good.all():
            given = (
                goals[~good][0].tolist()
                if goals.shape[1:] == (2,)
                else f"of shape {tuple(goals.shape[1:])}"
            )
            raise ValueError(
                f"the goal {given} is refused: each task of navigation is a place (x, y), both "
                f"from {low:g} to {high:g}"
            )
        return State(torch.zeros_like(goals), ())

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        """The agent moves; reward and done are those of the place where it arrives."""
        position = state.observation + SPEED * action.clamp(-1, 1)
        offset = position - goals
        distance = offset.norm(dim=-1)
        reward = -distance if self.reward == "distance" else -distance.square()
        done = (offset.abs() < NEAR).all(-1) if self.done == "box" else distance < NEAR
        return State(position, ()), reward, done


def authors_goals(tasks: int = 40) -> Tensor:
    """The goals of the authors' evaluation, (tasks, 2), so that returns compare goal by goal with
    theirs.

    NumPy's legacy generator at seed 1 is their code's (cbfinn/maml_rl, maml_examples); the paper
    says "a new task".
    """
    import numpy

    whole("tasks", tasks)
    return torch.tensor(
        numpy.random.RandomState(1).uniform(*SQUARE, (tasks, 2)), dtype=torch.get_default_dtype()
    )

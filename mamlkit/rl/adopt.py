"""An existing Gymnasium environment as one of ours, whose tasks are its settings."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mamlkit.boundary import said, whole
from mamlkit.rl.env import State


class Adopted:
    """A Gymnasium environment under the protocol of `Env`: one world plays all episodes of a batch
    in turn, so it is slow, and good for whatever it can.

    world: of a Box of observations with one axis, and a Box of actions with one axis or Discrete
    actions. An action is clipped to [-1, 1], the range of its Box; for Discrete(n), its one number
    picks one of n equal parts. goals: (generator, tasks) -> (tasks, ...), the tasks. get: world ->
    all that changes from step to step, as an array or number. put: (world, what `get` gave, goal)
    -> None, which puts the world there and sets what the goal decides, e.g. gravity. Both are
    handed the world without its wrappers. horizon: H, 1 or more; a time limit of the world is none
    here. Raises ValueError for a world with other spaces.
    """

    def __init__(
        self,
        world: Any,
        *,
        horizon: int,
        goals: Callable[[Generator, int], Tensor],
        get: Callable[[Any], Any],
        put: Callable[[Any, Any, Tensor], None],
    ):
        self.world = world.unwrapped
        seen, done = self.world.observation_space, self.world.action_space
        choices = getattr(done, "n", None)
        boxes = [seen] if choices else [seen, done]
        if any(len(getattr(box, "shape", None) or ()) != 1 for box in boxes):
            raise ValueError(
                f"the world has observations {said(seen)} {seen} and actions {done}: Boxes with "
                "one axis are needed, or Discrete actions"
            )
        self.horizon = whole("horizon", horizon)
        self.observations = seen.shape[0]
        self.actions = 1 if choices else done.shape[0]
        self.sample_goals, self.get, self.put = goals, get, put

    def reset(self, goals: Tensor, generator: Generator) -> State:
        """The world's own first states, from seeds that the generator draws."""
        seeds = torch.randint(2**31, (len(goals),), generator=generator, device=generator.device)
        begun = [self._begin(int(seed), goal) for seed, goal in zip(seeds, goals)]
        seen, hidden = (torch.stack(part).to(goals.device) for part in zip(*begun))
        return State(seen, hidden)

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        """One step of every episode; done is where the world terminates."""
        moved = [self._move(*one) for one in zip(state.hidden.cpu(), action.cpu(), goals)]
        seen, hidden, reward, done = (torch.stack(part).to(goals.device) for part in zip(*moved))
        return State(seen, hidden), reward, done

    def _begin(self, seed, goal):
        seen, _ = self.world.reset(seed=seed)
        return _numbers(seen), torch.as_tensor(self.get(self.world)).clone()

    def _move(self, hidden, action, goal):
        self.put(self.world, hidden.numpy(), goal)
        seen, reward, done, *_ = self.world.step(self._native(action.clamp(-1, 1)))
        after = torch.as_tensor(self.get(self.world)).clone()
        return _numbers(seen), after, _numbers(reward), torch.tensor(bool(done))

    def _native(self, action):
        space = self.world.action_space
        if choices := getattr(space, "n", None):
            return int(space.start) + min(int((action.item() + 1) / 2 * choices), int(choices) - 1)
        share = (action.double().numpy() + 1) / 2
        return (space.low + share * (space.high - space.low)).astype(space.dtype)


def _numbers(value) -> Tensor:
    return torch.as_tensor(value, dtype=torch.get_default_dtype()).clone()

"""The environments as Gymnasium's: one episode at a time, or a batch of them behind
`gymnasium.make_vec`.

`gymnasium.make("mamlkit.rl.gym:mamlkit/Navigation2D-v0")` imports this module, which registers the
ids; after `import mamlkit.rl.gym` they are known without the part before the colon.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeGuard

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode

from mamlkit.rl.frames import frames
from mamlkit.trees import tree_map

# id: (where our environment is made, H)
IDS = {
    "mamlkit/Navigation2D-v0": ("mamlkit.rl.navigation:Navigation", 100),
    "mamlkit/HalfCheetahVel-v0": ("mamlkit.rl.locomotion:half_cheetah_vel", 200),
    "mamlkit/HalfCheetahDir-v0": ("mamlkit.rl.locomotion:half_cheetah_dir", 200),
    "mamlkit/AntVel-v0": ("mamlkit.rl.locomotion:ant_vel", 200),
    "mamlkit/AntDir-v0": ("mamlkit.rl.locomotion:ant_dir", 200),
}
MODES = ["rgb_array"]
RENDERING = {"render_modes": MODES, "render_fps": 30}
SIZE = 240  # pixels, the sides of navigation's picture


def register() -> None:
    """Tells Gymnasium the ids of IDS; then `gymnasium.make(id, **settings)` and
    `gymnasium.make_vec(id, num_envs=n)` work. Importing this module calls it.

    settings: those of our class, e.g. `reward="squared"`, and `render_mode="rgb_array"`. The task
    of an episode is chosen by `reset(options={"task": goal})`, a goal for each environment of a
    batch; it stays until another is given, and None goes back to the start: a goal drawn for every
    episode from Gymnasium's own `np_random`. `info["task"]` tells it. Where a number is not finite
    the episode is over, its reward and observation are 0 and `info["broken"]` is true. `step`
    raises ValueError for an action that is not in `action_space`, and ResetNeeded before the first
    `reset`; after the end of an episode it warns.
    """
    for name, (place, horizon) in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="mamlkit.rl.gym:Single",
                vector_entry_point="mamlkit.rl.gym:Batched",
                max_episode_steps=horizon,
                kwargs={"place": place},
            )


class _Ours:
    """What both kinds of environment share: they are made from a place and settings, also when
    they are unpickled, and draw pictures."""

    state: Any  # a State once an episode has begun
    goals: Any

    def _make(self, place, render_mode, settings):
        if not (render_mode is None or isinstance(render_mode, str) and render_mode in MODES):
            raise ValueError(f'render_mode is {render_mode!r}: it must be None or "rgb_array"')
        self.made, self.render_mode = (place, settings), render_mode
        self.env, self.given, self.state = _made(place, settings), None, None
        self.dtype = np.dtype(str(torch.get_default_dtype()).removeprefix("torch."))
        return (
            gymnasium.spaces.Box(-np.inf, np.inf, (self.env.observations,), self.dtype),
            gymnasium.spaces.Box(-1, 1, (self.env.actions,), self.dtype),
        )

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "env"}

    def __setstate__(self, state):
        self.__dict__.update(state, env=_made(*state["made"]))

    def _begun(self):
        if self.state is None:
            raise ResetNeeded("there is no episode yet: call reset() first")

    def _pictures(self):
        """A picture of each environment, or None and a warning where none were asked for."""
        if self.render_mode is None:
            return gymnasium.logger.warn(
                'nothing is drawn: make the environment with render_mode="rgb_array"'
            )
        self._begun()
        if hasattr(self.env, "robot"):
            return tuple(frames(self.env.robot.model, self.state.hidden[0]))
        return tuple(map(_plane, self.state.observation.numpy(), self.goals.numpy()))

    def _seen(self):
        return self.state.observation.numpy().astype(self.dtype)


class Single(_Ours, gymnasium.Env):
    """A `gymnasium.Env` of the class at `place`; the time limit is Gymnasium's wrapper."""

    metadata = RENDERING

    def __init__(self, place: str, *, render_mode: str | None = None, **settings):
        self.observation_space, self.action_space = self._make(place, render_mode, settings)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        given, generator = _given(self.env, 1, options, self.given), _generator(self.np_random)
        goals = self.env.sample_goals(generator, 1) if given is None else given
        self.state = self.env.reset(goals, generator)
        self.given, self.goals, self.over, self.broken = given, goals, False, False
        return self._seen()[0], self._info()

    def step(self, action):
        self._begun()
        if self.over:
            gymnasium.logger.warn("the episode is over, and goes on all the same: call reset()")
        action = _action(action, self.action_space)
        self.state, reward, done, broken = _step(self.env, self.state, action[None], self.goals)
        self.over, self.broken = bool(done), bool(broken)
        return self._seen()[0], reward.item(), self.over, False, self._info()

    def render(self):
        pictures = self._pictures()
        return pictures and pictures[0]

    def _info(self):
        return {"task": self.goals[0].numpy().copy(), "broken": self.broken}


class Batched(_Ours, gymnasium.vector.VectorEnv):
    """A `gymnasium.vector.VectorEnv` that steps all its episodes at once; an episode that is over
    starts anew at the next step.

    `reset(seed=)` takes a number s, which stands for s, s + 1, ..., or one for each environment,
    None among them: an environment's episodes are those that it has alone with that seed.
    """

    metadata = {**RENDERING, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        place: str,
        num_envs: int,
        max_episode_steps: int | None,
        *,
        render_mode: str | None = None,
        **settings,
    ):
        for name, value in (("num_envs", num_envs), ("max_episode_steps", max_episode_steps)):
            if not (_whole(value) and value >= 1 or (name, value) == ("max_episode_steps", None)):
                raise ValueError(f"{name} is {value!r}: it must be a whole number of 1 or more")
        self.num_envs, self.horizon = int(num_envs), max_episode_steps or np.inf
        self.random: Sequence = ()
        one = self._make(place, render_mode, settings)
        self.single_observation_space, self.single_action_space = one
        self.observation_space, self.action_space = (
            gymnasium.vector.utils.batch_space(space, self.num_envs) for space in one
        )

    @property
    def np_random(self):
        """Each environment's own generator, as Gymnasium's batches tell them."""
        return tuple(random for random, _ in self._random())

    @property
    def np_random_seed(self):
        return tuple(seed for _, seed in self._random())

    def _random(self):
        self.random = self.random or [seeding.np_random(None) for _ in range(self.num_envs)]
        return self.random

    def reset(self, *, seed=None, options=None):
        seeds = _seeds(seed, self.num_envs)
        given = _given(self.env, self.num_envs, options, self.given)
        self.random = [
            old if seed is None else seeding.np_random(seed)
            for old, seed in zip(self._random(), seeds)
        ]
        self._begin(torch.arange(self.num_envs), given)
        self.given, self.broken = given, torch.zeros(self.num_envs, dtype=torch.bool)
        return self._seen(), self._info()

    def step(self, actions):
        self._begun()
        actions = _action(actions, self.action_space)
        begun = self.over.nonzero().flatten()
        self.state, reward, done, self.broken = _step(self.env, self.state, actions, self.goals)
        self.steps = self.steps + 1
        late = self.steps >= self.horizon
        if len(begun):
            self._begin(begun, self.given)
            reward, done, late, self.broken = (
                tensor.index_fill(0, begun, 0) for tensor in (reward, done, late, self.broken)
            )
        self.over = done | late
        return self._seen(), reward.numpy(), done.numpy(), late.numpy(), self._info()

    def render(self):
        return self._pictures()

    def _begin(self, which, given):
        """New episodes in these places."""
        begun = []
        for place in which.tolist():
            generator = _generator(self.random[place][0])
            goal = self.env.sample_goals(generator, 1) if given is None else given[place][None]
            begun.append((goal, self.env.reset(goal, generator)))
        goals, state = tree_map(lambda *each: torch.cat(each), *begun)
        if len(which) == self.num_envs:
            self.goals, self.state = goals, state
            self.steps = torch.zeros(self.num_envs, dtype=torch.int64)
            self.over = torch.zeros(self.num_envs, dtype=torch.bool)
        else:
            put = lambda old, new: old.index_copy(0, which, new)
            self.goals, self.state = put(self.goals, goals), tree_map(put, self.state, state)
            self.steps = self.steps.index_fill(0, which, 0)

    def _info(self):
        """Each with its mask, as Gymnasium's own batches have it: every environment tells both."""
        told = {"task": self.goals.numpy().copy(), "broken": self.broken.numpy().copy()}
        return told | {f"_{name}": np.ones(self.num_envs, dtype=bool) for name in told}


def _seeds(given, number: int) -> list[int | None]:
    """A seed for each environment, None where none is given. Raises ValueError for other seeds."""
    if given is None:
        return [None] * number
    if _whole(given):
        given = [int(given) + i for i in range(number)]
    each = given.tolist() if isinstance(given, np.ndarray) else given
    fine = isinstance(each, list | tuple) and len(each) == number
    if not fine or not all(s is None or _whole(s) and s >= 0 for s in each):
        raise ValueError(
            f"the seed {_words(given)} is refused: it must be a whole number of 0 or more, or one "
            f"for each of the {number} environments"
        )
    return [None if s is None else int(s) for s in each]


def _whole(value) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _made(place, settings):
    module, name = place.split(":")
    return getattr(import_module(module), name)(**settings)


def _step(env, state, action, goals):
    """`env.step`, and where it broke: a number was not finite there, and 0 stands in its place."""
    state, reward, done = env.step(state, action, goals)
    broken = ~(state.observation.isfinite().all(-1) & reward.isfinite())
    state = state._replace(observation=state.observation.masked_fill(broken[:, None], 0))
    return state, reward.masked_fill(broken, 0), done | broken, broken


def _numbers(given) -> np.ndarray | None:
    """An array of real numbers in float64, None for anything else."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):  # ragged, or a tensor with a gradient
        return None
    return array.astype(np.float64) if array.dtype.kind in "fiu" else None


def _action(given, space):
    """The action as a tensor. Raises ValueError unless it has the shape of `space` and lies in
    it."""
    array = _numbers(given)
    if (
        array is None
        or array.shape != space.shape
        or not ((space.low <= array) & (array <= space.high)).all()
    ):
        raise ValueError(
            f"the action {_words(given)} is refused: it must have the shape {space.shape}, and "
            "each of its numbers must be from -1 to 1 (numpy.clip makes it so)"
        )
    return torch.as_tensor(array, dtype=torch.get_default_dtype())


def _words(value):
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"{text[:76]} ..."


def _generator(np_random):
    return torch.Generator().manual_seed(int(np_random.integers(2**63)))


def _given(env, batch, options, before):
    """The goals that `options` choose, (batch, ...); what was chosen before, where they say
    nothing."""
    if not isinstance(options, Mapping | None):
        raise ValueError(f'the options {_words(options)} are refused: they must be {{"task": ...}}')
    if unknown := set(options or ()) - {"task"}:
        raise ValueError(f'the options {sorted(map(str, unknown))} are unknown: there is "task"')
    if not options:
        return before
    if options["task"] is None:
        return None
    shape = (batch, *env.sample_goals(torch.Generator(), 1).shape[1:])
    goals = _numbers(options["task"])
    if goals is None:
        raise ValueError(
            f"the task {_words(options['task'])} is refused: it must be made of numbers"
        )
    goals = torch.as_tensor(goals, dtype=torch.get_default_dtype())
    if shape[1:] == (1,) and goals.shape in ((), (batch,)):  # a goal of one number needs no axis
        goals = goals.reshape(-1, 1)
    if goals.shape not in (shape, shape[1:], (1, *shape[1:])):
        raise ValueError(
            f"the task has shape {tuple(goals.shape)}: it must have {shape[1:]}, or {shape}, one "
            "for each environment"
        )
    return goals.expand(shape)


def _plane(position, goal):
    """Navigation from above, (SIZE, SIZE, 3), uint8: the start grey, the goal green, the agent
    blue; as much of the plane as holds them."""
    reach = max(0.6, np.abs(position).max() + 0.1)
    line = np.linspace(-reach, reach, SIZE)
    picture = np.full((SIZE, SIZE, 3), 255, np.uint8)
    for place, colour, radius in (
        ((0.0, 0.0), (190, 190, 190), 0.03),
        (goal, (0, 158, 115), 0.05),
        (position, (0, 114, 178), 0.035),
    ):
        distance = np.hypot(line[None, :] - place[0], line[::-1, None] - place[1])
        picture[distance < radius * reach / 0.6] = colour
    return picture


register()

"""The environments as Gymnasium's: one episode at a time, or a batch of them behind
`gymnasium.make_vec`."""

from importlib import import_module

IDS = {
    "mamlkit/Navigation2D-v0": (
        "mamlkit.rl.navigation:Navigation",
        100,
    ),  # id: (where our environment is made, H)
    "mamlkit/HalfCheetahVel-v0": ("mamlkit.rl.locomotion:half_cheetah_vel", 200),
    "mamlkit/HalfCheetahDir-v0": ("mamlkit.rl.locomotion:half_cheetah_dir", 200),
    "mamlkit/AntVel-v0": ("mamlkit.rl.locomotion:ant_vel", 200),
    "mamlkit/AntDir-v0": ("mamlkit.rl.locomotion:ant_dir", 200),
}


def register() -> None:
    """Tells Gymnasium the ids of IDS; then `gymnasium.make(id, **settings)` and
    `gymnasium.make_vec(id, num_envs=n)` work.

    settings: those of our class, e.g. `reward="squared"`. The task of an episode is chosen by
    `reset(options={"task": goal})`, a goal for each environment of a batch; it stays until another
    is given, and None goes back to the start: a goal drawn for every episode from Gymnasium's own
    `np_random`. `info["task"]` tells it. Where a number is not finite the episode is over, its
    reward and observation are 0 and `info["broken"]` is true.
    """
    import gymnasium

    for name, (place, horizon) in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="mamlkit.rl.gym:single",
                vector_entry_point="mamlkit.rl.gym:batched",
                max_episode_steps=horizon,
                kwargs={"place": place},
            )


def single(place: str, **settings):
    """A `gymnasium.Env` of the class at `place`; the time limit is Gymnasium's wrapper."""
    import gymnasium

    class Single(gymnasium.Env):
        metadata = {"render_modes": []}

        def __init__(self):
            self.env, self.given = _made(place, settings), None
            self.observation_space, self.action_space = _spaces(self.env)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.given = _given(self.env, 1, options, self.given)
            generator = _generator(self.np_random)
            self.goals = self.env.sample_goals(generator, 1) if self.given is None else self.given
            self.state, self.broken = self.env.reset(self.goals, generator), False
            return self._seen(), self._info()

        def step(self, action):
            self.state, reward, done, self.broken = _step(
                self.env, self.state, _tensor(action)[None], self.goals
            )
            return self._seen(), reward.item(), bool(done), False, self._info()

        def _seen(self):
            return self.state.observation[0].numpy().copy()

        def _info(self):
            return {"task": self.goals[0].numpy().copy(), "broken": bool(self.broken)}

    return Single()


def batched(place: str, num_envs: int, max_episode_steps: int, **settings):
    """A `gymnasium.vector.VectorEnv` that steps all its episodes at once; an episode that is over
    starts anew at the next step."""
    import gymnasium
    import torch
    from gymnasium.vector import AutoresetMode

    from mamlkit.trees import tree_map

    class Batched(gymnasium.vector.VectorEnv):
        metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

        def __init__(self):
            self.num_envs, self.env, self.given = num_envs, _made(place, settings), None
            self.single_observation_space, self.single_action_space = _spaces(self.env)
            self.observation_space, self.action_space = (
                gymnasium.vector.utils.batch_space(space, num_envs)
                for space in (self.single_observation_space, self.single_action_space)
            )

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.given = _given(self.env, num_envs, options, self.given)
            self._begin(torch.arange(num_envs))
            self.broken = torch.zeros(num_envs, dtype=torch.bool)
            return self._seen(), self._info()

        def step(self, actions):
            begun = self.over.nonzero().flatten()
            self.state, reward, done, self.broken = _step(
                self.env, self.state, _tensor(actions), self.goals
            )
            self.steps = self.steps + 1
            late = self.steps >= max_episode_steps
            if len(begun):
                self._begin(begun)
                reward, done, late, self.broken = (
                    tensor.index_fill(0, begun, 0) for tensor in (reward, done, late, self.broken)
                )
            self.over = done | late
            return self._seen(), reward.numpy(), done.numpy(), late.numpy(), self._info()

        def _begin(self, which):
            """New episodes in these places."""
            generator = _generator(self.np_random)
            goals = (
                self.env.sample_goals(generator, len(which))
                if self.given is None
                else self.given[which]
            )
            state = self.env.reset(goals, generator)
            if len(which) == num_envs:
                self.goals, self.state, self.steps = (
                    goals,
                    state,
                    torch.zeros(num_envs, dtype=torch.int64),
                )
                self.over = torch.zeros(num_envs, dtype=torch.bool)
            else:
                put = lambda old, new: old.index_copy(0, which, new)
                self.goals, self.state = put(self.goals, goals), tree_map(put, self.state, state)
                self.steps = self.steps.index_fill(0, which, 0)

        def _seen(self):
            return self.state.observation.numpy().copy()

        def _info(self):
            return {"task": self.goals.numpy().copy(), "broken": self.broken.numpy().copy()}

    return Batched()


def _made(place, settings):
    module, name = place.split(":")
    return getattr(import_module(module), name)(**settings)


def _step(env, state, action, goals):
    """`env.step`, and where it broke: a number was not finite there, and 0 stands in its place."""
    state, reward, done = env.step(state, action, goals)
    broken = ~(state.observation.isfinite().all(-1) & reward.isfinite())
    state = state._replace(observation=state.observation.masked_fill(broken[:, None], 0))
    return state, reward.masked_fill(broken, 0), done | broken, broken


def _spaces(env):
    from gymnasium.spaces import Box
    from numpy import inf

    return Box(-inf, inf, (env.observations,)), Box(-1, 1, (env.actions,))


def _tensor(array):
    import torch

    return torch.as_tensor(array, dtype=torch.get_default_dtype())


def _generator(np_random):
    import torch

    return torch.Generator().manual_seed(int(np_random.integers(2**63)))


def _given(env, batch, options, before):
    """The goals that `options` choose, (batch, ...); what was chosen before, where they say
    nothing."""
    if unknown := set(options or ()) - {"task"}:
        raise ValueError(f'the options {sorted(unknown)} are unknown: there is "task"')
    if not options:
        return before
    if options["task"] is None:
        return None
    import torch

    shape = (batch, *env.sample_goals(torch.Generator(), 1).shape[1:])
    try:
        goals = _tensor(options["task"])
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"the task {options['task']!r} is refused: it must be made of numbers"
        ) from None
    if shape[1:] == (1,) and goals.shape in ((), (batch,)):  # a goal of one number needs no axis
        goals = goals.reshape(-1, 1)
    if goals.shape not in (shape, shape[1:], (1, *shape[1:])):
        raise ValueError(
            f"the task has shape {tuple(goals.shape)}: it must have {shape[1:]}, or {shape}, one for each environment"
        )
    return goals.expand(shape)

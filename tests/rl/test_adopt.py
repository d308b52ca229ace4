"""An existing environment plays as by itself, whatever other episodes are played in between."""

import gymnasium
import numpy
import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.rl.adopt import Adopted
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import rollout
from mamlkit.trees import tree_map


def put_pendulum(world, state, gravity):
    world.state, world.g = state, gravity.item()


def put_cart(world, state, length):
    world.state, world.length, world.steps_beyond_terminated = tuple(state), length.item(), None


WORLDS = {
    "Pendulum-v1": (put_pendulum, 9, 1, 3),
    "CartPole-v1": (put_cart, 200, 1, 4),
}


def adopted(name, horizon=None):
    put, least, _, _ = WORLDS[name]
    goals = lambda generator, tasks: 0.5 + torch.rand(tasks, 1, generator=generator)
    world = gymnasium.make(name)
    return Adopted(world, horizon=horizon or least, goals=goals, get=lambda w: w.state, put=put)


@pytest.mark.parametrize("name", WORLDS)
def test_every_episode_is_played_as_by_gymnasium(name):
    """Three episodes interleaved, each against a world of its own."""
    env, g = adopted(name), seeded(0)
    put, _, actions, observations = WORLDS[name]
    assert (env.observations, env.actions) == (observations, actions)
    goals = env.sample_goals(g, 3)
    state = env.reset(goals, g)
    alone = [gymnasium.make(name).unwrapped for _ in range(3)]
    seeds = torch.randint(2**31, (3,), generator=_after_goals(env))
    for world, seed, goal, seen in zip(alone, seeds, goals, state.observation):
        assert numpy.allclose(world.reset(seed=int(seed))[0], seen)
        put(world, world.state, goal)
    for _ in range(9):
        action = 3 * torch.randn(3, actions, generator=g)
        state, reward, done = env.step(state, action, goals)
        for i, world in enumerate(alone):
            clipped = action[i].clamp(-1, 1).numpy()
            native = 2 * clipped if name == "Pendulum-v1" else int(clipped.item() >= 0)
            seen, paid, over, *_ = world.step(native)
            assert numpy.allclose(seen, state.observation[i], atol=1e-5)
            assert reward[i] == pytest.approx(paid, rel=1e-5) and done[i] == over


def _after_goals(env):
    """The generator as it was when the episodes began."""
    g = seeded(0)
    env.sample_goals(g, 3)
    return g


def test_state_in_state_out():
    """The same state and action lead to the same place, whatever was played meanwhile."""
    env, g = adopted("Pendulum-v1"), seeded(1)
    goals = env.sample_goals(g, 2)
    state = env.reset(goals, g)
    kept = tree_map(torch.clone, state)
    action = torch.tensor([[0.3], [-0.7]])
    first = env.step(state, action, goals)
    env.step(first[0], -action, goals.flip(0))
    again = env.step(state, action, goals)
    for a, b in zip((kept.hidden, *first[0], first[1]), (state.hidden, *again[0], again[1])):
        assert torch.equal(a, b)


def test_the_task_decides():
    env = adopted("Pendulum-v1")
    goals = torch.tensor([[0.0], [20.0]])
    begun = env.reset(goals[:1].expand(2, 1), seeded(0))
    here = begun._replace(hidden=begun.hidden[:1].expand(2, -1))
    after, _, _ = env.step(here, torch.zeros(2, 1), goals)
    assert after.hidden[0, 1] != after.hidden[1, 1]


def test_a_policy_is_rolled_out_in_it():
    env, policy = adopted("CartPole-v1", horizon=30), gaussian(4, 1, hidden=(5,))
    g = seeded(2)
    params = tree_map(lambda p: torch.stack([p, p]), policy.init(g))
    played = rollout(env, policy, params, env.sample_goals(g, 2), lanes=3, generator=g)
    assert played.observation.shape[:2] == (2, 3) and played.observation.shape[2] >= 30
    assert (played.reward == 1).all() and played.last.any() and not played.broken.any()


def test_another_kind_of_world_is_refused():
    class World:
        observation_space = gymnasium.spaces.Discrete(3)
        action_space = gymnasium.spaces.Discrete(2)

    World.unwrapped = property(lambda self: self)
    with pytest.raises(ValueError, match="Boxes with one axis are needed, or Discrete actions"):
        Adopted(World(), horizon=3, goals=None, get=None, put=None)

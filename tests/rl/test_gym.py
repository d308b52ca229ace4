"""The environments as Gymnasium's: its own checks, and one by one as in a batch."""

import warnings

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from mamlkit.rl import gym  # noqa: E402

NAVIGATION = "mamlkit/Navigation2D-v0"
RIGHT = np.array([1.0, 0.0], dtype=np.float32)


@pytest.fixture(autouse=True)
def registered():
    gym.register()
    gym.register()  # twice is once


@pytest.mark.parametrize("name", gym.IDS)
def test_gymnasium_finds_no_fault(name):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.filterwarnings("error")
        warnings.filterwarnings(
            "ignore", ".*Box observation space m.* value is .*infinity"
        )  # positions have no bound
        check_env(gymnasium.make(name).unwrapped)


def test_the_task_is_chosen_by_reset_and_stays_until_another_is_given():
    env = gymnasium.make(NAVIGATION)
    seen, info = env.reset(options={"task": [0.3, 0.0]})
    assert seen.tolist() == [0, 0] and info["task"].tolist() == pytest.approx([0.3, 0.0])
    seen, reward, done, late, info = env.step(RIGHT)
    assert (
        seen.tolist() == pytest.approx([0.1, 0.0])
        and reward == pytest.approx(-0.2)
        and not done
        and not late
    )
    env.step(RIGHT)
    assert env.step(RIGHT)[2], "at the goal"
    assert env.reset()[1]["task"].tolist() == pytest.approx([0.3, 0.0])
    drawn = [
        tuple(env.reset(seed=0 if i == 0 else None, options={"task": None})[1]["task"])
        for i in range(3)
    ]
    assert len(set(drawn)) == 3 and drawn[0] == tuple(env.reset(seed=0)[1]["task"]), (
        "a goal for each episode, from the seed"
    )


def test_settings_are_those_of_the_class():
    env = gymnasium.make(NAVIGATION, reward="squared")
    env.reset(options={"task": [0.3, 0.0]})
    assert env.step(RIGHT)[1] == pytest.approx(-0.04)
    with pytest.raises(ValueError, match='reward is "cubed"'):
        gymnasium.make(NAVIGATION, reward="cubed")


def test_an_episode_is_cut_after_100_steps():
    env = gymnasium.make(NAVIGATION)
    env.reset(options={"task": [0.3, 0.3]})
    assert [env.step(0 * RIGHT)[3] for _ in range(100)] == [False] * 99 + [True]


def test_a_batch_is_stepped_as_each_alone():
    """Three environments; the second reaches its goal and starts anew at the next step, whose
    action is not used."""
    goals = np.array([[0.3, 0.3], [0.2, 0.0], [-0.4, 0.1]], dtype=np.float32)
    batch = gymnasium.make_vec(NAVIGATION, num_envs=3, vectorization_mode="vector_entry_point")
    alone = gymnasium.make_vec(NAVIGATION, num_envs=3, vectorization_mode="sync")
    assert batch.reset(options={"task": goals})[0].shape == (3, 2)
    for env, goal in zip(alone.envs, goals):
        env.reset(options={"task": goal})
    alone.reset()
    ended = []
    for t in range(103):
        action = np.tile(RIGHT if t < 5 else 0 * RIGHT, (3, 1))
        results = [env.step(action)[:4] for env in (batch, alone)]
        for ours, theirs in zip(*results):
            assert np.allclose(ours, theirs, atol=1e-6), t
        ended.append(results[0][2] | results[0][3])
    assert np.nonzero(np.array(ended))[0].tolist().count(99) == 2 and ended[1].tolist() == [
        False,
        True,
        False,
    ]


def test_a_batch_draws_a_goal_for_every_episode_where_none_is_given():
    batch = gymnasium.make_vec(NAVIGATION, num_envs=2)
    first = batch.reset(seed=3)[1]["task"]
    assert np.array_equal(first, batch.reset(seed=3)[1]["task"]) and not np.array_equal(
        first[0], first[1]
    )
    for _ in range(100):
        late = batch.step(np.zeros((2, 2)))[3]
    assert late.all() and not np.array_equal(first, batch.step(np.zeros((2, 2)))[4]["task"])
    one_goal = batch.reset(options={"task": [0.1, 0.2]})[1]["task"]
    assert np.allclose(one_goal, [[0.1, 0.2]] * 2)


def test_a_task_of_another_shape_is_refused():
    with pytest.raises(
        ValueError,
        match=r"the task has shape \(3,\): it must have \(2,\), or \(1, 2\), one for each environment",
    ):
        gymnasium.make(NAVIGATION).reset(options={"task": [0.1, 0.2, 0.3]})

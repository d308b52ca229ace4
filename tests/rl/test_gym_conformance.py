"""What Gymnasium and stable-baselines3 ask of environments, one at a time and in batches."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from mamlkit.rl import gym  # noqa: E402

NAVIGATION = "mamlkit/Navigation2D-v0"
VECTOR = ["vector_entry_point", "sync"]


@pytest.mark.parametrize("name", gym.IDS)
def test_a_batch_keeps_to_what_gymnasium_asks_of_one(name):
    """Spaces, shapes, types, seeds, autoreset, infos and their masks, wrappers; as a batch of
    Gymnasium's own making does."""
    for mode in VECTOR:
        env = gymnasium.make_vec(name, num_envs=3, vectorization_mode=mode, max_episode_steps=4)
        assert env.num_envs == 3
        assert env.observation_space.shape == (3, *env.single_observation_space.shape)
        assert env.action_space.shape == (3, *env.single_action_space.shape)
        assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP
        seen, info = env.reset(seed=5)
        assert seen in env.observation_space and seen.dtype == np.float32
        assert info["task"].shape[0] == 3 and info["_task"].tolist() == [True] * 3
        env.action_space.seed(0)
        first = [env.step(env.action_space.sample()) for _ in range(6)]
        for seen, reward, done, late, info in first:
            assert seen in env.observation_space
            assert reward.shape == done.shape == late.shape == (3,)
            assert done.dtype == late.dtype == bool and reward.dtype.kind == "f"
            assert info["_task"].shape == info["_broken"].shape == (3,)
        assert first[3][3].all() and not first[4][3].any(), "cut after 4 steps, then anew"
        assert (first[4][1] == 0).all(), "the step that begins an episode has no reward"
        env.reset(seed=5)
        env.action_space.seed(0)
        again = [env.step(env.action_space.sample()) for _ in range(6)]
        for one, other in zip(first, again):
            assert all(np.array_equal(a, b) for a, b in zip(one[:4], other[:4])), "by its seed"
        kept = first[0][0].copy()
        env.step(env.action_space.sample())
        assert np.array_equal(kept, first[0][0]), "what was returned is not overwritten"
        env.close()
    wrapped = gymnasium.wrappers.vector.DictInfoToList(
        gymnasium.wrappers.vector.RecordEpisodeStatistics(
            gymnasium.make_vec(name, num_envs=2, max_episode_steps=2)
        )
    )
    wrapped.reset(seed=0)
    wrapped.step(wrapped.action_space.sample())
    infos = wrapped.step(wrapped.action_space.sample())[4]
    assert [sorted(info) for info in infos] == [["broken", "episode", "task"]] * 2


def test_a_batch_without_a_time_limit_goes_on():
    env = gym.Batched(gym.IDS[NAVIGATION][0], 1, None)
    env.reset(options={"task": [0.5, 0.5]})
    assert not any(env.step(np.zeros((1, 2)))[3].any() for _ in range(150))


@pytest.mark.filterwarnings("ignore:.*infinity")
@pytest.mark.parametrize("name", gym.IDS)
def test_stable_baselines_finds_no_fault(name):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(name, render_mode="rgb_array"))

"""The environments as Gymnasium's: its own checks, and one by one as in a batch."""

import pickle
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import torch

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
        match=r"the task has shape \(3,\): it must have \(2,\), or \(1, 2\), one for each",
    ):
        gymnasium.make(NAVIGATION).reset(options={"task": [0.1, 0.2, 0.3]})


@pytest.mark.parametrize(
    "action",
    [
        [0.5],
        [[0.5, 0.5]],
        0.5,
        [0.1, 0.2, 0.3],
        [2.0, 0.0],
        [np.nan, 0.0],
        [np.inf, 0.0],
        "right",
        [None, 0.0],
        [[0.1], [0.2, 0.3]],
        [True, False],
        [0.1j, 0.0],
        torch.tensor([0.5, 0.5], requires_grad=True),
    ],
    ids=lambda action: " ".join(repr(action).split()),
)
def test_an_action_that_is_not_in_the_space_is_refused_and_never_broadcast(action):
    for env in (
        gymnasium.make(NAVIGATION).unwrapped,
        gymnasium.make_vec(NAVIGATION, num_envs=3),
        gymnasium.make_vec(NAVIGATION, num_envs=2),
    ):
        env.reset(seed=0)
        before = env.state
        with pytest.raises(ValueError, match=r"^the action .* is refused: it must have the shape"):
            env.step(action)
        assert env.state is before, "nothing has moved"


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 3), (3, 1), (4, 2), ()])
def test_a_batch_takes_one_action_for_each_environment(shape):
    env = gymnasium.make_vec(NAVIGATION, num_envs=3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"it must have the shape \(3, 2\), and each"):
        env.step(np.zeros(shape))


@pytest.mark.parametrize(
    "action", [np.zeros(2), [0, 1], torch.ones(2), np.array([-1, 1], np.int8), (0.5, 0.5)], ids=str
)
def test_numbers_of_any_kind_are_an_action(action):
    env = gymnasium.make(NAVIGATION).unwrapped
    env.reset(seed=0)
    seen = env.step(action)[0]
    assert np.allclose(seen, 0.1 * np.asarray(action)) and seen.dtype == np.float32


def test_a_step_needs_an_episode():
    for env in (
        gymnasium.make(NAVIGATION),
        gymnasium.make(NAVIGATION).unwrapped,
        gymnasium.make_vec(NAVIGATION, num_envs=2),
    ):
        with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
            env.step(np.zeros(env.action_space.shape))
    env = gymnasium.make(NAVIGATION).unwrapped
    env.reset(options={"task": [0.1, 0.0]})
    assert env.step(RIGHT)[2]
    with pytest.warns(UserWarning, match="the episode is over, .*: call reset"):
        env.step(RIGHT)


@pytest.mark.parametrize("name", gym.IDS)
@pytest.mark.parametrize("count", [0, 1])
def test_an_environment_can_be_pickled_in_the_middle_of_an_episode(name, count):
    make = (lambda: gymnasium.make_vec(name, num_envs=2)) if count else lambda: gymnasium.make(name)
    env = make()
    env.reset(seed=1)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(6)]
    for action in actions[:3]:
        env.step(action)
    copy = pickle.loads(pickle.dumps(env))
    for action in actions[3:]:
        for ours, theirs in zip(env.step(action)[:4], copy.step(action)[:4]):
            assert np.array_equal(ours, theirs)
    assert np.array_equal(env.reset()[0], copy.reset()[0]), "the random numbers go on alike"
    pickle.loads(pickle.dumps(make())).reset(seed=0)


@pytest.mark.parametrize("name", [NAVIGATION, "mamlkit/HalfCheetahDir-v0"])
def test_pictures(name):
    env = gymnasium.make(name, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3
    for _ in range(5):
        env.step(np.ones(env.action_space.shape))
    assert (env.render() != first).any() and first.std() > 0
    batch = gymnasium.make_vec(name, num_envs=2, render_mode="rgb_array")
    with pytest.raises(gymnasium.error.ResetNeeded):
        batch.render()
    batch.reset(seed=0)
    assert [picture.shape for picture in batch.render()] == [first.shape] * 2
    quiet = gymnasium.make(name).unwrapped
    quiet.reset(seed=0)
    assert quiet.render() is None
    with pytest.raises(ValueError, match="render_mode is 'ansi': it must be None or"):
        gym.Single(gym.IDS[name][0], render_mode="ansi")


def test_where_things_are_on_navigations_picture():
    picture = gym._plane(np.array([0.3, 0.0]), np.array([0.0, 0.4]))
    blue, green = ((picture == colour).all(-1) for colour in ((0, 114, 178), (0, 158, 115)))
    (row, column), half = np.argwhere(blue).mean(0), (gym.SIZE - 1) / 2
    assert abs(row - half) < 1 and abs(column - half - 0.5 * half) < 1, "x is to the right"
    row, column = np.argwhere(green).mean(0)
    assert abs(column - half) < 1 and abs(half - row - 2 / 3 * half) < 1, "y is up"


def test_a_video_is_recorded(tmp_path, monkeypatch):
    """Through Gymnasium's wrapper; moviepy, which it writes with, is played here."""
    films = []

    class Clip:
        def __init__(self, frames, fps):
            films.append((len(frames), fps))

        def write_videofile(self, path, logger):
            films.append(path)

    movie = types.ModuleType("moviepy.video.io.ImageSequenceClip")
    movie.ImageSequenceClip = Clip
    for name in ("moviepy", "moviepy.video", "moviepy.video.io"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, movie.__name__, movie)
    env = gymnasium.wrappers.RecordVideo(
        gymnasium.make(NAVIGATION, render_mode="rgb_array"), str(tmp_path)
    )
    env.reset(seed=0)
    for _ in range(4):
        env.step(RIGHT)
    env.close()
    assert films[0] == (5, 30) and films[1].endswith(".mp4")
    frames = gymnasium.make(NAVIGATION, render_mode="rgb_array_list")
    frames.reset(seed=0)
    frames.step(RIGHT)
    assert len(frames.render()) == 2


def test_gymnasium_finds_the_ids_by_the_module():
    """In a process of its own, where nothing has been imported."""
    code = (
        "import gymnasium; e = gymnasium.make('mamlkit.rl.gym:mamlkit/Navigation2D-v0'); "
        "e.reset(seed=0); v = gymnasium.make_vec('mamlkit.rl.gym:mamlkit/AntDir-v0', num_envs=2); "
        "print(v.reset(seed=0)[0].shape[0])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, "2"), ran.stderr


@pytest.mark.parametrize("value", [0, -1, 2.0, "2", None, True])
def test_a_batch_of_nothing_is_refused(value):
    with pytest.raises(ValueError, match="num_envs is .*: it must be a whole number of 1 or more"):
        gymnasium.make_vec(NAVIGATION, num_envs=value)
    if value is not None:
        with pytest.raises(ValueError, match="max_episode_steps is .*: it must be a whole number"):
            gymnasium.make_vec(NAVIGATION, num_envs=2, max_episode_steps=value)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"goal": 1}, r"the options \['goal'\] are unknown"),
        ({1: 2, "task": None}, r"the options \['1'\] are unknown"),
        (5, "the options 5 are refused"),
        ([("task", 1)], "the options .* are refused"),
        ({"task": "there"}, "the task 'there' is refused: it must be made of numbers"),
        ({"task": [1j, 0]}, "the task .* is refused"),
        ({"task": [np.nan, 0.0]}, "the goal .* is refused"),
        ({"task": [2.0, 0.0]}, "the goal .* is refused"),
    ],
    ids=str,
)
def test_a_refused_task_leaves_the_one_before(options, words):
    for env in (gymnasium.make(NAVIGATION).unwrapped, gymnasium.make_vec(NAVIGATION, num_envs=2)):
        env.reset(options={"task": [0.25, 0.5]})
        with pytest.raises(ValueError, match=words):
            env.reset(options=options)
        assert np.allclose(env.reset()[1]["task"], [0.25, 0.5])


@pytest.mark.parametrize("name", ["mamlkit/Navigation2D-v0", "mamlkit/HalfCheetahVel-v0"])
@pytest.mark.parametrize("seed", [4, [7, 5, 9], (8, 8, 1), np.array([2, 3, 4])])
def test_an_environment_of_a_batch_has_the_episodes_that_it_has_alone(name, seed):
    """By its own seed, also when an episode ended and another began."""
    batch = gymnasium.make_vec(name, num_envs=3, max_episode_steps=2)
    seeds = [4, 5, 6] if isinstance(seed, int) else list(map(int, seed))
    alone = [gymnasium.make(name, max_episode_steps=2) for _ in seeds]
    seen = [batch.reset(seed=seed)]
    theirs = [[env.reset(seed=s)] for env, s in zip(alone, seeds)]
    action = np.full((3, *batch.single_action_space.shape), 0.3, np.float32)
    for step in range(5):
        seen.append(batch.step(action))
        for env, played in zip(alone, theirs):
            again = step == 2  # the step after the last begins the next episode
            played.append(env.reset() if again else env.step(action[0]))
    assert batch.unwrapped.np_random_seed == tuple(seeds)
    for i, played in enumerate(theirs):
        for batched, single in zip(seen, played):
            assert np.array_equal(batched[0][i], single[0])
            assert np.array_equal(batched[-1]["task"][i], single[-1]["task"])


def test_seeds_of_a_batch_may_leave_some_as_they_are_and_others_are_refused():
    batch = gymnasium.make_vec("mamlkit/Navigation2D-v0", num_envs=2)
    first = batch.reset(seed=[3, 4])[1]["task"]
    later = batch.reset(seed=[3, None])[1]["task"]
    assert np.array_equal(first[0], later[0]) and not np.array_equal(first[1], later[1])
    for wrong in ([1], [1, 2, 3], [1, "2"], [1, -2], -1, 1.5, "12", [[1, 2]], np.ones(2)):
        with pytest.raises(ValueError, match="^the seed .* for each of the 2 environments$"):
            batch.reset(seed=wrong)
    assert np.array_equal(batch.unwrapped.goals.numpy(), later), "nothing has changed"

"""The tasks of section 5.3 are the authors' (or Gymnasium's), alone and in a batch, in our protocol
and in Gymnasium's."""

import warnings

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from mamlkit.machine import seeded
from mamlkit.rl.bodies import authors_ant
from mamlkit.rl.env import State
from mamlkit.rl.gym import register
from mamlkit.rl.locomotion import Locomotion, ant_dir, ant_vel, half_cheetah_dir, half_cheetah_vel
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import rollout
from mamlkit.rl.simulation import load, quiet

pytestmark = pytest.mark.usefixtures("float64")
TASKS = {
    "HalfCheetahVel": half_cheetah_vel,
    "HalfCheetahDir": half_cheetah_dir,
    "AntVel": ant_vel,
    "AntDir": ant_dir,
}
STEPS = 200
register()


def some_goals(name, batch):
    return (
        torch.linspace(0.3, 1.9, batch)[:, None]
        if name.endswith("Vel")
        else torch.tensor([1.0, -1.0]).repeat(batch)[:batch, None]
    )


def run(env, state, actions, goals):
    """States, observations, rewards and ends of a batch, (time, batch, ...) each, as NumPy's."""
    rows = []
    for action in actions:
        state, reward, done = env.step(state, action, goals)
        rows.append(
            (torch.cat([state.hidden[0], state.hidden[1]], 1), state.observation, reward, done)
        )
    return [torch.stack(column).numpy() for column in zip(*rows)]


def script(env, name, batch, seed=0):
    """Where a batch begins, one robot thrown into the air, and what it does: actions that reach
    beyond [-1, 1]."""
    generator, goals = seeded(seed), some_goals(name, batch)
    state = env.reset(goals, generator)
    state.hidden[1][1, 2 if name.startswith("Ant") else 1] = 5
    return state, 1.5 * (2 * torch.rand(STEPS, batch, env.actions, generator=generator) - 1), goals


def authors(name, place, actions, goal):
    """One episode as the authors' code plays it, in MuJoCo's own loop: the oracle of variant
    "paper"."""
    cheetah, fast = name.startswith("Half"), name.endswith("Dir")
    model = load("half_cheetah") if cheetah else load("ant", authors_ant)
    data = mujoco.MjData(model)
    data.qpos, data.qvel = place
    for action in actions:
        a = data.ctrl[:] = np.clip(action, -1, 1)
        mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        mujoco.mj_rnePostConstraint(model, data)
        torso, v = 1, data.subtree_linvel[1][0]
        aim = goal * v if fast else -abs(v - goal)
        forces = np.clip(data.cfrc_ext, -1, 1).flatten()
        if cheetah:
            seen = [data.qpos[1:], data.qvel, data.subtree_com[torso]]
            reward, done = aim - 0.05 * (a**2).sum(), False
        else:
            seen = [data.qpos, data.qvel, forces, data.xmat[torso], data.subtree_com[torso]]
            torque = 150 * a
            reward = (
                aim
                - 0.5e-2 * ((torque / 150) ** 2).sum()
                - 0.5 * 1e-3 * (forces**2).sum()
                + 0.05
                + (0 if fast else 1)
            )
            done = not 0.2 <= data.qpos[2] <= 1.0
        yield np.concatenate([data.qpos, data.qvel]), np.concatenate(seen), reward, done


def gymnasiums(name, place, actions, goal):
    """One episode in Gymnasium's own environment, its forward reward replaced by the task's: the
    oracle of variant "gym"."""
    cheetah = name.startswith("Half")
    with warnings.catch_warnings(action="ignore"), quiet():
        env = gymnasium.make(
            "HalfCheetah-v5" if cheetah else "Ant-v5", disable_env_checker=True
        ).unwrapped
    env.reset(seed=0)
    env.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    env.set_state(*place)
    for action in actions:
        seen, _, done, _, info = env.step(np.clip(action, -1, 1))
        v = info["x_velocity"]
        aim = goal * v if name.endswith("Dir") else -abs(v - goal)
        reward = (
            aim
            + info["reward_ctrl"]
            + info.get("reward_contact", 0)
            + info.get("reward_survive", 0)
        )
        yield env.state_vector(), seen, reward, done
    env.close()


@pytest.mark.parametrize("variant, oracle", [("paper", authors), ("gym", gymnasiums)])
@pytest.mark.parametrize("name", TASKS)
def test_200_steps_are_the_oracles(name, variant, oracle):
    env = TASKS[name](variant=variant)
    state, actions, goals = script(env, name, 3)
    ours = run(env, state, actions, goals)
    for i in (0, 1):
        place = [state.hidden[part][i].numpy() for part in (0, 1)]
        states, seen, rewards, done = (
            np.array(column)
            for column in zip(*oracle(name, place, actions[:, i].numpy(), goals[i].item()))
        )
        assert np.array_equal(ours[0][:, i], states), "bit for bit"
        assert (
            abs(ours[1][:, i] - seen).max() < 1e-12 and abs(ours[2][:, i] - rewards).max() < 1e-12
        )
        assert np.array_equal(ours[3][:, i], done)
    assert np.ptp(ours[2]) > 0.1 and ours[3][:, 1].any() == name.startswith("Ant")


@pytest.mark.parametrize("variant", ["paper", "gym"])
@pytest.mark.parametrize("name", ["HalfCheetahVel", "AntDir"])
def test_neither_threads_nor_order_nor_company_change_a_number(name, variant):
    make = TASKS[name]
    state, actions, goals = script(make(variant=variant), name, 5)
    actions = actions[:20]
    first = run(make(variant=variant), state, actions, goals)
    for threads, order in ((1, [3, 0, 4, 1, 2]), (2, [0, 1, 2, 3, 4]), (2, [4, 2, 0])):
        begin = State(state.observation[order], tuple(part[order] for part in state.hidden))
        again = run(make(variant=variant, threads=threads), begin, actions[:, order], goals[order])
        assert np.array_equal(again[0], first[0][:, order]) and np.array_equal(
            again[3], first[3][:, order]
        )
        assert (
            abs(again[1] - first[1][:, order]).max() < 1e-12
            and abs(again[2] - first[2][:, order]).max() < 1e-12
        )


@pytest.mark.parametrize(
    "name, variant",
    [*((name, "paper") for name in TASKS), ("HalfCheetahDir", "gym"), ("AntVel", "gym")],
)
def test_gymnasiums_registered_environment_makes_the_same_200_steps(name, variant):
    env = TASKS[name](variant=variant)
    state, actions, goals = script(env, name, 2)
    actions = actions.clamp(-1, 1)  # Gymnasium's takes no others
    batch = run(env, state, actions, goals)
    alone = gymnasium.make(f"mamlkit/{name}-v0", variant=variant, disable_env_checker=True)
    alone.reset(seed=0, options={"task": goals[1].item()})
    alone.unwrapped.state = State(state.observation[1:], tuple(part[1:] for part in state.hidden))
    for t, action in enumerate(actions[:, 1].numpy()):
        seen, reward, terminated, truncated, _ = alone.step(action)
        assert np.array_equal(
            torch.cat(alone.unwrapped.state.hidden[:2], 1)[0].numpy(), batch[0][t, 1]
        )
        assert abs(seen - batch[1][t, 1]).max() < 1e-12 and abs(reward - batch[2][t, 1]) < 1e-12
        assert (terminated, truncated) == (batch[3][t, 1], t == STEPS - 1)


@pytest.mark.parametrize("variant", ["paper", "gym"])
@pytest.mark.parametrize("name", TASKS)
def test_gymnasiums_checker_is_content(name, variant):
    torch.set_default_dtype(torch.float32)
    with warnings.catch_warnings(action="error"):
        warnings.filterwarnings(
            "ignore", message=".*infinity.*"
        )  # observations have no bounds; Gymnasium's own robots have none
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(gymnasium.make(f"mamlkit/{name}-v0", variant=variant).unwrapped)


def test_make_vec_gives_the_batch():
    envs = gymnasium.make_vec("mamlkit/HalfCheetahVel-v0", num_envs=3, variant="paper", threads=2)
    seen, info = envs.reset(seed=0, options={"task": [0.5, 1.0, 1.5]})
    assert seen.shape == envs.observation_space.shape == (3, 20) and info["task"].tolist() == [
        [0.5],
        [1.0],
        [1.5],
    ]
    assert isinstance(envs.env, Locomotion)
    for t in range(STEPS + 1):
        seen, reward, terminated, truncated, info = envs.step(np.zeros((3, 6)))
        assert (
            not terminated.any()
            and truncated.all() == (t == STEPS - 1)
            and not info["broken"].any()
        )
    assert (reward == 0).all() and abs(seen[:, -3]).max() < 0.5, "begun anew"
    assert len(np.unique(seen[:, 0])) == 3


def test_a_frame_without_torque_is_paid_by_its_velocity_alone():
    env, goals = half_cheetah_vel(), torch.tensor([[0.0], [2.0]])
    state = env.reset(goals, seeded(0))
    rest = State(
        state.observation, tuple(torch.tensor(part).expand(2, -1) for part in env.robot.rest)
    )
    _, reward, _ = env.step(rest, torch.zeros(2, 6), goals)
    assert reward.tolist() == pytest.approx([0, -2], abs=1e-2)
    _, tired, _ = env.step(rest, torch.tensor([[5.0] + 5 * [0.0], 6 * [0.0]]), goals)
    assert tired[1] == reward[1] and tired[0] < reward[0] - 0.05, "a torque counts as 1 at most"


def test_only_the_ant_that_is_told_a_velocity_has_the_bonus():
    assert [make().bonus for make in TASKS.values()] == [0, 0, 1, 0] and ant_vel(
        variant="gym"
    ).bonus == 0


@pytest.mark.parametrize(
    "variant, height, ends",
    [
        ("paper", 0.1, True),
        ("paper", 0.25, False),
        ("paper", 0.9, False),
        ("paper", 1.1, True),
        ("gym", 0.25, False),
        ("gym", 0.9, False),
        ("gym", 1.1, True),
    ],
)
def test_an_ant_ends_outside_its_heights(variant, height, ends):
    env, goals = ant_dir(variant=variant), torch.ones(2, 1)
    state = env.reset(goals, seeded(0))
    state.hidden[0][1, 2], state.hidden[1][1] = height, 0
    assert env.step(state, torch.zeros(2, 8), goals)[2].tolist() == [False, ends]


def test_a_cheetah_on_its_back_goes_on():
    env, goals = half_cheetah_dir(), torch.ones(1, 1)
    state = env.reset(goals, seeded(0))
    state.hidden[0][0, 2] = 3.14
    for _ in range(20):
        state, _, done = env.step(state, torch.zeros(1, 6), goals)
        assert not done


def test_goals_are_uniform_or_have_equal_odds():
    for make, top in ((half_cheetah_vel, 2), (ant_vel, 3)):
        goals = make().sample_goals(seeded(0), 20_000)
        assert (
            goals.shape == (20_000, 1)
            and 0 <= goals.min() < 1e-2
            and top - 1e-2 < goals.max() <= top
        )
        assert (
            abs(goals.mean() - top / 2) < 4 * goals.std() / 20_000**0.5
            and abs(goals.var() - top**2 / 12) < 0.02 * top**2 / 12
        )
        assert torch.equal(goals, make().sample_goals(seeded(0), 20_000))
    for make in (half_cheetah_dir, ant_dir):
        goals = make().sample_goals(seeded(0), 20_000)
        assert goals.unique().tolist() == [-1, 1] and abs(goals.mean()) < 4 / 20_000**0.5


def test_goals_that_are_spread_evenly_are_each_uniform_and_together_no_accident():
    for make, top in ((half_cheetah_vel, 2), (ant_vel, 3)):
        env = make(even=True)
        draws = torch.stack([env.sample_goals(seeded(i), 10)[:, 0] for i in range(400)])
        parts = (draws / top * 10).floor().long()
        assert (parts.sort(1).values == torch.arange(10)).all(), "one goal in each tenth"
        assert (parts != torch.arange(10)).any(1).all(), "in random order"
        assert (
            abs(draws[:, 0].mean() - top / 2) < 4 * top / 12**0.5 / 400**0.5
            and draws[:, 0].unique().numel() == 400
        )
    for make in (half_cheetah_dir, ant_dir):
        draws = torch.stack([make(even=True).sample_goals(seeded(i), 10)[:, 0] for i in range(400)])
        assert (draws.sum(1) == 0).all() and abs(draws[:, 0].mean()) < 4 / 400**0.5
        odd = torch.stack([make(even=True).sample_goals(seeded(i), 5).sum() for i in range(400)])
        assert set(odd.tolist()) == {-1, 1} and abs(odd.mean()) < 4 / 400**0.5
    assert (half_cheetah_dir().sample_goals(seeded(0), 10).sum() != 0) or (
        half_cheetah_dir().sample_goals(seeded(1), 10).sum() != 0
    ), "unasked, draws are independent"


def test_the_authors_goals_are_those_of_their_seeds():
    for make, seed, top in ((half_cheetah_vel, 1, 2.0), (ant_vel, 1, 3.0)):
        assert np.allclose(
            make().authors_goals()[:, 0],
            np.random.RandomState(seed).uniform(0, top, 40),
            atol=1e-15,
        )
    for make, seed, top in ((half_cheetah_dir, 1, 2.0), (ant_dir, 2, 3.0)):
        u = np.random.RandomState(seed).uniform(0, top, 40)
        assert make().authors_goals()[:, 0].tolist() == [-1.0 if x < top / 2 else 1.0 for x in u]


@pytest.mark.parametrize(
    "make, goals, words",
    [
        (
            half_cheetah_vel,
            [[0.5], [2.5]],
            r"the goal 2.5 is refused: each task of the cheetah is a velocity from 0 to 2 m/s",
        ),
        (
            ant_vel,
            [[-0.1]],
            r"the goal -0.1\d* is refused: each task of the ant is a velocity from 0 to 3 m/s",
        ),
        (ant_vel, [[float("nan")]], "the goal nan is refused"),
        (ant_dir, [[0.5]], "the goal 0.5 is refused: each task of the ant is a direction, 1 or -1"),
        (
            half_cheetah_dir,
            [[1.0, 1.0]],
            r"the goal of shape \(2,\) is refused: each task of the cheetah is a direction",
        ),
        (half_cheetah_dir, [1.0], r"the goal of shape \(\) is refused"),
    ],
)
def test_a_goal_that_is_none_is_refused(make, goals, words):
    with pytest.raises(ValueError, match=words):
        make().reset(torch.tensor(goals), seeded(0))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"variant": "fast"}, 'variant is "fast": it must be "paper" or "gym"'),
        ({"threads": 0}, "threads is 0: it must be 1 or more"),
        ({"horizon": 0}, "horizon is 0: it must be 1 or more"),
        ({"horizon": float("nan")}, "horizon is nan: it must be a whole number, 1 or more"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings, words):
    for make in TASKS.values():
        with pytest.raises(ValueError, match=words):
            make(**settings)


def test_a_robot_or_task_that_is_none_is_refused():
    with pytest.raises(ValueError, match='robot is "snail": it must be "cheetah" or "ant"'):
        Locomotion("snail", "velocity")
    with pytest.raises(ValueError, match='task is "distance": it must be "velocity" or'):
        Locomotion("ant", "distance")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"task": 2.5}, "the goal 2.5 is refused"),
        ({"task": "fast"}, "the task 'fast' is refused: it must be made of numbers"),
        ({"task": [0.1, 0.2, 0.3]}, r"the task has shape \(3,\): it must have \(1,\)"),
        ({"goal": 1.0}, r"the options \['goal'\] are unknown: there is \"task\""),
    ],
    ids=str,
)
def test_malformed_options_are_refused(options, words):
    for env in (
        gymnasium.make("mamlkit/HalfCheetahVel-v0"),
        gymnasium.make_vec("mamlkit/HalfCheetahVel-v0", num_envs=2),
    ):
        with pytest.raises(ValueError, match=words):
            env.reset(seed=0, options=options)


@pytest.mark.parametrize("variant", ["paper", "gym"])
@pytest.mark.parametrize("make", [half_cheetah_vel, ant_vel])
def test_what_breaks_is_nan_and_over_and_touches_nothing_else(
    make, variant, capfd, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    env, goals = make(variant=variant), torch.linspace(0.5, 1.5, 5)[:, None]
    state, action = env.reset(goals, seeded(0)), torch.full((5, make().actions), 0.3)
    good, rewarded, _ = env.step(state, action, goals)
    bad = State(state.observation, tuple(part.clone() for part in state.hidden))
    bad.hidden[0][1, 3], bad.hidden[1][3, 1], action[2, 0] = torch.nan, 1e12, torch.nan
    after, reward, done = env.step(bad, action, goals)
    broken = torch.tensor([False, True, True, True, False])
    assert (
        torch.equal(reward.isnan(), broken)
        and torch.equal(done, broken)
        and torch.equal(after.observation.isnan().all(1), broken)
    )
    assert torch.equal(reward[~broken], rewarded[~broken]) and torch.equal(
        after.observation[~broken], good.observation[~broken]
    )
    assert all(part.isfinite().all() for part in after.hidden)
    _, reward, done = env.step(after, action.nan_to_num(0.0), goals)
    assert reward.isfinite().all() and not done.any()
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["HalfCheetahVel", "AntDir"])
def test_gymnasium_is_told_what_broke_and_gets_numbers(name):
    env = gymnasium.make(f"mamlkit/{name}-v0", disable_env_checker=True)
    env.reset(seed=0)
    env.unwrapped.state.hidden[0][0, 1] = np.nan
    seen, reward, terminated, _, info = env.step(np.zeros(env.action_space.shape))
    assert (reward, terminated, info["broken"]) == (0.0, True, True) and (seen == 0).all()
    assert not env.reset()[1]["broken"]
    envs = gymnasium.make_vec(f"mamlkit/{name}-v0", num_envs=3)
    envs.reset(seed=0)
    actions = np.zeros(envs.action_space.shape)
    envs.state.hidden[0][1, 1] = np.nan
    seen, reward, terminated, _, info = envs.step(actions)
    assert (
        terminated.tolist() == info["broken"].tolist() == [False, True, False]
        and reward[1] == 0
        and np.isfinite(seen).all()
    )
    _, _, terminated, _, info = envs.step(np.zeros_like(actions))
    assert not terminated.any() and not info["broken"].any()


def test_rollouts_sample_whole_batches_and_count_what_broke():
    env = ant_vel(horizon=7)
    policy = gaussian(env.observations, env.actions, hidden=(11,))
    generator = seeded(0)
    params = {name: p.expand(2, *p.shape).clone() for name, p in policy.init(generator).items()}
    got = rollout(env, policy, params, env.sample_goals(generator, 2), lanes=3, generator=generator)
    assert (
        got.observation.shape == (2, 3, 7, 125)
        and got.reward.isfinite().all()
        and not got.broken.any()
    )
    start = env.robot.start
    env.robot = env.robot._replace(
        start=lambda generator, batch: tuple(np.nan * part for part in start(generator, batch))
    )
    got = rollout(env, policy, params, env.sample_goals(generator, 2), lanes=3, generator=generator)
    assert (
        got.broken.all()
        and not got.valid.any()
        and all(t.isfinite().all() for t in (got.observation, got.reward))
    )

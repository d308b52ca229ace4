"""The models are Gymnasium's with the authors' changes, and a batch moves as each of its robots alone."""

import warnings
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.rl import bodies
from mamlkit.rl.bodies import authors_ant, balance
from mamlkit.rl.simulation import Simulation, gymnasium_steps, load, quiet

CHEETAH, ANT = ("half_cheetah", None), ("ant", authors_ant)
SECOND = {"half_cheetah": {}, "ant": {"stage": "ACC", "fields": ("cfrc_ext", "subtree_linvel")}}


def published(name):
    """Gymnasium's own model, as Gymnasium reads it."""
    with warnings.catch_warnings(action="ignore"), quiet():
        return mujoco.MjModel.from_xml_path(str(Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / f"{name}.xml"))


def different(a, b):
    """The arrays of two models that differ."""
    arrays = [name for name in dir(a) if isinstance(getattr(a, name), np.ndarray)]
    assert {"body_mass", "body_inertia", "geom_solref", "actuator_gear", "dof_invweight0", "jnt_range"} <= set(arrays)
    return {name for name in arrays if not np.array_equal(getattr(a, name), getattr(b, name))}


def states(model, batch, scale=1.0):
    """Places, velocities and three frames of controls, all different."""
    rng = np.random.default_rng(0)
    qpos = (model.numeric("init_qpos").data if model.nq == 15 else model.qpos0) + scale * 0.05 * rng.normal(size=(batch, model.nq))
    return qpos, scale * rng.normal(size=(batch, model.nv)), rng.uniform(-1, 1, (3, batch, model.nu))


def alone(model, qpos, qvel, controls, skip):
    """One robot in MuJoCo's own loop."""
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos, qvel
    for ctrl in controls:
        data.ctrl = ctrl
        mujoco.mj_step(model, data, nstep=skip)
    return data


@pytest.mark.parametrize("name, change", [CHEETAH, ANT], ids=["cheetah", "ant"])
def test_loading_says_nothing(name, change, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(action="error"):
        load.__wrapped__(name, change)
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_the_cheetah_is_gymnasiums():
    model = load("half_cheetah")
    assert different(model, published("half_cheetah")) == set()
    assert model.body_mass.sum() == pytest.approx(14, abs=1e-12)
    assert (model.opt.timestep, model.opt.integrator) == (0.01, mujoco.mjtIntegrator.mjINT_EULER)


def test_the_ant_has_the_authors_steps_and_contacts_and_is_gymnasiums_otherwise():
    ours, theirs = load("ant", authors_ant), published("ant")
    changed = {name for name in different(ours, theirs) if not name.startswith(("sensor", "name", "_sizes"))}
    assert changed == {"geom_solimp"}
    assert (ours.geom_solref == [0.02, 1]).all(), "MuJoCo's default"
    assert (ours.geom_solimp[:, :3] == [0.8, 0.8, 0.01]).all()
    assert (ours.opt.timestep, ours.opt.integrator) == (0.02, mujoco.mjtIntegrator.mjINT_RK4)
    assert different(load("ant"), theirs) == set() and load("ant").opt.timestep == 0.01
    assert (ours.actuator_gear[:, 0] == 150).all() and (ours.actuator_ctrlrange == [-1, 1]).all(), "torques of at most 150"


def test_warm_start_is_off_in_every_model():
    for model in (load("half_cheetah"), load("ant"), load("ant", authors_ant)):
        assert model.opt.disableflags == mujoco.mjtDisableBit.mjDSBL_WARMSTART


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name, change, skip", [(*CHEETAH, 1), (*CHEETAH, 5), (*ANT, 1)], ids=["cheetah", "cheetah, 5 steps", "ant"])
def test_a_batch_moves_bit_for_bit_as_each_alone_in_any_order(name, change, skip, threads):
    model = load(name, change)
    simulate = Simulation(model, skip=skip, threads=threads, **SECOND[name])
    qpos, qvel, controls = states(model, 7)
    lonely = [alone(model, qpos[i], qvel[i], controls[:, i], skip) for i in range(7)]
    for order in (np.arange(7), np.array([4, 0, 6, 2, 1, 5, 3]), np.array([5, 3])):
        q, v = qpos[order], qvel[order]
        for ctrl in controls:
            q, v, seen, broken = simulate(q, v, ctrl[order])
        assert not broken.any()
        for row, i in enumerate(order):
            assert np.array_equal(q[row], lonely[i].qpos) and np.array_equal(v[row], lonely[i].qvel)
            if name == "ant":
                mujoco.mj_forward(model, lonely[i])
                mujoco.mj_subtreeVel(model, lonely[i])
                mujoco.mj_rnePostConstraint(model, lonely[i])
                for field in SECOND["ant"]["fields"]:
                    assert np.array_equal(seen[field][row], getattr(lonely[i], field)), field
    assert not np.array_equal(q[0], q[1])


def test_without_controls_nothing_moves_and_the_fields_are_those_of_the_place():
    model = load("ant", authors_ant)
    qpos, qvel, _ = states(model, 3)
    q, v, seen, _ = Simulation(model, **SECOND["ant"])(qpos, qvel)
    data = alone(model, qpos[1], qvel[1], [], 1)
    mujoco.mj_forward(model, data)
    mujoco.mj_rnePostConstraint(model, data)
    assert np.array_equal(q, qpos) and np.array_equal(v, qvel) and np.array_equal(seen["cfrc_ext"][1], data.cfrc_ext)
    assert abs(data.cfrc_ext).max() > 1, "it stands on the ground"


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_cheetahs_balance_is_mujocos(scale):
    """subtree_com after mj_forward, subtree_linvel after mj_subtreeVel."""
    model, data = load("half_cheetah"), mujoco.MjData(load("half_cheetah"))
    qpos, qvel, _ = states(model, 5, scale)
    com, velocity = balance(model)(qpos, qvel)
    for i in range(5):
        data.qpos, data.qvel = qpos[i], qvel[i]
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        assert abs(com[i] - data.subtree_com[1]).max() < 1e-12 * scale and abs(velocity[i] - data.subtree_linvel[1]).max() < 1e-12 * scale
        assert abs(velocity[i, 0] - qvel[i, 0]) > 1e-3, "which is not the torso's"


def bad_states(model):
    qpos, qvel, controls = states(model, 6)
    qpos[1, 2], qvel[2, 1], controls[0, 3, 0], qvel[4, 2] = np.nan, np.inf, np.nan, 1e12
    return qpos, qvel, controls[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name, change", [CHEETAH, ANT], ids=["cheetah", "ant"])
def test_a_robot_that_breaks_is_told_and_the_others_are_as_without_it(name, change, threads, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = load(name, change)
    simulate = Simulation(model, threads=threads, **SECOND[name])
    bad, good = bad_states(model), states(model, 6)
    q, v, _, broken = simulate(*bad)
    assert broken.tolist() == [False, True, True, True, True, False]
    expected = simulate(good[0], good[1], good[2][0])
    assert not expected[3].any(), "and it is forgotten at the next call"
    for row in (0, 5):
        assert np.array_equal(q[row], expected[0][row]) and np.array_equal(v[row], expected[1][row])
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_gymnasiums_way_tells_it_too(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for threads in (1, 2):
        simulate = gymnasium_steps(load("ant"), threads)
        assert simulate(*bad_states(load("ant")))[-1].tolist() == [False, True, True, True, True, False]
        assert not simulate(*states(load("ant"), 6)[:2], np.zeros((6, 8)))[-1].any()
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_quiet_ends_with_its_block():
    before = mujoco.MjLogConfig.get()
    with pytest.raises(ZeroDivisionError), quiet():
        assert not mujoco.MjLogConfig.get().logto_console and not mujoco.MjLogConfig.get().logto_file
        1 / 0
    after = mujoco.MjLogConfig.get()
    assert (after.logto_console, after.logto_file) == (before.logto_console, before.logto_file) == (True, True)


def within(samples, value):
    """Is the mean of the samples within 4 standard errors of `value`?"""
    return abs(samples.mean() - value) < 4 * samples.std() / len(samples) ** 0.5


@pytest.mark.parametrize("robot, spread", [(bodies.paper_cheetah, 0.01), (bodies.paper_ant, 0.01),
                                           (bodies.gym_cheetah, 0.1 / 3**0.5), (bodies.gym_ant, 0.1 / 3**0.5)])
def test_episodes_begin_near_the_rest_pose(robot, spread):
    robot = robot()
    qpos, qvel, *more = robot.start(seeded(0), 20_000)
    for joint in range(qpos.shape[1]):
        noise = qpos[:, joint] - robot.rest[0][0, joint]
        if spread == 0.01 and qpos.shape[1] == 15 and joint in (3, 4, 5, 6):
            continue
        assert within(noise, 0) and within(noise**2, spread**2), joint
        assert abs(noise).max() > 3 * spread if spread == 0.01 else 0.099 < abs(noise).max() <= 0.1
    assert within(qvel.flatten(), 0) and within(qvel.flatten() ** 2, 0.01)
    assert all(np.array_equal(x, qpos[:, 0]) for x in more)
    again = robot.start(seeded(0), 20_000)
    assert np.array_equal(again[0], qpos) and np.array_equal(again[1], qvel)


def test_the_authors_ant_begins_with_bent_legs_and_a_rotation():
    qpos = bodies.paper_ant().start(seeded(0), 50)[0]
    assert abs(np.linalg.norm(qpos[:, 3:7], axis=1) - 1).max() < 1e-15
    assert abs(qpos - [0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1]).max() < 0.06


def test_only_the_generator_is_asked():
    state = torch.get_rng_state()
    bodies.gym_cheetah().start(seeded(0), 3)
    assert torch.equal(torch.get_rng_state(), state)

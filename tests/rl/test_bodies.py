"""The models are Gymnasium's with the authors' changes; balance and starts are MuJoCo's and the
authors'."""

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
from mamlkit.rl.simulation import load, quiet
from tests.rl.robots import states


def published(name):
    """Gymnasium's own model, as Gymnasium reads it."""
    with warnings.catch_warnings(action="ignore"), quiet():
        return mujoco.MjModel.from_xml_path(
            str(Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / f"{name}.xml")
        )


def different(a, b):
    """The arrays of two models that differ."""
    arrays = [name for name in dir(a) if isinstance(getattr(a, name), np.ndarray)]
    assert {
        "body_mass",
        "body_inertia",
        "geom_solref",
        "actuator_gear",
        "dof_invweight0",
        "jnt_range",
    } <= set(arrays)
    return {name for name in arrays if not np.array_equal(getattr(a, name), getattr(b, name))}


def test_the_cheetah_is_gymnasiums():
    model = load("half_cheetah")
    assert different(model, published("half_cheetah")) == set()
    assert model.body_mass.sum() == pytest.approx(14, abs=1e-12)
    assert (model.opt.timestep, model.opt.integrator) == (0.01, mujoco.mjtIntegrator.mjINT_EULER)


def test_the_ant_has_the_authors_steps_and_contacts_and_is_gymnasiums_otherwise():
    ours, theirs = load("ant", authors_ant), published("ant")
    changed = {
        name
        for name in different(ours, theirs)
        if not name.startswith(("sensor", "name", "_sizes"))
    }
    assert changed == {"geom_solimp"}
    assert (ours.geom_solref == [0.02, 1]).all(), "MuJoCo's default"
    assert (ours.geom_solimp[:, :3] == [0.8, 0.8, 0.01]).all()
    assert (ours.opt.timestep, ours.opt.integrator) == (0.02, mujoco.mjtIntegrator.mjINT_RK4)
    assert different(load("ant"), theirs) == set() and load("ant").opt.timestep == 0.01
    assert (ours.actuator_gear[:, 0] == 150).all() and (ours.actuator_ctrlrange == [-1, 1]).all(), (
        "torques of at most 150"
    )


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
        assert (
            abs(com[i] - data.subtree_com[1]).max() < 1e-12 * scale
            and abs(velocity[i] - data.subtree_linvel[1]).max() < 1e-12 * scale
        )
        assert abs(velocity[i, 0] - qvel[i, 0]) > 1e-3, "which is not the torso's"


def within(samples, value):
    """Is the mean of the samples within 4 standard errors of `value`?"""
    return abs(samples.mean() - value) < 4 * samples.std() / len(samples) ** 0.5


@pytest.mark.parametrize(
    "robot, spread",
    [
        (bodies.paper_cheetah, 0.01),
        (bodies.paper_ant, 0.01),
        (bodies.gym_cheetah, 0.1 / 3**0.5),
        (bodies.gym_ant, 0.1 / 3**0.5),
    ],
)
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

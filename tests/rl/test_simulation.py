"""A batch of robots moves bit for bit as each of them alone, and one that breaks is told."""

import warnings

import mujoco
import numpy as np
import pytest

from mamlkit.rl.bodies import authors_ant
from mamlkit.rl.simulation import Simulation, gymnasium_steps, load, quiet
from tests.rl.robots import states

CHEETAH, ANT = ("half_cheetah", None), ("ant", authors_ant)
SECOND = {"half_cheetah": {}, "ant": {"stage": "ACC", "fields": ("cfrc_ext", "subtree_linvel")}}


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


def test_warm_start_is_off_in_every_model():
    for model in (load("half_cheetah"), load("ant"), load("ant", authors_ant)):
        assert model.opt.disableflags == mujoco.mjtDisableBit.mjDSBL_WARMSTART


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "name, change, skip",
    [(*CHEETAH, 1), (*CHEETAH, 5), (*ANT, 1)],
    ids=["cheetah", "cheetah, 5 steps", "ant"],
)
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
    assert (
        np.array_equal(q, qpos)
        and np.array_equal(v, qvel)
        and np.array_equal(seen["cfrc_ext"][1], data.cfrc_ext)
    )
    assert abs(data.cfrc_ext).max() > 1, "it stands on the ground"


def bad_states(model):
    qpos, qvel, controls = states(model, 6)
    qpos[1, 2], qvel[2, 1], controls[0, 3, 0], qvel[4, 2] = np.nan, np.inf, np.nan, 1e12
    return qpos, qvel, controls[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name, change", [CHEETAH, ANT], ids=["cheetah", "ant"])
def test_a_robot_that_breaks_is_told_and_the_others_are_as_without_it(
    name, change, threads, capfd, tmp_path, monkeypatch
):
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
        assert simulate(*bad_states(load("ant")))[-1].tolist() == [
            False,
            True,
            True,
            True,
            True,
            False,
        ]
        assert not simulate(*states(load("ant"), 6)[:2], np.zeros((6, 8)))[-1].any()
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_quiet_ends_with_its_block():
    before = mujoco.MjLogConfig.get()
    with pytest.raises(ZeroDivisionError), quiet():
        assert (
            not mujoco.MjLogConfig.get().logto_console and not mujoco.MjLogConfig.get().logto_file
        )
        _ = 1 / 0
    after = mujoco.MjLogConfig.get()
    assert (
        (after.logto_console, after.logto_file)
        == (before.logto_console, before.logto_file)
        == (True, True)
    )

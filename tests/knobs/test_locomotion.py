"""The knob of section 5.3 shows what the package computes, for every robot, and refuses what it
cannot show."""

import numpy as np
import pytest
import torch

from mamlkit.knobs import locomotion as gaits
from mamlkit.knobs.locomotion import PICTURES, GaitKnobs, Start
from mamlkit.machine import seeded
from mamlkit.rl.collect import halved
from mamlkit.rl.locomotion import ant_vel, half_cheetah_dir
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.train import returns_after

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")


def start(env):
    policy = gaussian(env.observations, env.actions)
    return Start(env, policy.init(seeded(0)), 0.1)


@pytest.fixture(scope="module")
def scene():
    patch = pytest.MonkeyPatch()
    patch.setattr(
        gaits,
        "frames",
        lambda model, positions, size: np.zeros((len(positions), *size, 3), np.uint8)
        + (positions[:, :1, None, None].numpy() > 0).astype(np.uint8),
    )
    yield GaitKnobs(
        {"cheetah": start(half_cheetah_dir(horizon=12)), "ant": start(ant_vel(horizon=8))}
    )
    patch.undo()


def test_the_returns_are_those_of_the_package(scene):
    scene.reset()
    env, theta, alpha = scene.starts["cheetah"]
    policy = gaussian(env.observations, env.actions)
    expected = returns_after(
        env,
        policy,
        halved(reinforce(policy), alpha=alpha),
        theta,
        torch.ones(1, 1),
        steps=3,
        rollouts=20,
        generator=seeded(0),
    )
    assert scene.outcome()[0] == pytest.approx(expected[0].tolist(), abs=1e-4)
    assert (
        f"{expected[0, 1]:.0f}" in scene.names["after"].get_text()
        and "1 step" in scene.title.get_text()
    )


def test_steps_and_time_show_and_a_new_goal_learns(scene):
    scene.reset()
    known = scene.known
    scene.set(steps=2, time=3)
    assert scene.known[1] is known[1] and "2 steps" in scene.names["after"].get_text()
    assert scene.marks["after"].get_xdata()[0] == pytest.approx(round(3 / (PICTURES - 1) * 12) / 12)
    scene.set(goal=-1.0)
    assert scene.known[1] is not known[1] and "backward" in scene.title.get_text()


def test_another_robot_has_another_range_of_goals_and_reset_brings_the_first_back(scene):
    scene.set(robot="ant")
    goal = scene.controls["goal"]
    assert (goal.min, goal.max, goal.value) == (
        0.0,
        3.0,
        3.0,
    ) and "ant, 3.00 m/s" in scene.title.get_text()
    goal.value = 1.5
    assert "1.50 m/s" in scene.title.get_text() and "1.50 m/s" in scene.alt()
    scene.exercise()
    assert (goal.min, goal.max, goal.value) == (-1.0, 1.0, 1.0) and scene.controls[
        "robot"
    ].value == "cheetah"


def test_a_direction_is_a_toggle_and_a_velocity_a_slider(scene):
    scene.reset()
    assert scene.way.layout.display == "" and scene.controls["goal"].layout.display == "none"
    scene.way.value = -1.0
    assert scene.controls["goal"].value == -1.0 and "backward" in scene.title.get_text()
    scene.set(goal=1.0)
    assert scene.way.value == 1.0 and "forward" in scene.title.get_text()
    scene.set(robot="ant")
    assert scene.way.layout.display == "none" and scene.controls["goal"].layout.display == ""
    scene.way.value = -1.0
    assert scene.controls["goal"].value == 3.0, "the toggle is not a velocity's"
    scene.reset()


def test_the_bank_holds_a_start_for_each_robot_and_task():
    found = gaits.banked_starts()
    assert [*found] == [f"{r}, {t}" for r in ("cheetah", "ant") for t in ("direction", "velocity")]
    for name, (env, theta, alpha) in found.items():
        assert f"{env.name}, {env.task}" == name and alpha == 0.1
        assert theta["layer0.weight"].shape == (100, env.observations)


def test_before_stays_and_after_follows_the_step(scene):
    scene.reset()
    before = scene.lines["before"].get_ydata().copy()
    after = {}
    for k in (0, 1, 3):
        scene.set(steps=k)
        assert np.array_equal(scene.lines["before"].get_ydata(), before) and before[0] == 0
        after[k] = scene.lines["after"].get_ydata().copy()
        walked = scene.outcome()[1][k][:, 0]
        assert after[k] == pytest.approx((walked - walked[0]).numpy())
    assert (
        np.array_equal(after[0], before)
        and not np.array_equal(after[1], before)
        and not np.array_equal(after[3], after[1])
    )


@pytest.mark.parametrize(
    "values, words",
    [
        (dict(robot="dog"), 'robot is "dog": there are cheetah, ant'),
        (dict(goal=5.0), "goal is 5.0: for cheetah it must be from -1 to 1"),
        (dict(robot="ant", goal=-1.0), "goal is -1.0: for ant it must be from 0 to 3"),
    ],
    ids=str,
)
def test_a_wrong_value_is_one_sentence_and_changes_nothing(scene, values, words):
    scene.reset()
    title = scene.title.get_text()
    with pytest.raises(ValueError, match=words):
        scene.set(**values)
    assert (
        scene.controls["robot"].value,
        scene.controls["goal"].value,
        scene.title.get_text(),
    ) == ("cheetah", 1.0, title)


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="no start is given"):
        GaitKnobs({})
    with pytest.raises(ValueError, match="steps is 4"):
        GaitKnobs({"cheetah": start(half_cheetah_dir(horizon=2))}, steps=4)
    one = start(half_cheetah_dir(horizon=2))
    with pytest.raises(
        ValueError, match="alpha of cheetah is -0.1: it must be a finite number above 0"
    ):
        GaitKnobs({"cheetah": one._replace(alpha=-0.1)})
    with pytest.raises(
        ValueError,
        match="the parameters of ant take 20 numbers, its robot shows 125: they are another",
    ):
        GaitKnobs({"ant": one._replace(env=ant_vel(horizon=2))})

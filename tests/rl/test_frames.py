"""Pictures have the size that was asked for, with OpenGL and without."""

import numpy as np
import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.rl import frames
from mamlkit.rl.bodies import authors_ant
from mamlkit.rl.locomotion import ant_dir, half_cheetah_dir
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import rollout
from mamlkit.rl.simulation import load

SIZE = (48, 64)


@pytest.mark.parametrize(
    "model", [load("half_cheetah"), load("ant", authors_ant)], ids=["cheetah", "ant"]
)
@pytest.mark.parametrize("way", ["as this machine can", "without OpenGL"])
def test_a_picture_for_every_place(model, way, monkeypatch):
    if way == "without OpenGL":
        monkeypatch.setattr(frames, "_rendered", lambda model, size: None)
    positions = torch.tensor(model.qpos0).repeat(3, 1)
    positions[2, -1] += 0.8
    pictures = frames.frames(model, positions, size=SIZE)
    assert pictures.shape == (3, *SIZE, 3) and pictures.dtype == np.uint8
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    assert model.vis.global_.offwidth == 640, "the model is as it was"


def walked(env, std=1.0):
    policy = gaussian(env.observations, env.actions, hidden=(7,), std=std)
    params = policy.init(seeded(0))
    return frames.walk(env, policy, params, torch.tensor([-1.0]), generator=seeded(1)), (
        policy,
        params,
    )


def test_a_walk_is_one_episode_of_the_environment():
    env = half_cheetah_dir(horizon=9)
    (places, rewards), (policy, params) = walked(env)
    assert places.shape == (10, env.robot.model.nq) and rewards.shape == (9,)
    played = rollout(
        env,
        policy,
        {k: p[None] for k, p in params.items()},
        torch.tensor([[-1.0]]),
        lanes=1,
        generator=seeded(1),
    )
    assert torch.allclose(rewards, played.reward[0, 0], atol=1e-5), (
        "the same seed, the same episode"
    )
    assert torch.allclose(
        places[:-1, 1:].float(), played.observation[0, 0, :, : env.robot.model.nq - 1], atol=1e-5
    )


def test_a_walk_ends_where_the_robot_falls_and_where_a_number_breaks():
    ant = ant_dir(horizon=9)
    start = ant.robot.start
    ant.robot = ant.robot._replace(
        start=lambda generator, batch: tuple(
            p + 0.5 * (i == 0) * (np.arange(p.shape[1]) == 2)
            for i, p in enumerate(start(generator, batch))
        )
    )
    (places, rewards), _ = walked(ant)
    assert len(rewards) == 1 and len(places) == 2, "over 1 m it is over"

    env, steps = half_cheetah_dir(horizon=9), []
    step = env.step

    def breaks(state, action, goals):
        steps.append(step(state, action, goals))
        after, reward, done = steps[-1]
        return after, reward * (torch.nan if len(steps) == 4 else 1), done

    env.step = breaks
    (places, rewards), _ = walked(env)
    assert len(steps) == 4 and len(rewards) == 3 and len(places) == 4 and rewards.isfinite().all()

"""A robot on its way, and pictures of it, on machines with and without OpenGL."""

# mujoco is a compiled module without stubs: pyright cannot see what it holds
# pyright: reportAttributeAccessIssue=false

from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.policy import Policy
from mamlkit.trees import Params


def walk(
    env: Locomotion, policy: Policy, params: Params, goal: Tensor, *, generator: Generator
) -> tuple[Tensor, Tensor]:
    """One episode: the joints at its start and after every step, (steps + 1, nq), and the rewards,
    (steps,).

    goal: (1,). It is shorter than H where the robot falls or a number is not finite; what broke is
    left out.
    """
    state, positions, rewards = env.reset(goal[None], generator), [], []
    positions.append(state.hidden[0][0])
    while len(rewards) < env.horizon:
        action = policy.draw(policy.forward(params, state.observation), generator)
        state, reward, done = env.step(state, action, goal[None])
        if not reward.isfinite():
            break
        positions.append(state.hidden[0][0])
        rewards.append(reward[0])
        if done:
            break
    return torch.stack(positions), torch.stack(rewards) if rewards else torch.empty(0)


def frames(model: Any, positions: Tensor, *, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """One picture for each place on a robot's way, (time, height, width, 3), uint8, the camera
    beside it.

    model: `Locomotion(...).robot.model`; positions: its joints, (time, nq), `state.hidden[0]` of
    one episode after another step. MuJoCo renders them through EGL (some 0.02 s a picture without a
    GPU); where EGL is missing, matplotlib draws the robot's bones from the side. Without shadows
    and mirrors, which cost most of the time.
    """
    import mujoco

    data, drawn = mujoco.MjData(model), []
    draw, close = _rendered(model, size) or _sketched(model, size)
    for qpos in positions.cpu().double().numpy():
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        drawn.append(draw(data))
    close()
    return np.stack(drawn)


def _rendered(model, size):
    """How MuJoCo draws through EGL, and how to stop; None where EGL does not work."""
    import mujoco

    height, width = size
    try:
        from mujoco.egl import (
            # by name: MuJoCo's own choice is made when it is imported, and asks for a display
            GLContext,
        )

        window = GLContext(width, height)
        window.make_current()
    except Exception:  # each driver fails in its own way, and there is another way to draw
        return None
    model = copy(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    scene, context = (
        mujoco.MjvScene(model, 1000),
        mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100),
    )
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        scene.flags[flag] = 0
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    camera, place = mujoco.MjvCamera(), mujoco.MjrRect(0, 0, width, height)
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, model.camera("track").id

    def draw(data):
        picture = np.empty((height, width, 3), np.uint8)
        mujoco.mjv_updateScene(
            model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene
        )
        mujoco.mjr_render(place, scene, context)
        mujoco.mjr_readPixels(picture, None, place, context)
        return picture[::-1]  # OpenGL begins at the bottom

    def close():
        context.free()
        window.free()

    return draw, close


def _sketched(model, size):
    """How matplotlib draws every capsule as a line and every ball as a dot, and how to stop."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from mujoco import mjtGeom

    height, width = size
    figure = Figure((width / 100, height / 100), dpi=100)
    axes, canvas = figure.add_axes((0, 0, 1, 1)), FigureCanvasAgg(figure)
    thick = 2 * model.geom_size[:, 0] / 2.4 * height * 72 / 100  # metres to points

    def draw(data):
        axes.clear()
        middle = data.subtree_com[1, 0]
        axes.set(
            xlim=(middle - 1.2 * width / height, middle + 1.2 * width / height), ylim=(-0.4, 2)
        )
        axes.axhline(0, color="0.5")
        axes.vlines(
            np.arange(np.floor(middle) - 2, middle + 3), -0.1, 0, color="0.5"
        )  # metres, so that one sees it move
        for i in np.flatnonzero(
            np.isin(model.geom_type, (mjtGeom.mjGEOM_CAPSULE.value, mjtGeom.mjGEOM_SPHERE.value))
        ):
            half = (
                model.geom_size[i, 1]
                * data.geom_xmat[i].reshape(3, 3)[:, 2]
                * (model.geom_type[i] == mjtGeom.mjGEOM_CAPSULE.value)
            )
            ends = np.stack([data.geom_xpos[i] - half, data.geom_xpos[i] + half])
            axes.plot(
                ends[:, 0],
                ends[:, 2],
                color=model.geom_rgba[i, :3] * 0.8,
                lw=thick[i],
                marker="o",
                ms=thick[i],
                mew=0,
            )
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    return draw, lambda: None

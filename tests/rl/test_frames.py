"""Pictures have the size that was asked for, with OpenGL and without."""

import numpy as np
import pytest
import torch

from mamlkit.rl import frames
from mamlkit.rl.bodies import authors_ant, load

SIZE = (48, 64)


@pytest.mark.parametrize("model", [load("half_cheetah"), load("ant", authors_ant)], ids=["cheetah", "ant"])
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

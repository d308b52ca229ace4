"""States of robots that tests start from."""

import numpy as np


def states(model, batch, scale=1.0):
    """Places, velocities and three frames of controls, all different."""
    rng = np.random.default_rng(0)
    qpos = (
        model.numeric("init_qpos").data if model.nq == 15 else model.qpos0
    ) + scale * 0.05 * rng.normal(size=(batch, model.nq))
    return (
        qpos,
        scale * rng.normal(size=(batch, model.nv)),
        rng.uniform(-1, 1, (3, batch, model.nu)),
    )

"""Many copies of one MuJoCo model moved at once: what section 5.3's robots are simulated with."""

# mujoco is a compiled module without stubs: pyright cannot see what it holds
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np


@cache
def load(name: str, change: Callable[[Any], None] | None = None) -> Any:
    """The MjModel in Gymnasium's file of this name, after `change` of its specification; nobody
    writes to it.

    Its warm start is off: then what a step does depends on positions, velocities and controls only,
    so that a batch moves bit for bit as each of its robots alone, with any number of threads and in
    any order.
    """
    import gymnasium
    import mujoco

    spec = mujoco.MjSpec.from_file(
        str(Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / f"{name}.xml")
    )
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    if change:
        change(spec)
    mass, spec.compiler.settotalmass = (
        spec.compiler.settotalmass,
        -1,
    )  # deprecated in the file; done here as MuJoCo advises
    model = spec.compile()
    if mass > 0:
        mujoco.mj_setTotalmass(model, mass)
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


class Simulation:
    """Many robots of one model, moved together by `mujoco.batch` on `threads` threads; each call
    stands alone.

    skip: MuJoCo's steps to a frame. stage: how much is computed again after a frame, of the new
    place ("ACC": all, as mj_forward does). fields: which of MuJoCo's results to hand out.
    """

    def __init__(
        self,
        model: Any,
        *,
        skip: int = 1,
        stage: str = "NONE",
        fields: tuple[str, ...] = (),
        threads: int = 1,
    ):
        self.model, self.skip, self.stage, self.fields, self.threads = (
            model,
            skip,
            stage,
            fields,
            threads,
        )
        self.rows = None

    def __call__(self, qpos: np.ndarray, qvel: np.ndarray, ctrl: np.ndarray | None = None):
        """Positions and velocities a frame later, the fields by name, and which robots' numbers
        MuJoCo found to be bad.

        Without `ctrl` nothing moves: the fields are those of the place itself. The next call
        overwrites the fields.
        """
        import mujoco
        from mujoco.batch import Batch, SimulationError

        batch, stage = len(qpos), getattr(mujoco.mjtStage, f"mjSTAGE_{self.stage}").value
        if self.rows is None or self.rows.nsim < batch:
            self.rows = Batch(self.model, batch, self.threads)
            self.seen = {name: self.rows.bind(name) for name in self.fields}
        rows, which = self.rows, np.arange(batch)
        rows.qpos[:batch], rows.qvel[:batch], rows.ctrl[:batch] = (
            qpos,
            qvel,
            0 if ctrl is None else ctrl,
        )
        rows.warning[:batch] = 0
        with quiet():
            try:
                rows.forward(which, stage) if ctrl is None else rows.step(which, self.skip, stage)
            except SimulationError:
                pass  # the others went on; `status` tells which
        broken = (rows.status[:batch] != 0) | _bad(rows.warning[:batch, :, 1])
        return (
            rows.qpos[:batch].copy(),
            rows.qvel[:batch].copy(),
            {k: v[:batch] for k, v in self.seen.items()},
            broken,
        )


def gymnasium_steps(model: Any, threads: int) -> Callable:
    """A frame as Ant-v5 makes it, robot by robot: contact forces are worked out from what the last
    stage of the integrator left behind, which `mujoco.batch` does not hand out."""
    import mujoco

    scratch = [mujoco.MjData(model) for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def steps(data, qpos, qvel, ctrl):
        robots, qpos, qvel = len(qpos), qpos.copy(), qvel.copy()
        x, forces, bad = (
            np.empty(robots),
            np.empty((robots, model.nbody, 6)),
            np.empty((robots, len(data.warning.number))),
        )
        for i in range(robots):
            data.qpos, data.qvel, data.ctrl, data.warning.number[:] = qpos[i], qvel[i], ctrl[i], 0
            mujoco.mj_step(model, data, nstep=5)
            mujoco.mj_rnePostConstraint(model, data)
            qpos[i], qvel[i], x[i], forces[i], bad[i] = (
                data.qpos,
                data.qvel,
                data.xpos[1, 0],
                data.cfrc_ext,
                data.warning.number,
            )
        return qpos, qvel, x, forces, _bad(bad)

    def simulate(*arrays):
        with quiet():
            parts = list(pool.map(steps, scratch, *(np.array_split(a, threads) for a in arrays)))
        return tuple(map(np.concatenate, zip(*parts)))

    return simulate


def _bad(warnings):
    """MuJoCo met a position, velocity, acceleration or control that is not finite or huge, and put
    the robot back or used 0."""
    from mujoco import mjtWarning

    return (warnings[:, mjtWarning.mjWARN_BADQPOS.value :] > 0).any(1)


@contextmanager
def quiet():
    """MuJoCo neither prints its warnings nor writes MUJOCO_LOG.TXT."""
    import mujoco

    before, muted = mujoco.MjLogConfig.get(), mujoco.MjLogConfig.get()
    muted.logto_console = muted.logto_file = False
    mujoco.MjLogConfig.set(muted)
    try:
        yield
    finally:
        mujoco.MjLogConfig.set(before)

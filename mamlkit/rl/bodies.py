"""The robots of section 5.3: Gymnasium's models under the conventions of the paper or of Gymnasium,
many moved at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from mamlkit.rl.simulation import Simulation, gymnasium_steps, load

Place = tuple[
    np.ndarray, ...
]  # all that a simulation needs to go on: positions and velocities of the joints, (batch, ...) each
CONTACT = 5e-4  # an ant pays this times the squares of its contact forces, each cut off at 1
HEALTHY = (0.2, 1.0)  # an ant's episode ends where its torso is not this high, in metres


class Moved(NamedTuple):
    """A frame later, for each robot of a batch: where it is, what it sees (batch, observations),
    its velocity along x in m/s, the part of the reward that no goal changes, is the episode over,
    and has the simulation failed."""

    place: Place
    observation: np.ndarray
    velocity: np.ndarray
    extra: np.ndarray
    done: np.ndarray
    broken: np.ndarray


class Robot(NamedTuple):
    """One robot under one set of conventions; arrays are float64 with the leading axis `batch`.

    model: MuJoCo's. rest: the place of one robot before noise is added, batch 1. start(generator,
    batch) draws where episodes begin, look(place) is what is seen there, move(place, action) makes
    a frame with actions in [-1, 1].
    """

    model: Any
    observations: int
    rest: Place
    start: Callable[[torch.Generator, int], Place]
    look: Callable[[Place], np.ndarray]
    move: Callable[[Place, np.ndarray], Moved]


def paper_cheetah(threads: int = 1) -> Robot:
    """The authors' half-cheetah: 0.01 s a frame, sees joints and centre of mass (20 numbers), moves
    as fast as the latter."""
    model = load("half_cheetah")
    simulate, centre = Simulation(model, threads=threads), balance(model)
    rest = model.qpos0[None], np.zeros((1, model.nv))

    def start(generator, batch):
        return normal(generator, batch, rest[0], 0.01), normal(generator, batch, rest[1], 0.1)

    def look(place):
        return see(place[0], place[1], centre(*place)[0])

    def see(qpos, qvel, com):
        return np.concatenate([qpos[:, 1:], qvel, com], 1)

    def move(place, action):
        qpos, qvel, _, broken = simulate(place[0], place[1], action)
        com, velocity = centre(qpos, qvel)
        cost = 0.05 * np.square(action).sum(1)
        return Moved(
            (qpos, qvel),
            see(qpos, qvel, com),
            velocity[:, 0],
            -cost,
            np.zeros(len(qpos), bool),
            broken,
        )

    return Robot(model, 20, rest, start, look, move)


def gym_cheetah(threads: int = 1) -> Robot:
    """HalfCheetah-v5's: 5 steps of 0.01 s a frame, sees joints (17 numbers), its velocity is that
    of the root's position."""
    model = load("half_cheetah")
    simulate = Simulation(model, skip=5, threads=threads)
    rest = model.qpos0[None], np.zeros((1, model.nv))

    def start(generator, batch):
        return uniform(generator, batch, rest[0], 0.1), normal(generator, batch, rest[1], 0.1)

    def look(place):
        return np.concatenate([place[0][:, 1:], place[1]], 1)

    def move(place, action):
        qpos, qvel, _, broken = simulate(place[0], place[1], action)
        velocity = (qpos[:, 0] - place[0][:, 0]) / (5 * model.opt.timestep)
        cost = 0.1 * np.square(action).sum(1)
        return Moved(
            (qpos, qvel), look((qpos, qvel)), velocity, -cost, np.zeros(len(qpos), bool), broken
        )

    return Robot(model, 17, rest, start, look, move)


def paper_ant(threads: int = 1) -> Robot:
    """The authors' ant: 0.02 s a frame, legs bent at first; sees joints, contact forces, the
    torso's axes and centre of mass (125)."""
    model = load("ant", authors_ant)
    simulate = Simulation(
        model,
        stage="ACC",
        fields=("cfrc_ext", "xmat", "subtree_com", "subtree_linvel"),
        threads=threads,
    )
    rest = model.numeric("init_qpos").data[None].copy(), np.zeros((1, model.nv))

    def start(generator, batch):
        qpos, qvel = normal(generator, batch, rest[0], 0.01), normal(generator, batch, rest[1], 0.1)
        qpos[:, 3:7] /= np.linalg.norm(
            qpos[:, 3:7], axis=1, keepdims=True
        )  # MuJoCo 1.31 did it in place
        return qpos, qvel

    def look(place):
        qpos, qvel, seen, _ = simulate(*place)
        return see(qpos, qvel, seen)

    def see(qpos, qvel, seen):
        forces = seen["cfrc_ext"].clip(-1, 1).reshape(len(qpos), -1)
        return np.concatenate(
            [qpos, qvel, forces, seen["xmat"][:, 1], seen["subtree_com"][:, 1]], 1
        )

    def move(place, action):
        qpos, qvel, seen, broken = simulate(place[0], place[1], action)
        cost = 0.005 * np.square(action).sum(1) + CONTACT * np.square(
            seen["cfrc_ext"].clip(-1, 1)
        ).sum((1, 2))
        return Moved(
            (qpos, qvel),
            see(qpos, qvel, seen),
            seen["subtree_linvel"][:, 1, 0],
            0.05 - cost,
            unhealthy(qpos),
            broken,
        )

    return Robot(model, 125, rest, start, look, move)


def gym_ant(threads: int = 1) -> Robot:
    """Ant-v5's: 5 steps of 0.01 s a frame, legs straight at first; sees joints and contact forces
    (105 numbers).

    Gymnasium takes the torso's position from the last stage of MuJoCo's integrator; it is a part of
    the place here.
    """
    model = load("ant")
    simulate = gymnasium_steps(model, threads)
    rest = model.qpos0[None], np.zeros((1, model.nv)), model.qpos0[None, 0]

    def start(generator, batch):
        qpos = uniform(generator, batch, rest[0], 0.1)
        return qpos, normal(generator, batch, rest[1], 0.1), qpos[:, 0].copy()

    def look(place):
        return see(
            place[0], place[1], np.zeros((len(place[0]), model.nbody, 6))
        )  # not computed yet

    def see(qpos, qvel, forces):
        return np.concatenate(
            [qpos[:, 2:], qvel, forces[:, 1:].clip(-1, 1).reshape(len(qpos), -1)], 1
        )

    def move(place, action):
        qpos, qvel, x, forces, broken = simulate(*place[:2], action)
        over = unhealthy(qpos)
        cost = 0.5 * np.square(action).sum(1) + CONTACT * np.square(forces.clip(-1, 1)).sum((1, 2))
        return Moved(
            (qpos, qvel, x),
            see(qpos, qvel, forces),
            (x - place[2]) / (5 * model.opt.timestep),
            1.0 * ~over - cost,
            over,
            broken,
        )

    return Robot(model, 105, rest, start, look, move)


def unhealthy(qpos: np.ndarray) -> np.ndarray:
    """Which torsos, of positions (batch, 15), are too low or too high? (batch,), boolean."""
    return ~((HEALTHY[0] <= qpos[:, 2]) & (qpos[:, 2] <= HEALTHY[1]))


def normal(generator, batch, mean, scale):
    """Normal numbers around mean (1, n): (batch, n), float64."""
    return mean + scale * _numpy(
        torch.randn(
            batch, mean.shape[1], generator=generator, device=generator.device, dtype=torch.float64
        )
    )


def uniform(generator, batch, mean, reach):
    """Numbers from mean - reach to mean + reach, all as likely: (batch, n), float64."""
    u = _numpy(
        torch.rand(
            batch, mean.shape[1], generator=generator, device=generator.device, dtype=torch.float64
        )
    )
    return mean + reach * (2 * u - 1)


def _numpy(tensor):
    return tensor.cpu().numpy()


def authors_ant(spec: Any) -> None:
    """Makes Gymnasium's ant that of the authors: longer steps, harder contacts. The sensors change
    nothing that moves: MuJoCo only computes the centre of mass' velocity and contact forces for who
    asks."""
    import mujoco

    spec.option.timestep = 0.02
    for geom in spec.geoms:
        geom.solimp[:3] = 0.8, 0.8, 0.01
    lib: Any = mujoco  # a compiled module without stubs
    for kind in (lib.mjtSensor.mjSENS_SUBTREELINVEL, lib.mjtSensor.mjSENS_FRAMELINACC):
        spec.add_sensor(type=kind, objtype=lib.mjtObj.mjOBJ_BODY, objname="torso")


def balance(model: Any) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Centre of mass of a robot in the x-z plane, and its velocity, (batch, 3) each, as a function
    of its joints.

    The root slides along x and z, every body turns about one hinge at its origin. A body turned by
    theta moves the centre of mass by R(theta) w, where w is its own centre's offset and those of
    its children's hinges, weighted by the masses that hang there: constants of the model.
    """
    mass, parent = model.body_subtreemass, model.body_parentid
    bodies = range(1, model.nbody)
    w = model.body_mass[:, None] * model.body_ipos
    for body in bodies[1:]:
        w[parent[body]] += mass[body] * model.body_pos[body]
    w = w[1:] / mass[1]
    turns = np.zeros(
        (model.nbody, model.nbody)
    )  # the angle of a body is the sum of the hinges from the root to it
    for body in bodies:
        turns[body] = turns[parent[body]]
        turns[body, body] = 1
    turns, height = turns[1:, 1:].T, model.body_pos[1]

    def centre(qpos, qvel):
        theta, rate = qpos[:, 2:] @ turns, qvel[:, 2:] @ turns
        sin, cos = np.sin(theta), np.cos(theta)
        com, velocity = np.zeros((2, len(qpos), 3)) + height * [[[1]], [[0]]]
        com[:, 0] += qpos[:, 0] + cos @ w[:, 0] + sin @ w[:, 2]
        com[:, 2] += qpos[:, 1] - sin @ w[:, 0] + cos @ w[:, 2]
        velocity[:, 0] = qvel[:, 0] + (rate * cos) @ w[:, 2] - (rate * sin) @ w[:, 0]
        velocity[:, 2] = qvel[:, 1] - (rate * cos) @ w[:, 0] - (rate * sin) @ w[:, 2]
        return com, velocity

    return centre

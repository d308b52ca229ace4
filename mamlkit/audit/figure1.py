"""Judges of the first page: Figure 1 measured on three quadratic tasks."""

from typing import NamedTuple

import torch
from torch.func import vmap

from mamlkit.audit.judging import Finding
from mamlkit.machine import seeded
from mamlkit.probes.quadratic import Quadratic, joint_optimum, loss, maml_optimum, three_tasks
from mamlkit.variants.maml import maml

ALPHA = 0.9


class Evidence(NamedTuple):
    """After one step, from the MAML point and from the joint point: the mean loss and the mean
    distance to the tasks' optima; the least loss after a step from random points; and how far the
    two points lie apart at equal curvature."""

    loss_maml: float
    loss_joint: float
    loss_random: float
    distance_maml: float
    distance_joint: float
    apart: float


def evidence() -> Evidence:
    """Closed forms in float64."""
    tasks, learner = three_tasks(), maml(loss, alpha=ALPHA, steps=1)
    joint, best = joint_optimum(tasks), maml_optimum(tasks, ALPHA)

    def ends(start):
        return vmap(learner.adapt, (None, 0))(start, tasks)[1]["theta"]

    def after(start):
        return vmap(loss)({"theta": ends(start)}, tasks).mean().item()

    def distance(start):
        return (ends(start) - tasks.c).norm(dim=-1).mean().item()

    anywhere = 6 * torch.rand(1000, 2, generator=seeded(0), dtype=torch.double) - 3
    same = Quadratic(0.5 * torch.eye(2, dtype=torch.double).expand(3, 2, 2), tasks.c)
    gap = joint_optimum(same)["theta"] - maml_optimum(same, ALPHA)["theta"]
    return Evidence(
        after(best),
        after(joint),
        min(after({"theta": t}) for t in anywhere),
        distance(best),
        distance(joint),
        gap.norm().item(),
    )


def c011(e: Evidence) -> Finding:
    """A start from which one step gets near every task's optimum."""
    return Finding(
        checks={
            "loss": e.loss_maml < min(e.loss_joint, e.loss_random),
            "distance": e.distance_maml < e.distance_joint,
            "curvature": e.apart < 1e-6,
        },
        here={
            "loss after one step, MAML point": e.loss_maml,
            "joint point": e.loss_joint,
            "best of 1,000 random points": e.loss_random,
            "distance to the optima, MAML point": e.distance_maml,
            "distance, joint point": e.distance_joint,
            "distance of the two points at equal curvature": e.apart,
        },
        why=f"after one step the MAML point's loss is {e.loss_maml:.3f}, the joint point's "
        f"{e.loss_joint:.3f}, the best random point's {e.loss_random:.3f}; the mean distance to "
        f"the optima is {e.distance_maml:.2f} against {e.distance_joint:.2f}; with equal "
        "curvatures the two points are one.",
        protocol=f"three quadratic tasks in a plane, alpha {ALPHA:g}, closed forms in float64, "
        "1,000 random starts in [-3, 3]^2",
    )


JUDGES = {"C011": c011}

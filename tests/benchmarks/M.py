"""Workload M: miniImagenet 5-way 1-shot (section 5.2), 4 tasks, 15 queries a class, five inner
steps."""

from mamlkit.nets import pooled_convnet
from tests.benchmarks.convnets import WAYS, Setting, Workload

DESCRIPTION = (
    "miniImagenet 5-way 1-shot, 4 pooled convolutions x 32, 4 tasks, 5 + 75 images of 84x84, 5"
    " steps, Adam and sampling included"
)
ROUNDS = 3
WORKLOAD = Workload(
    Setting(
        pooled_convnet(WAYS),
        image=(3, 84, 84),
        stride=1,
        filters=32,
        tasks=4,
        queries=15,
        steps=5,
        alpha=0.05,
    )
)
reference, scaling = WORKLOAD.reference, WORKLOAD.scaling


def contestants(order):
    """All but one: JAX's own convolutions, a task at a time, took 85 processor seconds an iteration
    at first order."""
    return {
        name: build
        for name, build in WORKLOAD.contestants(order).items()
        if name != "JAX, a task at a time"
    }

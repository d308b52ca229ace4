"""Workload O15: as O1, with 15 queries a class."""

from mamlkit.nets import strided_convnet
from tests.benchmarks.convnets import WAYS, Setting, Workload

DESCRIPTION = (
    "Omniglot 5-way 1-shot, 4 strided convolutions x 64, 32 tasks, 5 + 75 images, one inner step,"
    " Adam and sampling included"
)
ROUNDS = 5
WORKLOAD = Workload(
    Setting(
        strided_convnet(WAYS),
        image=(1, 28, 28),
        stride=2,
        filters=64,
        tasks=32,
        queries=15,
        steps=1,
        alpha=0.4,
    )
)
reference, contestants, scaling = WORKLOAD.reference, WORKLOAD.contestants, WORKLOAD.scaling

"""Workload O1: Omniglot 5-way 1-shot (section 5.2), 32 tasks, 1 query a class, one inner step."""

from mamlkit.nets import strided_convnet
from tests.benchmarks.convnets import WAYS, Setting, Workload

DESCRIPTION = (
    "Omniglot 5-way 1-shot, 4 strided convolutions x 64, 32 tasks, 5 + 5 images, one inner step,"
    " Adam and sampling included"
)
ROUNDS = 9
WORKLOAD = Workload(
    Setting(
        strided_convnet(WAYS),
        image=(1, 28, 28),
        stride=2,
        filters=64,
        tasks=32,
        queries=1,
        steps=1,
        alpha=0.4,
    )
)
reference, contestants, scaling = WORKLOAD.reference, WORKLOAD.contestants, WORKLOAD.scaling

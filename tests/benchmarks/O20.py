"""Workload O20: Omniglot 20-way 1-shot (section 5.2), 16 tasks, 1 query a class, five inner
steps."""

from mamlkit.nets import strided_convnet
from tests.benchmarks.convnets import Setting, Workload

DESCRIPTION = (
    "Omniglot 20-way 1-shot, 4 strided convolutions x 64, 16 tasks, 20 + 20 images, five inner"
    " steps, Adam and sampling included"
)
ROUNDS = 5
WORKLOAD = Workload(
    Setting(
        strided_convnet(20),
        image=(1, 28, 28),
        stride=2,
        filters=64,
        tasks=16,
        queries=1,
        steps=5,
        alpha=0.1,
        ways=20,
    )
)
reference, contestants, scaling = WORKLOAD.reference, WORKLOAD.contestants, WORKLOAD.scaling

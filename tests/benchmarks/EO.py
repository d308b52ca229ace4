"""Workload EO: O1's network tested on 5-way 1-shot tasks, 15 queries a class, ten inner steps."""

from mamlkit.nets import strided_convnet
from tests.benchmarks.convnets import WAYS, Setting
from tests.benchmarks.evaluations import Evaluation

DESCRIPTION = (
    "Omniglot 5-way 1-shot, evaluation of 4 strided convolutions x 64 on 10 tasks, 5 + 75 images,"
    " after 0 to 10 steps"
)
ROUNDS, ORDERS = 5, (1,)
EVALUATION = Evaluation(
    Setting(
        strided_convnet(WAYS),
        image=(1, 28, 28),
        stride=2,
        filters=64,
        tasks=10,
        queries=15,
        steps=10,
        alpha=0.1,
    )
)
reference, contestants, scaling = (
    EVALUATION.reference,
    EVALUATION.contestants,
    EVALUATION.scaling,
)

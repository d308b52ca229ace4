"""Workload EM: M's network tested on 5-way 1-shot tasks, 15 queries a class, ten inner steps."""

from mamlkit.nets import pooled_convnet
from tests.benchmarks.convnets import WAYS, Setting
from tests.benchmarks.evaluations import Evaluation

DESCRIPTION = (
    "miniImagenet 5-way 1-shot, evaluation of 4 pooled convolutions x 32 on 4 tasks, 5 + 75 images"
    " of 84x84, after 0 to 10 steps"
)
ROUNDS, ORDERS = 3, (1,)
EVALUATION = Evaluation(
    Setting(
        pooled_convnet(WAYS),
        image=(3, 84, 84),
        stride=1,
        filters=32,
        tasks=4,
        queries=15,
        steps=10,
        alpha=0.01,
    )
)
reference, contestants, scaling = (
    EVALUATION.reference,
    EVALUATION.contestants,
    EVALUATION.scaling,
)

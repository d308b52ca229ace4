"""The memory that an evaluation needs: `python -m tests.benchmarks.evaluation [TASKS ...]`.

Table 1's last row as it is tested: the net of section 5.2 on photographs of 84 x 84 (noise here,
20 classes of 600), 5-way with 15 queries a class, 1-shot or `--shots 5`, 10 inner steps. Each
number of tasks is tried in a process of its own; what is said is the most memory that lay in it at
once, and how much of that was there before the first task.
"""

import argparse
import subprocess
import sys
import time

import torch

from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.few_shot import few_shot
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import pooled_convnet
from mamlkit.variants.maml import maml


def evaluated(number, *, shots=1, steps=10, filters=32, photos=600):
    """Accuracies (number, steps + 1) of an untrained net, and MB before the first task."""
    size = (20, photos, 3, 84, 84)
    images = torch.randint(256, size, dtype=torch.uint8, generator=seeded(0))
    net, family = (
        pooled_convnet(5, filters=filters),
        few_shot(images, way=5, shots=shots, queries=15),
    )
    learner = maml(cross_entropy(net.forward), alpha=0.01, steps=steps)
    meta, metric, before = net.init(seeded(1)), on_query(accuracy(net.forward)), most()
    return evaluate(learner, meta, family, metric, number=number, generator=seeded(2)), before


def most() -> float:
    """MB of the most memory that this process had at once. Linux only."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def peak(number: int, **size) -> tuple[float, float]:
    """MB of an evaluation in a process of its own: (at its peak, before the first task)."""
    program = (
        "import torch; torch.set_num_threads(1); from tests.benchmarks.evaluation import *; "
        f"_, before = evaluated({number}, **{size}); print(most(), before)"
    )
    words = [sys.executable, "-c", program]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return tuple(map(float, said.split()))


if __name__ == "__main__":
    words = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluation")
    words.add_argument("tasks", type=int, nargs="*", default=[6, 60, 600])
    words.add_argument("--shots", type=int, default=1)
    asked = words.parse_args()
    for number in asked.tasks:
        begin = time.monotonic()
        top, before = peak(number, shots=asked.shots)
        seconds = time.monotonic() - begin
        print(
            f"{number:4} tasks: {top:.0f} MB, {before:.0f} of it before, {seconds:.0f} s",
            flush=True,
        )

"""What the checks of values cost a training step: `python -m tests.benchmarks.checks [ROUNDS]`.

Workload S as `train` runs it, compiled and not, beside the same where nothing is checked. The two
take turns, and who is first changes; each turn is timed in processor time, and what is said is the
median over all turns and, of the ratios turn by turn, the median and its 95 % interval. On a
machine that others use too this is known to a percent or two; what the checks of one uncompiled
update take by themselves is known better.
"""

import statistics
import sys
import time
from contextlib import ExitStack, contextmanager, nullcontext
from unittest import mock

import torch

from mamlkit import boundary, inner, learner, nets
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.optimizer import adam
from mamlkit.train import train
from mamlkit.variants.maml import maml
from tests.benchmarks import S

# What every step asks of `boundary`, by the module that asks.
CHECKS = (
    (inner, ("inner_steps", "scalar", "step_size")),
    (learner, ("scalar",)),
    (nets, ("inputs",)),
)
UPDATES = {"uncompiled": 8, "compiled": 60}  # a turn


@contextmanager
def unchecked():
    """While this lasts a step takes whatever it is given."""
    with instead(lambda check: lambda value, *more: value):
        yield


@contextmanager
def instead(make):
    """While this lasts make(check) is called in place of every check."""
    with ExitStack() as stack:
        for module, names in CHECKS:
            others = {name: make(getattr(boundary, name)) for name in names}
            stack.enter_context(mock.patch.multiple(module, **others))
        yield


def training(loss, compiled, block):
    """The Steps of workload S."""
    return train(
        maml(loss, alpha=S.ALPHA, steps=1),
        S.THETA,
        S.FAMILY,
        adam(S.BETA),
        generator=seeded(2),
        tasks=S.TASKS,
        iterations=10**9,
        block=block,
        compiled=compiled,
    )


def seconds(steps) -> float:
    """The processor time of a turn."""
    begin = time.process_time()
    next(steps)
    return time.process_time() - begin


def compare(compiled: bool, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of an update in each turn: (checked, unchecked)."""
    block = UPDATES["compiled" if compiled else "uncompiled"]
    ways = [
        (training(mse(S.NET.forward), compiled, block), nullcontext, []),
        (training(S.loss, compiled, block), unchecked, []),
    ]
    for n in range(rounds + 1):
        for steps, way, found in ways[:: 1 if n % 2 else -1]:
            with way():
                found.append(seconds(steps) / block)
    return ways[0][2][1:], ways[1][2][1:]  # in the first turn torch sets itself up


def alone(repeats: int = 20_000) -> float:
    """Seconds that the checks of one uncompiled update take by themselves: they are noted while it
    is made, and made again and again."""
    asked = []
    noting = lambda check: lambda *values: asked.append((check, values)) or values[0]
    steps = training(mse(S.NET.forward), False, 1)
    next(steps)
    with instead(noting):
        next(steps)
    begin = time.process_time()
    for _ in range(repeats):
        for check, values in asked:
            check(*values)
    return (time.process_time() - begin) / repeats


def said(checked: list[float], bare: list[float]) -> str:
    """Both medians, and by how much the checked one is slower."""
    ratios = sorted(100 * (a / b - 1) for a, b in zip(checked, bare))
    n, half = len(ratios), 0.98 * len(ratios) ** 0.5  # of the ranks around the median
    low, high = ratios[max(0, int(n / 2 - half))], ratios[min(n - 1, int(n / 2 + half))]
    micro = [1e6 * statistics.median(times) for times in (checked, bare)]
    return (
        f"{micro[0]:8.1f} us checked, {micro[1]:8.1f} us not: {statistics.median(ratios):+.2f} % "
        f"(95 % interval {low:+.2f} to {high:+.2f} %, {n} turns)"
    )


def main(rounds: int = 300) -> None:
    torch.set_num_threads(1)
    for module, names in CHECKS:
        assert all(getattr(module, name) is getattr(boundary, name) for name in names)
    for way in UPDATES:
        checked, bare = compare(way == "compiled", rounds)
        print(f"{way:10} {said(checked, bare)}", flush=True)
        if way == "uncompiled":
            took, step = alone(), statistics.median(checked)
            print(f"{'':10} {1e6 * took:8.1f} us of it the checks: {100 * took / step:.2f} %")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

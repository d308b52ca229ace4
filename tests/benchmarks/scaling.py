"""What an update costs as it grows: `python -m tests.benchmarks.scaling`.

Second order, beside the matrix products alone: sinusoids with 1 to 256 tasks, compiled (1 to 256
tasks differ in nothing else, so what an update costs apart from its tasks shows), and Omniglot with
1 to 10 inner steps and 5 to 20 ways, a task at a time. Processor time of one core: least of ROUNDS.
Printed with the line through the points, and drawn and written to runs/bench/scaling.svg and .json.
"""

import json
import os
from collections.abc import Callable

import numpy as np
import torch

from mamlkit.nets import strided_convnet
from tests.benchmarks import O1, S
from tests.benchmarks.convnets import Workload
from tests.benchmarks.speed import RECORDS, Contestant, clock

ROUNDS, TASKS = 7, 4


def sinusoids(tasks: int) -> tuple[Contestant, Contestant]:
    """(mamlkit, floor)."""
    return S.ours(2, tasks), S.floor(2, tasks)


def omniglot(**changed: int) -> tuple[Contestant, Contestant]:
    """(mamlkit, floor) of O1 with few tasks and what is changed of it."""
    net = strided_convnet(changed.get("ways", 5))
    work = Workload(O1.WORKLOAD.setting._replace(net=net, tasks=TASKS, **changed))
    return work.ours(2, compiled=False, chunk=1), work.floor(2)


AXES: dict[str, tuple[tuple[int, ...], Callable]] = {
    "tasks": ((1, 4, 16, 64, 256), sinusoids),
    "inner steps": ((1, 2, 5, 10), lambda steps: omniglot(steps=steps)),
    "ways": ((5, 10, 20), lambda ways: omniglot(ways=ways)),
}


def measured(build: Callable, points: tuple[int, ...]) -> list[list[float]]:
    """Milliseconds of an update at each point: [of mamlkit], [of the floor]."""
    running = [build(point) for point in points]
    for pair in running:
        for contestant in pair:
            clock(contestant)  # compiles
    rounds = [[[clock(c)[1] for c in pair] for pair in running] for _ in range(ROUNDS)]
    return np.min(rounds, axis=0).T.tolist()


def line(points: tuple[int, ...], ms: list[float]) -> tuple[float, float]:
    """(constant, slope) of the line that is relatively closest to the points."""
    slope, constant = np.polyfit(points, ms, 1, w=1 / np.array(ms))
    return float(constant), float(slope)


def main() -> None:
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = {}
    for name, (points, build) in AXES.items():
        ours, floor = measured(build, points)
        found[name] = {"points": points, "ours_ms": ours, "floor_ms": floor}
        for who, ms in (("mamlkit", ours), ("matmul floor", floor)):
            constant, slope = line(points, ms)
            shown = ", ".join(f"{p}: {m:.3f}" for p, m in zip(points, ms))
            print(f"{name:12} {who:13} {constant:+7.3f} ms {slope:+.4f} ms each  ({shown})")
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / "scaling.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found).savefig(RECORDS / "scaling.svg")
    print(f"written to {RECORDS / 'scaling.svg'}")


def draw(found: dict):
    """A panel for each axis: ours and the floor, both scales logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, (name, kept) in zip(figure.subplots(1, len(found)), found.items()):
        axes.loglog(kept["points"], kept["ours_ms"], "o-", label="mamlkit")
        axes.loglog(kept["points"], kept["floor_ms"], "s--", label="matrix products alone")
        axes.set(xlabel=name, ylabel="ms of one core an update")
        axes.set_xticks(kept["points"], map(str, kept["points"]), minor=False)
        axes.minorticks_off()
    figure.axes[0].legend()
    return figure


if __name__ == "__main__":
    main()

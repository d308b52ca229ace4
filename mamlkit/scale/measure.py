"""Times updates that ranks share, on this machine: python -m mamlkit.scale.measure

It starts `torchrun` with 1, 2 and 4 ranks; each is this file again, with a problem's name.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import torch
import torch.distributed as dist

from mamlkit import files
from mamlkit.machine import seeded
from mamlkit.optimizer import adam
from mamlkit.scale import cost
from mamlkit.scale.ranks import ranks
from mamlkit.train import train

SIZES = (1, 2, 4)
BLOCKS = {"S": (500, 6), "O1": (5, 8), "M": (1, 5)}  # updates in a block, blocks; the best counts
BYTES = (8, 2**23)  # of the all-reduces


def main() -> None:
    """Measures everything and keeps it in data/scale.json."""
    found: dict = {"updates": {}, "all_reduce": {}}
    for size in SIZES:
        for name in (*BLOCKS, "all_reduce"):
            if size > 1 or name != "all_reduce":
                said = json.loads(_launched(size, name))
                where = found["all_reduce"] if name == "all_reduce" else found["updates"]
                where.setdefault(str(size) if name == "all_reduce" else name, {}).update(
                    said if name == "all_reduce" else {str(size): said}
                )
                print(size, name, said, flush=True)
    found["about"] = {
        "command": "python -m mamlkit.scale.measure",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[2],
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    files.write(cost.MEASURED, json.dumps(found, indent=1) + "\n")


def _launched(size: int, name: str) -> str:
    words = ["torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
    words += ["-m", "mamlkit.scale.measure", name]
    run = [sys.executable, "-m", *words]
    return subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout


def rank(name: str) -> None:
    """What each rank does; the first prints seconds as JSON."""
    torch.set_num_threads(1)
    with ranks("cpu") as here:
        found = _all_reduces() if name == "all_reduce" else _updates(name, here)
        if here.rank == 0:
            print(json.dumps(found))


def _updates(name: str, here) -> float:
    """Seconds of one update, in the quickest block."""
    p, (block, blocks) = cost.problem(name), BLOCKS[name]
    seconds, begin = [], time.perf_counter()
    for _ in train(
        p.learner,
        p.params,
        p.family,
        adam(0.001),
        generator=seeded(0),
        tasks=p.tasks,
        iterations=block * blocks,
        block=block,
        chunk=p.chunk,
        compiled=name == "S",
        spread=here.spread,
    ):
        now = time.perf_counter()
        seconds.append(now - begin)
        begin = now
    return min(seconds[1:]) / block


def _all_reduces() -> dict[str, float]:
    """{bytes: seconds}, each the quickest of many."""
    found = {}
    for size in BYTES:
        vector, seconds = torch.zeros(size // 8, dtype=torch.float64), []
        for _ in range(100):
            dist.barrier()
            begin = time.perf_counter()
            dist.all_reduce(vector)
            seconds.append(time.perf_counter() - begin)
        found[str(size)] = min(seconds)
    return found


if __name__ == "__main__":
    rank(sys.argv[1]) if sys.argv[1:] else main()

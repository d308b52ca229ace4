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
BLOCKS = {"S": (50, 40), "O1": (1, 12), "M": (1, 4)}  # updates in a block, blocks; the best counts
BYTES = (8, 2**23)  # of the all-reduces


def main() -> None:
    """Measures everything and keeps it in data/scale.json."""
    about = {
        "command": "python -m mamlkit.scale.measure",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    found = {name: {} for name in (*BLOCKS, "all_reduce")}
    for size in SIZES:
        for name in found:
            if size > 1 or name in BLOCKS:
                found[name][str(size)] = said = json.loads(_launched(size, name))
                print(f"{name}, {size} ranks: {said}", flush=True)
    files.write(cost.MEASURED, json.dumps({**found, "about": about}, indent=1) + "\n")


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
    """Seconds that the slowest rank computes for one update, in its quickest block.

    That is its processor's time, which does not grow where ranks have to share cores.
    """
    p, (block, blocks) = cost.problem(name), BLOCKS[name]
    seconds, begin = [], time.process_time()
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
        now = time.process_time()
        seconds.append(now - begin)
        begin = now
    slowest = torch.tensor(min(seconds[1:]) / block, dtype=torch.float64)
    if here.size > 1:
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
    return slowest.item()


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

"""How much of a card meta-training uses: `python -m tests.benchmarks.captured [device]`.

Table 1's first row (Omniglot 5-way 1-shot, 32 tasks): the whole meta-update, sampling included, as
`train` runs it (on a GPU one captured CUDA graph, on a CPU one compiled loop) beside the same
uncompiled; in floating-point operations a second, and as the share of what a large matrix product
reaches on the same device, with and without TF32. Then tasks with more images, all of a meta-batch
at once and one at a time, each captured: what `mamlkit.memory.ALONE_FROM` is read off. Printed, and
written to runs/bench/captured-<device>.json. The images are noise: time does not depend on what
they show.

    python -m tests.benchmarks.captured cuda --held

measures the second part alone, in half a minute.
"""

import json
import sys
import time

import torch

from mamlkit.bank.provenance import commit, describe
from mamlkit.families.few_shot import few_shot
from mamlkit.files import ROOT
from mamlkit.losses import cross_entropy
from mamlkit.machine import choose_device, seeded
from mamlkit.nets import all_but_norms, pooled_convnet, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.probes.cost import flops, speed, without_numbers
from mamlkit.task import sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

TASKS, ROUNDS, PAPER = 32, 5, 60_000


HELD = {  # way, shots, queries, tasks, steps; the images; the net
    "O15": ((5, 1, 15, 32, 1), (28, 1), strided_convnet),
    "20-way 5-shot": ((20, 5, 5, 8, 5), (28, 1), strided_convnet),
    "M": ((5, 1, 15, 4, 5), (84, 3), pooled_convnet),
}


def main(device: str = "auto", *how: str) -> None:
    where = choose_device(device)
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": describe(where),
        "rows": [] if "--held" in how else updates(where),
        "held": list(held(where)),
    }
    path = ROOT / "runs" / "bench" / f"captured-{where.type}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}")


def held(where: torch.device):
    """Milliseconds of an update, by workload and by how many tasks are held at once."""
    for name, ((way, shots, queries, tasks, steps), (size, channels), build) in HELD.items():
        images = torch.randint(256, (64, 20, channels, size, size), generator=seeded(0))
        family = few_shot(images.to(where, torch.uint8), way=way, shots=shots, queries=queries)
        net = build(way)
        theta = net.init(seeded(0, where))
        loss = cross_entropy(net.forward)
        learner = maml(loss, alpha=all_but_norms(theta, 0.01), steps=steps)
        one = tree_map(lambda t: t[0], sample(family, seeded(0, where), 1))
        operations = tasks * flops(learner.meta_grad, *without_numbers((theta, one)))
        block = 10 if where.type == "cuda" else 1
        for chunk in (1, tasks):
            run = train(
                learner, theta, family, adam(1e-3), generator=seeded(1, where), tasks=tasks,
                iterations=999, block=block, chunk=chunk, compiled=where.type == "cuda",
            )  # fmt: skip
            seconds = clocked(run) / block
            row = {
                "workload": name, "tasks": tasks, "at once": chunk, "ms": 1e3 * seconds,
                "gflop": operations / 1e9, "flop_per_s": operations / seconds,
            }  # fmt: skip
            print(said(row), flush=True)
            yield row


def said(row: dict) -> str:
    """A row in a line."""
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())


def updates(where: torch.device) -> list[dict]:
    """The rows of Table 1's first row."""
    block, size = (500, 8192) if where.type == "cuda" else (3, 1024)
    images = torch.randint(256, (1100, 20, 1, 28, 28), dtype=torch.uint8, generator=seeded(0)).to(
        where
    )
    family, net = few_shot(images, way=5, shots=1, queries=1, rotate=True), strided_convnet(5)
    loss, theta = cross_entropy(net.forward), net.init(seeded(0, where))
    one = tree_map(lambda t: t[0], sample(family, seeded(0, where), 1))
    rows = []
    for fast in (False, True) if where.type == "cuda" else (False,):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
        most = speed(where, size)
        for variant in (maml, fomaml):
            learner = variant(loss, alpha=all_but_norms(theta, 0.4), steps=1)
            operations = TASKS * flops(learner.meta_grad, *without_numbers((theta, one)))
            for compiled in (True, False):
                run = train(
                    learner,
                    theta,
                    family,
                    adam(1e-3),
                    generator=seeded(1, where),
                    tasks=TASKS,
                    iterations=10**9,
                    block=block,
                    compiled=compiled,
                )
                seconds = clocked(run) / block
                row = {
                    "tasks": TASKS,
                    "variant": variant.__name__,
                    "tf32": fast,
                    "compiled": compiled,
                    "ms": 1e3 * seconds,
                    "gflop": operations / 1e9,
                    "flop_per_s": operations / seconds,
                    "share_of_matmul": operations / seconds / most,
                    "minutes_for_60000": PAPER * seconds / 60,
                }
                rows.append(row)
                print(said(row), flush=True)
    return rows


def clocked(run) -> float:
    """Seconds of one block: the fastest of ROUNDS, after one that compiles or captures. Reading the
    losses waits for a GPU."""
    next(run)
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        next(run).losses[-1].item()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])

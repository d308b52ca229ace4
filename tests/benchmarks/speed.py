"""How fast one meta-iteration is, beside other libraries: `python -m tests.benchmarks.speed O1 M`.

A workload is a file of this folder with DESCRIPTION, ROUNDS, reference, contestants and scaling: S
(sinusoids; see there), O1, O15 and O20 (Omniglot), M (miniImagenet), EO and EM (the evaluation of
their networks, which has one order: ORDERS says so). All contestants run in one process of
`.venv-peers`, an environment of their own that the first run makes, in turn, round after round, on
one core, after their meta-gradients have been compared with a float64 reference. The result is
printed and written to runs/bench/<workload>.json; at the end one table has a line for each
workload, and after a run of all of them it is kept in data (`summary`). Nothing here is a test:
times depend on the machine.
"""

import ctypes
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-peers"
RECORDS = ROOT / "runs" / "bench"
PEERS = ["jax==0.10.1", "optax==0.2.8", "torchopt==0.7.3", "higher==0.2.1"]
LEFT_OUT = {
    "learn2learn": "0.2.0 does not build on Python 3.11 and later (longintrepr.h is gone)",
    "torchmeta": "1.8.0 pins torch < 1.10, which Python 3.11 cannot install",
}
SCALES = (1, 16, 25, 64, 256)
OURS, FLOOR = "mamlkit", "matmul floor"  # what their contestants' names begin with
WORKLOADS = ("S", "O1", "O15", "O20", "M", "EO", "EM")


class Contestant(NamedTuple):
    """advance(n) makes n meta-iterations, `step` of them a round. gradient() is its meta-gradient
    at the reference's parameters and tasks, asked for after the first iterations, as one flat list
    of numbers; None where there is nothing to compare (the matmul floor)."""

    advance: Callable[[int], Any]
    step: int
    gradient: Callable[[], Any] | None = None


def main(*workloads: str) -> None:
    """Runs workloads one after another, all if none is named, in `.venv-peers` whichever Python
    calls it, and prints how they compare."""
    absent = install()
    for workload in workloads or WORKLOADS:
        with tempfile.TemporaryDirectory() as cache:  # empty, so that compile times are cold
            settings = {
                "TORCHINDUCTOR_CACHE_DIR": cache,
                "OMP_NUM_THREADS": "1",
                "JAX_PLATFORMS": "cpu",
                "BENCH_ABSENT": json.dumps(absent),
            }
            words = ["-c", f"from tests.benchmarks import speed; speed.run({workload!r})"]
            subprocess.run(
                [ENVIRONMENT / "bin/python", *words],
                cwd=ROOT,
                env=os.environ | settings,
                check=True,
            )
    from tests.benchmarks import summary

    rows = summary.rows(workloads or WORKLOADS)
    print(*summary.table(rows), sep="\n")
    if not workloads:
        summary.keep(rows)


def run(workload: str) -> None:
    """Runs one workload in this process."""
    import torch

    torch.set_num_threads(1)
    os.sched_setaffinity(
        0, {max(os.sched_getaffinity(0))}
    )  # JAX has threads of its own: one core for all of them
    module = importlib.import_module(f"tests.benchmarks.{workload}")
    left_out = LEFT_OUT | json.loads(os.environ["BENCH_ABSENT"])
    orders = getattr(module, "ORDERS", (2, 1))
    rows = [row for order in orders for row in measure(workload, module, order, left_out)]
    write(workload, module, rows, scale(module), left_out)


def install() -> dict[str, str]:
    """Makes the peers' environment where it is missing, and says which packages could not be had
    and why."""
    notes = ENVIRONMENT / "absent.json"
    pins = dict(re.findall(r"^(\w+)(==.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    ours = [name + pins[name] for name in ("numpy", "scipy", "safetensors", "tqdm")]
    if notes.exists():
        return json.loads(notes.read_text())
    say("making .venv-peers (a few minutes, once)")
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    # torch in a call of its own, first: nothing may resolve it to another build.
    for required in (["torch" + pins["torch"]], ours, ["--no-deps", "-e", str(ROOT)]):
        pip(*required).check_returncode()
    absent = {}
    for peer in PEERS:
        say(f"installing {peer}")
        if (done := pip(peer)).returncode:
            absent[peer] = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    notes.write_text(json.dumps(absent))
    return absent


def pip(*words):
    return subprocess.run(
        [
            ENVIRONMENT / "bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *words,
        ],
        text=True,
        capture_output=True,
    )


def measure(workload, module, order, left_out) -> list[dict]:
    """One row for each contestant: cold compilation and the gradient's error first, then rounds in
    turn."""
    reference = module.reference(order)
    both = len(getattr(module, "ORDERS", (2, 1))) == 2
    apart = distance(module.reference(3 - order), reference) if both else 1.0
    if apart < 1e-2:
        raise AssertionError(
            "first and second order hardly differ here: the comparison would not tell them apart"
        )
    running, rows = {}, {}
    for name, build in module.contestants(order).items():
        say(f"order {order}: {name}")
        try:
            contestant = build()
            cold = warm(contestant)
            error = contestant.gradient and distance(contestant.gradient(), reference)
            if (
                error is not None and not error < min(apart, 1) / 5
            ):  # single precision alone errs by a tenth, where five steps go through max-pooling
                raise AssertionError(
                    f"its meta-gradient is wrong by {error:.0e}, and the other order's is"
                    f" {apart:.0e} away"
                )
            peak = memory(contestant)
            running[name] = contestant
        except Exception as problem:
            left_out[f"{name}, order {order}"] = (
                f"{type(problem).__name__}: {problem}".splitlines()[0]
            )
            continue
        rows[name] = {
            "workload": workload,
            "contestant": name,
            "order": order,
            "error": error,
            "cold_s": cold,
            "peak_mb": peak,
        }
        say(
            f"order {order}: {name}: cold {cold} s, error"
            f" {error if error is None else format(error, '.0e')}"
        )
    for name, times in rounds(running, module.ROUNDS, f"order {order}").items():
        rows[name] |= times
    return list(rows.values())


def scale(module) -> list[dict]:
    """Second order with more and more tasks, for the contestants that `module.scaling` names."""
    running, cold = {}, {}
    for tasks in SCALES:
        for name, build in module.scaling(tasks).items():
            say(f"{tasks} tasks: {name}")
            running[name, tasks] = build()
            cold[name, tasks] = warm(running[name, tasks])
    return [
        {"contestant": name, "tasks": tasks, "cold_s": cold[name, tasks]} | times
        for (name, tasks), times in rounds(running, module.ROUNDS, "scaling").items()
    ]


def warm(contestant):
    """Compiles: the first round less what a second one takes, in seconds."""
    first, second = (clock(contestant)[0] * contestant.step / 1e3 for _ in range(2))
    return round(max(0.0, first - second), 2)


def rounds(running: dict, many: int, label: str) -> dict:
    """Milliseconds an iteration: median and interquartile range over the rounds, and processor time
    beside wall time."""
    wall, busy = ({name: [] for name in running} for _ in range(2))
    for i in range(many):
        say(f"{label}: round {i + 1} of {many}")
        for name, contestant in running.items():
            elapsed, used = clock(contestant)
            wall[name].append(elapsed)
            busy[name].append(used)
    result = {}
    for name in running:
        low, middle, high = statistics.quantiles(wall[name], n=4)
        result[name] = {
            "median_ms": middle,
            "spread_ms": high - low,
            "cpu_ms": statistics.median(busy[name]),
            "iterations_a_round": running[name].step,
        }
    return result


def clock(contestant) -> tuple[float, float]:
    wall, busy = time.perf_counter(), time.process_time()
    contestant.advance(contestant.step)
    return (
        (time.perf_counter() - wall) * 1e3 / contestant.step,
        (time.process_time() - busy) * 1e3 / contestant.step,
    )


def memory(contestant) -> float:
    """MB that a round holds at its peak beyond what lay in the process before it, free pieces given
    back. Linux only."""
    from mamlkit.memory import resident
    from tests.benchmarks.evaluation import most

    ctypes.CDLL(None).malloc_trim(0)
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the kernel counts the peak anew
    contestant.advance(contestant.step)
    return most() - before / 2**20


def distance(gradient, reference) -> float:
    """The relative error of a gradient in float64, both flat."""
    import torch

    a, b = (torch.as_tensor(g, dtype=torch.float64) for g in (gradient, reference))
    return ((a - b).norm() / b.norm()).item()


def write(workload, module, rows, scaling, left_out) -> None:
    """Prints the table and writes the record."""
    from mamlkit.bank.provenance import commit, describe, installed

    print(
        f"\n{workload}: {module.DESCRIPTION}\nms an iteration on one core; ratios of processor"
        " time\n"
    )
    print(
        f"{'contestant':28} order   median   spread  cpu time  / best peer   / floor     error  "
        " cold s   peak MB"
    )
    for row in rows:
        peer, floor = (of and row["cpu_ms"] / of["cpu_ms"] for of in rivals(rows, row["order"])[1:])
        row |= {"cpu_over_peer": peer, "cpu_over_floor": floor}
        error = f"{row['error']:.0e}" if row["error"] is not None else "-"
        ratios = [nan if ratio is None else ratio for ratio in (peer, floor)]
        print(
            f"{row['contestant']:28} {row['order']:5} {row['median_ms']:8.3f}"
            f" {row['spread_ms']:8.3f} {row['cpu_ms']:9.3f} {ratios[0]:12.2f} {ratios[1]:9.1f}"
            f" {error:>9} {row['cold_s']:8.1f} {row['peak_mb']:9.0f}"
        )
    if scaling:
        print("\nsecond order, cpu time in ms by number of tasks (cold compilation in s)")
    for name in dict.fromkeys(row["contestant"] for row in scaling):
        print(
            f"{name:28}",
            *(
                f"{r['tasks']:5}: {r['cpu_ms']:.3f} ({r['cold_s']:.0f})"
                for r in scaling
                if r["contestant"] == name
            ),
        )
    print("\nleft out:", *(f"  {name}: {reason}" for name, reason in left_out.items()), sep="\n")
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    record = {
        "workload": workload,
        "description": module.DESCRIPTION,
        "date": date.today().isoformat(),
        "commit": commit(),
        "machine": (
            describe()
            | {
                "cpu": model.group(1) if model else "unknown",
                "cores": os.cpu_count(),
                "cores used": 1,
            }
        ),
        "versions": {p.split("==")[0]: installed(p.split("==")[0]) for p in PEERS},
        "spread": f"interquartile range of {module.ROUNDS} rounds of wall time",
        "rows": rows,
        "scaling": scaling,
        "left_out": left_out,
    }
    path = RECORDS / f"{workload}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(f"\nwritten to {path.relative_to(ROOT)}")


def rivals(rows: list[dict], order: int) -> list[dict | None]:
    """The fastest of ours, the fastest peer and the matmul floor, by processor time; None for one
    that did not run."""
    those = [row for row in rows if row["order"] == order]
    kind = lambda row: next((k for k in (OURS, FLOOR) if row["contestant"].startswith(k)), "peer")
    fastest = lambda k: min(
        (row for row in those if kind(row) == k), key=lambda row: row["cpu_ms"], default=None
    )
    return [fastest(k) for k in (OURS, "peer", FLOOR)]


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

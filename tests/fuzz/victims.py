"""What is killed: trainings, `bank`, `judge`, `run` and `--grid`, all small, each in its own place.

`python -m tests.fuzz.victims` is a host that imports everything once, and then forks a process for
every line of JSON that it is given.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from mamlkit.bank import experiment
from mamlkit.bank.checkpoint import resumable
from mamlkit.families.sinusoid import sinusoid
from mamlkit.files import ROOT
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp
from mamlkit.optimizer import adam
from mamlkit.train import train
from mamlkit.variants.maml import maml
from tests.bank.tiny import TINY
from tests.small_notebooks import HEADER

if place := os.environ.get("MAMLKIT_FUZZ_PLACE"):  # also in the process that `bank` makes
    experiment.ROOT, experiment.SAVE_EVERY = Path(place), 0.2

JUDGES = ("images", "images_inside", "first_order", "navigation", "variants")  # the quick ones
TRAINING = (  # without torch: to import it would take longer than all the rest
    HEADER.format(title="A training")
    + """
# %%
import json
import os
import random
import time
from pathlib import Path

from mamlkit import files

folder = Path(os.environ["MAMLKIT_RESULTS"])
state = folder / "checkpoints" / "run.json"
step, value = json.loads(state.read_bytes()) if state.exists() else (0, float(seed))
while step < 60:
    value = random.Random(value).gauss(value)
    step += 1
    files.write(state, json.dumps([step, value]))
    time.sleep(0.01)
files.write(folder / "claims" / "C001.quick.json", json.dumps({"verdict": "partial"}))
print(step, value)
"""
)


def training(resume=None, *, compiled=False):
    """A small meta-training; the last block is cut short."""
    net = mlp(1, 5, 4, 1)
    return train(
        maml(mse(net.forward), alpha=0.01, steps=1),
        net.init(seeded(4)),
        sinusoid(shots=3, queries=6),
        adam(0.01),
        generator=seeded(9),
        tasks=2,
        iterations=70,
        block=3,
        compiled=compiled,
        resume=resume,
    )


def digest(params) -> str:
    """Parameters as 16 hex digits, every bit of them."""
    known = hashlib.sha256()
    for name, p in params.items():
        known.update(f"{name} {p.dtype} {tuple(p.shape)}".encode() + p.numpy().tobytes())
    return known.hexdigest()[:16]


# The jobs: (where they write, what tells how far they are) -> exit status


def _train(place, tell, compiled=False):
    steps = lambda resume: training(resume, compiled=compiled)
    for step in resumable(place / "run.safetensors", steps, about={"a": 1}, seconds=0.0):
        tell(step.iteration)


def _bank(place, tell):
    from mamlkit.bank import work

    return work.run([job for job in work.missing([TINY], "quick", 1) if job.cell == "maml-0"])


def _judge(place, tell):
    from mamlkit.__main__ import main
    from mamlkit.audit import bench, claims, judging

    experiment.ROOT = ROOT  # whose trainings are judged
    claims.BANK = judging.BANK = place / "data"
    bench.FILES = JUDGES
    return main(["judge", "--draft"])


def _run(place, tell, *more):
    from mamlkit.__main__ import main

    words = ["--folder", str(place / "book"), "--out", str(place / "out")]
    return main(["run", *more, *words])


JOBS = {
    "train": _train,
    "compiled": lambda place, tell: _train(place, tell, compiled=True),
    "bank": _bank,
    "judge": _judge,
    "run": _run,
    "grid": lambda place, tell: _run(place, tell, "00", "--grid", "seed=0,1"),
}


def furnish(place: Path) -> None:
    """Makes the place ready in which a job is done."""
    from tests.small_notebooks import OTHER, write

    (place / "tmp").mkdir(parents=True)
    (place / "data").mkdir()
    shutil.copy(ROOT / "data" / "ledger.json", place / "data")
    write(place / "book", _00_a=TRAINING, _01_b=OTHER)


def _life(order, tell):
    place = Path(order["place"])
    tempfile.tempdir = None
    os.environ |= {"MAMLKIT_FUZZ_PLACE": str(place), "TMPDIR": str(place / "tmp")}
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": order["cache"]}
    experiment.ROOT, experiment.SAVE_EVERY = place, 0.2
    with open(place / "log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.setsid()
    return JOBS[order["job"]](place, tell) or 0


def host():
    """For each line of JSON on stdin, forks a process that does the job; tells its number, how far
    it is and how it ended."""
    import matplotlib.pyplot
    import nbclient
    import papermill

    import mamlkit.book.headless  # noqa: F401

    assert matplotlib.pyplot and nbclient and papermill
    told = os.dup(1)
    tell = lambda word: os.write(told, f"{word}\n".encode())  # one write: it may be killed
    torch.set_num_threads(1)
    next(training())  # torch imports half of itself at the first vmap: once is enough
    tell("ready")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                os._exit(_life(json.loads(line), tell))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(99)
        tell(f"began {child}")
        tell(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    host()

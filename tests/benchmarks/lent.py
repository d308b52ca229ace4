"""Table 1 on a GPU that is lent for minutes.

    python -m tests.benchmarks.lent start --minutes 11 omniglot-5w1s/fomaml-0 \\
        mini-5w1s-sixth/maml-0,mini-5w1s-sixth/fomaml-0
    python -m tests.benchmarks.lent poll

`start` trains the cells EXPERIMENT/CELL as `python -m mamlkit bank --device cuda` does: those with
a comma between them one after another, the others side by side on the one card. It returns at once;
they go on alone, and each saves where it is when its minutes are over. Small updates leave most of
a card idle: through CUDA's Multi-Process Service, where the machine has it, their kernels run at
the same time. On an H200 three Omniglot trainings side by side took 1.8 times less than one after
another. `poll` says how far each is, and packs what is banked and what was saved into $OUT:
unpacked at the root of a checkout, the same commands go on from there. MAMLKIT_COMMIT names the
commit of a copy without its history.

Never end one of them early by a signal: on an H200 the card's service then failed in all others,
which went on from what they had saved. One that is to wait is stopped with SIGSTOP.

A session of fifteen minutes: one call that carries the original images (data/README.md) to
data/cache/omniglot and data/cache/miniimagenet and starts, then a `poll` now and then. Compiling
takes the first minute of a one-step training and about three of a five-step one on four cores. On
an H200, side by side, 60,000 iterations of Omniglot took 95 s (5-way 1-shot, first order) to 210 s,
10,000 of miniImagenet 5-way 5-shot 300 s.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from mamlkit.bank import work
from mamlkit.files import ROOT
from mamlkit.machine import choose_device
from mamlkit.studies.catalogue import find

LOGS = ROOT / "data" / "cache" / "lent"
ROOMS = ("data/bank", "data/cache/runs")
USABLE = "import torch; torch.zeros(1, device='cuda')"
SEEDS = 5  # of a cell at most
LIMIT = 15 * 2**20  # bytes of one packed file


def jobs(words: str, profile: str, device: str) -> list[work.Job]:
    """The cells that a word like "a/x-0,a/y-0" names, without those that are banked. Raises
    ValueError for an experiment that the catalogue does not have, and for a cell that it has
    not."""
    found = []
    for word in words.split(","):
        name, _, cell = word.partition("/")
        known = find([name])[0].cells(profile, SEEDS)
        if cell not in known:
            raise ValueError(f'"{word}" is no cell: {name} has {", ".join(known)}')
        found += [
            job for job in work.missing(find([name]), profile, SEEDS, device) if job.cell == cell
        ]
    return found


def shared() -> dict[str, str]:
    """Starts the Multi-Process Service: what a process has to know to use it; nothing without
    one."""
    if not shutil.which("nvidia-cuda-mps-control"):
        return {}
    place = {f"CUDA_MPS_{kind}_DIRECTORY": str(LOGS) for kind in ("PIPE", "LOG")}
    subprocess.run(["nvidia-cuda-mps-control", "-d"], env=os.environ | place, check=False)
    tried = subprocess.run([sys.executable, "-c", USABLE], env=os.environ | place, check=False)
    return place if tried.returncode == 0 else {}


def start(names: list[str], minutes: float, device: str, profile: str) -> None:
    """Begins all chains of cells, unless one names what there is not; each writes a log in
    data/cache/lent."""
    for name in names:
        jobs(name, profile, device)
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "begun").touch()
    place = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | shared()
    print("side by side" if len(place) > 2 else "the card takes turns", flush=True)
    how = ["--minutes", f"{minutes:g}", "--device", device, "--profile", profile]
    for name in names:
        words = [sys.executable, "-m", "tests.benchmarks.lent", "make", *how, name]
        kept = LOGS / f"{name.replace('/', ' ').replace(',', ' ')}.log"
        with open(kept, "w", encoding="utf-8") as log:
            subprocess.Popen(
                words, cwd=ROOT, env=os.environ | place, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip


def poll(out: Path) -> None:
    """Says how far each chain is, and packs what is new."""
    for log in sorted(LOGS.glob("*.log")):
        print((log.read_text(encoding="utf-8").splitlines() or [f"{log.stem}: nothing yet"])[-1])
    begun = (LOGS / "begun").stat().st_mtime
    files = [f for room in ROOMS for f in sorted((ROOT / room).rglob("*.safetensors"))]
    for i, part in enumerate(parts([f for f in files if f.stat().st_mtime >= begun])):
        with tarfile.open(out / f"lent-{i}.tgz", "w:gz") as packed:
            for file in part:
                packed.add(file, file.relative_to(ROOT))


def parts(files: list[Path]) -> list[list[Path]]:
    """The files in their order, in parts that each come back: a file from a lent machine may have
    16 MiB. What is banked comes first."""
    found: list[list[Path]] = [[]]
    left = LIMIT
    for file in files:
        left -= file.stat().st_size
        if left < 0 and found[-1]:
            found.append([])
            left = LIMIT - file.stat().st_size
        found[-1].append(file)
    return found


def main(words: list[str]) -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.benchmarks.lent")
    asked.add_argument("action", choices=("start", "make", "poll"))
    asked.add_argument("names", nargs="*")
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--device", default="cuda")
    asked.add_argument("--profile", default="paper")
    said = asked.parse_intermixed_args(words)
    if said.action == "start":
        start(said.names, said.minutes, said.device, said.profile)
    elif said.action == "make":
        (name,) = said.names
        device = str(choose_device(said.device))
        return work.run(jobs(name, said.profile, device), said.minutes)
    else:
        poll(Path(os.environ.get("OUT", ".")))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"lent: {error}")

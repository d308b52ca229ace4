"""Table 1 on a GPU that is lent for minutes.

    python -m tests.benchmarks.lent start --minutes 11 omniglot-20w1s-third mini-5w1s-sixth
    python -m tests.benchmarks.lent poll

`start` begins `python -m mamlkit bank --device cuda --only NAME` for each name, all side by side
on the one card, and returns at once; they go on alone, and each saves where it is when its minutes
are over. Small updates leave most of a card idle: through CUDA's Multi-Process Service, where the
machine has it, their kernels run at the same time. On an H200 three Omniglot trainings side by side
took 1.8 times less than one after another. `poll` says how far each is, and packs what is banked
and what was saved into $OUT: unpacked at the root of a checkout, the same commands go on from
there. MAMLKIT_COMMIT names the commit of a copy without its history.

A session of fifteen minutes: one call that carries Omniglot's decoded files (data/README.md) to
data/cache/decoded and starts, then a `poll` every minute. Compiling takes the first minute of a
one-step training and about three of a five-step one on four cores.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from mamlkit.files import ROOT

LOGS = ROOT / "data" / "cache" / "lent"
ROOMS = ("data/bank", "data/cache/runs")


def commands(names: list[str], minutes: float, device: str, profile: str) -> dict[str, list[str]]:
    """The command of each experiment."""
    words = [sys.executable, "-m", "mamlkit", "bank", "--device", device, "--profile", profile]
    return {name: [*words, "--minutes", f"{minutes:g}", "--only", name] for name in names}


def start(names: list[str], minutes: float, device: str, profile: str) -> None:
    """Begins all experiments; each writes data/cache/lent/NAME.log."""
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "begun").touch()
    place = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if shutil.which("nvidia-cuda-mps-control"):
        place |= {f"CUDA_MPS_{kind}_DIRECTORY": str(LOGS) for kind in ("PIPE", "LOG")}
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=os.environ | place, check=False)
    for name, words in commands(names, minutes, device, profile).items():
        with open(LOGS / f"{name}.log", "w", encoding="utf-8") as log:
            subprocess.Popen(
                words, cwd=ROOT, env=os.environ | place, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip


def poll(out: Path) -> None:
    """Says how far each experiment is, and packs what is new."""
    for log in sorted(LOGS.glob("*.log")):
        print((log.read_text(encoding="utf-8").splitlines() or [f"{log.stem}: nothing yet"])[-1])
    begun = (LOGS / "begun").stat().st_mtime
    with tarfile.open(out / "lent.tgz", "w:gz") as packed:
        for file in (f for room in ROOMS for f in sorted((ROOT / room).rglob("*.safetensors"))):
            if file.stat().st_mtime >= begun:
                packed.add(file, file.relative_to(ROOT))


def main(words: list[str]) -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.benchmarks.lent")
    asked.add_argument("action", choices=("start", "poll"))
    asked.add_argument("names", nargs="*")
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--device", default="cuda")
    asked.add_argument("--profile", default="paper")
    said = asked.parse_args(words)
    if said.action == "start":
        start(said.names, said.minutes, said.device, said.profile)
    else:
        poll(Path(os.environ.get("OUT", ".")))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Kills at random moments: `python -m tests.fuzz.kills 1000` makes a thousand and counts.

With `--log FILE` it is done in pieces, one after another or beside each other, which add up:
`... 100 --seed 1 --only run --only grid --log FILE`; `... 0 --log FILE` says what there is so far.

A story is one place in which one job is killed a few times, and then done to its end. After every
kill all files there must be whole, what was told must be kept, and every process must end. At the
end the numbers are those of a run that nobody stopped, bit for bit, and nothing else is left.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat

from mamlkit.bank.checkpoint import read
from mamlkit.bank.provenance import commit
from mamlkit.files import ROOT
from tests.fuzz.victims import JOBS, digest, furnish

SHARE = {"train": 0.66, "compiled": 0.03, "bank": 0.06, "judge": 0.12, "run": 0.08, "grid": 0.05}
EACH = {"train": 10, "compiled": 10, "bank": 7, "judge": 12, "run": 7, "grid": 8}  # kills a story
STAYS = 45.0  # seconds after which a process that outlives its parent is an orphan
COLD = 60.0  # seconds that compiling takes where nothing is kept of an earlier time


class Host:
    """The process that forks the victims."""

    def __init__(self):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.victims"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def life(self, job: str, place: Path, cache: Path, killed=None):
        """(how it ended, what it told, seconds). killed: (after how many words, after how many
        seconds from there, whether the deepest process below it is killed instead)."""
        assert self.process.stdin
        order, self.hit = {"job": job, "place": str(place), "cache": str(cache)}, False
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        begin, child, told, timer = time.monotonic(), 0, [], None
        while True:
            word, _, rest = self._line().partition(" ")
            if word == "ended":
                if timer:
                    timer.cancel()
                return int(rest), told, time.monotonic() - begin
            if word == "began":
                child = int(rest)
            elif word:
                told.append(int(word))
            if child and killed and len(told) >= killed[0] and timer is None:
                timer = threading.Timer(killed[1], self._kill, (child, place, killed[2]))
                timer.start()
                if killed[1] < 0.02:
                    timer.join()

    def _kill(self, child, place, below):
        victims = [process for process in those_of(place)] if below else []
        try:
            os.kill((victims or [child])[-1], signal.SIGKILL)
            self.hit = True
        except ProcessLookupError:
            pass

    def close(self):
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def those_of(place: Path) -> list[int]:
    """The processes that were begun for this place."""
    found = []
    for folder in os.scandir("/proc"):
        if folder.name.isdigit():
            try:
                with open(f"/proc/{folder.name}/environ", "rb") as file:
                    ours = f"MAMLKIT_FUZZ_PLACE={place}\0".encode() in file.read()
            except OSError:
                continue
            found += [int(folder.name)] if ours else []
    return sorted(found)


def damage(place: Path) -> list[str]:
    """Every file that a name says to be whole, and is not."""
    wrong = []
    for path in place.rglob("*"):
        if path.name.startswith(".") or "cache-of-torch" in str(path) or not path.is_file():
            continue
        try:
            if path.suffix == ".ipynb":
                nbformat.read(path, 4)
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            if path.suffix in (".safetensors", ".previous"):
                read(path)
            if path.suffix == ".html":
                assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        except Exception as error:
            wrong.append(f"{path.name}: {type(error).__name__} {error}"[:200])
    return wrong


def left(place: Path) -> list[str]:
    """What a finished job leaves that nobody asked for."""
    hidden = [p for p in place.glob("[!t]*/**/.*") if p.name != ".mamlkit-run"]
    compilers = "torchinductor_*"  # torch's own cache
    strange = [p for p in (place / "tmp").iterdir() if not p.match(compilers)]
    strange += [*place.rglob("*.damaged"), *place.rglob("*.tmp")]
    runs = [p for p in (place / "data/cache/runs").rglob("*") if p.is_file()]
    return sorted({str(p.relative_to(place)) for p in hidden + strange + runs})


def numbers(job: str, place: Path) -> object:
    """What a finished job made, without dates and seconds."""
    if job in ("train", "compiled"):
        about, tensors = read(place / "run.safetensors")
        return about["iteration"], digest(tensors)
    if job == "bank":
        kept = sorted((place / "data/cache/bank/quick/tiny").glob("*.safetensors"))
        found = {p.name: read(p) for p in kept}
        return {k: (digest(t), about["about"]["beginning"]) for k, (about, t) in found.items()}
    if job == "judge":
        kept = sorted((place / "data/claims").glob("*.json"))
        return {p.name: _undated(json.loads(p.read_bytes())) for p in kept}
    books = sorted((place / "out").rglob("00_a.ipynb"))
    printed = [[o.get("text") for c in _code(p) for o in c.outputs] for p in books]
    whole = sorted(str(p.relative_to(place / "out")) for p in (place / "out").rglob("*.html"))
    status = []
    if job == "grid":
        rows = json.loads((place / "out" / "sweep.json").read_bytes())["runs"]
        status = [(row["parameters"], row["status"] != "failed") for row in rows]
    kept = [json.loads(p.read_bytes()) for p in sorted((place / "out").rglob("run.json"))]
    return printed, kept, whole, status


def _code(path):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


def _undated(record):
    record["provenance"] |= {"date": "", "commit": ""}
    return record


class Campaign:
    """Stories, and what went wrong in them."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.rng, self.host = folder, random.Random(seed), Host()
        self.cache, self.unbroken, self.seconds = folder / "cache-of-torch", {}, {}
        self.kills, self.wrong, self.stories = Counter(), [], 0

    def whole(self, job: str):
        """The numbers of a run that nobody stops."""
        if job not in self.unbroken:
            place = self._place(job, "whole")
            status, told, self.seconds[job] = self.host.life(job, place, self.cache)
            assert status == 0, (place / "log").read_text()[-2000:]
            assert not left(place), left(place)
            self.unbroken[job] = numbers(job, place), told
        return self.unbroken[job]

    def _place(self, job, name):
        place = self.folder / f"{job}-{name}"
        furnish(place)
        return place

    def story(self, job: str, kills: int) -> None:
        """One place, up to so many kills, and the end."""
        (right, _), self.stories = self.whole(job), self.stories + 1
        place, seen = self._place(job, str(self.stories)), 0
        cold = job == "compiled" and self.rng.random() < 0.25  # killed inside the compiler too
        cache = place / "cache-of-torch" if cold else self.cache
        for _ in range(kills):
            status, told, _ = self.host.life(job, place, cache, self._moment(job, cold))
            self.kills[job] += self.host.hit
            self._alone(job, place)
            if told and told[0] < seen:
                self._note("lost", job, place, f"{seen} was told, it goes on at {told[0]}")
            seen = max([seen, *told])
            for file in damage(place):
                self._note("lost", job, place, f"cut: {file}")
            if status == 99:
                self._note("traceback", job, place, (place / "log").read_text()[-600:])
            # How long a job takes depends on who else works here: every third comes to its end.
            self.seconds[job] *= 1.05 if self.host.hit else 0.9
            if status == 0:  # it was done before the kill came
                break
        status, told, _ = self.host.life(job, place, cache)
        if status:
            self._note("lost", job, place, f"it does not go on: status {status}")
        elif (found := numbers(job, place)) != right:
            self._note("lost", job, place, f"other numbers: {found} instead of {right}"[:900])
        if there := left(place):
            self._note("leftover", job, place, there)
        if "compiling failed" in (log := (place / "log").read_text()):
            self._note("uncompiled", job, place, log[-600:])
        if not any(str(place) == where for _, _, where, _ in self.wrong):
            shutil.rmtree(place)

    def _alone(self, job, place):
        """Waits until whatever the killed one began has ended."""
        until = time.monotonic() + STAYS
        while (still := those_of(place)) and time.monotonic() < until:
            time.sleep(0.1)
        for process in still:
            self._note("orphan", job, place, f"process {process}")
            os.kill(process, signal.SIGKILL)

    def _moment(self, job, cold):
        """When to kill: anywhere between a job's begin and its end, evenly."""
        if job == "train":
            return self.rng.randrange(6), self.rng.uniform(0, 0.015), False
        steps = self.rng.choice([0, 0, self.rng.randrange(1, 12)]) if job == "compiled" else 0
        whole = COLD if cold and not steps else self.seconds[job]
        late = self.rng.uniform(0, 0.02) if steps else self.rng.uniform(0, 1.1 * whole)
        return steps, late, job in ("bank", "run", "grid") and self.rng.random() < 0.25

    def _note(self, kind, job, place, what):
        self.wrong.append((kind, job, str(place), what))
        print(f"{kind} in {job}: {what} ({place})", flush=True)

    def told(self, before: Counter, known: int) -> dict:
        """What came since then, as a line of a log."""
        return {"kills": dict(self.kills - before), "wrong": self.wrong[known:]}


def tally(lines: list[dict]) -> str:
    """What was counted, by job and by what went wrong."""
    kills, kinds = Counter(), Counter()
    for line in lines:
        kills.update(line["kills"])
        kinds.update(kind for kind, *_ in line["wrong"])
    said = ", ".join(f"{job} {kills[job]}" for job in JOBS)
    found = [f"{kinds[kind]} {kind}" for kind in ("lost", "leftover", "orphan")]
    other = [f"{n} {k}" for k, n in kinds.items() if k not in ("lost", "leftover", "orphan")]
    stories = f"{len(lines)} stories"
    return f"{kills.total()} kills in {stories} ({said}): {', '.join(found + other)}"


def campaign(total: int, folder: Path, seed: int, jobs: list[str]) -> Iterator[dict]:
    """Kills `total` times, shared out over the jobs as SHARE says: a line for every story."""
    made, all_ = Campaign(folder, seed), sum(SHARE[job] for job in jobs)
    wanted = {job: max(1, round(SHARE[job] / all_ * total)) for job in jobs}
    done = lambda job: made.kills[job] / wanted[job]
    while done(job := min(jobs, key=done)) < 1:  # all go on alike: a piece may be cut short
        before, known = made.kills.copy(), len(made.wrong)
        made.story(job, min(EACH[job], wanted[job] - made.kills[job]))
        yield made.told(before, known)
    made.host.close()


def main() -> int:
    """Makes a piece, adds it to the log, and says what is in there."""
    words = argparse.ArgumentParser(prog="python -m tests.fuzz.kills")
    words.add_argument("kills", type=int, help="how many")
    words.add_argument("--seed", type=int, default=0, help="which moments (default: 0)")
    words.add_argument("--only", action="append", choices=JOBS, help="of this job")
    words.add_argument("--log", type=Path, help="where pieces add up, a line for every story")
    asked = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    log = asked.log or folder / "log"
    about = {"seed": asked.seed, "commit": commit()}
    if asked.kills:
        for line in campaign(asked.kills, folder, asked.seed, asked.only or list(JOBS)):
            with log.open("a") as file:  # one short write: another piece may be at it too
                file.write(json.dumps(line | about) + "\n")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    wrong = [line for line in lines if line["wrong"]]
    print(*wrong, tally(lines), sep="\n")
    if not wrong:  # else what is left there says why
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m MODULE` and `python -c PROGRAM`, forked from a process that has imported torch: that
import takes longer than most of what a test asks of a process."""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch._dynamo"])  # which the first gradient imports


class Forked(NamedTuple):
    """A process, and the file of what it says."""

    process: multiprocessing.process.BaseProcess
    said: Path

    def ended(self, seconds: float = 300) -> tuple[int, str]:
        """(exit status, what it said). One that takes longer is killed."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        return self.process.exitcode, self.said.read_text(encoding="utf-8")


def python(words: list[str], *, tree: Path, said: Path, environment: dict[str, str]) -> Forked:
    """Starts `python WORDS`: "-m", a module, ... or "-c", a program, ... of a tree of code.

    said: the file that gets what it prints.
    """
    process = FORKS.Process(target=_live, args=(words, tree, said, environment), daemon=True)
    process.start()
    return Forked(process, said)


def _live(words, tree, said, environment):
    """What the forked process does."""
    with open(said, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(tree)
    for name in [name for name in sys.modules if name.split(".")[0] in ("mamlkit", "tests")]:
        del sys.modules[name]
    sys.path.insert(0, str(tree))
    kind, what, *rest = words
    sys.argv = [what, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<program>", "exec"), {"__name__": "__main__"})

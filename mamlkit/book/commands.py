"""The words of the command line: each command, its arguments and its examples."""

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mamlkit.bank.budget import PROFILES
from mamlkit.book import notebooks as book
from mamlkit.files import ROOT

# What each extra of pyproject.toml brings, as it is imported; all else is the algorithm's own.
EXTRAS = {
    "images": ("PIL", "pooch"),
    "rl": ("gymnasium", "mujoco"),
    "book": (
        *("IPython", "anywidget", "ipykernel", "ipympl", "ipywidgets", "jupyterlab", "jupytext"),
        *("latex2mathml", "matplotlib", "nbclient", "nbconvert", "nbformat", "papermill", "pdoc"),
        *("scipy", "tqdm"),
    ),
    "scale": ("dask", "distributed"),
    "test": (
        *("imageio", "nbval", "playwright", "psutil", "pytest", "pytest_timeout"),
        *("stable_baselines3", "xdist", "yaml"),
    ),
}


def parser(actions: Mapping[str, Callable]) -> argparse.ArgumentParser:
    """What the command line understands. actions: what each command does, by its name."""
    words = argparse.ArgumentParser(
        prog="python -m mamlkit",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "The executable, audited edition of the MAML paper: run its notebooks, with or without"
            " a browser."
        ),
        epilog=(
            "start here:\n  python -m mamlkit lab      read, run and play in JupyterLab\n"
            "  python -m mamlkit run      run every notebook without a browser, into runs/\n"
            "  python -m mamlkit COMMAND --help   what a command does, with examples"
        ),
    )
    commands = words.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name, summary, about, examples):
        sub = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n{about}",
            allow_abbrev=False,
            epilog="\n  ".join(["examples:", *(f"python -m mamlkit {e}" for e in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(action=actions[name], folder=book.NOTEBOOKS)
        return sub

    run = add(
        "run",
        "run notebooks without a browser",
        "Writes executed notebooks, HTML pages, claims and checkpoints to runs/<date>-<time>/.\n"
        "If a notebook fails, the others still run. A path leads to a notebook of your own, .py\n"
        "or .ipynb. What it reports by mamlkit.book.report.report(accuracy=...) is shown at the\n"
        "end; a grid's is a table, and a file sweep.csv.",
        [
            "run",
            "run 01 -p profile=smoke",
            "run 01_sinusoids -p seed=3 -p profile=quick",
            "run 01 --list",
            "run 01 --grid seed=0,1,2 alpha=0.005,0.01 -p profile=smoke",
            "run 01 --grid seed=0,1,2 --workers 3",
            "run ~/mine.py 08 --grid alpha=0.01,0.1 seed=0,1 --plot error",
        ],
    )
    run.add_argument(
        "notebooks",
        nargs="*",
        metavar="NOTEBOOK",
        help="which, e.g. 01 or 01_sinusoids, or a path; all of the book's if none is named",
    )
    run.add_argument(
        "-p",
        action="append",
        metavar="NAME=VALUE",
        help="a parameter, for those notebooks that have it",
    )
    run.add_argument(
        "--grid",
        action="extend",
        nargs="+",
        metavar="NAME=V1,V2",
        help="run each notebook for every combination of values that it was not run with before",
    )
    run.add_argument(
        "--plot",
        metavar="NUMBER",
        help="draw a number that the notebooks report over the grid",
    )
    run.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where results go; in an earlier run's folder its checkpoints are used",
    )
    run.add_argument(
        "--list",
        action="store_true",
        help="say which notebooks and parameters there are, and run nothing",
    )

    lab = add(
        "lab",
        "open the notebooks in JupyterLab",
        "The copies that it opens lie in lab/ and are yours. Further arguments go to JupyterLab.",
        ["lab", "lab --no-browser --port=8890"],
    )
    test = add(
        "test",
        "run every test",
        "That is pytest on tests/ and every cell of every notebook at profile smoke. Further"
        " arguments go to pytest.",
        ["test", "test -x -k sinusoids"],
    )
    for sub in (lab, test):
        sub.usage = f"python -m mamlkit {sub.prog.split()[-1]} [-h] [argument ...]"

    bank = add(
        "bank",
        "train what the committed results are made from",
        "Each cell of an experiment that is not there yet is trained in a process of its own,\ngoes"
        " on where it was interrupted, and is kept as one file: those of the paper's budget"
        " in\ndata/bank, others in data/cache/bank. It needs torch, but no Jupyter.\nExit status: 0"
        " all is banked, 1 a cell failed or a check differs, 3 time ran out.",
        [
            "bank --list",
            "bank --only omniglot-5w1s-cpu --seeds 3",
            "bank --minutes 25",
            "bank --workers 8",
            "bank --check",
        ],
    )
    bank.add_argument(
        "--profile", choices=PROFILES, default="paper", help="how much is run (default: paper)"
    )
    bank.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only this experiment; may be given again",
    )
    bank.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="stop after so long; the same command goes on from there",
    )
    bank.add_argument(
        "--seeds", type=int, metavar="N", help="so many seeds; what is banked of them stays"
    )
    bank.add_argument(
        "--device",
        default="cpu",
        help="where it trains: cpu (default), cuda, auto",
    )
    bank.add_argument(
        "--check", action="store_true", help="does what is kept still begin as the code does?"
    )
    bank.add_argument("--list", action="store_true", help="say what there is, and run nothing")

    judge = add(
        "judge",
        "write the record of every claim anew from what is banked",
        "Nothing is trained. The commit must be clean: every record names it.",
        ["judge", "judge --independent"],
    )
    judge.add_argument("--draft", action="store_true", help="also from a tree with changes")
    judge.add_argument(
        "--independent",
        action="store_true",
        help="re-read the banked networks with code that shares no line with the package",
    )

    notebooks = add(
        "notebooks",
        "make the committed .ipynb files from the .py files",
        "Each is run at its own parameters (profile quick).",
        ["notebooks", "notebooks 01"],
    )
    notebooks.add_argument(
        "notebooks", nargs="*", metavar="NOTEBOOK", help="which ones; all if none is named"
    )
    readme = add(
        "readme",
        "write what is generated from the records",
        "That is data/CLAIMS.md, data/claims.png and the count in README.md.",
        ["readme"],
    )
    readme.add_argument(
        "--file", type=Path, default=ROOT / "README.md", help="another file than README.md"
    )
    for sub in (run, bank):
        sub.add_argument(
            "--workers",
            type=int,
            metavar="N",
            help="so many at a time, over workers of dask.distributed on this machine",
        )
        sub.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="over the workers of this dask scheduler, which must see this folder",
        )
    for sub in (run, bank, notebooks):
        sub.add_argument(
            "--folder", type=Path, help=argparse.SUPPRESS
        )  # other notebooks than the book's: tests use it
    return words


def lacking(module: str | None) -> str | None:
    """What to say where a module is not here: which extra brings it; None if none does."""
    root = (module or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if root in modules:
            return f"needs {root}, which is not here: pip install 'mamlkit[{extra}]'"
    return None


def pairs(texts: list[str] | None) -> dict[str, str]:
    """`name=value` words as a dict. Raises ValueError for a word of another form, and for a name
    given twice."""
    pairs = {}
    for text in texts or ():
        if not re.fullmatch(r"\w+=.+", text, re.DOTALL):
            raise ValueError(f'"{text}" is not a parameter; write it as name=value, e.g. seed=3')
        name, _, value = text.partition("=")
        if name in pairs:
            raise ValueError(f"{name} is given twice: {pairs[name]} and {value}; give it once")
        pairs[name] = value
    return pairs


def results_folder(out: Path | None, runs: Path) -> Path:
    """The folder of this run. One that is named may exist only if it is empty or from a run: then
    the run goes on in it."""
    from mamlkit.book import headless

    if out is None:
        return headless.new_folder(runs)
    if (
        out.exists()
        and not out.is_dir()
        or out.is_dir()
        and any(out.iterdir())
        and not (out / ".mamlkit-run").exists()
    ):
        raise ValueError(
            f"--out {out} is refused: it must be a new or empty folder, or an earlier run's, which"
            " then goes on"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".mamlkit-run").touch()
    except OSError as error:
        raise ValueError(f"--out {out} is refused: {error.strerror}") from None
    return out.resolve()

"""The command line: `python -m mamlkit COMMAND`. Every command has --help with examples."""

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import NoReturn

from mamlkit import files
from mamlkit.book import notebooks as book
from mamlkit.book.commands import lacking, pairs, parser, results_folder
from mamlkit.files import CLONED, ROOT, needs_clone, refusal

RUNS = (ROOT if CLONED else Path.cwd()) / "runs"
SMOKE = ROOT / "data" / "cache" / "smoke"
DRAFTS = ROOT / "data" / "cache" / "notebooks"  # as they run, before they are published
YEAR = 366 * 24 * 60  # minutes
LAB = ROOT / "lab"  # a reader's copies; beside notebooks/, so that their links lead the same way


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Exit status: 0 done, 1 something failed, 2 refused in one sentence,
    3 `bank` ran out of time."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _streams()
    # Networks this small gain nothing from more threads, and on a busy machine threads that wait
    # for each other cost much.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options, rest = parser(ACTIONS).parse_known_args(arguments or ["--help"])
    command = "python -m mamlkit " + shlex.join(arguments)
    try:
        if options.action in (_lab, _test, _judge, _notebooks, _readme):
            needs_clone(f"`{command}`")
        if rest and options.action is not _test and options.action is not _lab:
            raise ValueError(
                f'"{rest[0]}" is not understood; `python -m mamlkit {options.command} --help` says'
                " what is"
            )
        status = options.action(options, rest, command)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads has enough: `run --list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except ModuleNotFoundError as missing:
        if sentence := lacking(missing.name):
            print(f"mamlkit: `{command}` {sentence}", file=sys.stderr)
            return 2
        raise
    except (OSError, ValueError, ImportError) as error:
        if (sentence := refusal(error)) is None:
            raise
        print(f"mamlkit: {sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mamlkit: interrupted", file=sys.stderr)
        return 130


def _streams() -> None:
    """Makes what is printed reach where it can: a closed stream takes it, and a locale without a
    letter shows its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _run(options, rest, command) -> int:
    if options.list:
        return _list(options)
    from mamlkit.book import headless
    from mamlkit.book.parameters import check, parameters
    from mamlkit.book.report import in_words

    given, axes = pairs(options.p), pairs(options.grid)
    paths = book.find(options.notebooks, options.folder)
    if axes or options.workers is not None or options.scheduler:
        return _sweep(options, paths, given, axes, command)
    if options.plot:
        raise ValueError(f"--plot {options.plot} draws a grid: give --grid as well")
    known = {path: parameters(path) for path in paths}
    check(
        " and ".join(path.stem for path in paths),
        {n: p for found in known.values() for n, p in found.items()},
        given,
    )
    values = {
        path: check(path.stem, found, {n: v for n, v in given.items() if n in found})
        for path, found in known.items()
    }
    out = results_folder(options.out, RUNS)
    try:
        outcomes = headless.run(paths, values, out, command=command)
    except KeyboardInterrupt:
        print(
            f"what was done is in {out}; the same command with `--out {out}` uses its checkpoints",
            file=sys.stderr,
        )
        raise
    for page in out.glob("*_scoreboard.html"):
        files.write(out / "scoreboard.html", page.read_bytes())
    failed = [o.error for o in outcomes if o.error]
    seconds = headless.duration(sum(o.seconds for o in outcomes))
    counts = headless.verdicts(out)
    found = {path.stem: headless.numbers(out, path.stem) for path in paths}
    print(
        *failed,
        *(f"{stem}: {in_words(said)}" for stem, said in found.items() if said),
        f"{len(outcomes) - len(failed)} of {len(outcomes)} notebooks ran through, in {seconds}",
        *([f"claims: {counts}"] if counts else []),
        f"results: {out}",
        sep="\n",
    )
    return 1 if failed else 0


def _sweep(options, paths, given, axes, command) -> int:
    from mamlkit.book import sweep
    from mamlkit.scale import workers

    if not axes or not options.notebooks:
        raise ValueError(
            "--grid goes over the notebooks that are named, e.g. `run 01 --grid seed=0,1,2`"
        )
    points = sweep.points(paths, given, axes)
    named = "+".join(path.stem for path in paths)
    folder = results_folder(options.out, RUNS) if options.out else RUNS / "sweeps" / named
    with workers.rows(options.workers, options.scheduler) as each:
        rows = sweep.sweep(points, folder, command=command, each=each)
    print(sweep.table(rows))
    if options.plot:
        print(f"plot: {sweep.plot(rows, options.plot, folder)}")
    print(f"results: {folder}")
    return 1 if any(row["status"] == "failed" for row in rows) else 0


def _list(options) -> int:
    from mamlkit.book.parameters import parameters

    for path in book.find(options.notebooks, options.folder):
        print(path.stem, *(f"  {p}" for p in parameters(path).values()), sep="\n")
    return 0


def _bank(options, rest, command) -> int:
    from mamlkit.bank import work
    from mamlkit.machine import choose_device
    from mamlkit.scale import workers
    from mamlkit.studies.catalogue import find

    if options.minutes is not None and not 0 < options.minutes <= YEAR:
        raise ValueError(
            f"--minutes {options.minutes:g} is refused: it must be above 0, and a year at most"
        )
    if options.seeds is not None and not 1 <= options.seeds <= 10:
        raise ValueError(f"--seeds {options.seeds} is refused: it must be from 1 to 10")
    chosen = find(options.only)
    if options.list:
        for line in work.listing(chosen, options.profile, options.seeds):
            print(line)
        return 0
    if options.check:
        found = dict(work.checks(chosen, options.profile))
        for name, says in found.items():
            print(f"{name}: {says}", flush=True)
        return 1 if set(found.values()) - {"same"} else 0
    device = str(choose_device(options.device))
    jobs = work.missing(chosen, options.profile, options.seeds, device)
    if not jobs:
        print("All of it is banked.")
    return workers.bank(jobs, options.minutes, options.workers, options.scheduler)


def _judge(options, rest, command) -> int:
    from mamlkit.audit import bench
    from mamlkit.audit.judging import judge
    from mamlkit.bank.provenance import commit

    if options.independent:
        from mamlkit.audit.independent import agree

        return 0 if agree(print) else 1
    if commit().endswith("+") and not options.draft:
        raise ValueError(
            "package or notebooks differ from the last commit, and a record must name a commit "
            "that makes it: commit first, or try it with --draft"
        )
    print(f"{len(list(judge(bench.modules())))} records written to data/claims")
    return 0


def _notebooks(options, rest, command) -> int:
    import nbformat

    from mamlkit.book import headless

    paths = book.find(options.notebooks, options.folder)
    for path in paths:
        book.untouched(path)
    with files.alone(DRAFTS):
        shutil.rmtree(DRAFTS, ignore_errors=True)  # what a killed one left
        outcomes = headless.run(paths, {path: {} for path in paths}, DRAFTS, command=command)
        failed = [o.error for o in outcomes if o.error]
        for path, outcome in zip(paths, outcomes):
            if not outcome.error:
                try:
                    book.publish(path, nbformat.read(DRAFTS / f"{path.stem}.ipynb", 4))
                except ValueError as refusal:  # edited while it ran
                    failed.append(str(refusal))
        shutil.rmtree(DRAFTS, ignore_errors=True)
    print(
        *(f"{error}; its .ipynb is as it was" for error in failed),
        f"{len(outcomes) - len(failed)} of {len(outcomes)} notebooks written",
        sep="\n",
    )
    return 1 if failed else 0


def _readme(options, rest, command) -> int:
    from mamlkit.audit.pages import publish

    publish(options.file)
    return 0


def prepare(paths: list[Path], folder: Path) -> None:
    """Writes every notebook, not run, with profile smoke, into an emptied folder: what nbval then
    runs cell by cell."""
    from papermill import execute_notebook

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.ipynb"):
        old.unlink()
    for path in paths:
        execute_notebook(
            book.read(path),
            str(folder / f"{path.stem}.ipynb"),
            {"profile": "smoke"},
            prepare_only=True,
        )


def _test(options, rest, command) -> NoReturn:
    prepare(book.notebooks(), SMOKE)
    # Not MAMLKIT_HEADLESS: as in JupyterLab the knobs are live, and one whose callback raises fails
    # here.
    notebooks = [str(SMOKE), "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    # A process more than there are cores: one that waits for a browser or a kernel leaves its core
    # idle. A file stays with one process: what its tests share is made once. The order is
    # conftest's.
    number = min(4, 1 + (os.cpu_count() or 1))
    at_once = ["-n", str(number), "--dist=loadfile", "--no-loadscope-reorder"]
    _become(["pytest", "tests", *notebooks, *at_once, *rest], MAMLKIT_RESULTS=str(SMOKE))


def _lab(options, rest, command) -> NoReturn:
    settings = ROOT / "data" / "cache" / "lab"
    files.write(settings / "overrides.json", LAB_SETTINGS)
    for sentence in book.lend(book.notebooks(), LAB):
        print(sentence, flush=True)
    said = f"{LAB} holds copies of the notebooks, for you to change; the book's stay as they are"
    print(said, flush=True)
    first = LAB / f"{book.find([])[0].stem}.ipynb"
    _become(
        [
            "jupyterlab",
            f"--ServerApp.root_dir={ROOT}",
            f"--LabApp.app_settings_dir={settings}",
            f"--LabApp.default_url=/lab/tree/{first.relative_to(ROOT)}",
            *rest,
        ]
    )


def _become(words: list[str], **environment: str) -> NoReturn:
    """This process goes on as `python -m WORDS` in the repository: Ctrl-C then means what it means
    there."""
    os.chdir(ROOT)
    os.execve(
        sys.executable,
        [sys.executable, "-m", *words],
        os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"} | environment,
    )


LAB_SETTINGS = """{
 "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false},
 "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}}
}
"""


ACTIONS = {
    "run": _run,
    "lab": _lab,
    "test": _test,
    "bank": _bank,
    "judge": _judge,
    "notebooks": _notebooks,
    "readme": _readme,
}


if __name__ == "__main__":
    for stop in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # both end what runs in order, also where a shell's "&" had SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    sys.exit(main())

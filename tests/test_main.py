"""The command line says what it can do, refuses in one sentence, and writes what is committed only
from the sources."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mamlkit import __main__ as command
from mamlkit.__main__ import main
from mamlkit.audit import pages
from mamlkit.audit.pages import BEGIN, END
from mamlkit.book import notebooks as book
from mamlkit.files import ROOT
from tests.small_notebooks import BAD, FIGURE, OTHER, RECORD, SLOW, write


@pytest.mark.parametrize("command", ["run", "lab", "test", "bank", "judge", "notebooks", "readme"])
def test_every_command_has_help_with_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and f"examples:\n  python -m mamlkit {command}" in said


def test_refusals_before_anything_starts(tmp_path, capsys):
    folder = write(tmp_path / "book", _00_a=OTHER, _01_b=OTHER)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    full = tmp_path / "full"
    refused = {
        ("run", "9"): 'notebook "9" is unknown; there are 00_a, 01_b',
        ("run", "0"): 'notebook "0" is ambiguous; there are 00_a, 01_b',
        ("run", "-p", "sed=1"): '00_a and 01_b has no parameter "sed"; its parameters are '
        "profile (str), seed (int), device (str), alpha (float), ways (int), live (bool)",
        ("run", "-p", "seed"): '"seed" is not a parameter; write it as name=value, e.g. seed=3',
        ("run", "-p", "seed=1", "-p", "seed=2"): "seed is given twice: 1 and 2; give it once",
        (
            "run",
            "--fast",
        ): '"--fast" is not understood; `python -m mamlkit run --help` says what is',
        ("run", "--out", str(full)): f"--out {full} is refused: it must be a new or empty folder, "
        "or an earlier run's, which then goes on",
        (
            "run",
            "--out",
            str(full / "file" / "x"),
        ): f"--out {full / 'file' / 'x'} is refused: Not a directory",
        ("bank", "--minutes", "0"): "--minutes 0 is refused: it must be above 0, and a year at "
        "most",
        ("bank", "--minutes", "1e12"): "--minutes 1e+12 is refused: it must be above 0, and a year "
        "at most",
        (
            "run",
            "-p",
            "seed=3\n4",
        ): "seed='3\\n4' is refused: seed must be a whole number, 0 or more",
        (
            "run",
            "~nobody-here/x.py",
        ): 'notebook "~nobody-here/x.py" is unknown; there are 00_a, 01_b',
        ("bank", "--seeds", "11"): "--seeds 11 is refused: it must be from 1 to 10",
    }
    for words, sentence in refused.items():
        assert main([*words, "--folder", str(folder)]) == 2
        assert capsys.readouterr().err == f"mamlkit: {sentence}\n"
    assert main(["run", "--folder", str(tmp_path / "nowhere")]) == 2
    assert "there are no notebooks in" in capsys.readouterr().err


def test_list_shows_parameters(tmp_path, capsys):
    assert main(["run", "00", "--list", "--folder", str(write(tmp_path, _00_a=OTHER))]) == 0
    name, _, seed, *_ = capsys.readouterr().out.splitlines()
    assert (name, seed) == ("00_a", "  seed: int = 0  (first seed; 0 or more)")


def test_notebooks_are_written_from_their_sources(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mamlkit.__main__.DRAFTS", tmp_path / "drafts")
    tmp_path = tmp_path / "book"
    folder = write(tmp_path, _00_a=OTHER + RECORD + SLOW + FIGURE, _01_bad=BAD)
    before = nbformat.writes(book.read(folder / "01_bad.py"))
    (folder / "01_bad.ipynb").write_text(before)
    assert main(["notebooks", "--folder", str(folder)]) == 1
    assert (
        "its .ipynb is as it was" in capsys.readouterr().out
        and (folder / "01_bad.ipynb").read_text() == before
    )
    made = nbformat.read(folder / "00_a.ipynb", 4)
    nbformat.validate(made)
    assert [cell.source for cell in made.cells] == [
        cell.source for cell in book.read(folder / "00_a.py").cells
    ]
    assert (
        made.metadata.mamlkit.source == book.digest(folder / "00_a.py")
        and made.metadata.mamlkit.profile == "quick"
    )
    assert "papermill" not in made.metadata and not any(
        "papermill" in cell.metadata for cell in made.cells
    )
    assert [cell.metadata.tags for cell in made.cells if "tags" in cell.metadata] == [
        ["parameters"],
        ["figure"],
    ]
    assert max(book.expected_seconds(folder / "00_a.py", "quick").values()) >= 3.0
    assert book.expected_seconds(folder / "00_a.py", "smoke") == {}
    assert sorted(path.name for path in folder.iterdir()) == [
        "00_a.ipynb",
        "00_a.py",
        "01_bad.ipynb",
        "01_bad.py",
    ]


def test_a_notebook_that_a_reader_changed_is_not_written_anew(tmp_path, capsys):
    folder = write(tmp_path, _00_a=OTHER)
    notebook = book.read(folder / "00_a.py")
    notebook.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(notebook, folder / "00_a.ipynb")
    mine = (folder / "00_a.ipynb").read_bytes()
    assert main(["notebooks", "--folder", str(folder)]) == 2
    assert (
        capsys.readouterr().err == f"mamlkit: {folder / '00_a.ipynb'} holds 1 cells of a reader's "
        "(the first is cell 5), which would be lost: bring it into 00_a.py, or move the file away; "
        "then run this again\n"
    )
    assert (folder / "00_a.ipynb").read_bytes() == mine


def test_readme_on_a_full_disk_is_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pages, "BANK", tmp_path / "data")
    path = tmp_path / "README.md"
    path.write_text(before := f"# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n")

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["readme", "--file", str(path)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    left = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert path.read_text() == before and left == ["README.md"]
    path.write_text("caf\u00e9", encoding="latin-1")
    assert main(["readme", "--file", str(path)]) == 2
    assert "README.md is not UTF-8" in capsys.readouterr().err


def test_a_record_is_written_from_a_clean_commit_only(monkeypatch, capsys):
    judged = []
    monkeypatch.setattr("mamlkit.audit.judging.judge", lambda modules: judged.append(1) or [])
    monkeypatch.setattr("mamlkit.bank.provenance.commit", lambda: "0123456789+")
    assert main(["judge"]) == 2 and not judged
    assert "package or notebooks differ from the last commit" in capsys.readouterr().err
    assert main(["judge", "--draft"]) == 0 and judged == [1]
    monkeypatch.setattr("mamlkit.bank.provenance.commit", lambda: "0123456789")
    assert main(["judge"]) == 0 and judged == [1, 1]


def test_lab_opens_copies(tmp_path, monkeypatch, capsys):
    began = []
    monkeypatch.setattr(command, "LAB", tmp_path / "lab")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "_become", lambda words: began.append(words))
    assert main(["lab", "--port=1"]) is None
    assert {p.stem for p in (tmp_path / "lab").iterdir()} == {p.stem for p in book.notebooks()}
    assert "--LabApp.default_url=/lab/tree/lab/00_start.ipynb" in began[0]
    assert began[0][-1] == "--port=1" and "holds copies" in capsys.readouterr().out


def test_tests_run_side_by_side_and_words_go_to_pytest(monkeypatch):
    began, prepared = [], []
    monkeypatch.setattr(command, "prepare", lambda paths, folder: prepared.extend(paths))
    monkeypatch.setattr(command, "_become", lambda words, **places: began.append((words, places)))
    assert main(["test", "-x"]) is None
    (words, places), smoke = began[0], str(command.SMOKE)
    assert words[:3] == ["pytest", "tests", smoke] and words[-1] == "-x"
    assert words[words.index("-n") + 1] in "1234" and places == {"MAMLKIT_RESULTS": smoke}
    assert prepared == book.notebooks(), "every notebook is run, cell by cell"


def test_a_missing_package_is_named_with_what_brings_it(tmp_path, monkeypatch, capsys):
    folder = write(tmp_path, _00_a=OTHER)
    monkeypatch.setitem(sys.modules, "papermill", None)
    assert main(["run", "00", "--folder", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.endswith("` needs papermill, which is not here: pip install 'mamlkit[book]'\n")


def failing(error):
    def action(options, rest, command):
        raise error

    return action


@pytest.mark.parametrize(
    "error, sentence",
    [
        (ValueError("x is 3: it must be 4"), "x is 3: it must be 4"),
        (PermissionError(13, "Permission denied", "data/x"), "data/x: Permission denied"),
        (OSError(30, "Read-only file system", "data/x"), "data/x: Read-only file system"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (FileNotFoundError("nothing is here: put it there"), "nothing is here: put it there"),
        (ConnectionError("url could not be downloaded"), "url could not be downloaded"),
        (ImportError("it needs pooch: pip install it"), "it needs pooch: pip install it"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_is_one_sentence(monkeypatch, capsys, error, sentence):
    monkeypatch.setitem(command.ACTIONS, "readme", failing(error))
    assert main(["readme"]) == 2
    assert capsys.readouterr().err == f"mamlkit: {sentence}\n"


@pytest.mark.parametrize(
    "bug",
    [
        *(TypeError("x"), KeyError("x"), IndexError("x"), UnicodeDecodeError("a", b"", 0, 1, "x")),
        ModuleNotFoundError("No module named 'mamlkit.x'", name="mamlkit.x"),
        ImportError("cannot import name 'x'", name="mamlkit.x"),
    ],
)
def test_a_bug_is_a_traceback(monkeypatch, bug):
    monkeypatch.setitem(command.ACTIONS, "readme", failing(bug))
    with pytest.raises(type(bug)):
        main(["readme"])


def shell(line, **environment):
    """A line of bash in the repository, with `mamlkit` as a word."""
    code = f'mamlkit() {{ "{sys.executable}" -m mamlkit "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", code], capture_output=True, env=os.environ | environment, cwd=ROOT
    )


def test_the_command_line_does_not_wait_for_torch(tmp_path):
    """Torch takes seconds to import, and what only reads, refuses or starts a kernel needs none.
    Nor does it need a grammar of web addresses, which takes another second."""
    write(tmp_path, _00_a=OTHER)
    code = f"""
import sys
from mamlkit.__main__ import main
from mamlkit.book import headless, sweep
assert main(["run", "--list", "--folder", {str(tmp_path)!r}]) == 0
assert main(["run", "7", "--folder", {str(tmp_path)!r}]) == 2
assert not {{"torch", "lark"}} & {{*sys.modules}} and "nbformat" in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr


def test_a_closed_pipe_is_silent_where_there_is_no_home(tmp_path):
    folder = write(tmp_path, **{f"_{i:02}_a": OTHER for i in range(40)})
    ran = shell(f"unset HOME; set -o pipefail; mamlkit run --list --folder {folder} | head -1")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"00_a\n", b"", 141)


def test_closed_streams(tmp_path):
    folder = write(tmp_path / "f", _00_a=OTHER)
    ran = shell(f"mamlkit run --list --folder {folder} >&- 2>&-")
    assert ran.returncode == 0
    ran = shell(f"mamlkit run 7 --folder {folder} 2>&-")
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, b"", b"")


def test_an_ascii_locale(tmp_path):
    """Letters that it does not have are written in another way; files stay UTF-8."""
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    greek = OTHER.replace("inner step size", "inner step size \u03b1").replace("1 + 1", "'\u03b1'")
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "00_a.py").write_text(greek, encoding="utf-8")
    ran = shell(f"mamlkit run --list --folder {folder}", **ascii)
    assert ran.returncode == 0 and b"inner step size \\u03b1" in ran.stdout and not ran.stderr
    ran = shell(f"mamlkit run --folder {folder} --out {tmp_path / 'out'}", **ascii)
    assert ran.returncode == 0, ran.stderr
    assert "\u03b1" in (tmp_path / "out" / "00_a.html").read_text(encoding="utf-8")
    readme = tmp_path / "README.md"
    readme.write_text(f"\u03b1\n{BEGIN}\n{END}\n", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from mamlkit.__main__ import main; "
        "from mamlkit.audit import pages; pages.BANK = Path(sys.argv[1]); "
        "sys.exit(main(['readme', '--file', sys.argv[2]]))"
    )
    ran = subprocess.run([sys.executable, "-c", code, tmp_path, readme], env=os.environ | ascii)
    assert ran.returncode == 0
    assert readme.read_text(encoding="utf-8").startswith("\u03b1\n")


@pytest.fixture(scope="module")
def unwritable(tmp_path_factory):
    """(the words that begin a command in a copy of the repository that cannot be written, the
    copy). Root can write everywhere, and gives that up first."""
    tree, skip = tmp_path_factory.mktemp("a") / "tree", shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mamlkit", tree / "mamlkit", ignore=skip)
    for name in ("claims", "splits"):
        shutil.copytree(ROOT / "data" / name, tree / "data" / name)
    shutil.copy(ROOT / "data" / "ledger.json", tree / "data")
    shutil.copytree(ROOT / "notebooks", tree / "notebooks", ignore=skip)
    shutil.copy(ROOT / "README.md", tree)
    words = [sys.executable, "-B", "-m", "mamlkit"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root can write everywhere, and setpriv is not here")
        less = "-dac_override,-dac_read_search"
        words = ["setpriv", f"--bounding-set={less}", f"--inh-caps={less}", *words]
    folders = [tree, *(path for path in tree.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield words, tree
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    "asked, place",
    [
        ("run 00 --folder FOLDER", "runs"),
        ("readme", "data/CLAIMS.md"),
        ("lab", "data/cache"),
        ("bank --profile smoke --only sinusoid-settled --seeds 1", "data/cache"),
    ],
)
def test_a_checkout_that_cannot_be_written(unwritable, tmp_path, asked, place):
    """One sentence names the place; with --out elsewhere a run needs nothing of the checkout."""
    words, tree = unwritable
    folder = write(tmp_path / "f", _00_a=OTHER)
    words = words + asked.replace("FOLDER", str(folder)).split()
    environment = os.environ | {"PYTHONPATH": str(tree)}
    said = lambda *more: subprocess.run(
        [*words, *more], cwd=tree, env=environment, capture_output=True, text=True
    )
    ran, sentence = said(), f"mamlkit: {tree}/{place}: Permission denied\n"
    assert ran.returncode and "Traceback" not in ran.stderr
    if asked.startswith("bank"):  # for each of its cells
        assert set(ran.stderr.splitlines(True)) == {sentence}
    else:
        assert ran.stderr == sentence
    if asked.startswith("run"):
        ran = said("--out", str(tmp_path / "out"))
        assert ran.returncode == 0 and (tmp_path / "out" / "00_a.html").exists(), ran.stderr


def test_readmes_count_stands_between_its_marks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pages, "BANK", tmp_path / "data")
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n")
    assert main(["readme", "--file", str(path)]) == 0
    head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    shown, _, tail = rest.partition(END)
    assert (head, tail) == ("# Title\n\n", "\n\nEnd.\n") and "| reproduced |" in shown
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["CLAIMS.md", "claims.png"]
    path.write_text("no marks")
    assert main(["readme", "--file", str(path)]) == 2
    assert "must have one line" in capsys.readouterr().err and path.read_text() == "no marks"

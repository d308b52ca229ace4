"""The command line says what it can do, refuses in one sentence, and writes what is committed only
from the sources."""

import nbformat
import pytest

from mamlkit.__main__ import BEGIN, END, main
from mamlkit.audit import claims
from mamlkit.book import notebooks as book
from tests.small_notebooks import BAD, FIGURE, OTHER, RECORD, SLOW, write


@pytest.mark.parametrize("command", ["run", "lab", "test", "bank", "notebooks", "readme"])
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
        ("bank", "--minutes", "0"): "--minutes 0 is refused: it must be above 0",
        ("bank", "--seed", "-1"): "--seed -1 is refused: it must be 0 or more",
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


def test_notebooks_are_written_from_their_sources(tmp_path, capsys):
    folder = write(tmp_path, _00_a=OTHER + RECORD + SLOW + FIGURE, _01_bad=BAD)
    (folder / "01_bad.ipynb").write_text("as it was")
    assert main(["notebooks", "--folder", str(folder)]) == 1
    assert (
        "its .ipynb is as it was" in capsys.readouterr().out
        and (folder / "01_bad.ipynb").read_text() == "as it was"
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
    assert list(book.expected_seconds(folder / "00_a.py", "quick").values())[0] >= 3.0
    assert book.expected_seconds(folder / "00_a.py", "smoke") == {}
    assert sorted(path.name for path in folder.iterdir()) == [
        "00_a.ipynb",
        "00_a.py",
        "01_bad.ipynb",
        "01_bad.py",
    ]


def test_readme_table_stands_between_its_marks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, "table", lambda: "| the table |")
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n")
    assert main(["readme", "--file", str(path)]) == 0
    assert path.read_text() == f"# Title\n\n{BEGIN}\n| the table |\n{END}\n\nEnd.\n"
    path.write_text("no marks")
    assert main(["readme", "--file", str(path)]) == 2
    assert "must have one line" in capsys.readouterr().err and path.read_text() == "no marks"

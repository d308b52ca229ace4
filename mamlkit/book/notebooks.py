"""The notebooks as files: which there are, what a `.py` says as a notebook, and the `.ipynb` made
from it.

The `.py` is the source, always: an `.ipynb` is only ever written from it, and never over what a
reader wrote into it.
"""

import hashlib
import re
import sys
from pathlib import Path

from mamlkit import files
from mamlkit.files import ROOT, needs_clone

# nbformat would import it where it is installed, to check addresses that no notebook has: making
# their grammar takes a second in every process that reads a notebook. None says: not installed.
sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType]

NOTEBOOKS = ROOT / "notebooks"
# Tags of cells whose result is read, and whose code opens with a click.
FOLDED = {"imports", "figure", "claim", "widget", "fold"}


def notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The sources of all notebooks, in reading order: the files `NN_name.py` of the folder."""
    return sorted(path for path in folder.glob("*.py") if re.match(r"\d\d_", path.name))


def find(names: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks called `names`, in reading order, each once; all of them if no name is given.

    A name is that of the file, with or without its folder and ending, or its beginning as long as
    only one fits. The path of a notebook elsewhere, .py or .ipynb, is that one. Raises ValueError
    naming the notebooks that there are.
    """
    outside = list(dict.fromkeys(p for name in names if (p := _outside(name, folder))))
    inside = [name for name in names if not _outside(name, folder)]
    stems = [path.stem for path in outside]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise ValueError(f"two notebooks are called {twice[0]}: results go by name, rename one")
    if outside and not inside:
        return outside
    if folder == NOTEBOOKS:
        needs_clone("a notebook of the book")
    paths = notebooks(folder)
    if not paths:
        raise ValueError(
            f"there are no notebooks in {folder}: a notebook is a file called NN_name.py"
        )
    return [*(sorted({_find(name, paths) for name in inside}) or paths), *outside]


def _outside(name: str, folder: Path) -> Path | None:
    """The notebook at this path, if it is a file and does not lie in `folder`."""
    path = files.at_home(name)
    if path.suffix not in (".py", ".ipynb") or not path.is_file():
        return None
    return None if path.resolve().parent == folder.resolve() else path.resolve()


def _find(name: str, paths: list[Path]) -> Path:
    stem = Path(name).name.removesuffix(".py").removesuffix(".ipynb")
    fitting = [p for p in paths if p.stem == stem] or [
        p for p in paths if stem and p.stem.startswith(stem)
    ]
    if len(fitting) != 1:
        trouble = "ambiguous" if fitting else "unknown"
        raise ValueError(
            f'notebook "{name}" is {trouble}; there are {", ".join(p.stem for p in paths)}'
        )
    return fitting[0]


def digest(path: Path) -> str:
    """The SHA-256 of a notebook's source; the `.ipynb` made from it carries this."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path):
    """The notebook that a `.py` describes (nbformat), without outputs; its cells have the same ids
    every time.

    The code of cells with a tag of `FOLDED` is folded away, so that a page reads as text, results
    and the code that matters. Raises ValueError naming a file that holds no notebook.
    """
    import jupytext

    try:
        notebook = jupytext.read(path)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file makes of its readers
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} holds no notebook ({reason[:200]})") from None
    notebook.metadata = {
        "kernelspec": {
            "name": "python3",
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
        }
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:03d}"
        if FOLDED & set(cell.metadata.get("tags", ())):
            cell.metadata["jupyter"] = {"source_hidden": True}
    return notebook


def publish(path: Path, executed) -> Path:
    """Writes an executed notebook beside its source, without papermill's marks, with the source's
    digest and cells' seconds."""
    import nbformat

    seconds = {}
    for cell in executed.cells:
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)  # papermill adds empty ones
        seconds[cell.id] = round(
            (cell.metadata.pop("papermill", {}) or {}).get("duration") or 0.0, 1
        )
    executed.metadata.pop("papermill", None)
    seconds = {cell: s for cell, s in seconds.items() if s >= 0.5}
    executed.metadata["mamlkit"] = {
        "source": digest(path),
        "profile": "quick",
        "seconds": seconds,
        "cells": written(executed),
    }
    untouched(path)
    return files.write(path.with_suffix(".ipynb"), nbformat.writes(executed))


def written(notebook) -> list[str]:
    """A short digest of each cell that is not empty, by its kind and source: what a reader can
    change."""
    said = [(c["cell_type"], "".join(c["source"])) for c in notebook["cells"]]
    return [
        hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:12]
        for kind, text in said
        if text.strip()
    ]


def untouched(path: Path) -> None:
    """Raises ValueError, with what to do, if the `.ipynb` beside a source holds what a reader
    wrote: then it is not written anew."""
    target = path.with_suffix(".ipynb")
    if changes := target.exists() and edits(target, path):
        raise ValueError(
            f"{target} holds {changes}, which would be lost: bring it into {path.name}, or move "
            "the file away; then run this again"
        )


def edits(target: Path, path: Path) -> str:
    """What a reader wrote into an `.ipynb` made from the source `path`, in words; empty if
    nothing."""
    try:
        notebook = files.read_json(target)
        now, about = written(notebook), notebook["metadata"].get("mamlkit", {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return "something that is no notebook"
    ours = written(read(path))
    if "cells" not in about and about.get("source") not in (None, digest(path)):
        return ""  # made by an older version from an older source: nobody can tell any more
    before = about.get("cells", ours)
    new = [number for number, cell in enumerate(now, 1) if cell not in {*before, *ours}]
    if new:
        return f"{len(new)} cells of a reader's (the first is cell {new[0]})"
    return "" if now in (before, ours) else "cells that a reader moved or removed"


def lend(paths: list[Path], folder: Path) -> list[str]:
    """Copies notebooks into a folder where a reader works on them; returns a sentence for each that
    stays as the reader left it although the book has a newer one.

    A copy is replaced when the book's is newer and no cell of the copy was changed.
    """
    import nbformat

    stay = []
    for path in paths:
        book, copy = path.with_suffix(".ipynb"), folder / f"{path.stem}.ipynb"
        fresh = book.read_bytes() if book.exists() else nbformat.writes(read(path)).encode()
        if copy.exists() and (changes := edits(copy, path)):
            if _made_from(copy) != _made_from(book):
                stay.append(f"{copy} stays, with {changes}: move it away to get the newer one")
        elif not copy.exists() or _made_from(copy) != _made_from(book):
            files.write(copy, fresh)
    return stay


def _made_from(target: Path) -> object:
    """What an `.ipynb` says of the source it was made from; None if it says nothing."""
    try:
        return files.read_json(target)["metadata"]["mamlkit"]["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def expected_seconds(path: Path, profile: str) -> dict[str, float]:
    """How long each cell took (by id) when the `.ipynb` was made from this very source; empty if
    that is not known."""
    try:
        about = files.read_json(path.with_suffix(".ipynb"))["metadata"]["mamlkit"]
        return (
            about["seconds"]
            if (about["source"], about["profile"]) == (digest(path), profile)
            else {}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def contents(folder: Path = NOTEBOOKS) -> str:
    """The chapters as a Markdown table: each leads to its notebook, with the question it asks."""
    lines = ["| chapter | its question |", "|---|---|"]
    for path in notebooks(folder):
        title = re.search(r"^# # (.+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        number, _, question = title[1].partition(" · ") if title else (path.stem, "", "")
        name = f" · {path.stem.partition('_')[2].replace('_', ' ')}" if number.isdigit() else ""
        lines.append(f"| [{number}{name}]({path.stem}.ipynb) | {question} |")
    return "\n".join(lines)

"""The notebooks as files: which there are, what a `.py` says as a notebook, and the `.ipynb` made
from it.

The `.py` is the source, always: an `.ipynb` is only ever written from it.
"""

import hashlib
import json
import re
from pathlib import Path

from mamlkit.machine import ROOT

NOTEBOOKS = ROOT / "notebooks"
FOLDED = {
    "imports",
    "figure",
    "claim",
    "widget",
    "fold",
}  # tags of cells whose result is read, and whose code opens with a click


def notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The sources of all notebooks, in reading order: the files `NN_name.py` of the folder."""
    return sorted(path for path in folder.glob("*.py") if re.match(r"\d\d_", path.name))


def find(names: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks called `names`, in reading order, each once; all of them if no name is given.

    A name is that of the file, with or without its folder and ending, or its beginning as long as
    only one fits. Raises ValueError naming the notebooks that there are.
    """
    paths = notebooks(folder)
    if not paths:
        raise ValueError(
            f"there are no notebooks in {folder}: a notebook is a file called NN_name.py"
        )
    return sorted({_find(name, paths) for name in names}) or paths


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
    and the code that matters.
    """
    import jupytext

    notebook = jupytext.read(path)
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
    executed.metadata["mamlkit"] = {"source": digest(path), "profile": "quick", "seconds": seconds}
    target = path.with_suffix(".ipynb")
    fresh = target.with_suffix(".new")
    nbformat.write(executed, fresh)
    fresh.replace(target)
    return target


def expected_seconds(path: Path, profile: str) -> dict[str, float]:
    """How long each cell took (by id) when the `.ipynb` was made from this very source; empty if
    that is not known."""
    try:
        about = json.loads(path.with_suffix(".ipynb").read_text())["metadata"]["mamlkit"]
        return (
            about["seconds"]
            if (about["source"], about["profile"]) == (digest(path), profile)
            else {}
        )
    except (OSError, ValueError, KeyError):
        return {}


def contents(folder: Path = NOTEBOOKS) -> str:
    """The chapters as a Markdown table: each leads to its notebook, with the question it asks."""
    lines = ["| chapter | its question |", "|---|---|"]
    for path in notebooks(folder):
        title = re.search(r"^# # (.+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        number, _, question = title[1].partition(" · ") if title else (path.stem, "", "")
        name = path.stem.partition("_")[2].replace("_", " ")
        lines.append(f"| [{number} · {name}]({path.stem}.ipynb) | {question} |")
    return "\n".join(lines)

"""A file imports only from its own floor or lower ones, never in a circle; what floor 2 holds does
not know its siblings."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from mamlkit.files import ROOT

# The whole house. A folder stands for every file in it.
FLOOR = {
    **dict.fromkeys(["boundary", "files", "trees", "task", "machine", "memory"], 0),
    **dict.fromkeys(["inner", "layers", "learner", "modules", "nets", "sequence"], 1),
    **dict.fromkeys(["losses", "optimizer", "runners", "solve", "probes"], 1),
    **dict.fromkeys(["variants", "families", "baselines"], 2),
    **dict.fromkeys(["train", "evaluate", "rl"], 3),
    **dict.fromkeys(["bank", "show"], 4),
    **dict.fromkeys(["studies", "scale"], 5),
    "audit": 6,
    "knobs": 7,
    **dict.fromkeys(["book", "__main__"], 8),
}
RECEIVES = {"train", "evaluate", "bank"}  # learners, families and experiments are handed to these
BY_THEMSELVES = {"variants", "families", "baselines"}  # one file, one method
# What a room's other files are made with.
SHARED = {
    *("families/archive", "families/pictures", "families/few_shot", "families/minibatches"),
    "baselines/episodic",
}
# What trains does without these:
ONLY_WHERE_USED = {
    *("IPython", "ipywidgets", "ipympl", "anywidget", "traitlets", "ipykernel", "matplotlib"),
    *("papermill", "nbformat", "nbconvert", "nbclient", "jupytext", "gymnasium", "mujoco", "PIL"),
    *("pooch", "dask", "distributed"),
}
PUBLISHING = {"book", "__main__"}  # these only run where Jupyter is
ADAPTERS = {"rl/gym"}  # whose whole purpose is another library


@cache
def sources():
    """{"inner": its text, "variants/maml": its text, ...} of the package."""
    package = ROOT / "mamlkit"
    return {
        path.relative_to(package).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(package.rglob("*.py"))
    }


@cache
def imported(name, text):
    """The dotted names that a file imports, anywhere in it."""
    folders, found = name.split("/")[:-1], []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["mamlkit", *folders][: len(folders) + 2 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found


def imports(name, text, known):
    """The files of the package that a file imports."""
    for path in imported(name, text):
        inside = "/".join(path.split(".")[1:])
        if path.split(".")[0] == "mamlkit" and inside in known:
            yield inside


@cache
def body(text):
    """The statements of a file."""
    return ast.parse(text).body


def _describes(node):
    """A docstring, or the version."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__version__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def complaints(files):
    """One sentence for each law that the files break."""
    said, graph = [], {}
    for name, text in files.items():
        *folder, stem = name.split("/")
        if stem == "__init__":
            if not all(_describes(node) for node in body(text)):
                said.append(f"{name}.py holds code: keep it empty, adding never edits")
            continue
        place = folder[0] if folder else stem
        if place not in FLOOR:
            said.append(
                f'{name}.py is on no floor: place "{place}" in FLOOR at the top of '
                "tests/test_floors.py"
            )
            continue
        graph[name] = list(dict.fromkeys(imports(name, text, files.keys())))
        for other in graph[name]:
            there = other.split("/")[0]
            if FLOOR.get(there, 0) > FLOOR[place]:
                said.append(
                    f"{name}.py (floor {FLOOR[place]}) imports {other}.py of floor "
                    f"{FLOOR[there]} above it"
                )
            if FLOOR.get(there) == FLOOR[place] == 2 and other not in SHARED:
                said.append(
                    f"{name}.py imports {other}.py: the files of floor 2 do not know each other"
                )
            if place in RECEIVES and (FLOOR.get(there) == 2 or there == "rl"):
                said.append(
                    f"{name}.py imports {other}.py: it receives learners and families as arguments"
                )
        top = [node for node in body(text) if isinstance(node, (ast.Import, ast.ImportFrom))]
        roots = {
            alias.name.split(".")[0]
            for node in top
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        roots |= {
            node.module.split(".")[0]
            for node in top
            if isinstance(node, ast.ImportFrom) and node.module and not node.level
        }
        if place not in PUBLISHING and name not in ADAPTERS and roots & ONLY_WHERE_USED:
            said.append(
                f"{name}.py imports {', '.join(sorted(roots & ONLY_WHERE_USED))} at its top: "
                "import it in the function that uses it"
            )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        said.append("a circle of imports: " + " <- ".join(f"{name}.py" for name in circle.args[1]))
    return said


def test_the_house_stands():
    assert complaints(sources()) == []


def test_imports_are_seen():
    """So that an empty list of complaints means something."""
    files = sources()
    assert set(imports("train", files["train"], files)) == {
        *("boundary", "learner", "machine", "memory", "optimizer", "runners", "task", "trees")
    }
    assert set(imports("variants/maml", files["variants/maml"], files)) >= {"inner", "learner"}
    assert len(files) > 25


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"inner": "from mamlkit.train import train"},
            "inner.py (floor 1) imports train.py of floor 3 above it",
        ),
        (
            {"task": "def f():\n    import mamlkit.nets"},
            "task.py (floor 0) imports nets.py of floor 1 above it",
        ),
        (
            {"learner": "from mamlkit import evaluate"},
            "learner.py (floor 1) imports evaluate.py of floor 3 above it",
        ),
        (
            {"losses": "from . import evaluate"},
            "losses.py (floor 1) imports evaluate.py of floor 3 above it",
        ),
        (
            {"variants/fomaml": "from mamlkit.variants.maml import maml"},
            "variants/fomaml.py imports variants/maml.py: the files of floor 2",
        ),
        (
            {"variants/fomaml": "from .maml import maml"},
            "variants/fomaml.py imports variants/maml.py: the files of floor 2",
        ),
        (
            {"variants/fomaml": "from mamlkit.variants import maml"},
            "variants/fomaml.py imports variants/maml.py: the files of floor 2",
        ),
        (
            {"baselines/oracle": "from ..families.sinusoid import make"},
            "baselines/oracle.py imports families/sinusoid.py: the files of floor 2",
        ),
        (
            {"families/sinusoid": "from mamlkit.evaluate import evaluate"},
            "families/sinusoid.py (floor 2) imports evaluate.py of floor 3",
        ),
        (
            {"train": "from mamlkit.variants.maml import maml"},
            "train.py imports variants/maml.py: it receives learners",
        ),
        (
            {"bank/checkpoint": "from mamlkit.families import sinusoid"},
            "bank/checkpoint.py imports families/sinusoid.py: it receives learners",
        ),
        (
            {
                "evaluate": "from mamlkit.train import x",
                "train": "from mamlkit.evaluate import y",
            },
            "a circle of imports: ",
        ),
        ({"trees": "import mamlkit.task"}, "a circle of imports: "),
        (
            {"variants/__init__": "from mamlkit.variants.maml import maml"},
            "variants/__init__.py holds code",
        ),
        (
            {"magic": ""},
            'magic.py is on no floor: place "magic" in FLOOR at the top of tests/test_floors.py',
        ),
        ({"wizards/merlin": ""}, 'wizards/merlin.py is on no floor: place "wizards" in FLOOR'),
        ({"train": "import matplotlib.pyplot as plt"}, "train.py imports matplotlib at its top"),
        (
            {"show/plots": "from IPython.display import display"},
            "show/plots.py imports IPython at its top",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_whoever_breaks_a_law_is_told_which(change, words):
    assert any(sentence.startswith(words) for sentence in complaints(sources() | change))


@pytest.mark.parametrize(
    "change",
    [
        {"families/sinusoid": "from mamlkit.task import Data\nfrom mamlkit import trees"},
        {"rl/rollout": "from mamlkit.rl.env import Env", "rl/env": "import torch"},
        {"variants/imaml": "from mamlkit.solve import cg", "solve": "import torch"},
        {"show/plots": "def draw():\n    import matplotlib.pyplot as plt"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_the_house_is_made_for_is_allowed(change):
    assert complaints(sources() | change) == []

"""What the machine says of itself, and the key that says whether a training run's sources
changed."""

import shutil
import subprocess
import sys

import pytest
import torch

from mamlkit import machine
from mamlkit.bank.provenance import check
from mamlkit.machine import ROOT, source_key
from mamlkit.variants.maml import maml


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The package copied to a folder that may be changed; `machine` looks there."""
    shutil.copytree(
        ROOT / "mamlkit", tmp_path / "mamlkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    return tmp_path / "mamlkit"


def edit(file, old, new):
    text = file.read_text()
    assert text.count(old) >= 1, f"{file.name} has no {old!r}"
    file.write_text(text.replace(old, new, 1))


def of(module):
    """A function that says that it comes from this module."""

    def function():
        """Nothing."""

    function.__module__ = f"mamlkit.{module}"
    return function


def here():
    """A function of the notebook itself."""


here.__module__ = "__main__"
USED = of("variants.fomaml"), (of("families.sinusoid"), of("sequence")), dict, None, here
COUNTED = [
    "train",
    "nets",
    "losses",
    "optimizer",
    "learner",
    "task",
    "trees",
    "inner",
    "variants/fomaml",
    "families/sinusoid",
    "sequence",
]


def test_the_key_is_the_same_in_another_folder_and_another_process(copy):
    assert source_key(maml(None, alpha=0.1, steps=1)) == source_key(of("variants.maml"))
    assert (
        source_key()
        == subprocess.run(
            [sys.executable, "-c", "from mamlkit.machine import source_key; print(source_key())"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout.strip()
    )
    assert len(source_key()) == 12


@pytest.mark.parametrize("module", COUNTED)
def test_every_module_that_decides_a_training_run_is_in_the_key(copy, module):
    before = source_key(*USED)
    (copy / f"{module}.py").write_text((copy / f"{module}.py").read_text() + "\n\nEXTRA = 1\n")
    assert source_key(*USED) != before


@pytest.mark.parametrize(
    "module",
    [
        "variants/maml",
        "baselines/oracle",
        "evaluate",
        "kernel",
        "claims",
        "plots",
        "literate",
        "machine",
        "checkpoint",
    ],
)
def test_what_a_run_does_not_use_is_not_in_its_key(copy, module):
    before = source_key(*USED)
    (copy / f"{module}.py").write_text("EXTRA = 1\n")
    assert source_key(*USED) == before


def test_however_a_module_is_imported_it_counts(copy):
    family = copy / "families" / "sinusoid.py"
    family.write_text(family.read_text() + "\n\ndef late():\n    from mamlkit import kernel\n")
    before = source_key(*USED)
    (copy / "kernel.py").write_text("EXTRA = 1\n")
    assert source_key(*USED) != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("inner.py", "p - alphas[name] * gradient[name]", "p + alphas[name] * gradient[name]"),
        ("optimizer.py", "(0.9, 0.999)", "(0.9, 0.99)"),
        ("families/sinusoid.py", "AMPLITUDE = (0.1, 5.0)", "AMPLITUDE = (0.1, 5.1)"),
        ("variants/fomaml.py", "first_order=True)", "first_order=False)"),
        ("trees.py", "def ravel", "def unroll"),
    ],
)
def test_a_change_of_code_changes_the_key(copy, module, old, new):
    before = source_key(*USED)
    text = (copy / module).read_text()
    at = text.rindex(old)  # docstrings come first
    (copy / module).write_text(text[:at] + new + text[at + len(old) :])
    assert source_key(*USED) != before


SOURCE = '''"""A module."""

SIZE = 3  # a comment


def f(x):
    """What f does."""
    def inner(y):
        """What inner does."""
        return y + 1
    return inner(x) * "a string"


class C:
    """What C is."""

    size: int
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another module."""'),
        ("What f does", "What f does not"),
        ("What inner does", "It"),
        ("What C is", "C"),
        ("  # a comment", ""),
        ("def f", "# more\n\ndef f"),
        ("return y + 1", "return (\n            y + 1\n        )"),
        ('"""A module."""\n', ""),
        ('    """What f does."""\n', ""),
        ('        """What inner does."""\n', ""),
        ('    """What C is."""\n', ""),
    ],
    ids=str,
)
def test_docstrings_comments_and_layout_do_not_count(copy, old, new):
    file = copy / "variants" / "another.py"
    file.write_text(SOURCE)
    before = source_key(of("variants.another"))
    edit(file, old, new)
    assert source_key(of("variants.another")) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y + 1", "y + 2"),
        ('"a string"', '"a word"'),
        ("SIZE = 3", "SIZE = 3.0"),
        ("size: int", "size: float"),
        ("return inner(x)", "return -inner(x)"),
    ],
    ids=str,
)
def test_code_counts_to_the_last_character(copy, old, new):
    file = copy / "variants" / "another.py"
    file.write_text(SOURCE)
    before = source_key(of("variants.another"))
    edit(file, old, new)
    assert source_key(of("variants.another")) != before


# The self-check
# -------------------------------------------------------------------------------------------------------


def part(name):
    return next((works, what) for title, works, what in check() if title == name)


def test_each_part_has_a_name_a_truth_and_a_sentence():
    rows = check()
    assert len({name for name, *_ in rows}) == len(rows) >= 5
    assert all(
        isinstance(name, str)
        and isinstance(works, bool)
        and what.strip()
        and "\n" not in what
        and "|" not in what
        for name, works, what in rows
    ), "rows of a table"


def test_torch_is_named_with_its_version():
    assert part("PyTorch") == (
        True,
        f"version {torch.__version__}, {torch.get_num_threads()} threads",
    )


@pytest.mark.parametrize(
    ("tools", "works"),
    [({"g++"}, True), ({"clang++"}, True), ({"c++"}, True), ({"gcc"}, False), (set(), False)],
)
def test_without_a_compiler_it_says_what_that_costs(monkeypatch, tools, works):
    monkeypatch.setattr(
        machine.shutil, "which", lambda name: f"/usr/bin/{name}" if name in tools else None
    )
    found, what = part("C++ compiler")
    assert found is works and ("install g++" in what) is not works


def test_without_a_gpu_it_says_that_this_section_needs_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    works, what = part("GPU")
    assert works is False and "section 5.1 runs as well" in what


def test_a_missing_widget_package_is_named(monkeypatch):
    monkeypatch.setattr(
        machine, "installed", lambda name: "not installed" if name == "ipympl" else "9.9"
    )
    assert part("live knobs") == (False, "ipywidgets 9.9, ipympl not installed, anywidget 9.9")


def test_another_environment_is_noticed(monkeypatch, tmp_path):
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert part("this kernel is the project's")[0] is False
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))
    assert part("this kernel is the project's")[0] is True
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    assert part("this kernel is the project's")[0] is True


def test_banked_records_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    works, what = part("banked results")
    assert works is False and "make bank" in what
    (tmp_path / "data" / "claims").mkdir(parents=True)
    for name in ("C026.paper.json", "C027.paper.json", "C026.quick.json"):
        (tmp_path / "data" / "claims" / name).write_text("{}")
    assert part("banked results") == (True, "2 records of the paper's budget in data/claims")

import re
import shutil
import subprocess
import sys

import pytest
import torch

from mamlkit.bank import provenance
from mamlkit.bank.provenance import check, commit, describe, installed
from mamlkit.files import ROOT


def test_a_record_names_device_and_versions():
    said = describe()
    assert said.keys() == {"device", "python", "torch", "numpy"} and all(
        isinstance(v, str) for v in said.values()
    )
    assert (
        said["device"].startswith("cpu (")
        and said["torch"] == installed("torch") == torch.__version__
    )
    assert installed("no-such-package-at-all") == "not installed"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the package that `provenance` takes for the source tree."""
    shutil.copytree(
        ROOT / "mamlkit", tmp_path / "mamlkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_commit_says_when_sources_differ_from_it(source):
    def git(*words):
        subprocess.run(
            ["git", "-C", source, "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True,
            capture_output=True,
        )

    (source / "notebooks" / "01.py").write_text("a = 1\n")
    (source / "README.md").write_text("words\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "all")
    clean = commit()
    assert re.fullmatch(r"[0-9a-f]{10}", clean)
    (source / "README.md").write_text("other words\n")
    assert commit() == clean, "text outside package and notebooks does not count"
    (source / "notebooks" / "01.py").write_text("a = 2\n")
    assert commit() == clean + "+"
    git("commit", "-q", "-a", "-m", "b")
    assert commit() != clean and not commit().endswith("+")
    (source / "mamlkit" / "fresh.py").write_text("")
    assert commit().endswith("+"), "a file that git does not know yet counts"


def test_a_copy_on_a_lent_machine_is_told_its_commit_whatever_its_history(source, monkeypatch):
    subprocess.run(["git", "init", "-q", source], check=True)
    monkeypatch.setenv("MAMLKIT_COMMIT", "0123456789")
    assert commit() == "0123456789"


def test_commit_outside_of_git_is_unknown(source, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(source.parent))
    assert commit() == "unknown"


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
        provenance.shutil, "which", lambda name: f"/usr/bin/{name}" if name in tools else None
    )
    found, what = part("C++ compiler")
    assert found is works and ("install g++" in what) is not works


def test_without_a_gpu_it_says_that_this_section_needs_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    works, what = part("GPU")
    assert works is False and "section 5.1 runs as well" in what


def test_a_missing_widget_package_is_named(monkeypatch):
    monkeypatch.setattr(
        provenance, "installed", lambda name: "not installed" if name == "ipympl" else "9.9"
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
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    works, what = part("banked results")
    assert works is False and "make bank" in what
    (tmp_path / "data" / "claims").mkdir(parents=True)
    for name in ("C026.paper.json", "C027.paper.json", "C026.quick.json"):
        (tmp_path / "data" / "claims" / name).write_text("{}")
    assert part("banked results") == (True, "2 records of the paper's budget in data/claims")

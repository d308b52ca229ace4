"""Habits that a tool can check: format, lint, types, lengths."""

import os
import re
import subprocess
import sys

import pytest

from mamlkit.files import ROOT


def tool(*words, **environment):
    """A tool of the environment, run on the repository."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [("check", "--quiet"), ("format", "--check", "--quiet")])
def test_ruff_finds_nothing(words):
    found = tool("ruff", *words, "mamlkit", "tests")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-500:]


def test_types_hold():
    found = tool("pyright", "--pythonpath", sys.executable)
    if "nodeenv" in found.stderr:
        pytest.skip("pyright needs Node.js, which is not here and could not be fetched")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-500:]


def test_every_text_file_is_read_as_utf8():
    for path in (ROOT / "mamlkit").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        bare = re.findall(r"\.(?:read_text|write_text)\((?![^)]*encoding)[^)]*\)", text)
        assert not bare, f"{path.name}: {bare}"


def test_readme_is_a_front_page():
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert readme.stat().st_size <= 12_000
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), f"README links to {target}"


def test_files_can_be_read_in_one_sitting():
    for path in (ROOT / "mamlkit").rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").split("\n"))
        assert lines <= 351, f"{path.relative_to(ROOT)} has {lines} lines"
    assert len([*(ROOT / "mamlkit").glob("*.py")]) <= 20

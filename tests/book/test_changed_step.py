"""Whoever changes the inner step learns it from `make run`: a chapter whose run is no longer the
beginning of the banked one fails, in a sentence with its name and the iteration.

The package is copied, changed and run in a folder of its own. The shortest chapter is run each
time; with MAMLKIT_LONG set the others are, too.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from mamlkit.files import ROOT

FIRST_ORDER = ("constant=first_order)", "constant=True)")
WRONG_PARAMETER = (
    "p - alphas[name] * gradient[name] for name, p in adapted.items()}",
    "p - alphas[name] * gradient[name] * (name != [*adapted][0]) for name, p in adapted.items()}",
)
CHANGES = {"first order for second": FIRST_ORDER, "alpha on a wrong parameter": WRONG_PARAMETER}
LONG = ["01_sinusoids", "02_classification", "03_first_order", "04_navigation", "05_locomotion"]


def changed(folder, old, new):
    """A copy of the package in which one place of the inner step is another."""
    shutil.copytree(ROOT / "mamlkit", folder / "mamlkit")
    (folder / "notebooks").mkdir()
    for path in (ROOT / "notebooks").glob("*.py"):
        shutil.copy(path, folder / "notebooks")
    (folder / "data").symlink_to(ROOT / "data")
    inner = folder / "mamlkit" / "inner.py"
    text = inner.read_text()
    assert text.count(old) == 1
    inner.write_text(text.replace(old, new))
    return folder


def run(folder, chapter, profile):
    words = ["run", chapter, "-p", f"profile={profile}", "--out", str(folder / "out")]
    place = {"PYTHONPATH": str(folder), "MAMLKIT_DATA": os.environ.get("MAMLKIT_DATA", "")}
    return subprocess.run(
        [sys.executable, "-m", "mamlkit", *words],
        cwd=folder,
        env=os.environ | {k: v for k, v in place.items() if v},
        capture_output=True,
        text=True,
        timeout=900,
    )


def says(result, chapter):
    """The sentence of the chapter that failed; it names the iteration."""
    (line,) = (x for x in result.stdout.splitlines() if x.startswith(f"{chapter} failed"))
    assert result.returncode == 1 and "this run is not the beginning of the banked one" in line
    found = re.search(r"it differs at update (\d+)|(?:in iterations|over updates) (\d+)", line)
    return int(found[1] or found[2])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_inner_step_fails_the_run(tmp_path, change):
    folder = changed(tmp_path, *CHANGES[change])
    assert says(run(folder, "06_variants", "quick"), "06_variants") <= 100


def test_the_unchanged_one_passes(tmp_path):
    """Else the other tests would prove nothing."""
    folder = changed(tmp_path, "constant=first_order)", "constant=first_order is True)")
    result = run(folder, "06_variants", "quick")
    assert result.returncode == 0, result.stdout
    page = (folder / "out" / "06_variants.html").read_text()
    assert "Agrees with the bank up to iteration 1,000" in page


@pytest.mark.skipif(not os.environ.get("MAMLKIT_LONG"), reason="minutes; set MAMLKIT_LONG")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("chapter", LONG)
def test_it_fails_every_chapter_that_trains_so(tmp_path, chapter, change):
    says(run(changed(tmp_path, *CHANGES[change]), chapter, "quick"), chapter)

"""What an installed package has and says: a wheel is built as pyproject.toml describes it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

import mamlkit
from mamlkit.book.commands import EXTRAS
from mamlkit.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
WITHOUT = [module for extra in EXTRAS.values() for module in extra]
ALONE = f"import sys; sys.modules.update(dict.fromkeys({WITHOUT!r}))\n"  # no extra is there


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs Python where only the package is, without its extras and far from the clone."""
    folder = tmp_path_factory.mktemp("installed")
    site = folder / "site"
    shutil.copytree(
        ROOT / "mamlkit", site / "mamlkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    for here, there in WHEEL.items():
        copy = shutil.copytree if (ROOT / here).is_dir() else shutil.copy
        (site / there).parent.mkdir(exist_ok=True)
        copy(ROOT / here, site / there)
    (folder / "elsewhere").mkdir()
    named = {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(folder / "cache")}
    environment = {k: v for k, v in os.environ.items() if k != "MAMLKIT_DATA"} | named

    def run(code):
        return subprocess.run(
            [sys.executable, "-c", ALONE + code],
            cwd=folder / "elsewhere",
            env=environment | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    run.folder = folder
    return run


def test_readmes_snippet_runs_with_the_algorithms_own_packages(installed):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(from .*?)```", text, re.DOTALL)[1]
    ran = installed(snippet.replace("iterations=500", "iterations=100"))
    assert re.fullmatch(r"100 \d+\.\d+\n\[\d+\.\d+, \d+\.\d+\]\n", ran.stdout), ran.stderr


def test_a_wheel_carries_splits_and_ledger_and_keeps_its_caches_where_they_belong(installed):
    ran = installed(
        "from mamlkit.audit.claims import ledger\n"
        "from mamlkit.bank.experiment import folder\n"
        "from mamlkit.bank.provenance import commit\n"
        "from mamlkit.families import archive\n"
        "from mamlkit.files import SHIPPED\n"
        "print(len(ledger()), len(archive.split_classes('omniglot', 'test')), commit())\n"
        "print(SHIPPED, archive.CACHE, folder('paper'), sep='\\n')"
    )
    assert ran.returncode == 0, ran.stderr
    counts, shipped, *kept = ran.stdout.splitlines()
    assert re.fullmatch(r"\d{3} 423 unknown", counts)
    assert shipped == str(installed.folder / "site" / "mamlkit" / "data")
    assert all(place.startswith(str(installed.folder / "cache" / "mamlkit")) for place in kept)


def test_what_needs_a_clone_says_so_and_the_rest_runs(installed):
    (installed.folder / "elsewhere" / "mine.py").write_text("# %%\n1 + 1\n")
    ran = installed(
        "from mamlkit.__main__ import main\n"
        "for command in ('run', 'lab', 'test', 'judge', 'notebooks', 'readme'):\n"
        "    assert main([command]) == 2\n"
        "assert main(['run', 'mine.py']) == 2\n"
        "one = 'omniglot-5w1s-cpu-first-order'\n"  # to count what all cost takes 15 seconds
        "some = ['--only', 'sinusoid', '--only', one]\n"
        "assert main(['bank', '--list', *some]) == 0\n"
    )
    assert ran.returncode == 0 and "sinusoid" in ran.stdout, ran.stderr
    *refused, lacking = ran.stderr.splitlines()
    for sentence in refused:
        assert re.fullmatch(
            r"mamlkit: .* needs a clone of the repository, .*git clone .*", sentence
        )
    assert len(refused) == 6 and lacking.endswith("pip install 'mamlkit[book]'")


def test_the_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", mamlkit.__version__)
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "mamlkit/__init__.py"


def test_the_package_maps_its_rooms():
    rooms = {path.parent.name for path in (ROOT / "mamlkit").glob("*/__init__.py")}
    files = {path.stem for path in (ROOT / "mamlkit").glob("[!_]*.py")}
    assert rooms | files <= set(re.findall(r"`(\w+)`", mamlkit.__doc__))
    assert (ROOT / "mamlkit" / "py.typed").exists()

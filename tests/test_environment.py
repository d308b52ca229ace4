"""requirements.txt, pyproject.toml and environment.yml say the same, and it is what is
installed."""

import re
import tomllib
from importlib.metadata import version

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mamlkit.book.commands import EXTRAS
from mamlkit.files import ROOT

PINNED = re.findall(r"^([\w.-]+)==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
PINS = {canonicalize_name(name): pin for name, pin in PINNED}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# imported, and installed, as
NAMES = {"PIL": "pillow", "IPython": "ipython", "yaml": "pyyaml", "xdist": "pytest-xdist"}


def named(lines):
    """The packages of some requirements; the project's own extras are no package."""
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    return names - {PROJECT["name"]}


def test_every_line_of_the_pins_is_exact():
    lines = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(lines) == len(PINS) and not any("+" in pin for pin in PINS.values())


def test_pins_are_what_is_installed():
    assert {name: version(name).split("+")[0] for name in PINS} == PINS


def test_what_the_project_names_is_pinned():
    assert named(PROJECT["dependencies"]) <= PINS.keys()
    for extra in PROJECT["optional-dependencies"].values():
        assert named(extra) <= PINS.keys()


def test_a_missing_package_is_named_with_its_extra():
    """What `lacking` knows is what pyproject.toml says."""
    for extra, modules in EXTRAS.items():
        there = named(PROJECT["optional-dependencies"][extra]) - {"ruff", "pyright"}  # tools
        assert {canonicalize_name(NAMES.get(m, m)) for m in modules} == there, extra


def test_conda_takes_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert environment["name"] == PROJECT["name"] and pip == "pip"
    assert packages == {"pip": ["-r requirements.txt", "-e ."]}
    assert re.fullmatch(r"python >=3\.\d+,<3\.\d+", python) and python.split()[1].startswith(
        PROJECT["requires-python"]
    )


def test_no_path_of_a_machine_is_committed():
    for name in ("Makefile", ".ci/run", "environment.yml", "pyproject.toml"):
        assert not re.search(r"/(work|home|root|Users)\b", (ROOT / name).read_text()), name

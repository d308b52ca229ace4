"""Where a number comes from: the machine, the versions and the commit that every record names."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mamlkit.files import CLONED, ROOT


def describe(device: torch.device | str = "cpu") -> dict[str, str]:
    """What a record says of its machine: the device in words, and the versions that can change a
    number."""
    device = torch.device(device)
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    )
    return {
        "device": f"{device} ({name})",
        "python": platform.python_version(),
        **{p: installed(p) for p in ("torch", "numpy")},
    }


def installed(package: str) -> str:
    """The version of an installed package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of the source tree, with "+" behind it when package or notebook sources differ
    from it. A copy on a lent machine, whose history is not there or stopped earlier, is told it by
    MAMLKIT_COMMIT; without either it is "unknown"."""
    if told := os.environ.get("MAMLKIT_COMMIT"):
        return told
    if not CLONED:
        return "unknown"

    def git(*words):
        return subprocess.run(
            ["git", "-C", ROOT, *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=10", "HEAD") + "+" * bool(
            git("status", "--porcelain", "--", "mamlkit", "notebooks/*.py")
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def check() -> list[tuple[str, bool, str]]:
    """Is this machine ready? For each part of it: its name, whether it works here, and what that
    means for the reader."""
    compiler = any(map(shutil.which, ("c++", "g++", "clang++")))
    gpu = torch.cuda.is_available()
    widgets = {name: installed(name) for name in ("ipywidgets", "ipympl", "anywidget")}
    bank = sorted((ROOT / "data" / "claims").glob("*.paper.json"))
    return [
        ("PyTorch", True, f"version {torch.__version__}, {torch.get_num_threads()} threads"),
        (
            "this kernel is the project's",
            Path(sys.prefix).resolve().is_relative_to(ROOT) or "CONDA_PREFIX" in os.environ,
            (
                f"it runs {Path(sys.executable).name} of {platform.python_version()}; if another"
                " environment is used on purpose, never mind"
            ),
        ),
        (
            "GPU",
            gpu,
            (
                torch.cuda.get_device_name()
                if gpu
                else (
                    "without one section 5.1 runs as well; the paper's budgets of later sections"
                    " want one"
                )
            ),
        ),
        (
            "C++ compiler",
            compiler,
            (
                "training steps are compiled, about twenty times faster"
                if compiler
                else "training runs uncompiled, about twenty times slower; install g++"
            ),
        ),
        (
            "live knobs",
            "not installed" not in widgets.values(),
            ", ".join(f"{k} {v}" for k, v in widgets.items()),
        ),
        (
            "banked results",
            bool(bank),
            (
                f"{len(bank)} records of the paper's budget in data/claims"
                if bank
                else "`make bank` makes them; figures that compare with them are missing until then"
            ),
        ),
    ]

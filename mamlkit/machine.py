"""The machine a number was made on: device, generator, versions. Chosen once, recorded with every result."""

import ast
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto" (a GPU where there is one, else the CPU), "cpu", "cuda" or "cuda:1".

    Raises ValueError for another name, and for a GPU that this machine does not have.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    allowed = ["auto", "cpu", "cuda", *(f"cuda:{i}" for i in range(count))]
    if name == "cpu" or (count and name in allowed):
        return torch.device("cuda:0" if name == "cuda" else name)
    kind, _, index = name.partition(":")
    if kind == "cuda" and (not index or index.isdigit()):
        raise ValueError(f'device "{name}" is not here: this machine has {count or "no"} CUDA device{"s" * (count != 1)}; "auto" or "cpu" work')
    raise ValueError(f'device "{name}" is unknown; allowed are "auto", "cpu", "cuda" and "cuda:0", "cuda:1", ...')


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` that starts from `seed`: the only source of randomness in mamlkit."""
    return torch.Generator(device).manual_seed(seed)


def describe(device: torch.device | str = "cpu") -> dict[str, str]:
    """What a record says of its machine: the device in words, and the versions that can change a number."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    return {"device": f"{device} ({name})", "python": platform.python_version(), **{p: installed(p) for p in ("torch", "numpy")}}


def installed(package: str) -> str:
    """The version of an installed package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def source_key(*used: Callable | tuple[Callable, ...]) -> str:
    """A short hash of the sources that decide a training run's numbers; docstrings and comments do not count.

    used: the run's learner, family and net, or plain functions. Their modules count, the outer loop, nets, losses and
    optimizer count, and whatever of mamlkit these import.
    """
    functions = [f for part in used for f in (part if isinstance(part, tuple) else (part,))]
    waiting = ["mamlkit.train", "mamlkit.nets", "mamlkit.losses", "mamlkit.optimizer", *(f.__module__ for f in functions if f)]
    trees = {}
    while waiting:
        name = waiting.pop()
        path = ROOT / f"{name.replace('.', '/')}.py"
        if name in trees or not name.startswith("mamlkit.") or not path.exists():
            continue
        trees[name] = ast.parse(path.read_text())
        for node in ast.walk(trees[name]):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    digest = hashlib.sha256()
    for name in sorted(trees):
        for node in ast.walk(trees[name]):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                del body[0]
        digest.update(ast.dump(trees[name]).encode())
    return digest.hexdigest()[:12]


def commit() -> str:
    """The commit of the source tree, with "+" behind it when package or notebook sources differ from it."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()
    try:
        return git("rev-parse", "--short=10", "HEAD") + "+" * bool(git("status", "--porcelain", "--", "mamlkit", "notebooks/*.py"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def check() -> list[tuple[str, bool, str]]:
    """Is this machine ready? For each part of it: its name, whether it works here, and what that means for the reader."""
    compiler = any(map(shutil.which, ("c++", "g++", "clang++")))
    gpu = torch.cuda.is_available()
    widgets = {name: installed(name) for name in ("ipywidgets", "ipympl", "anywidget")}
    bank = sorted((ROOT / "data" / "claims").glob("*.paper.json"))
    return [
        ("PyTorch", True, f"version {torch.__version__}, {torch.get_num_threads()} threads"),
        ("this kernel is the project's", Path(sys.prefix).resolve().is_relative_to(ROOT) or "CONDA_PREFIX" in os.environ,
         f"it runs {Path(sys.executable).name} of {platform.python_version()}; if another environment is used on purpose, never mind"),
        ("GPU", gpu, torch.cuda.get_device_name() if gpu else "without one section 5.1 runs as well; the paper's budgets of later sections want one"),
        ("C++ compiler", compiler, "training steps are compiled, about twenty times faster" if compiler else "training runs uncompiled, about twenty times slower; install g++"),
        ("live knobs", "not installed" not in widgets.values(), ", ".join(f"{k} {v}" for k, v in widgets.items())),
        ("banked results", bool(bank), f"{len(bank)} records of the paper's budget in data/claims" if bank else "`make bank` makes them; figures that compare with them are missing until then"),
    ]

"""A kept result outlives a rename, a move, a docstring, a reformatting and an exact speed-up that
rounds otherwise, and does not outlive a changed number."""

import os
import re
import shutil

import pytest

from mamlkit.files import ROOT
from tests.warm import python

MAKE = """
from mamlkit.bank.experiment import make
from tests.bank.tiny import TINY
make(TINY, "maml-0", TINY.cells("smoke", 1)["maml-0"], "smoke")
"""
CHECK = """
from mamlkit.bank.work import checks
from tests.bank.tiny import TINY
for name, says in checks([TINY], "smoke"):
    print(name, says)
"""

SINGLE = """
import torch
from mamlkit.bank.experiment import beginning, compare, load
from tests.bank.tiny import TINY
kept = load(TINY, "smoke")["maml-0"].about["beginning"]
print(compare(beginning(TINY, TINY.cells("smoke", 1)["maml-0"]), torch.tensor(kept)))
"""


def said(tree, program):
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    words = ["-c", program]
    status, text = python(words, tree=tree, said=tree / "said", environment=environment).ended()
    assert status == 0, text
    return text.strip()


@pytest.fixture(scope="module")
def banked(tmp_path_factory):
    """A copy of the code with the tiny experiment banked by it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("mamlkit", "tests"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    said(tree, MAKE)
    return tree


@pytest.fixture
def tree(banked, tmp_path):
    shutil.copytree(banked, tmp_path / "copy")
    return tmp_path / "copy"


def edit(path, *pairs):
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert re.search(old, text), f"{path.name} has no {old}"
        text = re.sub(old, new, text)
    path.write_text(text, encoding="utf-8")


def test_it_survives_whatever_changes_no_number(tree):
    package = tree / "mamlkit"
    for path in package.rglob("*.py"):  # a rename, everywhere
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("inner_step", "one_inner_step"), encoding="utf-8")
    (package / "inner.py").rename(package / "descent.py")  # a move
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("mamlkit.inner ", "mamlkit.descent "), encoding="utf-8")
    edit(package / "losses.py", (r'\A"""[^"]*"""', '"""Another docstring."""'))
    # an exact speed-up: a step that nothing moves is not taken
    edit(package / "optimizer.py", (r"x - size \* first / scale", "x.sub(size * first / scale)"))
    assert said(tree, CHECK) == "tiny maml-0 same"


def test_it_survives_what_rounds_otherwise(tree):
    """Exact but for rounding, which in single precision changes the losses."""
    edit(tree / "mamlkit/inner.py", (r"p - alphas\[name\] \*", "1e4 + p - 1e4 - alphas[name] *"))
    assert said(tree, CHECK) == "tiny maml-0 same"
    assert said(tree, SINGLE).startswith("differs at update")


def test_another_step_size_is_another_result(tree):
    edit(tree / "tests/bank/tiny.py", (r"alpha=0\.01", "alpha=0.0101"))
    words = said(tree, CHECK)
    assert "was made with alpha 0.01 where the experiment now says alpha 0.0101" in words


def test_another_number_in_the_code_names_the_update(tree):
    edit(tree / "mamlkit/inner.py", (r"p - alphas\[name\] \*", "p - 1.01 * alphas[name] *"))
    assert re.match(r"tiny maml-0 differs at update 1: \d", said(tree, CHECK))


def test_first_order_is_not_second_order(tree):
    edit(tree / "mamlkit/inner.py", (r"constant=first_order", "constant=True"))
    assert re.match(r"tiny maml-0 differs in how far 5 updates move: \d", said(tree, CHECK))


def test_another_start_and_another_outer_step_are_found(tree, tmp_path):
    edit(tree / "mamlkit/optimizer.py", (r"\(0\.9, 0\.999\)", "(0.8, 0.999)"))
    assert re.match(r"tiny maml-0 differs at update 3: \d", said(tree, CHECK))
    edit(tree / "mamlkit/nets.py", (r"generator=generator", "generator=generator.manual_seed(7)"))
    assert re.match(r"tiny maml-0 differs at update 1: \d", said(tree, CHECK))

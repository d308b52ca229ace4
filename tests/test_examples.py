"""The examples in docstrings run as printed, and the names of the public face have one."""

import doctest
import importlib

import pytest

from mamlkit.files import ROOT

EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "mamlkit").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
SHOWN = {
    "boundary.whole boundary.finite",
    "losses.mse losses.cross_entropy losses.accuracy",
    "inner.inner_step inner.adapt variants.maml.maml variants.fomaml.fomaml",
    "train.train evaluate.evaluate evaluate.better task.sample machine.seeded",
    "nets.mlp nets.from_module optimizer.adam families.sinusoid.sinusoid",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run_as_printed(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


@pytest.mark.parametrize("name", sorted(" ".join(SHOWN).split()))
def test_a_public_name_has_an_example(name):
    place, _, function = name.rpartition(".")
    described = getattr(importlib.import_module(f"mamlkit.{place}"), function).__doc__
    assert ">>> " in described

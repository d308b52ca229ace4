"""The examples in the docstrings of the core's public names run as printed."""

import doctest
import importlib

import pytest

from mamlkit.files import ROOT

CORE = [path.stem for path in sorted((ROOT / "mamlkit").glob("[!_]*.py"))] + [
    f"variants.{path.stem}" for path in sorted((ROOT / "mamlkit" / "variants").glob("[!_]*.py"))
]
SHOWN = {
    "boundary.whole boundary.finite",
    "losses.mse losses.cross_entropy losses.accuracy",
    "inner.inner_step inner.adapt variants.maml.maml variants.fomaml.fomaml",
    "train.train evaluate.evaluate evaluate.better task.sample machine.seeded",
    "nets.mlp nets.from_module optimizer.adam families.sinusoid.sinusoid",
}


@pytest.mark.parametrize("name", ["", *CORE, "families.sinusoid", "families.folder", "book.report"])
def test_the_examples_run_as_printed(name):
    module = importlib.import_module(f"mamlkit.{name}".rstrip("."))
    found = doctest.testmod(module)
    assert found.failed == 0


@pytest.mark.parametrize("name", sorted(" ".join(SHOWN).split()))
def test_a_public_name_has_an_example(name):
    place, _, function = name.rpartition(".")
    described = getattr(importlib.import_module(f"mamlkit.{place}"), function).__doc__
    assert ">>> " in described

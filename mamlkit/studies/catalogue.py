"""All experiments of the book, by name, in the order of their value."""

from importlib import import_module

from mamlkit.bank.experiment import Experiment

STUDIES = ("sinusoids", "images", "released", "first_order", "navigation", "locomotion")
STUDIES += ("variants", "edge")


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name. A study is a module with a tuple EXPERIMENTS."""
    studies = [import_module(f"mamlkit.studies.{name}") for name in STUDIES]
    return {e.name: e for study in studies for e in study.EXPERIMENTS}


def find(names: list[str]) -> list[Experiment]:
    """The experiments called so, in the catalogue's order; all of them if no name is given.

    Raises ValueError naming those that there are.
    """
    known = experiments()
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f'experiment "{unknown[0]}" is unknown; there are {", ".join(known)}')
    return [e for name, e in known.items() if not names or name in names]

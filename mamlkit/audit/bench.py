"""All files of judges, in the order of the book."""

from importlib import import_module
from types import ModuleType

FILES = (
    "figure1",
    "sinusoids",
    "images",
    "images_counted",
    "images_inside",
    "first_order",
    "navigation",
    "locomotion",
    "variants",
    "derived",  # last: it reads what the others have written
)


def modules() -> list[ModuleType]:
    """The modules with judges: each has `evidence()` and `JUDGES`."""
    return [import_module(f"mamlkit.audit.{name}") for name in FILES]

"""The eight variants of chapter 6, and what all of their trainings share."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import torch

from mamlkit import variants
from mamlkit.learner import Learner
from mamlkit.optimizer import Optimizer, adam, annealed, cosine
from mamlkit.task import Data, Family, Task
from mamlkit.train import Step
from mamlkit.variants.anil import anil
from mamlkit.variants.cavia import cavia
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.imaml import imaml
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from mamlkit.variants.meta_sgd import meta_sgd
from mamlkit.variants.reptile import reptile

Setting = Mapping[str, Any]
VARIANTS: dict[str, Callable[..., Learner]] = {
    "maml": maml,
    "fomaml": fomaml,
    "reptile": reptile,
    "meta_sgd": meta_sgd,
    "mamlpp": mamlpp,
    "imaml": imaml,
    "anil": anil,
    "cavia": cavia,
}
NAMES = {
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "reptile": "Reptile",
    "meta_sgd": "Meta-SGD",
    "mamlpp": "MAML++",
    "imaml": "iMAML",
    "anil": "ANIL",
    "cavia": "CAVIA",
}


def variant(method: str) -> Callable[..., Learner]:
    """The variant called so: one of VARIANTS, or the function in the file of mamlkit/variants that
    has its name. Raises ValueError for another name."""
    if method in VARIANTS:
        return VARIANTS[method]
    files = [module.name for module in iter_modules(variants.__path__)]
    if method not in files:
        allowed = dict.fromkeys([*VARIANTS, *files])
        raise ValueError(f'variant "{method}" is unknown; allowed are {", ".join(allowed)}')
    return getattr(import_module(f"mamlkit.variants.{method}"), method)


def known(method: str) -> str:
    """The same name, if a variant is called so. Raises ValueError if not."""
    variant(method)
    return method


def falling(setting: Setting) -> Optimizer:
    """Adam, whose step falls from beta to 0 along half a cosine."""
    return annealed(adam(setting["beta"]), cosine(setting["iterations"]))


def pooled(family: Family) -> Family:
    """Tasks whose support holds all that may be learned from, support and query: Reptile's, which
    has no query set."""

    def make(noise):
        task = family.make(noise)
        both = Data(*map(torch.cat, zip(task.support, task.query, strict=True)))
        return Task(both, task.query)

    return Family(family.noise, make)


def while_finite(steps: Iterator[Step], start: Step) -> Iterator[Step]:
    """The Steps of a training up to where a meta-gradient is not finite: there it has failed, and
    its last Step is measured.

    start: is given where it fails before its first Step.
    """
    step = None
    try:
        for step in steps:
            yield step
    except FloatingPointError:
        if step is None:
            yield start


def before(meta, generator: torch.Generator) -> Step:
    """A Step with nothing trained yet."""
    return Step(0, meta, {}, generator.get_state(), torch.empty(0))

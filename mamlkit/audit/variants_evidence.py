"""What chapter 6's judges read: banked results, and identities of Reptile and iMAML."""

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.bank.experiment import Experiment, Result, load
from mamlkit.inner import adapt, repeated
from mamlkit.losses import cross_entropy
from mamlkit.nets import strided_convnet
from mamlkit.optimizer import sgd
from mamlkit.probes.cost import flops, without_numbers
from mamlkit.probes.quadratic import loss as quadratic_loss
from mamlkit.probes.quadratic import three_tasks
from mamlkit.studies import variants_classes as classes
from mamlkit.studies import variants_images as images
from mamlkit.studies import variants_search as search
from mamlkit.studies import variants_waves as waves
from mamlkit.studies.published_reptile import REPTILE_KEPT
from mamlkit.studies.variants_costs import COSTS, of_image
from mamlkit.task import Task
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.imaml import imaml
from mamlkit.variants.reptile import reptile

Results = Mapping[str, Result]


class Evidence(NamedTuple):
    """What the judges read. The first eight are banked results by cell, each of the paper's budget
    where that is banked, else of two cores'. longer: MAML and MAML++ whole, longer than `parts` on
    two cores. identities: what holds of the algorithms themselves,
    see `identities`."""

    waves: Results
    searched: Results
    costs: Results
    alpha: Results
    parts: Results
    longer: Results
    reptile: Results
    classes: Results
    identities: Mapping[str, float]


def evidence(budget: str = "paper") -> Evidence:
    """What is banked of chapter 6, and a few identities, computed in a second."""
    return Evidence(
        load(waves.WAVES, budget),
        load(search.SEARCHED, budget),
        load(COSTS, budget),
        largest(budget, waves.ALPHA, waves.ALPHA_CPU),
        largest(budget, images.PARTS_PAPER, images.PARTS_CPU),
        load(images.PARTS_LONGER, budget),
        load(REPTILE_KEPT, budget) or largest(budget, images.REPTILE, images.REPTILE_CPU),
        largest(budget, classes.CLASSES_PAPER, classes.CLASSES_CPU),
        identities(),
    )


def largest(budget: str, paper: Experiment, two_cores: Experiment) -> Results:
    """The results of the paper's budget if all its cells are banked, else those of two cores."""
    found = load(paper, budget)
    return found if {*paper.cells(budget, None)} <= {*found} else load(two_cores, budget)


def identities() -> dict[str, float]:
    """What holds of Reptile and of iMAML on a quadratic in float64, and of Reptile's operations."""
    bowls = three_tasks()
    first, second, third = (tree_map(lambda t, i=i: t[i], bowls) for i in range(3))
    theta = {"theta": torch.tensor([1.1, 0.47], dtype=torch.float64)}
    g = first.A @ (theta["theta"] - first.c)

    def reptiles(steps, query=second):
        learner = reptile(quadratic_loss, alpha=0.4, steps=steps)
        return learner.meta_grad(theta, Task(first, query))[0]["theta"]

    def implicit(steps):
        learner = imaml(quadratic_loss, alpha=0.1, steps=steps, cg_steps=2)
        return learner.meta_grad(theta, Task(first, second))[0]["theta"]

    end = adapt(theta, repeated(quadratic_loss, first, 3), [0.4] * 3)[-1]["theta"]
    stepped = sgd(0.7).update(reptiles(3), {}, theta["theta"])[0]
    solved = implicit(1_000)
    apart = {k: off(implicit(k), solved) / solved.norm().item() for k in (1, 10, 100)}
    return {
        "printed update": off(stepped, theta["theta"] + 0.7 * (end - theta["theta"])),
        "another query": off(reptiles(3), reptiles(3, third)),
        "one step": off(reptiles(1) / 0.4, g),
        "two steps": off(reptiles(2) / 0.4, 2 * g - 0.4 * first.A @ g),
        "extra operations": extra_operations(3),
        "lines more": lines(reptile) - lines(fomaml),
        **{f"implicit after {k}": gap for k, gap in apart.items()},
    }


def off(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors."""
    return (a - b).abs().max().item()


def extra_operations(steps: int) -> float:
    """The share of Reptile's operations beyond `steps` gradients and one value, on an image."""
    learned, *shapes = of_image("reptile", steps)
    theta, task = without_numbers(tuple(shapes))
    loss = cross_entropy(strided_convnet(5).forward)
    gradient, value = (flops(f, theta, task.query) for f in (torch.func.grad(loss), loss))
    return flops(learned, theta, task) / (steps * gradient + value) - 1


def lines(function: Callable) -> int:
    """Lines of code of a function, without its docstring, comments and blank lines."""
    source = inspect.getsource(function).replace(function.__doc__ or "", "").replace('"""', "")
    return sum(bool(line.strip()) and line.strip()[0] != "#" for line in source.splitlines())


def straight(x, y) -> tuple[float, float]:
    """The slope of the least-squares line through (x, y), and R squared."""
    x, y = (torch.as_tensor(v).double() for v in (x, y))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    rest = (y - y.mean() - slope * (x - x.mean())).square().sum()
    whole = (y - y.mean()).square().sum()
    return slope.item(), 1 - (rest / whole).item() if whole > 0 else 1.0


def of(results: Results, **wanted) -> list[Result]:
    """The results whose settings say so, in the order of their seeds."""
    found = [r for r in results.values() if wanted.items() <= r.setting.items()]
    return sorted(found, key=lambda r: r.setting["seed"])


def searched_errors(e: Evidence, method: str) -> dict[int, float]:
    """By seed, at searched settings: the median test wave's error at K = 10 after the searched
    steps."""
    found = of(e.searched, method=method)
    return {r.setting["seed"]: r.measured["K=10"][0, r.setting["test"]].item() for r in found}


def seeds_of(results: list[Result]) -> list[int]:
    """The seeds of some results."""
    return [r.setting["seed"] for r in results]


def failed(results: list[Result]) -> int:
    """How many trainings stopped at a meta-gradient that is not finite."""
    return sum(r.measured["made"].item() < r.setting["iterations"] for r in results)

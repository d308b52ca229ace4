"""Section 5.2's first-order approximation: what it costs in accuracy, in direction, and in work.

The trainings with second derivatives are those of Table 1, in `studies.images`; here are their
counterparts without, joint training with the same budget, and what is measured of both.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.bank.budget import budget as by
from mamlkit.bank.experiment import Device, Experiment, Setting, load
from mamlkit.inner import Alpha
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms
from mamlkit.studies import counting, images, omitted
from mamlkit.studies.image_measures import right
from mamlkit.studies.image_methods import method
from mamlkit.task import Task
from mamlkit.train import Step
from mamlkit.trees import Params

# Table 1's columns, and what trains each with and without second derivatives, the paper's budget
# first: (experiment, method) of the second order, then of the first.
PAIRS = {
    column: [
        ((column, "maml"), (column, "fomaml")),
        *([((f"{column}-sixth", "maml"), (f"{column}-sixth", "fomaml"))] if mini else []),
        (
            (f"{column}-cpu", "maml" if mini else "printed"),
            (f"{column}-cpu", "fomaml")
            if mini
            else (f"{column}-cpu-first-order", "first order, printed"),
        ),
    ][: len(images.COLUMNS[column])]
    for column in images.COLUMNS
    for mini in [column.startswith("mini")]
}
TWO_CORES = "omniglot-5w1s-cpu"  # the largest training that has run at both orders


def one_method(setting: str, name: str, budget: str, seeds: int | None) -> dict[str, Setting]:
    """The cells of one of Table 1's settings with one method, tested on at most 600 tasks."""
    found = images.cells(setting, (name,), budget, seeds or 1)
    return {cell: {**s, "tests": min(s["tests"], 600)} for cell, s in found.items()}


def beside(setting: str, name: str, suffix: str) -> Experiment:
    """Another method, trained exactly as one of Table 1's settings is."""
    whole = images.experiment(setting, (name,))
    return whole._replace(name=setting + suffix, cells=partial(one_method, setting, name))


JOINT = beside(TWO_CORES, "joint", "-joint")
FIRST = tuple(
    beside(f"omniglot-{column}-cpu", "first order, printed", "-first-order")
    for column in ("5w5s", "20w1s", "20w5s")
)


def by_name() -> dict[str, Experiment]:
    """The experiments that train a network at either order, by name."""
    return {e.name: e for e in (*images.EXPERIMENTS, *FIRST)}


TRAINED = {"maml": "omniglot-5w1s", "printed": TWO_CORES}  # by method: at the paper's budget, ours


def trained(seed: int, name: str = "printed") -> Params:
    """What MAML learned in 5-way 1-shot tasks, from the bank.

    name: "printed", with alpha as printed, on two cores; "maml", with the authors' step and the
    paper's budget. Raises FileNotFoundError if it is not banked.
    """
    experiment = TRAINED[name]
    found = load(by_name()[experiment])
    if (cell := images.cell(name, seed)) not in found:
        raise FileNotFoundError(
            f"{experiment} {cell} is not banked: `python -m mamlkit bank --only {experiment}`"
        )
    return found[cell].params


# The two meta-gradients at the start of a training and at its end.

LENGTHS = [1, 2, 5, 10]  # inner steps
# On the mean loss: the paper's 0.4, a tenth and a hundredth of it, and the authors' code's 5 x 0.4.
ALPHAS = [0.004, 0.04, 0.4, 2.0]
CONVOLUTIONS = dict(network="convolutions, batch norm", activation="ReLU")


def _gradient_cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    size = by(
        budget,
        smoke=dict(images="glyphs", lengths=[1, 2], looks=2, cosines=2, tests=2),
        quick=dict(images="omniglot", lengths=LENGTHS, looks=20, cosines=10, tests=20),
        paper=dict(images="omniglot", lengths=LENGTHS, looks=100, cosines=50, tests=100),
    )
    return {
        f"{place}-{seed}": dict(method="both orders", seed=seed, place=place, alphas=ALPHAS)
        | CONVOLUTIONS
        | omitted.TASKS
        | size
        for place in (("start",) if budget == "smoke" else ("start", "trained"))
        for seed in range(seeds or 1)
    }


def _theta(setting: Setting) -> Params:
    if setting["place"] == "trained":
        return trained(setting["seed"])
    return omitted.network(setting).init(seeded(setting["seed"]))


def _at_rest(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    generator = seeded(setting["seed"], device)
    yield Step(0, _theta(setting), {}, generator.get_state(), torch.empty(0))


def cosines(setting: Setting, theta: Params, alpha: float, tasks: Task) -> Tensor:
    """The mean cosine of the two meta-gradients, task by task, for each number of inner steps."""
    net = omitted.network(setting)
    sizes: Alpha = {**all_but_norms(theta, alpha)}

    def one(task, steps):
        return omitted.cosine(*omitted.both_gradients(net, sizes, theta, task, steps))

    found = [vmap(partial(one, steps=k), chunk_size=5)(tasks).mean() for k in setting["lengths"]]
    return torch.stack(found)


def _omitted_at(setting: Setting, theta: Params, alpha: float, n: int) -> tuple[Tensor, Tensor]:
    tasks = omitted.looked_at(setting, n)
    return omitted.over_tasks(omitted.network(setting), all_but_norms(theta, alpha), theta, tasks)


def measure_gradients(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Compares the two meta-gradients where the network stands.

    Measured: "cosines" (alphas, lengths); "omitted" (alphas, 4 + layers) and "of the mean"
    (alphas,) as in `omitted.measure`; "right" (tasks, 4), how many of 75 test queries are right
    after 0 to 3 steps of 0.4.
    """
    few, theta = omitted.looked_at(setting, setting["cosines"]), step.meta
    parts = [_omitted_at(setting, theta, alpha, setting["looks"]) for alpha in setting["alphas"]]
    tested = images.SETTINGS[TWO_CORES] | dict(method="printed", images=setting["images"])
    tested |= dict(longest=3)
    return {}, {
        "cosines": torch.stack([cosines(setting, theta, a, few) for a in setting["alphas"]]),
        "omitted": torch.stack([numbers for numbers, _ in parts]),
        "of the mean": torch.stack([of_mean for _, of_mean in parts]),
        "right": right(tested, method(tested), theta, "together", tasks=setting["tests"]),
    }


def _gradients_begin(setting: Setting) -> Tensor:
    """What is omitted on two tasks at alpha 0.4: known by that."""
    return _omitted_at(setting, _theta(setting), 0.4, 2)[0]


def cost(setting: Setting) -> float:
    """About how many seconds one core takes to measure a network that is there."""
    return 3.0 * setting["cosines"] if "cosines" in setting else 1.0 * setting["tests"]


GRADIENTS = Experiment(
    "two-gradients",
    _gradient_cells,
    _at_rest,
    measure_gradients,
    _gradients_begin,
    cost,
)

# Other steps at test than in training (S218).

TIMES = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]  # the step size at test over that of training
AT_TEST = 5  # the most inner steps


def _step_cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    if budget == "smoke":
        return {}  # there is nothing to adapt without a trained network
    tests = by(budget, smoke=2, quick=50, paper=400)
    return {
        images.cell(name, seed): images.SETTINGS[experiment]
        | dict(method=name, seed=seed, place="trained", times=TIMES, tests=tests)
        | dict(longest=AT_TEST)
        for name, experiment in TRAINED.items()
        for seed in range(seeds or 1)
    }


def _at_its_end(setting: Setting, resume=None, until=None, device: Device = "cpu"):
    """A trained network, and nothing more to train."""
    theta = trained(setting["seed"], setting["method"])
    yield Step(0, theta, {}, seeded(setting["seed"], device).get_state(), torch.empty(0))


def _right_after(setting: Setting, theta: Params, times: float, n: int) -> Tensor:
    stretched = {**setting, "alpha": times * setting["alpha"]}
    return right(stretched, method(stretched), theta, "together", tasks=n)


def measure_steps(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Measured: "right" (times, tasks, steps + 1), how many of 75 test queries are right."""
    found = [_right_after(setting, step.meta, m, setting["tests"]) for m in setting["times"]]
    return {}, {"right": torch.stack(found)}


def _steps_begin(setting: Setting) -> Tensor:
    """The answers on two tasks with half the step."""
    theta = trained(setting["seed"], setting["method"])
    return _right_after(setting, theta, 0.5, 2).flatten().double()


STEP_SIZES = Experiment(
    "step-sizes",
    _step_cells,
    _at_its_end,
    measure_steps,
    _steps_begin,
    cost,
)

EXPERIMENTS = (counting.COUNTING, omitted.OMITTED, GRADIENTS, STEP_SIZES, JOINT, *FIRST)

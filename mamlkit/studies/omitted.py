"""What first-order MAML leaves out of the meta-gradient, alpha H g: its size and its direction.

Section 5.2 explains why it may be left out: "ReLU neural networks are locally almost linear, which
suggests that second derivatives may be close to zero in most cases".
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Generator, Tensor
from torch.func import vmap
from torch.nn import functional as F

from mamlkit.bank.budget import budget as by
from mamlkit.bank.experiment import Device, Experiment, Setting, first_losses
from mamlkit.inner import Alpha
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net, all_but_norms, he, mlp, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.probes.hessian import gauss_newton_product
from mamlkit.studies.image_methods import family
from mamlkit.task import Family, Task, sample
from mamlkit.train import Step, train
from mamlkit.trees import Params, dot, tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

ACTIVATIONS = {"ReLU": F.relu, "tanh": torch.tanh, "softplus": F.softplus}
NETWORKS = {  # the paper's two networks for Omniglot, and the second one without batch norm
    "convolutions, batch norm": lambda f: strided_convnet(5, activation=f),
    "fully connected, batch norm": lambda f: mlp(784, 256, 128, 64, 64, 5, activation=f, norm=True),
    "fully connected, no norm": lambda f: mlp(784, 256, 128, 64, 64, 5, activation=f, weight=he),
}
FILES = {  # their names in those of cells
    "convolutions, batch norm": "convolutions",
    "fully connected, batch norm": "connected",
    "fully connected, no norm": "connected-no-norm",
}
# Omniglot 5-way 1-shot: way, shots, alpha, steps and queries from section 5.2 and appendix A.1.
TASKS = dict(way=5, shots=1, queries=1)
PARTS = ("all", "by the loss's curvature", "by the network's own", "cosine")
LOOKED_AT = 30_000  # the seed of the training tasks on which the two gradients are compared


def tasks_of(setting: Setting) -> Family:
    """The training tasks of a setting, on its "device" if it names one, else on the CPU."""
    return family(setting, "train", setting["queries"], setting.get("device", "cpu"))


def generator_of(setting: Setting, seed: int | None = None) -> Generator:
    """A generator on the setting's device; from the setting's seed if no other one is given."""
    return seeded(setting["seed"] if seed is None else seed, setting.get("device", "cpu"))


def network(setting: Setting) -> Net:
    """The network of a setting, with its activation."""
    return NETWORKS[setting["network"]](ACTIVATIONS[setting["activation"]])


def length(tree: Params) -> Tensor:
    """The Euclidean length of all parameters together."""
    return dot(tree, tree).sqrt()


def both_gradients(
    net: Net, alpha: Alpha, theta: Params, task: Task, steps: int = 1
) -> tuple[Params, Params]:
    """One task's meta-gradient with second derivatives, and without."""
    second, first = (
        variant(cross_entropy(net.forward), alpha=alpha, steps=steps).meta_grad(theta, task)[0]
        for variant in (maml, fomaml)
    )
    return second, first


def omitted(
    net: Net, alpha: dict[str, float], theta: Params, task: Task
) -> tuple[Tensor, Params, Params]:
    """What first order leaves out of one task's meta-gradient after one step.

    Returns (numbers, meta-gradient with second derivatives, without). numbers: `PARTS`, the first
    three of them lengths over |g|, then alpha H g over g layer by layer. The two parts are those
    of H = J^T L'' J + the network's own curvature, see `gauss_newton_product`.
    """
    second, g = both_gradients(net, {**alpha}, theta, task)
    whole = tree_map(torch.sub, g, second)
    stepped = {name: alpha.get(name, 0.0) * p for name, p in g.items()}
    of_loss = gauss_newton_product(net.forward, cross_entropy, theta, task.support, stepped)
    own = tree_map(torch.sub, whole, of_loss)
    sizes = [length(part) / length(g) for part in (whole, of_loss, own)]
    layers = [whole[name].norm() / g[name].norm() for name in g if name.endswith("weight")]
    return torch.stack([*sizes, cosine(second, g), *layers]), second, g


def cosine(a: Params, b: Params) -> Tensor:
    """The cosine of two directions, from -1 to 1."""
    return dot(a, b) / length(a) / length(b)


def looked_at(setting: Setting, n: int) -> Task:
    """The first n of the training tasks on which the gradients are compared."""
    tasks = sample(tasks_of(setting), generator_of(setting, LOOKED_AT), setting["looks"])
    return tree_map(lambda t: t[:n], tasks)


def over_tasks(
    net: Net, alpha: dict[str, float], theta: Params, tasks: Task
) -> tuple[Tensor, Tensor]:
    """The mean of `omitted`'s numbers over tasks; and |alpha H g| / |g| of the tasks' mean."""
    numbers, *gradients = vmap(partial(omitted, net, alpha), (None, 0), chunk_size=10)(theta, tasks)
    second, g = tree_map(lambda p: p.mean(0), gradients)
    return numbers.mean(0), length(tree_map(torch.sub, second, g)) / length(g)


# The omitted term along a short training, for three networks and three activations (C072).


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """A net each, by its layers and activation."""
    small = by(
        budget,
        smoke=dict(images="glyphs", tasks=1, iterations=2, pause=1, looks=2),
        quick=dict(images="omniglot", tasks=4, iterations=100, pause=20, looks=20),
        paper=dict(images="omniglot", tasks=4, iterations=100, pause=20, looks=100),
    )
    return {
        f"{FILES[name]}-{activation.lower()}-{seed}": dict(
            method="maml", seed=seed, network=name, activation=activation, **TASKS
        )
        | dict(alpha=0.4, steps=1, beta=0.001)  # appendix A.1; Adam's step is the authors' code's
        | small
        for name in NETWORKS
        for activation in ACTIVATIONS
        for seed in range(min(seeds or 1, 1))
    }


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """A short training by MAML that yields after each `pause` of its iterations."""
    setting = {"device": str(device), **setting}
    net, generator = network(setting), generator_of(setting)
    theta = net.init(generator)
    alpha = all_but_norms(theta, setting["alpha"])
    return train(
        maml(cross_entropy(net.forward), alpha=alpha, steps=setting["steps"]),
        theta,
        tasks_of(setting),
        adam(setting["beta"]),
        generator=generator,
        tasks=setting["tasks"],
        iterations=until or setting["iterations"],
        block=setting["pause"],
        resume=resume,
    )


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Goes through the training again and measures the omitted term at its start and each pause.

    Measured: "omitted" (moments, 4 + layers), see `omitted`, means over tasks; "of the mean"
    (moments,), the same ratio for the meta-gradient of all tasks together.
    """
    net, tasks = network(setting), looked_at(setting, setting["looks"])
    start = net.init(generator_of(setting))
    alpha = all_but_norms(start, setting["alpha"])
    thetas = [start, *(s.meta for s in steps(setting))]
    numbers, of_mean = zip(*(over_tasks(net, alpha, theta, tasks) for theta in thetas))
    return {}, {"omitted": torch.stack(numbers), "of the mean": torch.stack(of_mean)}


def cost(setting: Setting) -> float:
    """About how many seconds one core takes."""
    return 0.4 * setting["looks"]


OMITTED = Experiment(
    "omitted-term",
    cells,
    steps,
    measure,
    partial(first_losses, steps),
    cost,
)

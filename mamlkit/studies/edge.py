"""How near a trained start is to the edge of stability of its own inner step (X008): on waves by
variant, and on Omniglot."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.bank.experiment import Experiment, load
from mamlkit.families.sinusoid import sinusoid
from mamlkit.inner import step_sizes
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms
from mamlkit.probes.tangent_kernel import of_softmax, of_squares, reach
from mamlkit.studies import images
from mamlkit.studies.image_measures import TEST
from mamlkit.studies.image_methods import NETS, family, step_size
from mamlkit.studies.variants_waves import PLAIN, WAVES
from mamlkit.task import sample
from mamlkit.train import Step
from mamlkit.trees import Params

METHODS = ("maml", "fomaml", "reptile", "meta_sgd", "anil")  # of chapter 6, on waves
NETWORKS = (  # on Omniglot: the experiment, the method, how many seeds
    ("omniglot-5w1s-cpu", "printed", 2),
    ("omniglot-5w1s", "maml", 1),
    ("omniglot-5w5s", "maml", 1),
    ("omniglot-20w1s-third", "printed", 1),
    ("omniglot-noconv-5w1s", "maml", 1),
    ("omniglot-noconv-5w5s", "maml", 1),
)
Setting = Mapping[str, Any]


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """A setting for each trained network whose start is looked at; without a training none."""
    if budget != "paper":
        return {}
    named = [(WAVES.name, m, s, 1_000) for m in METHODS for s in range(5)]
    named += [(of, m, s, 50 if "20w" in of else 200) for of, m, n in NETWORKS for s in range(n)]
    return {
        f"{of}-{method}-{seed}": dict(of=of, method=method, seed=seed, tests=tests)
        for of, method, seed, tests in named
    }


def _trained(setting) -> tuple[Setting, Params]:
    """The setting and the parameters of the network that is looked at."""
    experiments = {e.name: e for e in (WAVES, *images.EXPERIMENTS)}
    cell = images.cell(setting["method"], setting["seed"])
    found = load(experiments[setting["of"]])
    if cell not in found:
        raise FileNotFoundError(
            f"{setting['of']} {cell} is not banked: `python -m mamlkit bank --only {setting['of']}`"
        )
    return found[cell].setting, found[cell].params


def steps(setting: Setting, resume=None, until=None, device="cpu") -> Iterator[Step]:
    """Nothing is trained."""
    state = seeded(0, device).get_state()
    theta = {name: p.to(device) for name, p in _trained(setting)[1].items()}
    yield Step(0, theta, {}, state, torch.empty(0))


def on_waves(setting, meta: Params, n: int) -> Tensor:
    """`reach` on the ten support points of n test waves: (n,)."""
    theta = {name: p for name, p in meta.items() if not name.startswith("alpha/")}
    alpha = setting["alpha"]
    if setting["method"] == "meta_sgd":
        sizes = {name: meta[f"alpha/{name}"] for name in theta}
    elif setting["method"] == "anil":
        sizes = {name: alpha for name in ("layer2.weight", "layer2.bias")}
    else:
        sizes = step_sizes(theta, alpha)
    tasks = sample(sinusoid(shots=10, queries=1), seeded(TEST), n)
    one = lambda x: reach(PLAIN.forward, of_squares, theta, sizes, x)
    return vmap(one, chunk_size=100)(tasks.support.x)


def on_characters(setting, theta: Params, n: int) -> Tensor:
    """`reach` on the support sets of n test tasks: (n,)."""
    net, sizes = NETS[setting["net"]](setting["way"]), all_but_norms(theta, step_size(setting))
    tasks = sample(family(setting, "test", 1), seeded(TEST), n)
    one = lambda x: reach(net.forward, of_softmax, theta, sizes, x)
    return vmap(one, chunk_size=1)(tasks.support.x)


def at_start(setting: Setting, params: Params, n: int) -> Tensor:
    """alpha x sharpness / 2 of n test tasks before any step: (n,)."""
    looked = on_waves if setting["of"] == WAVES.name else on_characters
    return looked(_trained(setting)[0], params, n)


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Measured: "reach" (tests,)."""
    return {}, {"reach": at_start(setting, step.meta, setting["tests"])}


def begin(setting: Setting) -> Tensor:
    """The first two tasks'."""
    return at_start(setting, _trained(setting)[1], 2).double()


def cost(setting: Setting) -> float:
    """Seconds of one core, or so."""
    return 10.0 if setting["of"] == WAVES.name else 60.0


EDGE = Experiment("edge", cells, steps, measure, begin, cost)
EXPERIMENTS = (EDGE,)

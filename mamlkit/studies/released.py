"""The network that the authors released: 5-way 1-shot miniImagenet, after 59,000 of 60,000
iterations (github.com/cbfinn/maml, added 2018-04; MIT licence).

python -m mamlkit.studies.released TASKS: how good it is on test tasks of miniImagenet, when few or
many queries share a batch norm.
"""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit import files
from mamlkit.bank.experiment import Experiment
from mamlkit.bank.tensorflow import read
from mamlkit.baselines.protocols import together, under
from mamlkit.evaluate import on_query
from mamlkit.families import archive
from mamlkit.losses import Forward, accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.studies.image_measures import QUERIES, TEST, Setting, in_parts, right
from mamlkit.studies.image_methods import adapting, family, method
from mamlkit.studies.images import SETTINGS
from mamlkit.train import Step
from mamlkit.trees import Params

URL = (
    "https://github.com/cbfinn/maml/raw/master/logs/miniimagenet1shot/"
    "cls_5.mbs_4.ubs_1.numstep5.updatelr0.01hidden32maxpoolbatchnorm/"
)
NAME = "model59000"
# SHA-256 of the two files that the parameters are read from
DIGESTS = (
    "1aa0796e828abfecda13d14b8edae381ec2fc00b190a0aee985d05dba4814c4f",
    "f7e14e6f544371a562441d378f4bc5765431008400cc07a16ad5ed488ea9dea0",
)
SETTING: Setting = SETTINGS["mini-5w1s"] | {"method": "maml"}
WAY = SETTING["way"]
KNOWN = dict(zip((f"{NAME}.index", f"{NAME}.data-00000-of-00001"), DIGESTS))


def parameters(variables: dict[str, Tensor]) -> Params:
    """The parameters of `pooled_convnet`, from the variables of the authors' code trained with max
    pooling.

    They call the layers conv1 to conv4 and w5, and count heights, widths, channels; the biases of
    the convolutions have no names of their own (Variable, Variable_1, ...). Raises ValueError
    naming a variable that is not there, and for a net with strided convolutions, which TensorFlow
    pads at one side where we pad at both.
    """
    blocks = [f"model/Variable{f'_{i}' * (i > 0)}" for i in range(4)]
    needed = [f"model/{n}" for i in range(4) for n in (f"conv{i + 1}", f"{i}/beta")]
    needed += [*blocks, "model/w5", "model/b5"]
    if missing := [name for name in needed if name not in variables]:
        raise ValueError(f"there is no variable {missing[0]}; there are {', '.join(variables)}")
    found: Params = {}
    for i in range(4):
        found[f"layer{i}.weight"] = variables[f"model/conv{i + 1}"].permute(3, 2, 0, 1)
        found[f"layer{i}.bias"] = variables[blocks[i]]
        found[f"norm{i}.beta"] = variables[f"model/{i}/beta"]
    filters, (features, ways) = len(found["layer3.bias"]), variables["model/w5"].shape
    side = round((features / filters) ** 0.5)
    if side < 2 or side**2 * filters != features:
        raise ValueError(
            f"model/w5 has {features} features of {filters} filters: only nets with max pooling "
            "are read, whose last map is a square of 2 or more pixels"
        )
    head = variables["model/w5"].view(side, side, filters, ways)
    found["layer4.weight"] = head.permute(3, 2, 0, 1).flatten(1)
    found["layer4.bias"] = variables["model/b5"]
    return {name: p.contiguous() for name, p in found.items()}


def load(root: Path | str | None = None, *, progress=archive.quiet) -> Params:
    """The released parameters, for `pooled_convnet(5)`: 32,773 numbers.

    root: the folder that holds the two files of KNOWN. Without it they are looked for in
    MAMLKIT_DATA/released and data/cache/released, and downloaded to the latter (132 KB). Raises
    FileNotFoundError, ConnectionError or ValueError with what to do.
    """
    if root is None:
        given = os.environ.get("MAMLKIT_DATA")
        places = [files.at_home(given) / "released"] if given else []
        own = archive.CACHE / "released"
        root = next((p for p in places if (p / f"{NAME}.index").exists()), own)
        for name, digest in KNOWN.items() if root == own else ():
            if not (own / name).exists():
                archive.download(
                    URL + name,
                    own / name,
                    sha256=digest,
                    timeout=archive.TIMEOUT,
                    progress=progress,
                    instead=f"put the file into {Path(os.path.relpath(own, archive.ROOT))}",
                )
    return parameters(read(files.at_home(root) / NAME))


def in_fives(forward: Forward, support_x: Tensor) -> Forward:
    """A protocol (see `baselines.protocols`): the queries stand in batches of one of each class,
    and each batch is normalised by its own statistics.

    So the authors' main.py tests: where it does not train, a class has as many queries as shots,
    here one. Queries are grouped by class, as in `few_shot`.
    """

    def batches(params, x):
        outputs = vmap(partial(forward, params), in_dims=1, out_dims=1)(x.unflatten(0, (WAY, -1)))
        return outputs.flatten(0, 1)

    return batches


def tested(params: Params, tasks: int) -> Tensor:
    """The shares of queries that are named rightly after the ten steps of the paper's evaluation:
    (tasks, 2), from 0 to 1, first normalised together, then in fives.

    15 queries a class, of classes that no training saw: both columns are of the same pictures.
    """
    how = method(SETTING)
    last = adapting(lambda m, s: how.adapts[0].adapt(m, s)[: SETTING["test"] + 1][-1:])
    measures = [under(protocol, accuracy, how.net.forward) for protocol in (together, in_fives)]
    drawn = family(SETTING, "test", QUERIES)
    found = [in_parts(last, params, drawn, measure, TEST, tasks)[:, 0] for measure in measures]
    return torch.stack(found, 1)


def cells(budget: str, seeds: int | None = None) -> dict[str, Setting]:
    """The released network by itself: it has no smaller budget, and no other seed."""
    return {"maml-0": dict(SETTING, seed=0, tests=600)} if budget == "paper" else {}


def steps(setting: Setting, resume=None, until=None, device="cpu") -> Iterator[Step]:
    """No training: the authors did it."""
    state = seeded(setting["seed"], device).get_state()
    yield Step(setting["iterations"], load(), {}, state, torch.empty(0))


def measure(setting: Setting, step: Step, device="cpu") -> tuple[Params, dict[str, Tensor]]:
    """The parameters, and how many test queries are right after each step, as `images.measure`
    names them."""
    meta = {k: p.to(device) for k, p in step.meta.items()}
    found = {
        f"right.{protocol}": right(setting, method(setting), meta, protocol, device=device)
        for protocol in ("paper", "together")
    }
    return step.meta, found


def begin(setting: Setting) -> Tensor:
    """Query losses on the first test tasks, up to ten, after each step."""
    how = method(setting)
    meta = {k: p.to(torch.get_default_dtype()) for k, p in load().items()}
    loss = on_query(cross_entropy(how.net.forward))
    drawn = family(setting, "test", setting["queries"])
    return (
        in_parts(how.adapts[0], meta, drawn, loss, TEST, min(10, setting["tests"])).double().mean(0)
    )


def cost(setting: Setting) -> float:
    """Seconds of one core, or so: two protocols are tested, with 5 and with 75 queries a task."""
    return 1.0 * setting["tests"]


RELEASED = Experiment("mini-5w1s-released", cells, steps, measure, begin, cost)
EXPERIMENTS = (RELEASED,)


def main(tasks: int) -> None:
    """Prints means over tasks and how far they may be off, as the paper does: 1.96 standard
    errors."""
    right = 100 * tested(load(), tasks)
    print(f"{tasks} test tasks, {QUERIES} queries a class, 10 steps; right:")
    for words, values in {
        "all queries of a task share a batch norm": right[:, 0],
        "one query of each class does": right[:, 1],
        "the second less the first": right[:, 1] - right[:, 0],
    }.items():
        print(f"{values.mean():6.2f} ± {1.96 * values.std() / tasks**0.5:.2f} %  {words}")


if __name__ == "__main__":
    main(int(sys.argv[1]))

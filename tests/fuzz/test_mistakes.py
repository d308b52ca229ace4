"""Whole mistakes of a user, of model, parameters, loss, tasks and images: each alone and two at
once is refused in one sentence, by training and by evaluation alike."""

import random
from itertools import combinations

import numpy
import pytest
import torch
from torch import nn

from mamlkit.evaluate import evaluate, on_query
from mamlkit.families import folder
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import from_module, mlp
from mamlkit.optimizer import adam
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from mamlkit.variants.meta_sgd import meta_sgd
from tests.archives import image, unpacked
from tests.fuzz.rule import answer, count, odd

NET, LABELS = mlp(2, 4, 3), torch.arange(6) % 3
LOSS, NAN = cross_entropy(NET.forward), float("nan")


def family(support=lambda x, y: (x, y), query=lambda x, y: (x, y)):
    return Family(
        lambda generator, tasks: torch.randn(tasks, 6, 2, generator=generator),
        lambda x: Task(Data(*support(x, LABELS)), Data(*query(x, LABELS))),
    )


EXAMPLES = {  # what a support or a query set may be by mistake
    "no examples": lambda x, y: (x[:0], y[:0]),
    "NaN": lambda x, y: (x * NAN, y),
    "infinite": lambda x, y: (x / 0, y),
    "double": lambda x, y: (x.double(), y),
    "half": lambda x, y: (x.half(), y),
    "bytes": lambda x, y: (x.to(torch.uint8), y),
    "complex": lambda x, y: (x + 0j, y),
    "labels as floats": lambda x, y: (x, y.float()),
    "labels as truths": lambda x, y: (x, y > 0),
    "labels from 1": lambda x, y: (x, y + 1),
    "labels from -1": lambda x, y: (x, y - 1),
    "torch's ignored label": lambda x, y: (x, y - 100 - y),
    "a column of labels": lambda x, y: (x, y[:, None]),
    "one-hot labels": lambda x, y: (x, nn.functional.one_hot(y, 3)),
    "no labels": lambda x, y: (x, None),
    "labels of numpy": lambda x, y: (x, y.numpy()),
    "labels as a list": lambda x, y: (x, y.tolist()),
    "too few labels": lambda x, y: (x, y[:4]),
    "flat inputs": lambda x, y: (x.flatten(), y),
    "an axis too many": lambda x, y: (x[None], y),
}
PARAMETERS = {
    "half": lambda p: p.half(),
    "double": lambda p: p.double(),
    "complex": lambda p: p + 0j,
    "whole": lambda p: p.long(),
    "sparse": lambda p: p.to_sparse(),
    "NaN": lambda p: p * NAN,
    "numpy": lambda p: p.numpy(),
    "meta": lambda p: p.to("meta"),
    "larger": lambda p: torch.cat([p, p]),
    "a list": lambda p: p.tolist(),
}
CUTS = {
    "detach": lambda p, d: LOSS(p, d).detach(),
    "item": lambda p, d: torch.tensor(LOSS(p, d).item()),
    "a number": lambda p, d: LOSS(p, d).item(),
    "no_grad": torch.no_grad()(LOSS),
    "numpy": lambda p, d: torch.as_tensor(numpy.mean(NET.forward(p, d.x).numpy())),
    "if": lambda p, d: LOSS(p, d) if LOSS(p, d) > 0 else -LOSS(p, d),
    "accuracy": accuracy(NET.forward),
    "random": lambda p, d: LOSS(p, d) * torch.rand(()),
    "mask": lambda p, d: NET.forward(p, d.x)[d.x[:, 0] > 0].mean(),
    "not reduced": lambda p, d: NET.forward(p, d.x).mean(1),
}
MODULES = {
    "an instance": nn.Linear(2, 3),
    "no module": lambda: torch.relu,
    "half": lambda: nn.Linear(2, 3).half(),
    "other inputs": lambda: nn.Linear(5, 3),
    "frozen": lambda: nn.Linear(2, 3).requires_grad_(False),
    "meta": lambda: nn.Linear(2, 3, device="meta"),
    "lazy": lambda: nn.LazyLinear(3),
    "dropout": lambda: nn.Sequential(nn.Linear(2, 3), nn.Dropout()),
    "running": lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
    "list": lambda: nn.ModuleList([nn.Linear(2, 3)]),
    "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)),
    "indices": lambda: nn.Embedding(3, 2),
    "scripted": lambda: torch.jit.script(nn.Linear(2, 3)),
}
MISTAKES = {
    **{f"parameters: {k}": ("meta", f) for k, f in PARAMETERS.items()},
    **{f"support: {k}": ("support", f) for k, f in EXAMPLES.items()},
    **{f"query: {k}": ("query", f) for k, f in EXAMPLES.items()},
    **{f"loss: {k}": ("loss", f) for k, f in CUTS.items()},
    **{f"module: {k}": ("module", f) for k, f in MODULES.items()},
}


def trained(make, mistakes):
    learner, meta, family_, _ = parts(make, mistakes)
    size = dict(generator=seeded(0), tasks=2, iterations=2, block=2, compiled=False)
    return next(train(learner, meta, family_, adam(0.1), **size))


def evaluated(make, mistakes):
    learner, meta, family_, loss = parts(make, mistakes)
    size = dict(number=2, generator=seeded(0))
    return evaluate(learner, meta, family_, on_query(loss), **size)


def parts(make, mistakes):
    net = from_module(mistakes["module"]) if "module" in mistakes else NET
    loss = mistakes.get("loss") or cross_entropy(net.forward)
    change = mistakes.get("meta", lambda p: p)
    meta = {k: change(p) for k, p in net.init(seeded(0)).items()}
    sets = {k: v for k, v in mistakes.items() if k in ("support", "query")}
    return make(loss, alpha=0.1, steps=1), meta, family(**sets), loss


@pytest.mark.parametrize("run", [trained, evaluated])
def test_no_mistake_is_taken_and_none_ends_in_a_traceback(run):
    rng, wrong = random.Random(run.__name__), []
    pairs = [pair for pair in combinations(MISTAKES, 2) if len({MISTAKES[k][0] for k in pair}) == 2]
    for names in [*((name,) for name in MISTAKES), *rng.sample(pairs, min(len(pairs), count(40)))]:
        make = rng.choice([maml, fomaml, meta_sgd])
        kind, told = answer(lambda: run(make, dict(MISTAKES[k] for k in names)))
        if kind != "refused":
            wrong.append((names, make.__name__, kind, str(told)[:200]))
    assert not wrong, wrong


def test_a_batch_that_is_none(tmp_path):
    """Parts of a batch cut, doubled or of another kind."""
    batch = sample(family(), seeded(0), 3)
    edits = {
        "one task": lambda t: t[0],
        "one task less": lambda t: t[1:],
        "none": lambda t: t[:0],
        "numpy": lambda t: t.numpy(),
        "NaN": lambda t: t * NAN if t.is_floating_point() else t + 3,
        "no examples": lambda t: t[:, :0],
        "nothing": lambda t: None,
    }
    wrong = []
    for name, edit in edits.items():
        for fields in (("support",), ("query",), ("support", "query")):
            if (name, len(fields)) == ("one task less", 2):
                continue  # two tasks are as good as three
            bad = batch._replace(**{k: Data(*map(edit, getattr(batch, k))) for k in fields})
            learner, meta = maml(LOSS, alpha=0.1, steps=1), NET.init(seeded(0))
            kind, told = answer(lambda: evaluate(learner, meta, bad, on_query(LOSS)))
            if kind != "refused":
                wrong.append((name, fields, kind, str(told)[:200]))
    assert not wrong, wrong


def test_settings_of_a_folder_of_images(tmp_path):
    place = unpacked(
        tmp_path / "images",
        {f"{c}/{i}.png": image(9, 9, "L", seed=i) for c in "abc" for i in range(3)},
    )
    good = dict(root=str(place), split=None, size=8, channels=1, fractions=None, seed=0)
    fine = {
        "size": lambda v: isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= 4096,
        "split": lambda v: v is None,
        "fractions": lambda v: v is None,
        "seed": lambda v: True,  # without fractions nothing is drawn
    }
    rng, wrong = random.Random(3), []
    for _ in range(count(120)):
        name, value = rng.choice([*good]), odd(rng)
        kind, told = answer(lambda: folder.load(**(good | {name: value})))
        taken = fine.get(name, lambda v: False)(value)
        if kind != ("taken" if taken else "refused"):
            wrong.append((name, value, kind, str(told)[:200]))
    assert not wrong, wrong

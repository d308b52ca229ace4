"""Trainings as a user writes them for `torchrun`, which any number of ranks may share.

python -m tests.scale.training FOLDER SPEC ...

SPEC: e.g. sinusoid:float32:200:25, a problem, a type, iterations and tasks; further words are
chunk=2, compiled=1, and rest=0.3, seconds after every Step. Each run is kept in FOLDER as
SPEC.safetensors.
"""

import sys
import time
from pathlib import Path

import torch

from mamlkit.families import glyphs, omniglot
from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.scale.ranks import Ranks, ranks
from mamlkit.train import Step, train
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml


def problem(what):
    """(net, loss, family, alpha) of section 5.1, or of 5-way 1-shot characters."""
    if what == "sinusoid":
        return mlp(1, 40, 40, 1), mse, sinusoid(), 0.01
    images = glyphs.load(40, seed=1) if what == "glyphs" else omniglot.load("train")
    read = glyphs.glyphs if what == "glyphs" else omniglot.omniglot
    family = read(images, way=5, shots=1, queries=1)
    kind = torch.get_default_dtype()
    cast = lambda tree: tree_map(lambda t: t.to(kind) if t.is_floating_point() else t, tree)
    family = family._replace(make=lambda drawn, make=family.make: cast(make(drawn)))
    return strided_convnet(5), cross_entropy, family, 0.4


def run(here: Ranks, folder: Path, spec: str) -> Step:
    """The last Step of a training that `here` has its share of."""
    what, dtype, iterations, tasks, *words = spec.split(":")
    more = dict(word.split("=") for word in words)
    torch.set_default_dtype(getattr(torch, dtype))
    net, loss, family, alpha = problem(what)
    generator = seeded(0, here.device)
    meta = net.init(generator)
    steps = lambda resume: train(
        maml(loss(net.forward), alpha=alpha, steps=1),
        meta,
        family,
        adam(0.001),
        generator=generator,
        tasks=int(tasks),
        iterations=int(iterations),
        block=5,
        chunk=int(more["chunk"]) if "chunk" in more else None,
        compiled="compiled" in more,
        spread=here.spread,
        resume=resume,
    )
    for step in here.resumable(folder / f"{spec}.safetensors", steps, about={}, seconds=0.2):
        print(f"rank {here.rank}: {step.iteration}", flush=True)
        time.sleep(float(more.get("rest", 0)))
    return step


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks() as here:
        for spec in sys.argv[2:]:
            run(here, Path(sys.argv[1]), spec)

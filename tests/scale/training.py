"""A training as a user writes it for `torchrun`, which any number of ranks may share.

python -m tests.scale.training WHAT DTYPE ITERATIONS TASKS FOLDER [PAUSE]

WHAT: "sinusoid", "glyphs" or "omniglot". Rank 0 writes all losses and the parameters' norm to
FOLDER/losses.pt at the end. PAUSE: seconds after every Step.
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
from mamlkit.scale.ranks import ranks
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml


def problem(what):
    """(net, loss, family, alpha) of section 5.1, or of 5-way 1-shot characters."""
    if what == "sinusoid":
        return mlp(1, 40, 40, 1), mse, sinusoid(), 0.01
    images = glyphs.load(40, seed=1) if what == "glyphs" else omniglot.load("train")
    read = glyphs.glyphs if what == "glyphs" else omniglot.omniglot
    family = read(images, way=5, shots=1, queries=1)
    cast = lambda tree: tree_map(
        lambda t: t.to(torch.get_default_dtype()) if t.is_floating_point() else t, tree
    )
    family = family._replace(make=lambda drawn, make=family.make: cast(make(drawn)))
    return strided_convnet(5), cross_entropy, family, 0.4


def main(what, dtype, iterations, tasks, folder, pause="0"):
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, dtype))
    net, loss, family, alpha = problem(what)
    with ranks() as here:
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
            block=10,
            spread=here.spread,
            resume=resume,
        )
        path, about = Path(folder) / "run.safetensors", {"what": what, "dtype": dtype}
        for step in here.resumable(path, steps, about=about, seconds=0.2):
            print(here.rank, step.iteration, flush=True)
            time.sleep(float(pause))
        if here.rank == 0:
            torch.save((step.losses, step.meta), Path(folder) / "losses.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])

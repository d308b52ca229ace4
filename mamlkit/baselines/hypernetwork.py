"""A hypernetwork: Ha, Dai & Le 2017, told the task by its support set."""

import torch
from torch.nn import functional as F

from mamlkit.nets import Net, normal
from mamlkit.sequence import apply_dense, dense
from mamlkit.task import Data
from mamlkit.trees import Params

FIRST = "hyper."  # what the names of the hypernetwork's own parameters begin with


def hypernetwork(net: Net, *, inputs: int, outputs: int, width: int = 64) -> Net:
    """A net whose parameters another one writes: the numbers of `net` are what they start from.

    The hypernetwork embeds a support set as the mean over its examples (x, y) of a small net of
    `width` units; each parameter of `net` is a linear function of that embedding, at first nearly
    constant. Ha et al. learn one embedding for each layer and share what writes the layers; here
    the embedding is the task's, and each layer has a writer of its own. inputs, outputs: numbers in
    one x and one y. Trained by `unrolled(loss, written)`; forward is that of `net`. Source: section
    3.1, static hypernetworks.
    """

    def init(generator):
        own = dense(generator, f"{FIRST}example", width, inputs + outputs)
        own |= dense(generator, f"{FIRST}set", width, width)
        theta = net.init(generator)
        small = normal(0.1 * width**-0.5)
        writers = {f"{FIRST}{k}": small(generator, (*p.shape, width)) for k, p in theta.items()}
        return own | writers | theta

    return Net(init, net.forward)


def written(params: Params, support: Data) -> list[Params]:
    """The path of one step that a `hypernetwork` takes: the parameters that it starts from, and
    those that it writes for a support set, x (examples, inputs) and y (examples, outputs)."""
    said = F.relu(apply_dense(params, f"{FIRST}example", torch.cat([*support], -1)))
    embedding = F.relu(apply_dense(params, f"{FIRST}set", said.mean(0)))
    start = {name: p for name, p in params.items() if not name.startswith(FIRST)}
    return [start, {name: p + params[f"{FIRST}{name}"] @ embedding for name, p in start.items()}]

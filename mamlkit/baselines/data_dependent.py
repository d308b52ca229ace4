"""Data-dependent initialisation: Kraehenbuehl, Doersch, Donahue & Darrell 2016; a control."""

from math import prod

import torch
from torch import Generator, Tensor
from torch.func import grad
from torch.nn import functional as F

from mamlkit.nets import Net
from mamlkit.trees import Params


def data_dependent(net: Net, params: Params, x: Tensor, generator: Generator) -> Params:
    """The same random weights, scaled by what data do to them: nothing is trained.

    First `standardised`; then `balanced`, so that a gradient step changes all layers at one rate.
    net: an `mlp` of ReLUs without batch norm, whose parameters these are. x: inputs of training
    tasks (examples, ...), without labels. generator: draws the directions in which the outputs are
    asked to move. Source: sections 3.1 and 3.2.
    """
    return balanced(net, standardised(params, x), x, generator)


def standardised(params: Params, x: Tensor) -> Params:
    """Each unit's weights and bias, layer by layer, such that before its ReLU it has mean 0 and
    variance 1 over the data. Source: section 3.1, Algorithm 1."""
    found, layers = dict(params), len(params) // 2
    for i in range(layers):
        before = F.linear(x, params[f"layer{i}.weight"])
        deviation, mean = torch.std_mean(before, 0, correction=0)
        found[f"layer{i}.weight"] = params[f"layer{i}.weight"] / deviation[:, None]
        found[f"layer{i}.bias"] = -mean / deviation
        x = F.relu((before - mean) / deviation)
    return found


def rates(net: Net, params: Params, x: Tensor, generator: Generator) -> list[Tensor]:
    """How fast each layer changes: the root mean square of its weights' gradient over that of the
    weights, for outputs that are asked to move at random. Source: equation 5."""
    directions = torch.randn(net.forward(params, x).shape, generator=generator, dtype=x.dtype)
    slope = grad(lambda p: (directions * net.forward(p, x)).sum())(params)
    weights = [name for name in params if name.endswith("weight")]
    return [(slope[k].square().mean() / params[k].square().mean()).sqrt() for k in weights]


def balanced(net: Net, params: Params, x: Tensor, generator: Generator) -> Params:
    """Each layer scaled such that all have one rate, the geometric mean of theirs; the outputs stay
    as they are.

    A net of ReLUs is homogeneous: one step does what the paper's iteration does for other nets.
    Source: section 3.2, Algorithm 2.
    """
    found = rates(net, params, x, generator)
    mean = torch.stack(found).log().mean().exp()
    scales = [(rate / mean).sqrt() for rate in found]
    balance = dict(params)
    for i, scale in enumerate(scales):
        balance[f"layer{i}.weight"] = scale * params[f"layer{i}.weight"]
        balance[f"layer{i}.bias"] = prod(scales[: i + 1]) * params[f"layer{i}.bias"]
    return balance

"""Recurrent and attention nets: architectures that the paper claims (sections 1 and 3) and never tries.

Written from plain tensor operations: torch's fused GRU cannot be batched by `vmap`, and its fused attention has no
second derivative.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mamlkit.nets import Net, normal


def _dense(generator, name, outputs, inputs):
    return {f"{name}.weight": normal(inputs**-0.5)(generator, (outputs, inputs)),
            f"{name}.bias": torch.zeros(outputs, device=generator.device)}


def gru(inputs: int, hidden: int, outputs: int) -> Net:
    """A gated recurrent unit (Cho et al. 2014) and a linear read-out of its last state.

    forward: (examples, time, inputs) -> (examples, outputs).
    """

    def init(generator):
        return (_dense(generator, "input", 3 * hidden, inputs) | _dense(generator, "state", 3 * hidden, hidden)
                | _dense(generator, "out", outputs, hidden))

    def forward(params, x):
        state = x.new_zeros(x.shape[0], hidden)
        for now in x.unbind(1):
            from_input = F.linear(now, params["input.weight"], params["input.bias"]).chunk(3, -1)
            from_state = F.linear(state, params["state.weight"], params["state.bias"]).chunk(3, -1)
            reset, keep = (torch.sigmoid(a + b) for a, b in zip(from_input[:2], from_state[:2]))
            state = keep * state + (1 - keep) * torch.tanh(from_input[2] + reset * from_state[2])
        return F.linear(state, params["out.weight"], params["out.bias"])

    return Net(init, forward)


def transformer(inputs: int, width: int, heads: int, outputs: int) -> Net:
    """One block of self-attention and a two-layer net, both with residuals; the mean over time is read out.

    Attention without position codes sees a set. width must be a multiple of heads.
    forward: (examples, time, inputs) -> (examples, outputs).
    """
    if width % heads:
        raise ValueError(f"width is {width} and heads is {heads}: width must be a multiple of heads")

    def init(generator):
        return (_dense(generator, "embed", width, inputs) | _dense(generator, "qkv", 3 * width, width)
                | _dense(generator, "mix", width, width) | _dense(generator, "up", 2 * width, width)
                | _dense(generator, "down", width, 2 * width) | _dense(generator, "out", outputs, width))

    def dense(params, name, x):
        return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])

    def attend(params, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in dense(params, "qkv", x).chunk(3, -1))
        weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
        return dense(params, "mix", (weights @ v).transpose(1, 2).flatten(2))

    def forward(params, x):
        x = dense(params, "embed", x)
        x = x + attend(params, x)
        x = x + dense(params, "down", F.gelu(dense(params, "up", x)))
        return dense(params, "out", x.mean(1))

    return Net(init, forward)

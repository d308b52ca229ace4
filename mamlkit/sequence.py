"""Recurrent and attention nets: architectures that the paper claims (sections 1 and 3) and never
tries.

Written from plain tensor operations: torch's fused GRU cannot be batched by `vmap`, and its fused
attention has no second derivative. `nets.from_module` takes torch's own layers all the same: it
composes nn.RNN, nn.GRU and nn.LSTM of plain operations, and has attention computed by torch's MATH
kernel (`torch.nn.attention.sdpa_kernel`).
"""

from math import exp

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mamlkit.boundary import random_numbers, wholes
from mamlkit.nets import Net, normal
from mamlkit.trees import Params


def dense(generator: Generator, name: str, outputs: int, inputs: int) -> Params:
    """The parameters `name`.weight and `name`.bias of a linear layer; `apply_dense` reads them."""
    random_numbers(generator)
    return {
        f"{name}.weight": normal(inputs**-0.5)(generator, (outputs, inputs)),
        f"{name}.bias": torch.zeros(outputs, device=generator.device),
    }


def apply_dense(params: Params, name: str, x: Tensor) -> Tensor:
    """The linear layer called `name`: (..., inputs) -> (..., outputs)."""
    return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def lstm(generator: Generator, name: str, inputs: int, hidden: int) -> Params:
    """The parameters `name`.weight and `name`.bias of a long short-term memory (Hochreiter &
    Schmidhuber 1997).

    Its forget gate starts open, with a bias of 1 (Jozefowicz et al. 2015).
    """
    params = dense(generator, name, 4 * hidden, inputs + hidden)
    params[f"{name}.bias"][:hidden] = 1
    return params


def lstm_step(
    params: Params, name: str, x: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step of the `lstm` called `name`: input (..., inputs) and state (h, c), each (...,
    hidden) -> the next state."""
    h, c = state
    return lstm_state(apply_dense(params, name, torch.cat([x, h], -1)), c)


def lstm_state(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The next state (h, c) of a long short-term memory, each (..., hidden), by what its linear
    layer says, (..., 4 * hidden), and its last cell state."""
    forget, write, show, new = gates.chunk(4, -1)
    c = torch.sigmoid(forget) * c + torch.sigmoid(write) * torch.tanh(new)
    return torch.sigmoid(show) * torch.tanh(c), c


def gru_step(params: Params, told: Tensor, state: Tensor) -> Tensor:
    """One step of a gated recurrent unit (Cho et al. 2014): state (..., hidden) -> the next state.

    told: the step's input through the linear layer "input", (..., 3 * hidden); the state goes
    through the linear layer "state".
    """
    reset, keep, new = told.chunk(3, -1)
    from_reset, from_keep, from_new = apply_dense(params, "state", state).chunk(3, -1)
    new = torch.tanh(new + torch.sigmoid(reset + from_reset) * from_new)
    return new + torch.sigmoid(keep + from_keep) * (state - new)


def gru_states(params: Params, x: Tensor) -> Tensor:
    """The states of a gated recurrent unit that begins empty: (examples, time, inputs) ->
    (examples, time, hidden)."""
    state, states = x.new_zeros(len(x), params["state.weight"].shape[1]), []
    for told in apply_dense(params, "input", x.transpose(0, 1)).unbind():
        state = gru_step(params, told, state)
        states.append(state)
    return torch.stack(states, 1)


def read_gradient(gradient: Tensor, p: float = 10.0) -> Tensor:
    """What a coordinatewise LSTM reads of a gradient or a loss (...): its size and its sign (...,
    2), both near 1 whatever its scale.

    (log|g| / p, sign g) where |g| is at least e^-p, else (-1, e^p g). Source: Andrychowicz et al.
    2016, appendix A; Ravi & Larochelle 2017, section 3.4.
    """
    large = gradient.abs() >= exp(-p)
    size = torch.where(large, gradient.abs().clamp(min=exp(-p)).log() / p, -1.0)
    return torch.stack([size, torch.where(large, gradient.sign(), exp(p) * gradient)], -1)


def gru(inputs: int, hidden: int, outputs: int) -> Net:
    """A gated recurrent unit and a linear read-out of its last state.

    forward: (examples, time, inputs) -> (examples, outputs).
    """
    wholes(inputs=inputs, hidden=hidden, outputs=outputs)

    def init(generator):
        return (
            dense(generator, "input", 3 * hidden, inputs)
            | dense(generator, "state", 3 * hidden, hidden)
            | dense(generator, "out", outputs, hidden)
        )

    return Net(init, lambda params, x: apply_dense(params, "out", gru_states(params, x)[:, -1]))


def transformer(inputs: int, width: int, heads: int, outputs: int) -> Net:
    """One block of self-attention and a two-layer net, both with residuals; the mean over time is
    read out.

    Attention without position codes sees a set. width must be a multiple of heads.
    forward: (examples, time, inputs) -> (examples, outputs).
    """
    wholes(inputs=inputs, width=width, heads=heads, outputs=outputs)
    if width % heads:
        raise ValueError(
            f"width is {width} and heads is {heads}: width must be a multiple of heads"
        )

    def init(generator):
        return (
            dense(generator, "embed", width, inputs)
            | dense(generator, "qkv", 3 * width, width)
            | dense(generator, "mix", width, width)
            | dense(generator, "up", 2 * width, width)
            | dense(generator, "down", width, 2 * width)
            | dense(generator, "out", outputs, width)
        )

    def attend(params, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in apply_dense(params, "qkv", x).chunk(3, -1)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
        return apply_dense(params, "mix", (weights @ v).transpose(1, 2).flatten(2))

    def forward(params, x):
        x = apply_dense(params, "embed", x)
        x = x + attend(params, x)
        x = x + apply_dense(params, "down", F.gelu(apply_dense(params, "up", x)))
        return apply_dense(params, "out", x.mean(1))

    return Net(init, forward)

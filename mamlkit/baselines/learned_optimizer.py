"""A learned optimiser: Andrychowicz et al. 2016, "Learning to learn by gradient descent by gradient
descent"."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from mamlkit.boundary import inner_steps
from mamlkit.learner import Learner
from mamlkit.losses import Loss
from mamlkit.nets import Net
from mamlkit.sequence import apply_dense, dense, lstm, lstm_step, read_gradient
from mamlkit.task import Data, Family, Task
from mamlkit.trees import Params, ravel

SCALE = 0.1  # of what the optimiser says, so that it begins with small steps
LAYERS = ("first", "second")


class Started(NamedTuple):
    """A support set, x and y, and the random parameters that the network starts from."""

    x: Tensor
    y: Tensor
    start: Params


def started(family: Family, net: Net) -> Family:
    """The same tasks, each with a random start of its own for `net`: support is `Started`."""

    def noise(generator, tasks):
        drawn = family.noise(generator, tasks)
        starts = [net.init(generator) for _ in range(tasks)]
        return drawn, {name: torch.stack([s[name] for s in starts]) for name in starts[0]}

    def make(noise):
        drawn, start = noise
        task = family.make(drawn)
        return Task(Started(task.support.x, task.support.y, start), task.query)

    return Family(noise, make)


def optimizer_params(generator: torch.Generator, hidden: int = 20) -> Params:
    """The parameters of an optimiser: two layers of LSTMs of `hidden` units, and what they say of
    each parameter's step. Source: section 2.1; 20 units."""
    return (
        lstm(generator, LAYERS[0], 2, hidden)
        | lstm(generator, LAYERS[1], hidden, hidden)
        | dense(generator, "step", 1, hidden)
    )


def learned_optimizer(loss: Loss, *, steps: int) -> Learner:
    """Steps that an LSTM decides: theta_t = theta_{t-1} + g_t, g_t what it says after the gradients
    so far of that parameter.

    One LSTM serves all parameters, each with a state of its own. What it is trained on is the sum
    (here the mean) of the losses after every step, on the query. Gradients count as constants.
    loss: of the network that is optimised; the meta-parameters are the optimiser's
    (`optimizer_params`), and tasks come from `started`. Raises ValueError for steps below 1.
    Source: equations 1 to 3, section 2.
    """
    inner_steps(steps, 1)

    def path(meta, support: Started):
        theta, unravel = ravel(support.start)
        data = Data(support.x, support.y)
        blank = theta.new_zeros(len(theta), meta["step.weight"].shape[1])
        states, visited = [(blank, blank) for _ in LAYERS], [unravel(theta)]
        for _ in range(steps):
            slope = grad(lambda v: loss(unravel(v), data))(theta.detach()).detach()
            said = read_gradient(slope)
            for i, layer in enumerate(LAYERS):
                states[i] = lstm_step(meta, layer, said, states[i])
                said = states[i][0]
            theta = theta + SCALE * apply_dense(meta, "step", said).squeeze(-1)
            visited.append(unravel(theta))
        return visited

    def objective(meta, task):
        losses = [loss(theta, task.query) for theta in path(meta, task.support)[1:]]
        return torch.stack(losses).mean(), {"loss": losses[-1]}

    return Learner(dict, path, grad(objective, has_aux=True))

"""Memory-augmented neural networks: Santoro, Bartunov, Botvinick, Wierstra & Lillicrap 2016; Table
1, no-conv row."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from mamlkit.baselines.episodic import cosine, membership, recall
from mamlkit.boundary import wholes
from mamlkit.nets import Net
from mamlkit.sequence import apply_dense, dense, lstm, lstm_state
from mamlkit.task import Family, Task
from mamlkit.trees import tree_map

DECAY = 0.99  # of usage, gamma in section 3.2


class Memory(NamedTuple):
    """All that the network carries along a sequence: the controller's state (hidden,), the memory
    (slots, width), the last read weights (reads, slots), how much each slot was used (slots,), and
    what was read (reads * width,)."""

    controller: tuple[Tensor, Tensor]
    slots: Tensor
    weights: Tensor
    usage: Tensor
    seen: Tensor


def mann(
    inputs: int, *, ways: int, hidden: int = 200, slots: int = 128, width: int = 40, reads: int = 4
) -> Net:
    """An LSTM with an external memory reads the support as a sequence, every label one step late,
    then each query.

    A query is the next step after the support; all queries see the same memory. inputs: numbers in
    one image. The other sizes are the paper's. The order of the support is part of the sequence:
    train and test with `shuffled` tasks, or position will tell the class. No batch norm. forward:
    images -> (queries, ways), see mamlkit/episodic.py. Source: section 3.2, equations 2 to 8;
    section 3.1 for the late label.
    """
    wholes(inputs=inputs, ways=ways, hidden=hidden, slots=slots, width=width, reads=reads)
    if reads > slots:
        raise ValueError(
            f"reads is {reads} and slots is {slots}: each head writes a slot of its own"
        )

    def init(generator):
        gate = {"gate": torch.zeros(reads, device=generator.device)}
        return (
            lstm(generator, "controller", inputs + ways + reads * width, hidden)
            | dense(generator, "key", reads * width, hidden)
            | gate
            | dense(generator, "out", ways, hidden + reads * width)
        )

    def step(inside, theta, memory: Memory, told) -> Memory:
        h, c = memory.controller
        h, c = lstm_state(told + F.linear(torch.cat([memory.seen, h]), inside), c)
        key = torch.tanh(apply_dense(theta, "key", h)).view(reads, width)
        least_used = memory.usage.argsort(stable=True)[:reads]
        least_used = membership(least_used, slots).to(key.dtype)  # one slot for each head
        gate = torch.sigmoid(theta["gate"])[:, None]
        write = gate * memory.weights + (1 - gate) * least_used
        cells = memory.slots * (1 - least_used.sum(0))[:, None] + write.T @ key
        weights = torch.softmax(cosine(key, cells), -1)
        usage = DECAY * memory.usage + (weights + write).sum(0)
        return Memory((h, c), cells, weights, usage, (weights @ cells).flatten())

    def forward(params, x):
        theta, support = recall(params)
        zeros = x.new_zeros
        memory = Memory(
            (zeros(hidden), zeros(hidden)),
            zeros(slots, width),
            zeros(reads, slots),
            zeros(slots),
            zeros(reads * width),
        )
        known = membership(support.y, ways).to(x.dtype)
        late = torch.cat([zeros(1, ways), known])  # every label one step late
        # What is there before the sequence begins is read at once: a gradient of these weights,
        # which are most, at every step is most of the work.
        outside, inside = theta["controller.weight"].split(
            [inputs + ways, reads * width + hidden], 1
        )
        told = lambda images, labels: F.linear(
            torch.cat([images.flatten(1), labels], 1), outside, theta["controller.bias"]
        )
        for said in told(support.x, late[:-1]).unbind():
            memory = step(inside, theta, memory, said)

        def answer(said):
            after = step(inside, theta, memory, said)
            return apply_dense(theta, "out", torch.cat([after.controller[0], after.seen]))

        return vmap(answer)(told(x, late[-1:].expand(len(x), -1)))

    return Net(init, forward)


def shuffled(family: Family) -> Family:
    """The same tasks, the support of each in random order."""

    def noise(generator, tasks):
        drawn = family.noise(generator, tasks)
        examples = len(family.make(tree_map(lambda n: n[0], drawn)).support.y)
        return drawn, torch.rand(tasks, examples, generator=generator, device=generator.device)

    def make(noise):
        drawn, order = noise
        task = family.make(drawn)
        return Task(tree_map(lambda t: t[order.argsort()], task.support), task.query)

    return Family(noise, make)

"""The memory module: Kaiser, Nachum, Roy & Bengio 2017, "Learning to Remember Rare Events"."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mamlkit.baselines.episodic import best_of_class, membership, recall
from mamlkit.nets import Net
from mamlkit.sequence import apply_dense, dense
from mamlkit.task import Data

MARGIN = 0.1  # alpha in section 2
SHARPNESS = 40.0  # t, of the softmax over neighbours
EMPTY = -1  # the value of a slot that holds nothing


class Memory(NamedTuple):
    """Keys (slots, size) of length 1, values (slots,), which are labels or `EMPTY`, and ages
    (slots,): how many writes ago a slot was last written."""

    keys: Tensor
    values: Tensor
    ages: Tensor


def memory_module(
    body: Net, *, features: int, ways: int, size: int = 128, slots: int | None = None
) -> Net:
    """The support is written into a memory of keys and labels; a query has the label of the nearest
    key.

    body: images -> features; one linear layer makes a key of them. size: of a key. slots: of the
    memory (None: as many as the support has examples). Here the memory is small, and its whole
    content is what the paper calls the k nearest neighbours. Every task begins with an empty one.
    Trained by `margin(body)`. forward: images -> (queries, ways), see baselines/episodic.py; the
    logit of a class is that of its nearest key. Source: section 2.
    """

    def init(generator):
        return body.init(generator) | dense(generator, "key", size, features)

    def forward(params, x, reference=None):
        cosines, values = _asked(body, params, x, slots, reference)
        return SHARPNESS * best_of_class(cosines, values, ways)

    return Net(init, forward)


def margin(body: Net, slots: int | None = None):
    """The loss that trains a `memory_module`: the nearest key with the right label must be nearer,
    by a cosine of `MARGIN`, than the nearest with a wrong one. (params that remember, query) ->
    scalar.

    A label that the memory does not hold counts as a cosine of 0, as in the authors' code; the
    memory itself is a constant, as there. Source: section 2, "memory loss".
    """

    def loss(params, query):
        cosines, values = _asked(body, params, query.x, slots, None)
        right = (values == query.y[:, None]) & (values != EMPTY)
        wrong = (values != query.y[:, None]) & (values != EMPTY)
        near, far = (_largest(cosines, these) for these in (right, wrong))
        return F.relu(far - near + MARGIN).mean()

    return loss


def _largest(cosines, these):
    """The largest of these in each row, 0 where there are none."""
    return torch.where(these.any(-1), cosines.masked_fill(~these, -2.0).amax(-1), 0.0)


def _asked(body, params, x, slots, reference):
    """The cosine of every query with every key (queries, slots), and the values (slots,)."""
    theta, support = recall(params)
    key = lambda x: F.normalize(
        apply_dense(theta, "key", body.forward(theta, x, reference=reference)), dim=-1
    )
    memory = written(Data(key(support.x).detach(), support.y), slots or len(support.y))
    return key(x) @ memory.keys.T, memory.values


def written(examples: Data, slots: int) -> Memory:
    """The memory of so many slots after these keys x (examples, size) and labels y came in turn.

    Where the nearest key has the right label, it moves to the mean of both; else the oldest slot is
    overwritten. Source: section 2, "memory update" (without the noise on ages, which tells parallel
    writers apart).
    """
    place = torch.arange(slots, device=examples.x.device)
    memory = Memory(
        examples.x.new_zeros(slots, examples.x.shape[-1]),
        torch.full_like(place, EMPTY),
        slots - place,  # empty slots are older than all others, the first of them the oldest
    )
    for key, label in zip(*examples):
        cosines = (memory.keys @ key).masked_fill(memory.values == EMPTY, -2.0)
        nearest = membership(cosines.argmax()[None], slots)[0]
        hit = (nearest & (memory.values == label)).any()
        here = torch.where(hit, nearest, membership(memory.ages.argmax()[None], slots)[0])
        kept = torch.where(hit, nearest.to(key.dtype) @ memory.keys, 0.0)
        memory = Memory(
            torch.where(here[:, None], F.normalize(key + kept, dim=-1), memory.keys),
            torch.where(here, label, memory.values),
            torch.where(here, 0, memory.ages + 1),
        )
    return memory

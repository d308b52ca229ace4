"""Which examples normalise the queries: the ways to use batch norm at test time, as functions
forward -> forward.

With batch norm a prediction depends on the other examples of its batch. The paper's numbers have
all queries of a task in one batch, which is transductive: each query is helped by the others
(Nichol, Achiam & Schulman 2018, section 6.1). A protocol takes a forward (of a `Net`) and the
support inputs; it returns the forward to measure a task's queries with.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.baselines.episodic import recall
from mamlkit.losses import Forward, Loss
from mamlkit.task import Task
from mamlkit.trees import Params

Protocol = Callable[[Forward, Tensor], Forward]
AT_ONCE = 25  # queries, each with the support set, that `one_by_one` holds in memory


def together(forward: Forward, support_x: Tensor) -> Forward:
    """All queries in one batch, normalised by its statistics: the authors' code; transductive."""
    return forward


def support_only(forward: Callable[..., Tensor], support_x: Tensor) -> Forward:
    """All queries normalised by the statistics of the support set, in every layer: a query sees no
    other query.

    forward: that of a net with batch norm, which takes `reference`. At training too, by `recalled`.
    """
    n = len(support_x)
    return lambda params, x: forward(params, torch.cat([support_x, x]), reference=n)[n:]


def one_by_one(forward: Forward, support_x: Tensor) -> Forward:
    """Each query alone, normalised together with the support set: a batch of the support and this
    one query."""

    def alone(params, query):
        return forward(params, torch.cat([support_x, query[None]]))[-1]

    return lambda params, x: vmap(partial(alone, params), chunk_size=AT_ONCE)(x)


def under(
    protocol: Protocol, measure: Callable[[Forward], Loss], forward: Forward
) -> Callable[[Params, Task], Tensor]:
    """The metric for `evaluate`: `measure` (accuracy or cross_entropy) on the queries, normalised
    as `protocol` says."""
    return lambda params, task: measure(protocol(forward, task.support.x))(params, task.query)


def recalled(protocol: Protocol, forward: Forward) -> Forward:
    """A forward of parameters that remember their support (`episodic.remembering`), for training
    under a protocol.

    `unrolled(cross_entropy(recalled(support_only, net.forward)), remembering(maml(loss,
    ...).adapt))` is MAML that meets its queries in training as it will in an inductive test.
    """

    def of_remembering(params, x):
        theta, support = recall(params)
        return protocol(forward, support.x)(theta, x)

    return of_remembering

"""Methods without an inner gradient: they adapt by remembering the support set, and their nets
compare with it.

All have one shape. theta' is theta and the support set itself (`episodic`); a method is a `Net`
whose forward reads both and gives logits (queries, ways). So `train` trains it by
`episodic(cross_entropy(net.forward))`, episodes as in Vinyals et al. 2016, and `evaluate` measures
it by `on_query(accuracy(net.forward))`: the path has one entry.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from mamlkit.boundary import whole
from mamlkit.learner import Learner, unrolled
from mamlkit.task import Data, Family
from mamlkit.trees import Params, tree_map


def episodic(loss: Callable[[Params, Any], Tensor]) -> Learner:
    """The learner that takes no inner step: `loss` on the query, of the parameters that remember
    the support.

    loss: (params, data) -> scalar; `recall(params)` is what it finds. Source: Vinyals et al. 2016,
    equation 6.
    """
    return unrolled(loss, remembering(lambda theta, support: [theta]))


def together(loss: Callable[[Params, Any], Tensor]) -> Callable[[Params, Any], Tensor]:
    """The mean `loss` of tasks that `as_one` made one.

    The weights are the same in every task, so one gradient serves all; `train`, which holds a
    gradient for each task, takes several times as long where a net reads its examples in order.
    """

    def mean(params, data):
        theta, support = recall(params)

        def one(support, query):
            return loss(theta | {"support.x": support.x, "support.y": support.y}, query)

        return vmap(one, 1)(support, data).mean()

    return mean


def as_one(family: Family, tasks: int) -> Family:
    """So many tasks of a family as one task, whose tensors are (examples, tasks, ...). They are the
    tasks that `family` draws.

    tasks: 1 or more. Raises ValueError for others.
    """
    whole("tasks", tasks)

    def noise(generator, n):
        drawn = family.noise(generator, n * tasks)
        return tree_map(lambda t: t.unflatten(0, (n, tasks)), drawn)

    def make(noise):
        return tree_map(lambda t: t.transpose(0, 1), vmap(family.make)(noise))

    return Family(noise, make)


def remembering(
    adapt: Callable[[Params, Data], list[Params]],
) -> Callable[[Params, Data], list[Params]]:
    """The same `adapt`, each entry of whose path also holds the support set, for forwards that need
    it."""
    return lambda theta, support: [
        p | {"support.x": support.x, "support.y": support.y} for p in adapt(theta, support)
    ]


def recall(params: Params) -> tuple[Params, Data]:
    """(theta, support) of parameters that remember. Raises ValueError if they do not."""
    if "support.x" not in params:
        raise ValueError(
            "these parameters remember no support set: take them from the path of "
            "episodic(loss).adapt(theta, support)"
        )
    theta = {name: p for name, p in params.items() if not name.startswith("support.")}
    return theta, Data(params["support.x"], params["support.y"])


def membership(y: Tensor, ways: int) -> Tensor:
    """Labels (examples,) as (examples, ways): whether an example is of a class."""
    return y[:, None] == torch.arange(ways, device=y.device)


def best_of_class(scores: Tensor, y: Tensor, ways: int) -> Tensor:
    """Scores (queries, examples) of examples labelled y (examples,) -> (queries, ways), each class
    by its best example."""
    return scores[:, None].masked_fill(~membership(y, ways).T, -torch.inf).amax(-1)


def squared_euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of every row of a (n, features) to every row of b (m, features); (n, m)."""
    return a.square().sum(-1)[:, None] + b.square().sum(-1) - 2 * a @ b.T


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between every row of a (n, features) and every row of b (m, features);
    (n, m). A zero row gives 0."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T

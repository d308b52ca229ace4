"""Siamese networks: Koch, Zemel & Salakhutdinov 2015."""

import torch
from torch.nn import functional as F

from mamlkit.baselines.episodic import best_of_class, recall
from mamlkit.boundary import wholes
from mamlkit.nets import Net
from mamlkit.sequence import apply_dense, dense


def siamese(body: Net, *, features: int, ways: int) -> Net:
    """A query is of the class of its best match: the logit of a class is that of "the same", of its
    likeliest example.

    body: images -> embeddings (examples, features); the paper's own is larger than section 5.2's
    and takes 105x105. Trained by `verification(body)` on pairs. forward: images -> (queries, ways),
    see mamlkit/episodic.py. Source: section 3.1 (weighted L1 distance), section 4.3 (one-shot by
    the best match).
    """
    wholes(features=features, ways=ways)

    def init(generator):
        return body.init(generator) | dense(generator, "same", 1, features)

    def forward(params, x, reference=None):
        return best_of_class(_same(body, params, x, reference), recall(params)[1].y, ways)

    return Net(init, forward)


def verification(body: Net):
    """The loss that trains `siamese`: is this query of the same class as that support example?

    Logistic loss over all pairs; the same and the different weigh half each, as the paper draws as
    many of both (section 3.2 and 4.1). (params that remember, query) -> scalar.
    """

    def loss(params, query):
        y = recall(params)[1].y
        same = query.y[:, None] == y
        weight = torch.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
        logits = _same(body, params, query.x, None)
        return F.binary_cross_entropy_with_logits(
            logits, same.to(logits.dtype), weight, reduction="sum"
        )

    return loss


def _same(body, params, x, reference):
    """The logit of "the same class" for every query and support example: a weighted L1 distance and
    a bias."""
    theta, support = recall(params)
    a, b = (
        torch.sigmoid(body.forward(theta, images, reference=reference)) for images in (x, support.x)
    )
    return apply_dense(theta, "same", (a[:, None] - b).abs()).squeeze(-1)

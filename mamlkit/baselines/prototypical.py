"""Prototypical networks: Snell, Swersky & Zemel 2017."""

from mamlkit.baselines.episodic import membership, recall, squared_euclidean
from mamlkit.nets import Net


def prototypical(body: Net, *, ways: int) -> Net:
    """Each class is the mean of its embedded support examples; logits are minus the squared
    distances to the means.

    body: images -> embeddings. It has no parameters but the body's, so it can be trained with more
    ways than it is tested with. forward: images -> (queries, ways), see mamlkit/episodic.py.
    Source: equations 1 and 2, section 2.7.
    """

    def forward(params, x, reference=None):
        theta, support = recall(params)
        embedded = body.forward(theta, support.x, reference=reference)
        share = membership(support.y, ways).to(embedded.dtype)
        prototypes = share.T @ embedded / share.sum(0)[:, None]
        return -squared_euclidean(body.forward(theta, x, reference=reference), prototypes)

    return Net(body.init, forward)

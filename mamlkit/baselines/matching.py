"""Matching networks: Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra 2016."""

import torch

from mamlkit.baselines.episodic import cosine, membership, recall
from mamlkit.boundary import whole, wholes
from mamlkit.nets import Net
from mamlkit.sequence import lstm, lstm_step


def matching(body: Net, *, ways: int) -> Net:
    """The basic variant: attention over the support, a softmax of cosines, says how much of each
    label the query has.

    body: images -> embeddings, one for support and query (f = g); it has no parameters of its own
    (111,680 with the 4x64 body, fewer than MAML's 112,005: claim C068). forward: images ->
    (queries, ways), see mamlkit/episodic.py; the logits are log-probabilities. Source: equation 1,
    section 2.1.1.
    """
    whole("ways", ways)

    def forward(params, x, reference=None):
        theta, support = recall(params)
        f, g = (body.forward(theta, images, reference=reference) for images in (x, support.x))
        return _labels(cosine(f, g), support.y, ways)

    return Net(body.init, forward)


def full_context(body: Net, *, features: int, ways: int, steps: int) -> Net:
    """Full context embeddings: each embedding depends on the whole support set, by two LSTMs.

    g: a bidirectional LSTM over the support, in the order it comes in, added to the body's
    embeddings. f: `steps` steps of an LSTM that reads the support by attention. features: of the
    body. 227,136 parameters with the 4x64 body. Source: section 2.1.2, appendix A.
    """
    wholes(features=features, ways=ways, steps=steps)

    def init(generator):
        return (
            body.init(generator)
            | lstm(generator, "there", features, features)
            | lstm(generator, "back", features, features)
            | lstm(generator, "read", 2 * features, features)
        )

    def along(theta, name, g):
        zero = torch.zeros_like(g[0])
        state, seen = (zero, zero), []
        for now in g.unbind(0):
            state = lstm_step(theta, name, now, state)
            seen.append(state[0])
        return torch.stack(seen)

    def forward(params, x, reference=None):
        theta, support = recall(params)
        f, g = (body.forward(theta, images, reference=reference) for images in (x, support.x))
        g = g + along(theta, "there", g) + along(theta, "back", g.flip(0)).flip(0)
        h = c = torch.zeros_like(f)
        for _ in range(steps):
            read = torch.softmax(h @ g.T, -1) @ g
            h, c = lstm_step(theta, "read", torch.cat([f, read], -1), (h, c))
            h = h + f
        return _labels(cosine(h, g), support.y, ways)

    return Net(init, forward)


def _labels(similarity, y, ways):
    attention = torch.softmax(similarity, -1)
    return (attention @ membership(y, ways).to(attention.dtype)).log()

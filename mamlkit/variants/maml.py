"""MAML: Finn, Abbeel & Levine 2017, Algorithm 1."""

from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner, unrolled


def maml(loss, *, alpha, steps) -> Learner:
    """Model-agnostic meta-learning: the meta-gradient of the loss after `steps` inner steps of size
    `alpha`.

    loss: (params, batch) -> scalar, of one task. alpha: a number, or a dict that names what adapts
    (see `inner_step`). steps: gradient updates, 1 or more for meta-learning, 0 for none.
    Source: equation 1, Algorithms 1 and 2.
    """

    def inner(theta, support):
        return adapt(theta, repeated(loss, support, steps), [alpha] * steps)

    return unrolled(loss, inner)

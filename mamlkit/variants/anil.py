"""ANIL: Raghu, Raghu, Bengio & Vinyals 2020, "Rapid Learning or Feature Reuse?"."""

from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner, unrolled


def anil(loss, *, alpha, steps) -> Learner:
    """MAML with almost no inner loop: only the head adapts; the body below it is meta-learned and stays as it is.

    alpha: a number is the head's step size, the head being the last layer: the parameters whose names are the last
    one's up to the last dot, "layer4.weight" and "layer4.bias" of our convolutional nets. A dict names another head.
    Source: section 4.1 there, equation for the inner loop.
    """

    def inner(theta, support):
        alphas = alpha if isinstance(alpha, dict) else dict.fromkeys(_last_layer(theta), alpha)
        return adapt(theta, repeated(loss, support, steps), [alphas] * steps)

    return unrolled(loss, inner)


def _last_layer(params):
    layer = [*params][-1].rpartition(".")[0]
    return [name for name in params if name.rpartition(".")[0] == layer]

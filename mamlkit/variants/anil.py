"""ANIL: Raghu, Raghu, Bengio & Vinyals 2020, "Rapid Learning or Feature Reuse?"."""

from mamlkit.boundary import inner_loop
from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss


def anil(loss: Loss, *, alpha: Alpha, steps: int) -> Learner:
    """MAML with almost no inner loop: only the head adapts; the body below it is meta-learned and
    stays as it is.

    alpha: a number is the head's step size, the head being the last layer: every parameter whose
    name agrees, up to its last dot, with that of the last one that has a dot, so "layer4.weight"
    and "layer4.bias" of our convolutional nets (a policy's "log_std" is no layer, and neither is a
    "norm"). A dict that names what adapts chooses another head. Source: section 4 there.
    """
    inner_loop(loss, alpha, steps)

    def inner(theta, support):
        sizes: Alpha = (
            alpha if isinstance(alpha, dict) else dict.fromkeys(_last_layer(theta), alpha)
        )
        return adapt(theta, repeated(loss, support, steps), [sizes] * steps)

    return unrolled(loss, inner)


def _last_layer(params):
    layer = ([name for name in params if "." in name and not name.startswith("norm")] or [*params])[
        -1
    ].rpartition(".")[0]
    return [name for name in params if name.rpartition(".")[0] == layer]

"""Reptile: Nichol, Achiam & Schulman 2018, "On First-Order Meta-Learning Algorithms"."""

from collections.abc import Callable

from mamlkit.boundary import inner_loop, inner_steps
from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.learner import Learner
from mamlkit.losses import Loss


def reptile(loss: Loss, *, alpha: Alpha, steps: int, descend: Callable = adapt) -> Learner:
    """Moves the start towards where `steps` inner steps lead: the meta-gradient is theta - theta_K.

    No second derivative, and no query set: that one is only reported on, and whoever draws the
    tasks puts all that may be learned from into the support; a plain tuple there holds the
    minibatch of each step. steps: 1 or more to train, as with none nothing would be learned; take 2
    or more: theta - theta_1 is alpha times the gradient of joint training.
    descend: how the inner steps are taken, (theta, objectives, alphas) -> path. Algorithm 1 says
    "SGD or Adam": `adapt` is SGD; the paper's few-shot results use Adam without momentum,
    `adapt_with(partial(adam, decay=(0.0, 0.999)))` (in the authors' code its averages live on from
    task to task, here each task starts its own). An outer `sgd(epsilon)` is the paper's update
    theta + epsilon (theta_K - theta), epsilon annealed from 1 to 0. Source: Algorithms 1 and 2.
    """
    inner_loop(loss, alpha, steps)

    def inner(theta, support):
        return descend(theta, repeated(loss, support, steps), [alpha] * steps)

    def meta_grad(theta, task):
        inner_steps(steps, least=1)
        adapted = inner(theta, task.support)[-1]
        return {name: p - adapted[name] for name, p in theta.items()}, {
            "loss": loss(adapted, task.query)
        }

    return Learner(dict, inner, meta_grad)

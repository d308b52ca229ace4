"""MAML: Finn, Abbeel & Levine 2017, Algorithm 1."""

from mamlkit.boundary import inner_loop
from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss


def maml(loss: Loss, *, alpha: Alpha, steps: int) -> Learner:
    """Model-agnostic meta-learning: the meta-gradient of the loss after `steps` inner steps of size
    `alpha`.

    loss: (params, batch) -> scalar, of one task. alpha: a number, or a dict that names what adapts
    (see `inner_step`). steps: gradient updates, 1 or more for meta-learning, 0 for none.
    Raises ValueError for values that these cannot be. Source: equation 1, Algorithms 1 and 2.

    >>> import torch
    >>> from mamlkit.task import Task
    >>> loss = lambda params, target: (params["w"] - target) ** 2
    >>> learner = maml(loss, alpha=0.1, steps=2)
    >>> theta, task = {"w": torch.tensor(0.0)}, Task(torch.tensor(1.0), torch.tensor(2.0))
    >>> learner.adapt(theta, task.support)[-1]
    {'w': tensor(0.3600)}
    >>> learner.meta_grad(theta, task)
    ({'w': tensor(-2.0992)}, {'loss': tensor(2.6896)})
    """
    inner_loop(loss, alpha, steps)

    def inner(theta, support):
        return adapt(theta, repeated(loss, support, steps), [alpha] * steps)

    return unrolled(loss, inner)

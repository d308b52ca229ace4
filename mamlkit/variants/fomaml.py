"""First-order MAML: Finn, Abbeel & Levine 2017, section 5.2, "a first-order approximation"."""

from mamlkit.boundary import inner_loop
from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss


def fomaml(loss: Loss, *, alpha: Alpha, steps: int) -> Learner:
    """MAML with the second derivatives omitted: the meta-gradient is the query gradient at the
    adapted theta'.

    Same call as `maml`; only `first_order=True` differs. Source: section 5.2, Table 1, "MAML, first
    order approx.".

    >>> import torch
    >>> from mamlkit.task import Task
    >>> loss = lambda params, target: (params["w"] - target) ** 2
    >>> theta, task = {"w": torch.tensor(0.0)}, Task(torch.tensor(1.0), torch.tensor(2.0))
    >>> fomaml(loss, alpha=0.1, steps=2).meta_grad(theta, task)
    ({'w': tensor(-3.2800)}, {'loss': tensor(2.6896)})
    """
    inner_loop(loss, alpha, steps)

    def inner(theta, support):
        return adapt(theta, repeated(loss, support, steps), [alpha] * steps, first_order=True)

    return unrolled(loss, inner)

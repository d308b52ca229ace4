"""Pretraining on all tasks: the baseline of section 5.1, one network for every task, then fine-tuned."""

from torch.func import grad

from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner


def pretrain(loss, *, alpha, steps) -> Learner:
    """Joint training as a learner: the gradient of the plain loss on each task's support, no adaptation inside.

    alpha, steps: fine-tuning at test time, by the same `adapt` as MAML's. Source: section 5.1, "pretraining on all of
    the tasks"; the authors' code trains it on the K = 10 support points only.
    """

    def gradient(theta, task):
        value = loss(theta, task.support)
        return grad(loss)(theta, task.support), {"loss": value}

    return Learner(dict, lambda theta, support: adapt(theta, repeated(loss, support, steps), [alpha] * steps), gradient)

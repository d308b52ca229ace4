"""Meta-SGD: Li, Zhou, Chen & Li 2017, "Meta-SGD: Learning to Learn Quickly for Few-Shot
Learning"."""

import torch

from mamlkit.boundary import inner_loop
from mamlkit.inner import Alpha, adapt, repeated, step_sizes
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss


def meta_sgd(loss: Loss, *, alpha: Alpha, steps: int) -> Learner:
    """MAML with a meta-learned step size for every single number: theta' = theta - alpha * grad
    L(theta), elementwise.

    alpha: where all of them start (the paper draws one number from 0.005 to 0.1), or a dict that
    names what adapts. They may become negative: direction and size are both learned. The
    meta-parameters hold theta under the model's names, and the step size of each parameter that
    adapts, in its shape, under "alpha/<name>". Source: section 3 there, Algorithm 1; MAML's section
    2.2: alpha "may be fixed as a hyperparameter or meta-learned".
    """
    inner_loop(loss, alpha, steps)

    def init(params):
        return params | {
            f"alpha/{name}": torch.zeros_like(params[name]) + a
            for name, a in step_sizes(params, alpha).items()
        }

    def inner(meta, support):
        alphas = {
            key.removeprefix("alpha/"): a for key, a in meta.items() if key.startswith("alpha/")
        }
        theta = {name: p for name, p in meta.items() if not name.startswith("alpha/")}
        return adapt(theta, repeated(loss, support, steps), [alphas] * steps)

    return unrolled(loss, inner, init)

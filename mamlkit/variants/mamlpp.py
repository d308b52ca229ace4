"""MAML++: Antoniou, Edwards & Storkey 2019, "How to train your MAML"."""

from collections.abc import Callable

import torch
from torch.func import grad

from mamlkit.boundary import finite, inner_loop, said
from mamlkit.inner import Alpha, inner_step, repeated, step_sizes
from mamlkit.learner import Learner
from mamlkit.losses import Loss


def _every(name):
    return True


def _normalises(name):
    return name.startswith("norm")


def mamlpp(
    loss: Loss,
    *,
    alpha: Alpha,
    steps: int,
    annealing: float = 0.0,
    update: Callable = inner_step,
    learned: Callable[[str], bool] = _every,
    per_step: Callable[[str], bool] = _normalises,
) -> Learner:
    """MAML made stable by six remedies; each is a part with a value that leaves it out.

    annealing: the multi-step loss. The query loss counts after every step, by (1 - annealing) /
    steps, and after the last one by all that is left: at 0 every step counts the same, at 1 the
    last alone, as in MAML. The paper goes from 0 to 1 during its first epochs. update: the order of
    the derivative: `partial(inner_step, first_order=True)` in the paper's first epochs,
    `inner_step` later. learned: which parameters, by name, have a meta-learned step size, one for
    each step, that starts at `alpha` (a number, or a dict that names what adapts). per_step: which
    parameters have a value for each step that is meta-learned and never adapts: the paper's are the
    weights and biases of batch normalisation, here the names that begin with "norm". Both are
    functions of a name; `lambda name: False` leaves the part out. Two remedies are no learner's.
    The cosine annealing of the meta step is `optimizer.annealed`. Running statistics for each step
    are collected by the authors' code and never used, since it normalises every batch by its own
    statistics; so does this package, at every step, and it collects none. Each phase of an
    annealing has a learner of its own.

    The meta-parameters hold theta, with a leading axis of `steps` where `per_step` says so, and the
    step sizes with that axis under "alpha/<name>". Step k's values adapt theta_k and measure
    theta_(k+1), as in the authors' code; steps beyond those that the meta-parameters were made for
    use the last one's. With 0 steps nothing adapts, and the first step's values are used. Raises
    ValueError for fewer and for an annealing outside 0 to 1. Source: section 4 there.
    """
    inner_loop(loss, alpha, steps)
    if not (finite(annealing) and 0 <= annealing <= 1):
        raise ValueError(f"annealing is {said(annealing)}: it must be a number from 0 to 1")

    def init(params):
        def rows(value, like):
            value = torch.as_tensor(value, dtype=like.dtype, device=like.device)
            return value.expand(max(steps, 1), *value.shape).clone()

        alphas = {
            k: a for k, a in step_sizes(params, alpha).items() if learned(k) and not per_step(k)
        }
        return {k: rows(p, p) if per_step(k) else p for k, p in params.items()} | {
            f"alpha/{k}": rows(a, params[k]) for k, a in alphas.items()
        }

    def at(meta, i):
        """The model and the step sizes as they are at step i."""
        now = {
            k: p[min(i, len(p) - 1)] if k.startswith("alpha/") or per_step(k) else p
            for k, p in meta.items()
        }
        theta = {k: p for k, p in now.items() if not k.startswith("alpha/")}
        return theta, {
            k: now.get(f"alpha/{k}", a)
            for k, a in step_sizes(theta, alpha).items()
            if not per_step(k)
        }

    def inner(meta, support):
        path = [at(meta, 0)[0]]
        for i, objective in enumerate(repeated(loss, support, steps)):
            theta, alphas = at(meta, i)
            own = {k: p for k, p in theta.items() if per_step(k)}
            path.append(update(path[-1] | own, objective, alphas))
        return path

    def meta_objective(meta, task):
        losses = [loss(theta, task.query) for theta in inner(meta, task.support)[min(steps, 1) :]]
        weights = [(1 - annealing) / len(losses)] * (len(losses) - 1) + [
            (1 - annealing) / len(losses) + annealing
        ]
        # A weight of 0 leaves its loss out: 0 times one that overflowed is no number.
        return sum(w * value for w, value in zip(weights, losses) if w), {"loss": losses[-1]}

    return Learner(init, inner, grad(meta_objective, has_aux=True))

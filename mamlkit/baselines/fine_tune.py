"""Fine-tuning with Adam, a stronger opponent than the paper's: section 5.1's pretrained net, Table
1's classifier."""

from collections.abc import Callable, Iterable
from typing import Any

from mamlkit.boundary import inner_loop, positive, said, whole
from mamlkit.inner import adapt_with, repeated
from mamlkit.losses import Loss
from mamlkit.optimizer import adam
from mamlkit.trees import Params, partition

HEAD = ("layer4.weight", "layer4.bias")  # the last layer of every net of Table 1


def fine_tune(
    loss: Loss, *, alpha: float, steps: int, names: Iterable[str] | None = None
) -> Callable[[Params, Any], list[Params]]:
    """An `adapt` function that takes `steps` Adam steps of size `alpha` on the support: (theta,
    support) -> path.

    names: the parameters that are tuned (None: all); `HEAD` tunes the last layer only. alpha and
    steps decide what this baseline is worth: choose them on validation tasks. Raises ValueError for
    names that are none, also where the path is taken.
    """
    inner_loop(loss, positive("alpha", alpha, "Adam's step size"), steps)
    if names is not None:
        found = [names] if isinstance(names, str) else names
        found = list(found) if isinstance(found, Iterable) else []
        if not (found and all(isinstance(name, str) for name in found)):
            raise ValueError(f"names is {said(names)}: it must name the parameters that are tuned")
        names = found

    def path(theta, support):
        tuned, fixed = partition(theta, theta if names is None else names)
        objectives = repeated(lambda p, data: loss(fixed | p, data), support, steps)
        return [theta | p for p in adapt_with(adam)(tuned, objectives, [alpha] * steps)]

    return path


def fresh_head(params: Params, ways: int) -> Params:
    """The parameters of a trained classifier (any net of Table 1) with a new head for `ways`
    classes, which starts at 0.

    At 0 all classes are equally likely and no order of the labels is favoured. ways: 2 or more.
    """
    whole("ways", ways, 2)
    return params | {name: params[name].new_zeros(ways, *params[name].shape[1:]) for name in HEAD}

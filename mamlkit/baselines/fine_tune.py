"""Fine-tuning with Adam, a stronger opponent than the paper's: section 5.1's pretrained net, Table
1's classifier."""

from collections.abc import Iterable

from mamlkit.inner import adapt_with, repeated
from mamlkit.optimizer import adam
from mamlkit.trees import Params, partition

HEAD = ("layer4.weight", "layer4.bias")  # the last layer of every net of Table 1


def fine_tune(loss, *, alpha: float, steps: int, names: Iterable[str] | None = None):
    """An `adapt` function that takes `steps` Adam steps of size `alpha` on the support: (theta,
    support) -> path.

    names: the parameters that are tuned (None: all); `HEAD` tunes the last layer only. alpha and
    steps decide what this baseline is worth: choose them on validation tasks.
    """

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
    if ways < 2:
        raise ValueError(f"ways is {ways}: 2 or more classes are needed")
    return params | {name: params[name].new_zeros(ways, *params[name].shape[1:]) for name in HEAD}

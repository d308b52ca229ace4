"""Losses L_T of section 3, as (params, data) -> scalar: each takes the model's `forward` and
returns the loss."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from mamlkit.task import Data
from mamlkit.trees import Params

Forward = Callable[[Params, Tensor], Tensor]
Loss = Callable[[Params, Data], Tensor]


def mse(forward: Forward) -> Loss:
    """Mean squared error. Equation 2 writes the sum; the authors' code takes the mean, and alpha
    belongs to it."""
    return lambda params, data: F.mse_loss(_same(forward(params, data.x), data.y), data.y)


def huber(forward: Forward) -> Loss:
    """Huber loss, quadratic below an error of 1 and linear above (not in the paper: a test of claim
    C008)."""
    return lambda params, data: F.huber_loss(_same(forward(params, data.x), data.y), data.y)


def cross_entropy(forward: Forward) -> Loss:
    """Mean softmax cross-entropy of integer labels `y` (examples,) under logits (examples, N).

    Equation 3 writes a binary one; the authors' code sums the softmax loss over examples and
    divides by K, which is N times this mean: their alpha 0.4 (5-way) is 2.0 here.
    """
    return lambda params, data: F.cross_entropy(forward(params, data.x), data.y)


def accuracy(forward: Forward) -> Loss:
    """The share of examples whose largest logit is their label's, between 0 and 1."""
    return lambda params, data: (forward(params, data.x).argmax(-1) == data.y).float().mean()


def _same(prediction, target):
    if prediction.shape != target.shape:
        raise ValueError(
            f"the model's output {tuple(prediction.shape)} and the targets {tuple(target.shape)} differ in shape"
        )
    return prediction

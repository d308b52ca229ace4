"""Losses L_T of section 3, as (params, data) -> scalar: each takes the model's `forward` and
returns the loss."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mamlkit.boundary import concrete, said
from mamlkit.trees import Params

UNUSED = -(2**62)  # a label that nothing has: torch would leave out every example labelled -100


class Forward(Protocol):
    """A model: parameters and the inputs of one task's examples -> its outputs for them."""

    def __call__(self, params: Params, x: Tensor, /) -> Tensor: ...


class Loss(Protocol):
    """A loss of one task: parameters and a set of examples -> scalar."""

    def __call__(self, params: Params, data: Any, /) -> Tensor: ...


def mse(forward: Forward) -> Loss:
    """Mean squared error. Equation 2 writes the sum; the authors' code takes the mean, and alpha
    belongs to it.

    >>> from mamlkit.task import Data
    >>> loss = mse(lambda params, x: params["w"] * x)
    >>> x = torch.tensor([[1.0], [2.0]])
    >>> loss({"w": torch.tensor(3.0)}, Data(x, 2 * x))
    tensor(2.5000)
    """
    return _compared(F.mse_loss, forward)


def huber(forward: Forward) -> Loss:
    """Huber loss, quadratic below an error of 1 and linear above (not in the paper: a test of claim
    C008)."""
    return _compared(F.huber_loss, forward)


def cross_entropy(forward: Forward) -> Loss:
    """Mean softmax cross-entropy of integer labels `y` (examples,), 0 to N - 1, under logits
    (examples, N).

    Equation 3 writes a binary one; the authors' code sums the softmax loss over examples and
    divides by K, which is N times this mean: their alpha 0.4 (5-way) is 2.0 here. Raises ValueError
    for other labels.

    >>> from mamlkit.task import Data
    >>> loss = cross_entropy(lambda params, x: params["w"] * x)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> loss({"w": torch.tensor(0.0)}, Data(x, torch.tensor([0, 1])))
    tensor(0.6931)
    """
    _callable(forward)

    def loss(params, data):
        x, y = _examples(data)
        logits = forward(params, x)
        y = _labels(logits, y)
        if torch.compiler.is_compiling():
            return F.cross_entropy(logits, y, ignore_index=UNUSED)
        try:
            return F.cross_entropy(logits, y, ignore_index=UNUSED)
        except (IndexError, RuntimeError) as error:
            if "out of bounds" not in str(error):
                raise
            raise ValueError(_outside(logits)) from None

    return loss


def accuracy(forward: Forward) -> Loss:
    """The share of examples whose largest logit is their label's, between 0 and 1.

    Logits that hold NaN are no prediction and count as wrong. Raises ValueError for labels that are
    not whole numbers (examples,) from 0 to N - 1; where `vmap` hides their values, the accuracy is
    NaN.

    >>> from mamlkit.task import Data
    >>> share = accuracy(lambda params, x: x)
    >>> share({}, Data(torch.tensor([[3.0, 1.0], [2.0, 0.0]]), torch.tensor([0, 1])))
    tensor(0.5000)
    """
    _callable(forward)

    def share(params, data):
        x, y = _examples(data)
        logits = forward(params, x)
        y = _labels(logits, y)
        known = (y >= 0) & (y < logits.shape[-1])
        if concrete() and not known.all():
            raise ValueError(_outside(logits))
        right = (logits.argmax(-1) == y) & ~logits.isnan().any(-1)
        return torch.where(known, right.float(), torch.nan).mean()

    return share


def _compared(measure, forward) -> Loss:
    _callable(forward)

    def loss(params, data):
        x, y = _examples(data)
        prediction = forward(params, x)
        if prediction.shape != y.shape:
            raise ValueError(
                f"the model's output {tuple(prediction.shape)} and the targets {tuple(y.shape)} "
                "differ in shape"
            )
        return measure(prediction, y)

    return loss


def _callable(forward: Callable) -> None:
    if isinstance(forward, nn.Module) or not callable(forward):
        raise ValueError(
            f"forward is {said(forward)}: a loss takes the function (params, x) -> outputs of a "
            "net, net.forward, and from_module makes a net of a torch module"
        )


def _examples(data) -> tuple[Tensor, Tensor]:
    """The inputs and outputs of `Data`."""
    if not hasattr(data, "y"):
        remedy = (
            "on_query(loss) and on_support(loss) make a metric of a loss"
            if hasattr(data, "query")
            else "inputs and outputs belong together as Data(x, y)"
        )
        raise ValueError(f"a loss reads Data, got {said(data)}: {remedy}")
    return data.x, data.y


def _labels(logits: Tensor, y: Tensor) -> Tensor:
    """The labels as int64. Raises ValueError unless they are whole numbers, one an example."""
    if logits.ndim != 2 or y.shape != logits.shape[:1]:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(y.shape)} do not "
            "belong together: (examples, N) and (examples,) are needed"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"the labels are {y.dtype}: whole numbers are needed, torch.int64")
    return y if y.dtype == torch.int64 else y.long()


def _outside(logits: Tensor) -> str:
    return (
        f"a label lies outside of 0 to {logits.shape[-1] - 1}: the model gives "
        f"{logits.shape[-1]} logits, and labels count from 0"
    )

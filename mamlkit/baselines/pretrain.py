"""Pretraining on all tasks: the baseline of section 5.1, one network for every task, then
fine-tuned."""

import torch
from torch import Tensor
from torch.func import grad

from mamlkit.boundary import inner_loop, said, whole
from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.learner import Learner
from mamlkit.losses import Loss
from mamlkit.task import Data, Family, Task


def pretrain(loss: Loss, *, alpha: Alpha, steps: int) -> Learner:
    """Joint training as a learner: the gradient of the plain loss on each task's support, no
    adaptation inside.

    alpha, steps: fine-tuning at test time, by the same `adapt` as MAML's. Source: section 5.1,
    "pretraining on all of the tasks"; the authors' code trains it on the K = 10 support points
    only.
    """
    inner_loop(loss, alpha, steps)

    def gradient(theta, task):
        value = loss(theta, task.support)
        return grad(loss)(theta, task.support), {"loss": value}

    return Learner(
        dict,
        lambda theta, support: adapt(theta, repeated(loss, support, steps), [alpha] * steps),
        gradient,
    )


def all_classes(images: Tensor, *, examples: int) -> Family:
    """Plain batches of images of all classes at once, for `pretrain` of a classifier: Table 1's two
    baselines.

    images: uint8 (classes, drawings, channels, height, width), on the generator's device; for
    rotations as classes of their own, concatenate the rotated images. examples: in a batch, drawn
    with replacement. A "task" is one batch, x in [0, 1] of torch's default type and y
    int64 from 0 to classes - 1, as support and as query. Raises ValueError for other images.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 5:
        raise ValueError(
            f"the images are {said(images)}: "
            "torch.uint8 (classes, drawings, channels, height, width) is needed"
        )
    if images.numel() == 0:
        raise ValueError(f"the images are empty: a tensor of shape {tuple(images.shape)}")
    whole("examples", examples)
    classes, drawings = images.shape[:2]

    def noise(generator, tasks):
        return torch.randint(
            classes * drawings, (tasks, examples), generator=generator, device=generator.device
        )

    def make(drawn):
        batch = Data(images.flatten(0, 1)[drawn] / 255, drawn // drawings)
        return Task(batch, batch)

    return Family(noise, make)

"""N-way K-shot tasks from labelled images, drawn on the device that holds them."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mamlkit.boundary import said, whole
from mamlkit.task import Data, Family, Task


class Draw(NamedTuple):
    """All that is random in one few-shot task, as integers.

    classes (way,): which classes, label 0 first. examples (way, shots + queries): which images of
    each, the support's first. turns (way,): by how many quarter turns each class is rotated, 0 to
    3.
    """

    classes: Tensor
    examples: Tensor
    turns: Tensor


def _between(least, counts, most):
    if not isinstance(counts, Tensor) or counts.is_floating_point():
        return False
    return bool(((least <= counts) & (counts <= most)).all())


def few_shot(
    images: Tensor,
    *,
    way: int,
    shots: int,
    queries: int,
    rotate: bool = False,
    counts: Tensor | None = None,
) -> Family:
    """N-way K-shot classification: `way` classes, `shots` images of each in the support, `queries`
    others in the query.

    images: uint8 (classes, examples, channels, height, width), all classes of one split. A task is
    on their device, and is the same on each for a generator of the CPU. rotate: each class of a
    task is turned by 0, 90, 180 or 270 degrees (section 5.2). counts: int64 (classes,), how many
    images each class has, where they differ; what stands behind them is never drawn. A class stands
    in a task once, so two rotations of one character never meet. A task's x is of torch's default
    type, (way * shots, channels, height, width) in [0, 1] (way * queries in the query), its y int64
    labels 0 to way - 1. Examples are grouped by class: first all of label 0, then all of label 1.
    Tasks of the same seed have the same classes whatever shots, queries and rotate are, and the
    same support whatever queries is. Raises ValueError for images of another kind and for numbers
    that the images cannot give. Source: section 5.2, "the N-way, K-shot classification task"; the
    authors' code rotates at training and at test.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 5:
        raise ValueError(
            f"the images are {said(images)}: torch.uint8 (classes, examples, channels, height, "
            "width) is needed"
        )
    classes, examples, _, height, width = images.shape
    for name, value, most, what in (
        ("way", way, classes, "the number of classes"),
        ("shots", shots, examples, "the number of images of a class"),
        ("queries", queries, examples, "the number of images of a class"),
    ):
        try:
            whole(name, value, 1, most)
        except ValueError as refusal:
            raise ValueError(f"{refusal}, {what}") from None
    each = shots + queries
    if each > examples:
        raise ValueError(
            f"{shots} shots and {queries} queries need {each} images of a class, these have "
            f"{examples}"
        )
    if counts is not None and not (_between(each, counts, examples) and counts.shape == (classes,)):
        raise ValueError(
            f"counts must be {classes} whole numbers, one for each class, from {each} to {examples}"
        )
    if not isinstance(rotate, bool):
        raise ValueError(f"rotate is {said(rotate)}: it must be True or False")
    if rotate and height != width:
        raise ValueError(
            f"images of {height} x {width} cannot be rotated by a quarter turn: they must be square"
        )

    def noise(generator: Generator, tasks: int) -> Draw:
        def chance(*shape):
            # float64, so that no two are equal: the first of k stay the same whatever k is.
            return torch.rand(
                *shape, generator=generator, device=generator.device, dtype=torch.float64
            )

        chosen = chance(tasks, classes).topk(way, -1).indices
        turns = torch.randint(4, (tasks, way), generator=generator, device=generator.device)
        among = chance(tasks, way, examples)
        if counts is not None:
            has = counts.to(chosen.device)[chosen].unsqueeze(-1)
            among[torch.arange(examples, device=among.device) >= has] = -1
        draw = Draw(chosen, among.topk(each, -1).indices, turns * rotate)
        return Draw(*(part.to(images.device) for part in draw))

    def make(draw: Draw) -> Task:
        x = images[draw.classes.unsqueeze(1), draw.examples]
        if rotate:
            turned = torch.stack([x.rot90(quarter, (-2, -1)) for quarter in range(4)])
            x = turned[draw.turns, torch.arange(way, device=x.device)]
        x = x / 255
        labels = torch.arange(way, device=x.device).unsqueeze(1).expand(way, each)

        def part(chosen):
            return Data(x[:, chosen].flatten(0, 1), labels[:, chosen].flatten())

        return Task(part(slice(None, shots)), part(slice(shots, None)))

    return Family(noise, make)

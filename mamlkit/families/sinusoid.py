"""Sinusoids: the regression tasks of section 5.1."""

from math import pi
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mamlkit.boundary import finite, not_negative, said, whole, wholes
from mamlkit.task import Data, Family, Task

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, pi)
RANGE = (-5.0, 5.0)


class Wave(NamedTuple):
    """All that is random in one sine task: amplitude and phase (scalars), inputs (examples, 1), the
    errors of y."""

    amplitude: Tensor
    phase: Tensor
    support_x: Tensor
    query_x: Tensor
    support_error: Tensor


def sinusoid(
    *,
    shots: int = 10,
    queries: int = 10,
    support_range: tuple[float, float] = RANGE,
    query_range: tuple[float, float] = RANGE,
    width: float | None = None,
    noise: float = 0.0,
) -> Family:
    """Sine waves y = A sin(x - phase), A uniform in [0.1, 5], phase in [0, pi], x uniform in [-5,
    5] (section 5.1).

    shots, queries: examples in support (the paper's K) and query, 1 or more. support_range,
    query_range: where x is drawn from; (-5, 0) puts the support in one half (Figure 2). width: if
    given, the support of each task lies in an interval of this width, placed at random inside
    `support_range`. noise: standard deviation added to the support's y. Tasks of the same seed have
    the same wave whatever the other settings are, so that methods and shots are compared on the
    same waves. Raises ValueError for values outside these ranges.

    >>> from mamlkit.machine import seeded
    >>> from mamlkit.task import sample
    >>> task = sample(sinusoid(shots=5, queries=100), seeded(0), tasks=3)
    >>> task.support.x.shape, task.query.y.shape
    (torch.Size([3, 5, 1]), torch.Size([3, 100, 1]))
    """
    wholes(shots=shots, queries=queries)
    for name, given in {"support_range": support_range, "query_range": query_range}.items():
        two = isinstance(given, tuple | list) and len(given) == 2 and all(map(finite, given))
        if not (two and given[0] < given[1]):
            raise ValueError(
                f"the {name} {given!r:.60} is refused: it takes two finite numbers, the first "
                "below the second"
            )
    not_negative("noise", noise, "a standard deviation")
    low, high = support_range
    if width is not None and not (finite(width) and 0 < width <= high - low):
        raise ValueError(
            f"width is {said(width)}: it must be above 0 and at most {high - low}, the width of"
            " support_range"
        )

    def draw(generator: Generator, tasks: int) -> Wave:
        def uniform(bounds, *shape):
            u = torch.rand(tasks, *shape, generator=generator, device=generator.device)
            return bounds[0] + (bounds[1] - bounds[0]) * u

        amplitude, phase = uniform(AMPLITUDE), uniform(PHASE)
        query_x = uniform(query_range, queries, 1)
        if width is None:
            support_x = uniform(support_range, shots, 1)
        else:
            support_x = uniform((low, high - width), 1, 1) + uniform((0.0, width), shots, 1)
        error = noise * torch.randn(tasks, shots, 1, generator=generator, device=generator.device)
        return Wave(amplitude, phase, support_x, query_x, error)

    return Family(draw, make)


def make(wave: Wave) -> Task:
    """The task of one wave: y = A sin(x - phase), the error added to the support."""

    def y(x):
        return wave.amplitude * torch.sin(x - wave.phase)

    return Task(
        Data(wave.support_x, y(wave.support_x) + wave.support_error),
        Data(wave.query_x, y(wave.query_x)),
    )


def informed(family: Family) -> Family:
    """The same tasks with the true amplitude and phase beside every x: inputs (examples, 3), for
    the oracle of 5.1."""

    def make_informed(wave):
        def tell(data):
            truth = torch.stack([wave.amplitude, wave.phase]).expand(len(data.x), 2)
            return Data(torch.cat([data.x, truth], 1), data.y)

        task = family.make(wave)
        return Task(tell(task.support), tell(task.query))

    return Family(family.noise, make_informed)


def same_wave(wave: Wave, fresh: Wave) -> Wave:
    """`wave`'s amplitude and phase with `fresh`'s examples: more data of the same task."""
    return fresh._replace(amplitude=wave.amplitude, phase=wave.phase)


def walked(family: Family, length: int = 5) -> Family:
    """The same tasks for a sequence net: each x arrives as `length` random increments that add up
    to it.

    Inputs (examples, length, 1): to know x the net must sum over time (not in the paper: claim
    C007). length: 1 or more.
    """
    whole("length", length)

    def noise(generator, tasks):
        wave = family.noise(generator, tasks)
        steps = [
            torch.randn(*x.shape[:2], length, 1, generator=generator, device=generator.device)
            for x in (wave.support_x, wave.query_x)
        ]
        return wave, *steps

    def make_walked(drawn):
        wave, *steps = drawn

        def walk(data, step):
            return Data(step - step.mean(1, keepdim=True) + data.x.unsqueeze(1) / length, data.y)

        task = family.make(wave)
        return Task(walk(task.support, steps[0]), walk(task.query, steps[1]))

    return Family(noise, make_walked)


def pictured(family: Family, size: int = 28) -> Family:
    """The same tasks for a convolutional net: each x is a picture with a bright bar at x (not in
    the paper: C001).

    Inputs (examples, 1, size, size). size: 1 or more.
    """
    whole("size", size)

    def make_pictured(drawn):
        def picture(data):
            columns = torch.linspace(*RANGE, size, device=data.x.device)
            bar = torch.exp(-((data.x - columns) ** 2) / 0.5)
            return Data(bar[:, None, None, :].expand(-1, 1, size, size), data.y)

        task = family.make(drawn)
        return Task(picture(task.support), picture(task.query))

    return Family(family.noise, make_pictured)

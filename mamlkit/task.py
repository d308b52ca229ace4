"""What a task is, and what a distribution over tasks is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import vmap

from mamlkit.boundary import batched, made_of, random_numbers, said, whole
from mamlkit.memory import installed
from mamlkit.trees import nth, tree_flatten

MANY = 10**5  # tasks: below, whatever is drawn is small
# what torch says of a tensor that is too large
TOO_MUCH = ("can't allocate memory", "not enough memory", "out of memory", "overflow", "too large")


class Data(NamedTuple):
    """Input/output pairs of one task: `x` (examples, ...) and `y` (examples, ...)."""

    x: Tensor
    y: Tensor


class Task(NamedTuple):
    """One task T_i: `support` is the paper's D (it adapts), `query` is D' (it meta-learns and
    measures).

    Each is any pytree of tensors, usually `Data`. A plain tuple as `support` holds one batch per
    inner step (reinforcement learning samples anew after each). A batch of tasks is the same type,
    every tensor with a leading `tasks` axis.
    """

    support: Any
    query: Any


class Family(NamedTuple):
    """A distribution over tasks p(T), as two functions, so that compiled code never touches a
    generator.

    `noise(generator, tasks)` draws all that is random in `tasks` tasks, a pytree with a leading
    tasks axis, on the generator's device; `make(noise)` is pure and turns the noise of ONE task
    into that `Task`, x and y (examples, ...). `vmap` batches `make`: no `.item()`, no numpy and no
    `if` on a tensor in it, but `torch.where`.

    >>> from mamlkit.machine import seeded
    >>> def noise(generator, tasks):
    ...     return torch.randn(tasks, 3 + 10, generator=generator)
    >>> def make(drawn):  # parabolas, five points in the support and five in the query
    ...     (a, b, c), x = drawn[:3], drawn[3:, None]
    ...     y = a * x**2 + b * x + c
    ...     return Task(Data(x[:5], y[:5]), Data(x[5:], y[5:]))
    >>> sample(Family(noise, make), seeded(0), tasks=4).query.y.shape
    torch.Size([4, 5, 1])
    """

    noise: Callable[[Generator, int], Any]
    make: Callable[[Any], Task]


def sample(family: Family, generator: Generator, tasks: int) -> Task:
    """Draws a batch of `tasks` tasks T_i ~ p(T) (Algorithm 1, line 3); every tensor has a leading
    tasks axis.

    >>> from mamlkit.families.sinusoid import sinusoid
    >>> from mamlkit.machine import seeded
    >>> sample(sinusoid(shots=5), seeded(0), tasks=25).support.x.shape
    torch.Size([25, 5, 1])
    """
    made_of("family", family, ("noise", "make"), "sinusoid() is one, sinusoid is none")
    random_numbers(generator)
    with batched():
        return vmap(family.make)(noise_of(family, generator, whole("tasks", tasks)))


def noise_of(family: Family, generator: Generator, tasks: int) -> Any:
    """All that is random in so many tasks. Raises ValueError unless the family draws as many, and
    where they do not fit in memory."""
    too_many = (
        f"the noise of {tasks} tasks does not fit in memory: fewer tasks, or a smaller block, need "
        "less"
    )
    if tasks >= MANY:  # asked beforehand: a system that promises more than it has ends the process
        start = generator.get_state()
        one = tree_flatten(family.noise(generator, 1))[0]
        generator.set_state(start)
        if tasks * sum(t.nbytes for t in one if isinstance(t, Tensor)) > installed():
            raise ValueError(too_many)
    try:
        noise = family.noise(generator, tasks)
    except (RuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in TOO_MUCH):
            raise
        raise ValueError(too_many) from None
    for leaf in tree_flatten(noise)[0]:
        if not isinstance(leaf, Tensor) or leaf.shape[:1] != (tasks,):
            raise ValueError(
                f"the family's noise of {tasks} tasks holds {said(leaf)}: it must hold tensors "
                "whose first axis is that of the tasks"
            )
    return noise


def first_task(family: Family, generator: Generator) -> Task:
    """The task that would be drawn next; the generator stays as it is.

    Raises ValueError for a malformed task, and for a family that draws another one from the same
    state of the generator: such a run could not be repeated, resumed or shared.
    """
    start = generator.get_state()

    def drawn():
        noise = noise_of(family, generator, 1)
        generator.set_state(start)
        return validate(family.make(nth(noise, 0)))

    task, again = drawn(), drawn()
    if not all(map(torch.equal, tree_flatten(task)[0], tree_flatten(again)[0])):
        raise ValueError(
            "the family drew two different tasks from one state of the generator: all that is "
            "random must be drawn in its noise, with generator=..."
        )
    return task


def validate(task: Task) -> Task:
    """Returns one task (no tasks axis) unchanged if it is well formed.

    Raises ValueError, naming both shapes, when inputs and outputs differ in number or when support
    and query hold examples of different shapes or types; and naming the part when it is empty, not
    finite, or not made of tensors.
    """
    if not isinstance(task, Task):
        raise ValueError(f"a family makes {said(task)}: it must make a Task(support, query)")
    support, query = task
    parts = [support] if type(support) is not tuple else list(support)
    for name, part in [("support", part) for part in parts] + [("query", query)]:
        leaves, _ = tree_flatten(part)
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise ValueError(
                    f"the {name} set holds {said(leaf)}: it must hold tensors, torch.as_tensor(...)"
                )
            if leaf.numel() == 0:
                raise ValueError(f"the {name} set is empty: a tensor of shape {tuple(leaf.shape)}")
            if not torch.isfinite(leaf).all():
                raise ValueError(f"the {name} set holds a value that is not finite")
        if isinstance(part, Data) and part.x.shape[:1] != part.y.shape[:1]:
            raise ValueError(
                f"{name} x {tuple(part.x.shape)} and y {tuple(part.y.shape)} differ in their "
                "number of examples"
            )
    for part in parts:
        if not (isinstance(part, Data) and isinstance(query, Data)):
            continue
        if part.x.shape[1:] != query.x.shape[1:]:
            raise ValueError(
                f"support x {tuple(part.x.shape)} and query x {tuple(query.x.shape)} hold inputs "
                "of different shapes"
            )
        for name in ("x", "y"):
            one, other = getattr(part, name).dtype, getattr(query, name).dtype
            if one != other:
                raise ValueError(f"support {name} is {one} and query {name} is {other}")
    return task

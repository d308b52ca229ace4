"""What may come in: the one place that knows what a number, a step size, parameters and the parts
of a run may be, and says it in one sentence with the remedy.

Everything here is asked once, before a run or where a value is made, never at every step.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mamlkit.trees import Params


def concrete() -> bool:
    """Can the values of tensors be looked at here: is no compiler tracing, and no `grad` or `vmap`
    around?"""
    if torch.compiler.is_compiling():
        return False
    # torch's stubs leave this compiled module out
    functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    return functorch.peek_interpreter_stack() is None


def said(value: Any) -> str:
    """The value as a sentence names it: a number as it is, a function or a class by its name."""
    if isinstance(value, (type, nn.Module)) or callable(value) and hasattr(value, "__name__"):
        kind = "class" if isinstance(value, type) else "function"
        if isinstance(value, nn.Module):
            return f"a module {type(value).__name__}"
        return f"the {kind} {value.__name__}"
    if isinstance(value, (Real, complex, type(None))):
        return str(value)
    if isinstance(value, str):
        text = value if value.isprintable() else repr(value)[1:-1]
        return f'"{text}"' if len(text) <= 60 else f'"{text[:59]}…"'
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"an array of {value.dtype} and shape {tuple(value.shape)}"
    if (
        isinstance(value, list | tuple | dict)
        and len(value) <= 4
        and len(text := repr(value)) <= 40
    ):
        return text.replace("\n", " ")
    return f"a {type(value).__name__}"


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """`value` as an int. Raises ValueError unless it is a whole number from `least` to `most`, of
    64 bits where there is no `most`.

    >>> whole("tasks", 25)
    25
    >>> whole("tasks", 2.5)
    Traceback (most recent call last):
    ...
    ValueError: tasks is 2.5: it must be a whole number, 1 or more
    """
    range_ = f"{least} or more" if most is None else f"from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} is {said(value)}: it must be a whole number, {range_}")
    number = int(value)
    if number < least or most is not None and number > most:
        raise ValueError(f"{name} is {value}: it must be {range_}")
    if most is None and number >= 2**63:
        raise ValueError(f"{name} is {value}: it must be below 2**63")
    return number


def wholes(**values: Any) -> None:
    """Raises ValueError, with its name, for one that is no whole number of 1 or more."""
    for name, value in values.items():
        whole(name, value)


def within(name: str, value: Any, low: float, high: float) -> Any:
    """`value`. Raises ValueError unless it is a number from `low` to `high`.

    >>> within("discount", 0.99, 0, 1)
    0.99
    """
    if not (finite(value) and low <= value <= high):
        raise ValueError(f"{name} is {said(value)}: it must be a number from {low:g} to {high:g}")
    return value


def one_of(name: str, value: Any, *words: str) -> str:
    """`value`. Raises ValueError unless it is one of the words."""
    if not (isinstance(value, str) and value in words):
        *others, last = (f'"{word}"' for word in words)
        raise ValueError(f"{name} is {said(value)}: it must be {', '.join(others)} or {last}")
    return value


def finite(value: Any) -> bool:
    """Is it a real number, neither infinite nor NaN?

    >>> finite(0.1), finite(1), finite(float("nan")), finite(1j), finite(True), finite("1")
    (True, True, False, False, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def positive(name: str, value: Any, what: str) -> Any:
    """`value`, a finite number above 0. A scalar tensor is taken too: it may be learned."""
    fine = (
        value.ndim == 0 and value.is_floating_point() and not (concrete() and not 0 < value < 1e300)
        if isinstance(value, Tensor)
        else finite(value) and value > 0
    )
    if not fine:
        raise ValueError(f"{name} is {said(value)}: {what} must be above 0 and finite")
    return value


def not_negative(name: str, value: Any, what: str) -> Any:
    """`value`, a finite number that is 0 or more."""
    if not (finite(value) and value >= 0):
        raise ValueError(
            f"{name} is {said(value)}: {what} must be a finite number that is not negative"
        )
    return value


def step_size(alpha: Any, like: Tensor | None = None) -> None:
    """Raises ValueError unless `alpha` may be the step size of one parameter.

    A number must be finite and not negative. A tensor may be learned, so that any sign is taken; it
    must be real and finite, and it must fit the parameter `like`: one number, or one for each of
    its numbers.
    """
    if torch.compiler.is_compiling():
        return
    if not isinstance(alpha, Tensor):
        not_negative("alpha", alpha, "a step size")
    elif not alpha.is_floating_point():
        raise ValueError(f"alpha is {said(alpha)}: a step size must be made of real numbers")
    elif like is not None and alpha.ndim and not _fits(alpha.shape, like.shape):
        raise ValueError(
            f"alpha has shape {tuple(alpha.shape)} and its parameter {tuple(like.shape)}: "
            "a step size is one number, or one for each number of its parameter"
        )
    elif concrete() and not torch.isfinite(alpha).all():
        raise ValueError("alpha is a tensor that holds NaN or infinity: a step size must be finite")


def _fits(shape, target):
    return len(shape) <= len(target) and all(a in (1, b) for a, b in zip(shape[::-1], target[::-1]))


def inner_loop(loss: Any, alpha: Any, steps: Any, *, least: int = 0) -> None:
    """Raises ValueError unless these may be a learner's loss, step size and number of steps."""
    for value in alpha.values() if isinstance(alpha, dict) else [alpha]:
        step_size(value)
    inner_steps(steps, least)
    if isinstance(loss, nn.Module) or not takes(loss, 2):
        raise ValueError(
            f"loss is {said(loss)}: it must be a function (params, data) -> scalar, "
            "e.g. mse(net.forward)"
        )


def takes(function: Any, number: int) -> bool:
    """Is it something that can be called with so many arguments? Yes, where Python cannot tell."""
    if not callable(function):
        return False
    try:
        signature(function).bind(*range(number))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def a_function(name: str, value: Any, arguments: int, example: str) -> None:
    """Raises ValueError unless `value` is a function of so many arguments; a class makes one."""
    if isinstance(value, type) or not takes(value, arguments):
        what = "one argument" if arguments == 1 else f"{arguments} arguments"
        raise ValueError(
            f"{name} is {said(value)}: it must be a function of {what}, e.g. {example}"
        )


def inputs(params: Any, x: Any) -> None:
    """Raises ValueError unless these may be a net's parameters and inputs: of one type."""
    if not isinstance(params, dict) or not params:
        raise ValueError(
            f"the parameters are {said(params) if params else 'empty'}: net.init(generator) makes "
            "a net's"
        )
    kind = next(iter(params.values())).dtype
    if not isinstance(x, Tensor):
        raise ValueError(f"the inputs are {said(x)}: a tensor is needed, torch.as_tensor(...)")
    if x.dtype != kind:
        raise ValueError(
            f"the inputs are {x.dtype} and the parameters {kind}: convert one, e.g. x.float()"
        )


def scalar(loss: Any) -> Tensor:
    """The value of a loss. Raises ValueError unless it is one real number, as a tensor."""
    if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
        raise ValueError(
            f"the value of the loss is {said(loss)}: it must be a tensor of one real number, "
            "without axes, e.g. a mean()"
        )
    return loss


# What torch says, and what the function did. Of numbers it says the same for several reasons.
UNBATCHED = {
    "numpy": "reads a tensor's numbers out of torch (.item(), .numpy(), .tolist(), float or `if`)",
    "data pointer": "reads a tensor's numbers out of torch (.numpy(), .tolist())",
    ".item()": "reads a tensor's numbers out of torch (.item(), float, int or `if`)",
    "data-dependent": "asks `if` or `while` of a tensor",
    "random operation": "draws random numbers",
    "dynamic shape": "makes a tensor whose size depends on numbers (a mask as index, nonzero, "
    "unique)",
    "is not possible because": "writes a task's numbers into a tensor that all tasks share",
    "vmap:": "does what vmap cannot",
}


@contextmanager
def batched() -> Iterator[None]:
    """While this lasts, functions of one task are batched: what torch cannot batch is refused with
    ValueError that names the function, its line and the remedy."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        known = text.startswith(("vmap:", "Can't call numpy()", "Cannot access data pointer"))
        what = next((what for words, what in UNBATCHED.items() if words in text), None)
        if not known or what is None:
            raise
        raise ValueError(
            f"{_place(error)} {what}: tasks are batched, so write it with torch's functions alone, "
            "torch.where for an `if`, and draw what is random in the family's noise"
        ) from error


def _place(error):
    """The function of the caller's own that an error comes from, in words."""
    ours = (str(Path(__file__).parent), str(Path(torch.__file__).parent))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(ours) and "contextlib" not in frame.filename:
            return f"the function {frame.name} (line {frame.lineno})"
    return "a function of one task"


def inner_steps(steps: Any, least: int = 0) -> None:
    """Raises ValueError unless it may be a number of inner steps."""
    counts = isinstance(steps, Integral) and not isinstance(steps, bool)
    if not (counts and least <= int(steps) < 2**63):
        raise ValueError(
            f"steps is {said(steps)}: the number of inner steps must be a whole number, "
            f"{least} or more"
        )


def made_of(name: str, value: Any, functions: tuple[str, ...], remedy: str) -> None:
    """Raises ValueError unless `value` has these functions.

    name: how the value is called where it comes in. remedy: what makes a value that has them.
    """
    if isinstance(value, type):
        raise ValueError(f"{name} is {said(value)}, which makes one and is none: {remedy}")
    if lacking := [f for f in functions if not callable(getattr(value, f, None))]:
        raise ValueError(
            f"{name} is {said(value)}, which has no function {' and no '.join(lacking)}: {remedy}"
        )


def random_numbers(generator: Any) -> None:
    """Raises ValueError unless it is a generator."""
    if not isinstance(generator, Generator):
        raise ValueError(
            f"generator is {said(generator)}: it must be a torch.Generator, e.g. seeded(0)"
        )


def parameters(params: Any) -> Params:
    """The same parameters, cut off from any graph that they came with.

    Raises ValueError unless they are a dict of named real tensors of one type, on one device, all
    of them finite. The dict may be empty: a method need not have any.
    """
    if not isinstance(params, dict):
        raise ValueError(
            f"the parameters are {said(params)}: they must be a dict of named tensors, e.g. "
            "net.init(generator)"
        )
    for name, p in params.items():
        if not isinstance(name, str):
            raise ValueError(f"a parameter is called {said(name)}: its name must be a word")
        if not (isinstance(p, Tensor) and p.is_floating_point() and p.layout == torch.strided):
            raise ValueError(
                f'the parameter "{name}" is {said(p)}: parameters are dense tensors of real numbers'
            )
    for what in ("dtype", "device"):
        if len(found := {str(getattr(p, what)): name for name, p in params.items()}) > 1:
            raise ValueError(
                f"the parameters are of several {what}s, {', '.join(found)}: all must have one"
            )
    for name, p in params.items():
        if p.is_meta:
            raise ValueError(
                f'the parameter "{name}" is on the device meta, which holds no numbers: make it on '
                "a device that does"
            )
        if concrete() and not torch.isfinite(p).all():
            raise ValueError(f'the parameter "{name}" holds a value that is not finite')
    return {name: p.detach() if p.requires_grad else p for name, p in params.items()}

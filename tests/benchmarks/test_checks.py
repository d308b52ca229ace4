"""No check costs more than 1 % of a training step: what a step asks, and that it is nothing where
the step is compiled. `python -m tests.benchmarks.checks` measures it."""

import sys
from collections import Counter

import pytest

from mamlkit import boundary
from mamlkit.losses import mse
from tests.benchmarks import S, checks


def asked(steps):
    """How often each function of `boundary` is called while one more Step is made."""
    calls = Counter()

    def seen(frame, event, _):
        if event == "call" and frame.f_code.co_filename == boundary.__file__:
            calls[frame.f_code.co_name] += 1

    sys.setprofile(seen)
    try:
        next(steps)
    finally:
        sys.setprofile(None)
    return calls


def test_a_step_asks_only_what_the_benchmark_leaves_out():
    """Four parameters, one inner step: once for each parameter, and once for the number of steps,
    however many tasks there are. All else is asked once a run."""
    steps = checks.training(mse(S.NET.forward), False, 3)
    first, then = asked(steps), asked(steps)
    parameters = len(S.THETA)
    assert then["step_size"] == 3 * parameters and then["inner_steps"] == 3
    assert then.pop("batched") == 2, "as a block begins and as it ends"
    assert then.keys() <= {"inner_steps", "scalar", "step_size", "finite", "not_negative", "inputs"}
    assert first.keys() > then.keys() and first["whole"] and first["parameters"]
    with checks.unchecked():
        assert asked(steps).keys() <= {"batched"}


def test_the_checks_of_a_step_take_less_than_a_hundredth_of_it():
    steps = checks.training(mse(S.NET.forward), False, 1)
    fastest = min(checks.seconds(steps) for _ in range(30))
    assert 0 < checks.alone(2_000) < 0.01 * fastest


@pytest.mark.compiled
def test_a_compiled_step_asks_nothing():
    steps = checks.training(mse(S.NET.forward), True, 3)
    next(steps)  # compiles, which takes twice as long where it is watched
    assert asked(steps) == {"batched": 2}, "as a block begins and as it ends"


def test_what_is_said_of_two_times():
    assert checks.said([1.01e-6] * 30, [1e-6] * 30) == (
        "     1.0 us checked,      1.0 us not: +1.00 % (95 % interval +1.00 to +1.00 %, 30 turns)"
    )

"""A call in a process of its own: what it returns, and every way in which it ends."""

import os
import signal
import time

import pytest

from mamlkit.bank import process
from mamlkit.bank.process import call


def test_it_returns_what_the_function_returns_from_another_process():
    how = call(os.getpid)
    assert how.status == "done" and how.value != os.getpid() and how.seconds > 0


def test_what_it_prints_is_heard():
    heard = []
    how = call(print, "one\ntwo", hear=heard.append)
    assert how == ("done", None, how.seconds) and heard == ["one", "two"]


@pytest.mark.parametrize(
    ("function", "value", "words"),
    [
        (float, "x", "mamlkit: could not convert string to float: 'x'"),
        (os.mkdir, "/proc/x/y", "mamlkit: /proc/x/y: No such file or directory"),
        (os.mkdir, "/", "mamlkit: /: File exists"),
        (float, [], "TypeError: float() argument"),
        (bytes.decode, b"\xff", "UnicodeDecodeError: "),
    ],
)
def test_an_error_is_said_and_has_failed(function, value, words):
    """A refusal in one sentence, a bug with its traceback."""
    heard = []
    how = call(function, value, hear=heard.append)
    assert how.status == "failed" and heard[-1].startswith(words)
    assert any("Traceback" in line for line in heard) != words.startswith("mamlkit: ")


def test_one_that_is_killed_has_failed():
    assert call(os.kill, 0, signal.SIGKILL).status == "failed"


def test_it_is_interrupted_when_its_time_is_up_and_when_it_is_not_wanted():
    assert call(time.sleep, 60, seconds=0.5).status == "interrupted"
    how = call(time.sleep, 60, wanted=lambda: False)
    assert how.status == "interrupted" and how.seconds < 30


def test_one_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(process, "PATIENCE", 1.0)
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"
    how = call(exec, code, wanted=lambda: False)
    assert how.status == "interrupted" and how.seconds < 30

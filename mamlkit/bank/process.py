"""A function in a process of its own, which ends in order when nobody waits for it any more; and
what is heard of work while it goes on."""

import contextlib
import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple, TypeVar

from mamlkit.files import refusal

T = TypeVar("T")
PATIENCE = 30.0  # seconds to save and end after an interrupt
ASKED = 0.5  # seconds between two looks whether it is still wanted
CHILD = (  # whoever unpickles a function must find its module where we do
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from mamlkit.bank.process import child; child()"
)


class Ended(NamedTuple):
    """How a call ended. status: "done", "interrupted" or "failed". value: what it returned, if it
    is done. seconds: how long it took."""

    status: str
    value: Any
    seconds: float


def call(
    function: Callable,
    *args: Any,
    seconds: float | None = None,
    wanted: Callable[[], bool] = lambda: True,
    hear: Callable[[str], object] | None = None,
) -> Ended:
    """Calls function(*args) in a process of its own.

    The process is interrupted, as by Ctrl-C, after `seconds`, on our own Ctrl-C, when `wanted` says
    no, and when this process is gone, whatever ended it. If that does not end it in PATIENCE, it is
    killed. A refusal is said in one sentence on its standard error, a bug with its traceback.

    function: of a module, so that another process can be told which. wanted: asked every half a
    second. hear: gets each line that the process prints; None: it prints where this one does.
    """
    begin, stopped = time.monotonic(), False
    with tempfile.TemporaryFile() as result:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=hear and subprocess.PIPE,
            stderr=hear and subprocess.STDOUT,
            pass_fds=[result.fileno()],
            start_new_session=True,  # a terminal's Ctrl-C reaches us, and it through the pipe
        )
        reader = threading.Thread(target=_read, args=(process.stdout, hear), daemon=True)
        reader.start()
        try:
            for part in (sys.path, (function, args, seconds, result.fileno())):
                _pipe(process).write(pickle.dumps(part))
            _pipe(process).flush()
            while process.poll() is None and not stopped:
                try:
                    process.wait(ASKED)
                except subprocess.TimeoutExpired:
                    stopped = not wanted()
        except KeyboardInterrupt:
            stopped = True
        except BrokenPipeError:  # it ended before it knew what to do
            pass
        finally:
            _end(process)
        reader.join(1.0)
        result.seek(0)
        done = process.returncode == 0
        value = pickle.load(result) if done else None
    given_up = stopped or process.returncode == 3
    status = "done" if done else "interrupted" if given_up else "failed"
    return Ended(status, value, time.monotonic() - begin)


def _pipe(process: subprocess.Popen) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _end(process: subprocess.Popen) -> None:
    """Tells a process that nobody listens any more, and waits until it has ended."""
    try:
        with contextlib.suppress(BrokenPipeError):
            _pipe(process).close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def _read(stream, hear) -> None:
    for line in stream or ():
        hear(line.decode(errors="replace").rstrip("\n"))


def child() -> None:
    """What the process of a call does; its standard input says what to call."""
    function, args, seconds, result = pickle.load(sys.stdin.buffer)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    try:  # no time may be left at all: the interrupt then comes at once
        threading.Thread(target=_watch, args=(seconds,), daemon=True).start()
        with open(result, "wb") as file:
            pickle.dump(function(*args), file)
    except KeyboardInterrupt:
        os._exit(3)
    except (OSError, ValueError, ImportError) as error:
        if (sentence := refusal(error)) is None:
            raise
        print(f"mamlkit: {sentence}", file=sys.stderr, flush=True)
        os._exit(1)


def _watch(seconds: float | None) -> None:
    """Interrupts this process when its parent is gone or its time is up, and ends it if that does
    not help."""
    select.select([sys.stdin], [], [], seconds)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(3)


def heard(items: Iterable[T], hear: Callable[[str], None]) -> Iterator[T]:
    """The same items; while each is made, `hear` is told what mamlkit logs, e.g. that it
    compiles."""
    log, handler = logging.getLogger("mamlkit"), logging.Handler()
    handler.emit = lambda record: hear(record.getMessage())
    items, level = iter(items), log.level
    while True:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
        yield item

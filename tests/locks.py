"""Another process that writes a place."""

import subprocess
import sys
from contextlib import contextmanager

CODE = """
import sys
from pathlib import Path

from mamlkit.files import alone

with alone(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


@contextmanager
def lock(place):
    """While this lasts another process has `place`."""
    words = [sys.executable, "-c", CODE, str(place)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "mine\n"
        yield
        other.stdin.close()

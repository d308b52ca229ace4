"""Where things lie; files that are there whole or not at all, and that one run at a time writes;
what is said where that cannot be."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout, lock_descriptor, unlock_descriptor

_PACKAGE = Path(__file__).resolve().parent
CLONED = not (_PACKAGE / "data").exists()


def _root() -> Path:
    """The clone; for an installed package the folder where this platform keeps caches."""
    if CLONED:
        return _PACKAGE.parent
    from platformdirs import user_cache_path

    return user_cache_path("mamlkit", appauthor=False)


ROOT = _root()  # data/ below it holds what is kept: downloads, decoded images, runs, results
SHIPPED = ROOT / "data" if CLONED else _PACKAGE / "data"  # the splits and the ledger


def needs_clone(what: str) -> None:
    """Raises ValueError, with the remedy, where there is only an installed package.

    what: the command or the things that are not in a wheel.
    """
    if not CLONED:
        raise ValueError(
            f"{what} needs a clone of the repository, which holds the notebooks, the tests, the "
            "banked results and the records of the claims: git clone it, and run `make` there"
        )


def write(
    path: Path, content: str | bytes | Callable[[Path], object], *, before: Path | None = None
) -> Path:
    """Writes a file so that a kill, an error or a full disk at any moment leaves the old one whole.

    content: text (written as UTF-8), bytes, or a function that writes them to the path it is
    given. before: where the file that stood at `path` goes.
    Raises OSError if the place cannot be written; then nothing has changed. Returns `path`.
    """
    path = at_home(path)
    no_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _held(fresh):
            if callable(content):
                content(fresh)
            else:
                fresh.write_bytes(content.encode() if isinstance(content, str) else content)
            with open(fresh, "rb") as file:
                os.fsync(file.fileno())
            if before is not None and path.exists():
                path.replace(before)
            return fresh.replace(path)
    except OSError as error:
        if error.errno is not None and str(error.filename) in ("None", str(fresh)):
            error.filename = str(path)  # the name that a reader knows
        raise


def at_home(path: Path | str) -> Path:
    """The path, in which ~ is somebody's home; that of nobody stays as it is, and is not there.
    Raises ValueError for what is no path, an empty word among it: that would be any folder."""
    if not isinstance(path, str | os.PathLike) or path == "":
        said = '""' if path == "" else repr(path)
        raise ValueError(f"{said} is no path: a folder or a file is needed")
    return Path(os.path.expanduser(path))


def present(path: Path) -> bool:
    """Is a folder or an ordinary file there? No pipe is, which would be waited for, and nothing of
    a name that the system does not take."""
    try:
        return path.is_dir() or path.is_file()
    except OSError:
        return False


def no_folder(path: Path) -> None:
    """Raises IsADirectoryError if there is a folder at the place of a file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def shown(path: Path | str) -> str:
    """The path as a sentence names it: in one line."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def read_json(path: Path, kind: type = dict):
    """What a JSON file holds, a `kind`. Raises ValueError naming the file if it is damaged, and
    OSError if it is not there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is damaged ({error}): get it anew") from None
    except RecursionError:
        raise ValueError(f"{path} is damaged (it is nested too deeply): get it anew") from None
    if not isinstance(found, kind):
        raise ValueError(f"{path} is damaged (it holds no {kind.__name__}): get it anew")
    return found


@contextmanager
def alone(path: Path, patience: float = 0.0) -> Iterator[None]:
    """While this lasts, no other process that asks for `path` gets it; a killed one gives it back.

    patience: seconds to wait for another process that has it.
    Raises ValueError if another process still has it then.
    """
    path = at_home(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    lock = FileLock(place, timeout=patience)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{path} is being written by another run; wait until it has ended, or stop it"
        ) from None
    try:
        yield
    finally:
        place.unlink(missing_ok=True)  # still ours: whoever waits for it sees that it is gone
        lock.release()


@contextmanager
def _held(fresh: Path) -> Iterator[None]:
    """While this lasts, the unfinished file `fresh` is seen to have a writer that lives; an error
    removes it.

    Its lock says so, and not its writer's number: a number is given again, is another's on another
    machine, and stays for a while when its process is dead.
    """
    while True:
        with open(fresh, "ab") as file:
            if not _ours(file, fresh):
                continue
            try:
                yield
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            finally:
                with suppress(OSError):
                    unlock_descriptor(file.fileno())
            return


def _tidy(path: Path) -> None:
    """Removes what killed processes left of `path`."""
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        with suppress(OSError), open(left, "rb") as file:
            if _ours(file, left, wait=False):
                left.unlink()


def _ours(file: IO, place: Path, wait: bool = True) -> bool:
    """Takes the lock of an open file: is it ours, and is the file still what stands at `place`?

    wait: for whoever has it. Where a file system knows no locks, a file is its writer's.
    """
    try:
        locked = lock_descriptor(file.fileno(), blocking=wait)
    except OSError:
        return wait
    try:
        return locked and os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False


def refusal(error: Exception) -> str | None:
    """What to say, in one sentence, of an error that is no bug of ours: a value that is refused, a
    place that cannot be written, something that is not installed. None for a bug.

    >>> refusal(PermissionError(13, "Permission denied", "data/cache"))
    'data/cache: Permission denied'
    >>> refusal(KeyError("x"))
    """
    if isinstance(error, OSError):  # a full disk, a missing file
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if type(error) is ValueError or type(error) is ImportError and error.name is None:
        return str(error)  # of a subclass, say a text that cannot be decoded, nobody thought
    return None

"""One atomic write: what a kill leaves of a file is tidied, and what lives is left alone."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mamlkit import files

WRITER = """
import sys
from pathlib import Path

from mamlkit.files import write


def slowly(fresh):
    fresh.write_text("half")
    print("begun", flush=True)
    sys.stdin.readline()
    fresh.write_text("of another")


write(Path(sys.argv[1]), slowly)
"""


@contextmanager
def writing(path):
    """Another process in the middle of a write; a line lets it end. It is waited for at the end."""
    words = [sys.executable, "-c", WRITER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as other:
        assert other.stdout.readline() == "begun\n"
        yield other


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_tidied_while_it_is_still_a_zombie(tmp_path):
    """A process 1 that waits for others only now and then keeps zombies, and so does
    a container without one; a zombie still answers to its number."""
    path = tmp_path / "run.json"
    with writing(path) as other:
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and not waited for
        os.kill(other.pid, 0)
        assert names(tmp_path) == [f".run.json.{other.pid}.tmp"]
        files.write(path, "mine")
        assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize("number", [1, os.getppid(), 999_999_999])
def test_what_a_killed_process_left_is_tidied_whoever_has_its_number_now(tmp_path, number):
    (tmp_path / f".run.json.{number}.tmp").write_bytes(b"half")
    files.write(tmp_path / "run.json", "mine")
    assert names(tmp_path) == ["run.json"]


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "run.json"
    with writing(path) as other:
        files.write(path, "mine")
        assert path.read_text() == "mine" and len(names(tmp_path)) == 2
        other.communicate("go on\n")
        assert other.returncode == 0
    assert path.read_text() == "of another" and names(tmp_path) == ["run.json"]


def test_many_threads_and_a_process_write_one_file(tmp_path):
    """All of them survive, and the file is one of theirs."""
    path, texts = tmp_path / "run.json", [f"{n}" * 50_000 for n in range(8)]
    with writing(path) as other, ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(lambda text: files.write(path, text), texts)) == [path] * 8
            assert path.read_text() in texts
        other.communicate("go on\n")
        assert other.returncode == 0
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", ["run[1].json", "[!a].json", "a*.json", "run?.json"])
def test_any_name_is_tidied_and_no_other(tmp_path, name):
    for left in (name, "run1.json", "b.json", "ab.json"):
        (tmp_path / f".{left}.999999999.tmp").write_bytes(b"half")
    files.write(tmp_path / name, "mine")
    assert f".{name}.999999999.tmp" not in names(tmp_path) and len(names(tmp_path)) == 4


def test_without_locks_a_file_is_written_and_nothing_of_another_is_removed(tmp_path, monkeypatch):
    def refused(number, blocking):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(files, "lock_descriptor", refused)
    (tmp_path / ".run.json.999999999.tmp").write_bytes(b"half")
    files.write(tmp_path / "run.json", "mine")
    assert names(tmp_path) == [".run.json.999999999.tmp", "run.json"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_names_it(tmp_path, error):
    path = files.write(tmp_path / "run.json", "old")

    def fails(fresh):
        fresh.write_text("half")
        raise error

    with pytest.raises(type(error)) as raised:
        files.write(path, fails)
    assert path.read_text() == "old" and names(tmp_path) == ["run.json"]
    assert getattr(raised.value, "filename", str(path)) == str(path)


def test_the_home_of_nobody_is_a_path_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert files.at_home("~/x") == Path("/somewhere/x")
    assert files.at_home("~nobody-here/x") == Path("~nobody-here/x")


def test_a_folder_where_a_file_should_be_stays_where_it_is(tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(IsADirectoryError, match="Is a directory: '.*kept'"):
        files.write(tmp_path / "kept", "text", before=tmp_path / "kept.previous")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_what_is_there_is_a_folder_or_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "file").touch()
    assert files.present(tmp_path) and files.present(tmp_path / "file")
    for name in "pipe", "loop", "nothing", "a" * 5000, "a\0b":
        assert not files.present(tmp_path / name), name


@pytest.mark.parametrize("path", [None, 5, b"file", ""])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="is no path: a folder or a file is needed"):
        files.write(path, "text")
    with pytest.raises(ValueError, match="is no path"), files.alone(path):
        pass

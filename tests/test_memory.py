import subprocess
import sys
import warnings

import pytest
import torch

from mamlkit.memory import (
    ALONE_FROM,
    fastest,
    fitting,
    installed,
    keep_pages,
    operations,
    out_of_memory,
)


def full():
    """What a device's allocator raises: the CPU's is asked for a petabyte."""
    torch.empty(1 << 50, dtype=torch.uint8)


def gpu_full():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")


def room_for(most, fail=full):
    """Work that has room for so many tasks at once, and notes what it was asked for."""
    asked = []

    def work(chunk):
        asked.append(chunk)
        if chunk > most:
            fail()
        return f"done with {chunk}"

    return work, asked


@pytest.mark.parametrize("fail", [full, gpu_full])
def test_the_chunk_is_halved_until_it_fits_and_one_warning_says_so(fail):
    work, asked = room_for(5, fail)
    with pytest.warns(
        UserWarning,
        match=r"memory ran out with 25 tasks at once: from here on 3 are held at once \(chunk=3\)",
    ) as said:
        assert fitting(work, 25) == ("done with 3", 3)
    assert asked == [25, 12, 6, 3] and len(said) == 1


def test_what_fits_is_done_once_without_a_word():
    work, asked = room_for(25)
    with warnings.catch_warnings(action="error"):
        assert fitting(work, 25) == ("done with 25", 25)
    assert asked == [25]


@pytest.mark.parametrize("fail", [full, gpu_full])
def test_with_a_single_task_the_error_goes_up_with_a_sentence(fail):
    work, asked = room_for(0, fail)
    with pytest.raises(RuntimeError) as error:
        fitting(work, 6)
    assert asked == [6, 3, 1] and out_of_memory(error.value)
    assert "a single task at once (chunk=1)" in error.value.__notes__[0]


@pytest.mark.parametrize(
    "other",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no memory of that")],
)
def test_any_other_error_goes_up_at_once(other):
    def work(chunk):
        asked.append(chunk)
        raise other

    asked = []
    with pytest.raises(type(other)) as error:
        fitting(work, 6)
    assert error.value is other and asked == [6] and not out_of_memory(other)


@pytest.mark.parametrize(
    "rows, device, held", [(1.01, "cpu", 1), (0.99, "cpu", 9), (1.01, "cuda", 9)]
)
def test_a_task_that_is_much_work_is_fastest_alone_on_a_cpu(rows, device, held):
    """A product of (n, 500) and (500, 1000) is 1e6 n operations."""
    a = torch.empty(round(rows * ALONE_FROM / 1e6), 500, device="meta")
    b = torch.empty(500, 1000, device="meta")
    each = operations(lambda: a @ b)
    assert each == pytest.approx(rows * ALONE_FROM)
    assert fastest(9, each, torch.device(device)) == held


def test_what_a_task_alone_has_no_memory_for_is_said():
    with pytest.raises(RuntimeError) as error:
        operations(full)
    assert "a single task at once (chunk=1)" in error.value.__notes__[0]


def test_pages_are_kept_and_a_petabyte_is_still_refused():
    keep_pages()
    with pytest.raises(RuntimeError) as error:
        full()
    assert out_of_memory(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is another")
def test_between_tasks_what_is_kept_and_not_filled_is_given_back():
    """Each task frees 13 MB that the next one cannot fill: its pieces are larger, and what stays
    lies between."""
    program = """
import torch
from mamlkit.memory import keep_pages, resident, tidied

keep_pages()
held, stays = [], []
for i in tidied(range(30)):
    pieces = [torch.ones(2**20 + 2**14 * i) for _ in range(4)]
    stays.append(pieces[1])
    held.append(resident())
    del pieces
print((max(held) - held[0]) / 2**20, sum(piece.nbytes for piece in stays) / 2**20)
"""
    words = [sys.executable, "-c", program]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    grown, live = map(float, said.split())
    assert grown < live + 80, f"{grown:.0f} MB more, of which {live:.0f} are in use"


def test_how_much_memory_a_machine_has():
    assert 2**28 < installed() < 2**50 or sys.platform == "win32"

"""The memory of an evaluation: as much as one task needs, and no more for more tasks."""

from tests.benchmarks.evaluation import peak


def test_ten_more_tasks_of_photographs_need_no_more_memory():
    """A task is 100 photographs of 84 x 84, 8 MB: ten more would be 80."""
    size = dict(steps=1, filters=4, photos=20)
    few, many = (peak(number, **size)[0] for number in (2, 12))
    assert abs(many - few) < 20, f"{few:.0f} MB for 2 tasks and {many:.0f} MB for 12"


def test_the_way_of_an_adaptation_is_not_kept():
    """25 photographs are 22 MB a map. Ten steps of them lay in memory together before the first
    task was measured: 990 MB, where the 75 of a query need 400."""
    top, before = peak(1, steps=10, shots=5, photos=20)
    assert top - before < 550, f"{top - before:.0f} MB for one task"

"""The memory of an evaluation does not grow with the number of its tasks."""

from tests.benchmarks.evaluation import peak


def test_ten_more_tasks_of_photographs_need_no_more_memory():
    """A task is 100 photographs of 84 x 84, 8 MB: ten more would be 80."""
    size = dict(steps=1, filters=4, photos=20)
    few, many = (peak(number, **size)[0] for number in (2, 12))
    assert abs(many - few) < 20, f"{few:.0f} MB for 2 tasks and {many:.0f} MB for 12"

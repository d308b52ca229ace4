"""What every test shares: one thread, an order, and float64 where a law is exact."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

# What takes longest is begun first: begun last, it would leave the other cores idle.
LONGEST = (
    *("tests/browser/test_scenes", "tests/scale/test_ranks", "tests/scale/test_workers"),
    *("tests/test_habits", "tests/fuzz/test_kills", "tests/browser/", "book/test_changed_step"),
    *("tests/test_banked_pages", ".ipynb", "tests/test_train", "tests/test_main", "test_package"),
    *("tests/bank/test_work", "tests/test_your_own", "studies/", "tests/bank/"),
)


def pytest_collection_modifyitems(items):
    """Sorts whole files: their own order stays."""

    def rank(item):
        found = (i for i, part in enumerate(LONGEST) if part in item.path.as_posix())
        return next(found, len(LONGEST))

    items.sort(key=rank)


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "compiled: calls torch.compile; needs a C++ compiler and some 20 seconds the first time",
    )


@pytest.fixture(scope="session", autouse=True)
def kept_as_it_was():
    """No test writes what the repository ships beside its code: another test may read it."""
    root = Path(__file__).parents[1]
    shipped = [p for p in (*root.glob("*"), *(root / "data").glob("*")) if p.is_file()]
    before = {p: p.stat().st_mtime_ns for p in shipped}
    yield
    assert before == {p: p.stat().st_mtime_ns for p in shipped}


@pytest.fixture
def float64():
    """Tensors are float64 unless told otherwise, until the test ends."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)

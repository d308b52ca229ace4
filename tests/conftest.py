"""What every test shares: one thread, an order, and float64 where a law is exact."""

import pytest
import torch

torch.set_num_threads(1)

# What takes longest is begun first: begun last, it would leave the other cores idle.
LONGEST = (
    *("browser/test_scenes", "scale/test_ranks", "test_habits", "scale/test_workers"),
    *("test_banked_pages", "fuzz/test_kills", "browser/", "book/test_changed_step", "test_train"),
    *("bank/test_work", "test_package", "studies/test_sinusoid_rivals", "bank/test_survives"),
)


def pytest_collection_modifyitems(items):
    """Sorts whole files: their own order stays."""

    def rank(item):
        name = item.path.with_suffix("").as_posix()
        found = (i for i, part in enumerate(LONGEST) if f"tests/{part}" in name)
        return next(found, len(LONGEST))

    items.sort(key=rank)


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "compiled: calls torch.compile; needs a C++ compiler and some 20 seconds the first time",
    )


@pytest.fixture
def float64():
    """Tensors are float64 unless told otherwise, until the test ends."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)

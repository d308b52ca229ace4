"""What every test shares: one thread, and float64 where a law is exact."""

import pytest
import torch

torch.set_num_threads(1)


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

"""What is counted: against passes counted by hand, on shapes without numbers."""

import pytest
import torch

from mamlkit.studies import counting
from mamlkit.studies.images import SETTINGS

CELLS = counting.cells("smoke")
SMALL = CELLS["omniglot-noconv-5w1s"]


def test_every_setting_of_table_1_is_counted_as_it_stands_there():
    assert len(CELLS) == 8
    for column, setting in CELLS.items():
        for name in counting.SIZE:
            assert setting[name] == SETTINGS[column][name]


def test_a_linear_layer_costs_what_its_products_cost():
    """784-256-128-64-64-5: forward m n, backward m n for the weights and, but for the first layer,
    m n for the inputs; times two operations and five images."""
    sizes = [784, 256, 128, 64, 64, 5]
    products = [n * m for n, m in zip(sizes, sizes[1:])]
    forward, weights, inputs = sum(products), sum(products), sum(products[1:])
    first_order = 2 * 5 * 2 * (forward + weights + inputs)  # support and query, five images each
    second, first = counting.operations(SMALL).tolist()
    assert first == pytest.approx(first_order, rel=0.01) and second > 1.5 * first


def test_the_closed_form_counts_passes():
    assert counting.closed_form(dict(way=5, shots=1, steps=1, queries=1)) == 2
    assert counting.closed_form(dict(way=5, shots=1, steps=5, queries=15)) == pytest.approx(1.5)
    # many steps on few queries: three times
    assert counting.closed_form(dict(way=5, shots=5, steps=100, queries=1)) == pytest.approx(
        3, 0.01
    )


def test_the_closed_form_is_near_what_is_counted_with_convolutions():
    for column in ("omniglot-5w1s", "mini-5w1s"):
        second, first = counting.operations(CELLS[column]).tolist()
        assert second / first == pytest.approx(counting.closed_form(CELLS[column]), rel=0.06)


def test_second_order_keeps_every_step_and_first_order_none():
    one, three = counting.memory(SMALL, 1), counting.memory(SMALL, 3)
    assert three[0, 1] > one[0, 1] and three[1, 1] == one[1, 1]
    assert (one[:, 0] >= one[:, 1]).all(), "what is kept is part of the peak"


def test_it_is_timed_only_if_asked_for(monkeypatch):
    assert "time saved" not in counting.measure(SMALL, None)[1]
    ticks = iter([9, 9, 4, 2, 6, 3])  # seconds of second and first order; the first two warm up
    monkeypatch.setattr(counting, "_clocked", lambda loop: next(ticks))
    _, measured = counting.measure(SMALL | dict(rounds=2), None)
    assert measured["time saved"].item() == pytest.approx(50)


def test_a_block_of_the_timed_loops_is_really_run():
    assert torch.isfinite(
        torch.tensor(counting.time_saved(SMALL | dict(rounds=1), torch.tensor([2e9])))
    )


def test_it_begins_with_numbers_that_a_changed_step_would_change():
    begins = counting.begin(SMALL)
    assert torch.equal(begins, counting.begin(SMALL))
    assert not torch.equal(begins, counting.begin(SMALL | dict(steps=2)))

"""Workload S's contestants that need no package of their own make one meta-gradient."""

import pytest

from tests.benchmarks import S
from tests.benchmarks.speed import distance


@pytest.mark.parametrize("order", [2, 1])
def test_contestants_make_the_reference_gradient(order):
    reference, other = S.reference(order), S.reference(3 - order)
    assert distance(other, reference) > 1e-2
    contestants = S.contestants(order)
    for contestant in (
        S.ours(order, compiled=False, step=2),
        contestants["torch, loop over tasks"](),
    ):
        contestant.advance(2)
        assert distance(contestant.gradient(), reference) < 1e-5

"""What a meta-gradient costs, and how near it is to MAML's."""

import pytest
import torch

from mamlkit.studies import variants_costs as costs
from mamlkit.studies.variant_methods import VARIANTS
from mamlkit.studies.variants_costs import COSTS, clocked, cosine, counted, in_training, to_mamls
from mamlkit.studies.variants_waves import PLAIN


@pytest.fixture
def untrained(monkeypatch):
    params = PLAIN.init(torch.Generator().manual_seed(3))
    monkeypatch.setattr(costs, "start", lambda dtype: params)


def test_the_cosine_is_over_what_both_have():
    a = {"x": torch.tensor([3.0, 4.0]), "own": torch.tensor([9.0])}
    b = {"x": torch.tensor([4.0, 3.0]), "other": torch.tensor([1.0])}
    assert cosine(a, b).item() == pytest.approx(24 / 25)
    assert cosine(a, {"x": -a["x"]}).item() == pytest.approx(-1)


def test_meta_sgds_direction_is_mamls_and_first_orders_is_not(untrained):
    setting = COSTS.cells("smoke")["maml-0"]
    found = {m: to_mamls(setting | dict(method=m)).item() for m in ("meta_sgd", "fomaml")}
    assert found["meta_sgd"] == pytest.approx(1, abs=1e-5) and found["fomaml"] < 0.99999


def test_memory_is_counted_without_numbers():
    assert counted("imaml", 1)[0] == counted("imaml", 2)[0]
    assert counted("maml", 2)[0] > counted("maml", 1)[0]
    assert counted("maml", 2)[1] > counted("fomaml", 2)[1]


def test_there_is_a_cell_for_each_variant_and_costs_as_it_is_trained():
    assert [s["method"] for s in COSTS.cells("paper").values()] == [*VARIANTS]
    assert in_training("reptile") == [(5, 5), (5, 20)]
    assert in_training("mamlpp")[0] == (2, 5)


def test_time_is_the_least_of_some_calls():
    calls = []
    assert clocked(lambda: calls.append(1), 4) >= 0 and len(calls) == 4


def test_nothing_is_trained():
    (step,) = COSTS.steps(COSTS.cells("smoke")["maml-0"], None, None)
    assert step.iteration == 0 and not step.meta and not len(step.losses)

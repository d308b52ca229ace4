"""Chapter 6's search: as much for each variant, and chosen as it says."""

import pytest
import torch

from mamlkit.bank.experiment import Result, last, load
from mamlkit.studies.variant_methods import VARIANTS
from mamlkit.studies.variants_search import (
    CHOSEN,
    SEARCH,
    SEARCHED,
    TRIED,
    VALIDATION,
    best,
    candidates,
    on_validation,
)
from mamlkit.studies.variants_waves import TEST, WAVES, errors, steps


def test_every_variant_has_as_many_candidates_and_each_as_long_a_training():
    found = candidates("paper")
    by_method = {m: [s for s in found.values() if s["method"] == m] for m in VARIANTS}
    assert {len(tried) for tried in by_method.values()} == {8}
    for tried in by_method.values():
        assert len({(s["alpha"], s["steps"], s.get("strength")) for s in tried}) == 8
    assert {s["iterations"] for s in found.values()} == {3_000}


def test_neither_a_result_s_seed_nor_its_test_waves_are_used():
    assert TRIED not in {s["seed"] for s in WAVES.cells("paper", 10).values()}
    assert VALIDATION != TEST
    setting = candidates("smoke")["maml-0"] | dict(tests=7)
    meta = last(steps(setting)).meta
    assert not torch.equal(errors(setting, meta, 10, VALIDATION), errors(setting, meta, 10))


def result(method, error, made=3_000, **own):
    """A candidate whose median validation error is lowest, `error`, after three steps."""
    curve = torch.full((2, 11), 9.0)
    curve[0, 0], curve[0, 3] = 0.0, error  # before any step nothing has adapted
    setting = dict(method=method, iterations=3_000, alpha=0.1, steps=5, **own)
    measured = {"made": torch.tensor(made), "validation": curve}
    return Result({}, measured, {"setting": setting})


def test_the_best_candidate_has_the_lowest_validation_error_of_those_that_did_not_fail():
    kept = {
        "imaml-0": result("imaml", 0.5, strength=2.0),
        "imaml-1": result("imaml", 0.25, strength=8.0),
        "imaml-2": result("imaml", 0.125, made=17, strength=0.5),
        "maml-0": result("maml", 1.0),
    }
    assert best(kept) == {
        "imaml": dict(alpha=0.1, steps=5, strength=8.0, test=3),
        "maml": dict(alpha=0.1, steps=5, test=3),
    }


def test_strength_reaches_the_variant():
    setting = candidates("paper")["imaml-0"] | dict(iterations=1, tests=5)
    ends = [
        last(steps(setting | dict(strength=s, steps=2))).meta["layer0.weight"] for s in (0.2, 8.0)
    ]
    assert not torch.equal(*ends)


@pytest.mark.parametrize("cell", SEARCH.cells("smoke", None))
def test_a_candidate_is_measured(cell):
    setting = SEARCH.cells("smoke", None)[cell]
    _, found = on_validation(setting, last(steps(setting)))
    assert found["made"] == 4 and found["validation"].shape == (2, 11)
    assert found["validation"][0].isfinite().all()


def test_what_is_trained_at_length_is_what_the_banked_search_found_best():
    assert best(load(SEARCH)) == CHOSEN
    for cell, setting in SEARCHED.cells("paper", None).items():
        assert cell == f"{setting['method']}-{setting['seed']}"
        assert CHOSEN[setting["method"]].items() <= setting.items()

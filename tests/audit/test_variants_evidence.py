"""What chapter 6's judges read: identities that hold today, and the largest budget banked."""

import pytest

from mamlkit.audit import variants_evidence
from mamlkit.audit.variants_evidence import failed, identities, largest, lines, of, straight
from mamlkit.studies.variants_waves import ALPHA, ALPHA_CPU
from mamlkit.variants.fomaml import fomaml
from tests.audit.made_up_variants import result, waves


def test_the_identities_hold_today():
    found = identities()
    assert max(found["printed update"], found["one step"], found["two steps"]) < 1e-12
    assert found["another query"] == 0 and abs(found["extra operations"]) < 0.01
    assert found["implicit after 100"] < 1e-10 < found["implicit after 10"]


def test_a_line_is_fitted():
    assert straight([1, 2, 3], [3.0, 5.0, 7.0]) == pytest.approx((2.0, 1.0))
    assert straight([1, 2, 3], [4.0, 4.0, 4.0]) == (0.0, 1.0)


def test_lines_of_code_are_counted_without_words():
    assert lines(lambda x: x) == 1 < lines(fomaml) == 5


def test_the_papers_budget_is_read_once_it_is_whole(monkeypatch):
    kept = {ALPHA_CPU.name: {"a": 1}, ALPHA.name: dict.fromkeys(ALPHA.cells("paper", None), 2)}
    monkeypatch.setattr(variants_evidence, "load", lambda e, budget: kept[e.name])
    assert largest("paper", ALPHA, ALPHA_CPU) == kept[ALPHA.name]
    kept[ALPHA.name].popitem()
    assert largest("paper", ALPHA, ALPHA_CPU) == {"a": 1}


def test_results_are_found_by_their_settings_in_the_order_of_seeds():
    found = of(dict(reversed(waves(0.1).items())), method="maml")
    assert [r.setting["seed"] for r in found] == [0, 1, 2, 3, 4]
    assert failed([result({}, {}), result({}, {}, made=7)]) == 1

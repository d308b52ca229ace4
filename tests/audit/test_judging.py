import json

import pytest

from mamlkit.audit import figure1, judging
from mamlkit.audit.claims import ledger
from mamlkit.audit.intervals import Interval
from mamlkit.audit.judging import Finding, judge, record, trained
from mamlkit.bank import experiment as bank
from tests.bank.tiny import TINY

ALL = dict.fromkeys(ledger()["C026"]["checks"], True)
C026 = Finding(ALL, {"MSE after 1 step": Interval(0.7, 0.6, 0.8)}, "0.7.", "five")


def test_a_record_says_what_was_asked_and_what_was_found():
    made = record("C026", C026._replace(seeds=range(5)), "0123456789")
    asked = ledger()["C026"]
    assert (made["id"], made["quote"], made["paper"]) == ("C026", asked["quote"], asked["paper"])
    assert made["here"] == {"MSE after 1 step": {"value": 0.7, "low": 0.6, "high": 0.8}}
    assert (made["verdict"], made["why"], made["protocol"]) == ("reproduced", "0.7.", "five")
    said = made["provenance"]
    assert said["commit"] == "0123456789" and said["command"] == "python -m mamlkit judge"
    assert said["seeds"] == [0, 1, 2, 3, 4] and said["trained"] == {}
    assert record("C026", C026, "0")["verdict"] == "partial", "one seed of five"


def test_what_is_no_number_is_none_and_checks_are_true_or_false():
    here = {"a": float("nan"), "b": Interval(1.0, float("-inf"), 2.0), "c": "words"}
    made = record("C026", C026._replace(here=here, checks=dict.fromkeys(ALL, 1)), "0")
    assert made["here"] == {"a": None, "b": {"value": 1.0, "low": None, "high": 2.0}, "c": "words"}
    assert made["checks"] == ALL
    json.dumps(made, allow_nan=False)


def test_a_smaller_budget_cannot_refute():
    lost = C026._replace(checks=dict.fromkeys(ALL, False), share=0.1)
    assert record("C026", lost, "0")["verdict"] == "not tested"
    assert record("C026", lost._replace(share=1.0), "0")["verdict"] == "not reproduced"


def test_a_question_has_an_answer_and_nothing_else_has_one():
    asked = {won: Finding({"no": won}, {}, "4 times.") for won in (True, False)}
    found = {won: record("X002", finding, "0") for won, finding in asked.items()}
    assert [f["verdict"] for f in found.values()] == ["answered", "answered"]
    assert [f["answer"] for f in found.values()] == ledger()["X002"]["answers"]
    assert record("X002", asked[True]._replace(answer="4 times"), "0")["answer"] == "4 times"
    assert "answer" not in record("C026", C026, "0")


def test_an_amended_criterion_shows():
    name = next(c for c, e in ledger().items() if "amended" in e and e["kind"] != "question")
    checks = dict.fromkeys(ledger()[name]["checks"], True)
    assert record(name, Finding(checks, {}, "x"), "0")["amended"] == ledger()[name]["amended"]


def test_other_checks_than_the_criterions_are_refused():
    with pytest.raises(ValueError, match="C026 is decided by"):
        record("C026", C026._replace(checks={"another": True}), "0")


def test_the_training_behind_a_record_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    for cell, commit, seconds in (("maml-0", "aaa", 5), ("maml-1", "bbb", 7)):
        about = dict(setting={}, commit=commit, seconds=seconds, device="cpu")
        bank.keep(TINY, cell, "paper", {}, {}, about)
    assert trained("tiny") == {
        "command": "python -m mamlkit bank --only tiny",
        "commits": ["aaa", "bbb"],
        "devices": ["cpu"],
        "seconds": 12,
    }


def test_judging_writes_a_record_of_every_finding(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(judging, "BANK", tmp_path)
    assert list(judge([figure1])) == ["C011"]
    assert capsys.readouterr().out.startswith("figure1: ")
    made = json.loads((tmp_path / "claims" / "C011.paper.json").read_text(encoding="utf-8"))
    assert made["verdict"] == "reproduced"
    monkeypatch.setitem(figure1.JUDGES, "C011", lambda evidence: None)
    assert list(judge([figure1])) == [], "without evidence a record stays as it is"
    assert (tmp_path / "claims" / "C011.paper.json").exists()

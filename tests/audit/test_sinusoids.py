from mamlkit.audit import claims, sinusoids
from mamlkit.audit.claims import ledger
from mamlkit.bank import experiment as bank
from mamlkit.studies.sinusoids import ABLATIONS, FIGURE3

ELSEWHERE = {"C002", "S220"}  # of all three domains together


def test_every_testable_claim_of_the_chapter_has_a_judge():
    asked = {
        c for c, e in ledger().items() if e["notebook"] == "01_sinusoids" and claims.testable(e)
    }
    assert asked - ELSEWHERE == sinusoids.JUDGES.keys()


def test_judges_name_the_checks_of_their_criteria(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "ROOT", tmp_path)
    for seed in (0, 1):
        for name in ("maml", "fomaml", "pretrained", "oracle", "random"):
            cells = FIGURE3.cells("smoke", 2)
            bank.make(FIGURE3, f"{name}-{seed}", cells[f"{name}-{seed}"], "smoke")
        for name in ("alpha-0.005", "alpha-0.02", "learned-alpha"):
            cell = f"{name}-{seed}"
            bank.make(ABLATIONS, cell, ABLATIONS.cells("smoke", 2)[cell], "smoke")
    evidence = sinusoids.evidence("smoke")
    found = {c: f for c, judge in sinusoids.JUDGES.items() if (f := judge(evidence)) is not None}
    assert {"C026", "C032", "X003", "X006", "X007", "C013", "S302"} <= found.keys()
    assert not {"C039", "C041", "C034", "C001", "X008"} & found.keys()  # these are not banked
    for claim, finding in found.items():
        assert finding.checks.keys() == ledger()[claim]["checks"].keys(), claim
        assert finding.why and finding.here

from mamlkit.audit import any_model as judges
from mamlkit.audit.claims import ledger, verdict
from mamlkit.studies.any_model import TRIALS

GOOD = {"before": 3.0, "after": 1.0, "p": 1e-9, "gap": 1e-10}


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=1)


def made(**changed):
    rows = {name: dict(GOOD) for name in TRIALS}
    for name, row in changed.items():
        rows[name] |= row
    works = {"GRU": False, "attention": False}
    return {"trials": rows, "fused": works, "pooled gap": 1e-10}


def test_everything_that_works_is_reproduced():
    verdicts = {claim: decided(claim, judge(made())) for claim, judge in judges.JUDGES.items()}
    assert verdicts.pop("C006") == "partial"  # torch's fused kernels do not
    assert set(verdicts.values()) == {"reproduced"}


def test_a_net_that_does_not_improve():
    stuck = made(GRU={"after": 3.0, "p": 0.4})
    assert decided("C001", judges.c001(stuck)) == "partial"
    assert decided("C007", judges.c007(stuck)) == "partial"
    assert "did not adapt" in judges.c007(stuck).why
    assert decided("S114", judges.s114(stuck)) == "refuted as stated"


def test_a_wrong_gradient():
    wrong = made(MLP={"gap": 1e-2})
    assert decided("C001", judges.c001(wrong)) == "refuted as stated"
    assert decided("C016", judges.c016(wrong)) == "refuted as stated"
    assert decided("C006", judges.c006(wrong)) == "refuted as stated"


def test_a_loss_that_rises():
    rises = {"MLP, Huber": {"after": 4.0}}
    assert judges.c008(made(**rises)).checks["Huber"] is False
    assert judges.c001(made(**rises)).checks["every net improves"] is True  # it asks the five nets


def test_what_is_not_banked_has_no_judgement():
    assert judges.c001({}) is None and judges.c016({"trials": {}}) is None


def test_max_pooling_goes_through_a_meta_gradient():
    assert judges.pooled_gap() < judges.MOST
    assert judges.gap("MLP") < judges.MOST

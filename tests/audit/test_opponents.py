import torch

from mamlkit.audit import opponents as judges
from mamlkit.audit.claims import ledger, verdict
from tests.audit.made_up import SEEDS, falling, method, summary


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=len(list(finding.seeds)))


def against(oracle):
    maml = method(*(summary(f"K={k}", falling(3.0, 0.3, 0.1)) for k in (5, 10, 20)))
    wild = [oracle, *[50.0] * 10]  # fine-tuned it gets worse; that decides nothing
    tests = [summary(f"K={k}", wild, lost=5_000) for k in (5, 10, 20)]
    return {"maml": maml, "oracle": method(*tests)}


def test_the_oracle_is_read_before_any_step():
    for claim, judge in (("C025", judges.c025), ("C036", judges.c036)):
        assert decided(claim, judge(against(0.004))) == "reproduced"
    assert "50% of its runs diverge" in judges.c025(against(0.004)).why
    assert decided("C025", judges.c025(against(0.2))) == "refuted as stated"
    assert decided("C036", judges.c036(against(0.2))) == "not reproduced"


def test_the_legends_step_sizes():
    def tuned(best):
        grid = torch.full((SEEDS, 6), 2.5)
        grid[:, best] = 2.0
        return {"pretrained": method(**{f"K={k} tuning": grid for k in (5, 10, 20)})}

    mixed = judges.c028(tuned(4))
    assert mixed.checks == {"K=5": False, "K=10": True, "K=20": True}
    assert mixed.here["tuned alpha, K=5"] == 0.02


def pretrained(query, support):
    tests = [summary("K=5", falling(*query)), summary("K=5 support", falling(*support))]
    return {"pretrained": method(*tests)}


def test_overfitting_is_a_query_error_that_rises_while_the_supports_falls():
    falls = pretrained((3.0, 2.6, 2.3), (3.0, 2.0, 1.0))
    assert decided("C031", judges.c031(falls)) == "partial"
    assert decided("S104", judges.s104(falls)) == "refuted as stated"
    rises = pretrained((3.0, 3.1, 3.5), (3.0, 2.0, 1.0))
    assert decided("C031", judges.c031(rises)) == "reproduced"
    assert decided("S104", judges.s104(rises)) == "reproduced"
    both = pretrained((3.0, 3.1, 3.5), (3.0, 3.1, 3.5))
    assert judges.c031(both).checks["overfits"] is False

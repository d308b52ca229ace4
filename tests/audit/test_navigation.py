"""Each judge of 2D navigation passes made-up evidence that is as the paper says, and no other."""

import pytest
import torch

from mamlkit.audit.claims import ledger
from mamlkit.audit.judging import record
from mamlkit.audit.navigation import JUDGES, share_of_oracle
from mamlkit.audit.navigation_evidence import AUTHORS, facts, interval
from mamlkit.bank.experiment import load
from mamlkit.studies.navigation import NAVIGATION
from tests.audit.navigation_made import SEEDS, evidence, measured, spread

GOOD = evidence()
DOCUMENTS = {"C104": {"code", "data"}, "C134": {"code"}, "X021": {"trained as written"}}


def walks(**changes):
    """Evidence in which something else was measured of a method."""
    return evidence()._replace(walks=GOOD.walks | changes)


def finished(**changes):
    return GOOD._replace(bandit=GOOD.bandit._replace(**changes))


FAILS = {  # claim: (evidence, the checks that it fails)
    "C020": [
        (evidence(maml={"stray": torch.full((SEEDS,), 1e-3)}), {"on-policy"}),
        (evidence(maml={"old walks": spread([-2.0])[..., 0]}), {"old samples lose"}),
    ],
    "C021": [
        (finished(inner={"log": 1e-3}), {"inner"}),
        (finished(meta={"log": [0.08] * 7}), {"outer"}),
        (finished(with_missing=0.1), {"with the missing term"}),
    ],
    "C100": [
        (evidence(returns={"maml": (-40.0, -16.0, -3.0, -2.0, -1.0)}), {"return"}),
        (evidence(returns={"pretrained, one step": (-40.0, -7.0)}), {"above pretrained"}),
    ],
    "C101": [
        (evidence(returns={"maml": (-40.0, -8.0, -9.0, -2.0, -1.0)}), {"second"}),
        (evidence(returns={"maml": (-40.0, -8.0, -3.0, -3.0, -1.0)}), {"third"}),
        (evidence(returns={"maml": (-40.0, -8.0, -3.0, -2.0, -2.0)}), {"fourth"}),
    ],
    "C102": [
        (evidence(returns={"oracle": (-1.5,)}), {"oracle above MAML"}),
        (
            evidence(returns={"pretrained": (-40.0, -19.0, -11.0, -8.0, -1.0)}),
            {"MAML above pretrained"},
        ),
        (
            evidence(returns={"random": (-82.0, -19.0, -53.0, -46.0, -42.0)}),
            {"pretrained above random"},
        ),
    ],
    "C103": [(walks(maml=measured((-40.0,) * 5, walks=90.0)), {"first", "fourth"})],
    "C105": [
        (GOOD._replace(facts=GOOD.facts._replace(move=0.2)), {"clipped"}),
        (GOOD._replace(facts=GOOD.facts._replace(longest=99)), {"horizon"}),
        (GOOD._replace(facts=GOOD.facts._replace(disagree=0.2)), {"distance"}),
    ],
    "C106": [(evidence(maml={"walks in 2,000 steps": torch.full((SEEDS, 6), 30.0)}), {"counted"})],
    "C121": [
        (walks(maml=measured((-1.0,) * 5, 0.2)), {"nearer", "at the goal"}),
    ],
    "C135": [(evidence(maml={"same step": spread((-1.0,) * 5)}), {"halved above constant"})],
    "C140": [
        (evidence(returns={"context": (-42.0, -9.0, -4.0, -9.0, -9.0)}), {"like MAML"}),
        (evidence(returns={"context, one step": (-42.0, -20.0)}), {"above pretrained"}),
    ],
    "S109": [
        (evidence(returns={"maml": (-40.0, -8.0, -5.0, -2.0, -1.0)}), {"two updates"}),
        (
            evidence(returns={"maml": (-40.0, -20.0, -9.0, -2.0, -1.0)}),
            {"two updates", "as the authors count"},
        ),
    ],
    "X020": [(walks(exact=measured((-40.0, -6.0), seeds=1)), {"no"})],
    "X021": [
        (
            GOOD._replace(rl2=GOOD.rl2 | {"episodes": spread((-9.0, -9.0, -12.0, -4.0), 1)}),
            {"as good in its last episode"},
        ),
        (
            GOOD._replace(rl2=GOOD.rl2 | {"episodes": spread((-9.0, -9.0, -4.0, -12.0), 1)}),
            {"as good after as many steps"},
        ),
    ],
}


def failed(claim, e):
    return {name for name, passed in JUDGES[claim](e).checks.items() if not passed}


@pytest.mark.parametrize("claim", JUDGES)
def test_a_judge_passes_what_the_paper_says(claim):
    """Documents do not change with what is measured."""
    assert failed(claim, GOOD) == DOCUMENTS.get(claim, set())


@pytest.mark.parametrize("claim, e, checks", [(c, *case) for c in FAILS for case in FAILS[c]])
def test_a_judge_fails_what_is_not_so(claim, e, checks):
    assert failed(claim, e) == checks | DOCUMENTS.get(claim, set())


def test_documents_read_the_quoted_numbers(monkeypatch):
    code = {"alpha": 0.1, "reward": "squared", "rollouts": 10, "gradient steps": 2}
    monkeypatch.setattr("mamlkit.audit.navigation_details.CODE", code)
    assert failed("C134", GOOD) == set() and failed("C104", GOOD) == {"data"}
    assert failed("C106", GOOD) == {"one update", "20 trajectories"}
    near = GOOD._replace(facts=GOOD.facts._replace(still={"distance": -40.0, "squared": -39.0}))
    assert failed("C104", near) == set()


@pytest.mark.parametrize("claim", JUDGES)
def test_a_finding_has_the_ledger_s_checks_and_makes_a_record(claim):
    made = record(claim, JUDGES[claim](GOOD), "a commit")
    assert made["checks"].keys() == ledger()[claim]["checks"].keys()
    assert "minus the return" not in " ".join([*made["here"], *made["paper"]])


def test_what_is_not_banked_is_not_judged():
    bare = GOOD._replace(
        rl2={}, walks={m: w for m, w in GOOD.walks.items() if m in ("maml", "pretrained")}
    )
    assert [JUDGES[c](bare) for c in ("C140", "X020", "X021")] == [None] * 3


def test_intervals_are_student_s_over_seeds_and_none_for_two():
    values = torch.tensor([[1.0, 3.0], [2.0, 4.0], [3.0, 5.0]])
    found = interval(values)
    assert found.value == 3 and abs(found.high - 3 - 4.3027 / 3**0.5) < 1e-3
    assert interval(values[:2]).low != interval(values[:2]).low  # not a number
    one = interval(values[:1])
    assert 1 <= one.low <= one.value == 2 <= one.high <= 3


def test_the_share_of_the_oracle_s_gain_is_theirs_by_their_numbers():
    quoted = evidence(returns={m: AUTHORS[m] for m in ("maml", "oracle")})
    assert abs(share_of_oracle(quoted, 2) - 0.973) < 2e-3


def test_facts_are_those_of_the_environment():
    found = facts()
    assert (
        abs(found.still["distance"] + 40.08) < 0.01 and abs(found.still["squared"] + 17.75) < 0.01
    )
    assert found.longest == 100 and abs(found.move - 0.1) < 1e-6
    assert abs(found.disagree - (1 - torch.pi / 4)) < 0.01


@pytest.mark.skipif(not load(NAVIGATION), reason="the bank holds no navigation")
def test_the_banked_evidence_is_whole():
    from mamlkit.audit.navigation import evidence as banked

    e = banked()
    assert {"maml", "pretrained", "random", "oracle", "context", "squared", "exact"} <= {*e.walks}
    assert len(e.seeds()) == 5 and e.returns("maml", 1).shape == (5, 40)
    for method, (sizes, returns) in e.tuning.items():
        best = sizes[int(returns[:, 1:].mean(1).argmax())]
        assert e.step[method] == best and best in e.settings[method]["tested"]

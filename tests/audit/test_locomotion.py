"""Each judge of chapter 05 has made-up evidence that passes and made-up evidence that fails."""

import pytest
import torch

from mamlkit.audit import locomotion_quoted as quoted
from mamlkit.audit.claims import ledger, verdict
from mamlkit.audit.judging import record
from mamlkit.audit.locomotion import JUDGES, SCRATCH_EPISODES, episodes_until
from mamlkit.audit.locomotion_evidence import Evidence
from mamlkit.audit.locomotion_facts import Facts
from mamlkit.bank.experiment import Result
from mamlkit.studies.locomotion import TRAININGS

GOALS = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
# Returns after 0 to 3 steps, as good as the authors', by method.
GOOD = dict(maml=(0, 480, 520, 560), pretrained=(0, 5, 10, 15), random=(0, 50, 60, 70))
GOOD |= dict(oracle=(600,), context=(0, 3, 4, 5))


def cells(name, values, seeds=3, tries=(1, 2, 95, 97, 100), spread=3.0):
    """Results of an experiment: seed s lies s * spread above the value, at each goal; the s-th
    training gains a little more by each step."""
    found = {}
    for cell, setting in TRAININGS[name].cells("paper", seeds).items():
        level = torch.tensor(values[setting["method"]], dtype=torch.float32)
        own = spread * setting["seed"] * torch.linspace(1, 1.2, len(level))
        finished = (level + own + torch.linspace(-1, 1, 4)[:, None]).float()
        measured = {"finished": finished, "goals": GOALS, "gain by tries": torch.tensor(tries)}
        found[cell] = Result({}, measured, {"setting": setting})
    return found


def evidence(names=quoted.ORDER, seeds=3, scratch=30, **changed):
    """Everything at the authors' size and as the paper says, but what is changed."""
    values = GOOD | changed.pop("values", {})
    results = {name: {} for name in TRAININGS}
    every = (*names, "cheetah-direction-half", "cheetah-velocity-half", "cheetah-direction-context")
    every += ("cheetah-direction-cpu", "cheetah-velocity-cpu", "ant-direction-cpu")
    for name in (*every, "ant-velocity-cpu"):
        results[name] = cells(name, values, seeds, **changed.pop("cells", {}))
    facts = Facts(
        drawn={n: torch.linspace(0, top, 1001) for n, top in (("cheetah", 2.0), ("ant", 3.0))},
        sizes={"navigation": 10_604, "cheetah": 12_812, "ant": 23_516},
        extra={"cheetah": torch.zeros(2, 3), "ant": torch.zeros(2, 3)},
        cosine={"as meant": 1.0, "as released": 0.995},
        kept=[True, False],
        linear=1e-9,
    )
    length = torch.tensor([10.0, 50.0, 90.0, 200.0])
    rows = lambda mean: {"returns": mean + torch.linspace(-2, 2, 20)[:, None].expand(20, 4)}
    untrained = {
        "cheetah": rows(-230.0),
        "ant": rows(-60.0) | {"length": length, "total": 0.5 * length},
    }
    made = Evidence(
        results,
        {name: e.cells("paper", None) for name, e in TRAININGS.items()},
        {way: torch.zeros(3, scratch) for way in ("forward", "backward")},
        untrained,
        facts,
        {env: 200 for env in quoted.ORDER},
    )
    return made._replace(**changed)


def judged(claim, made):
    """(the finding, its verdict), once it fits the ledger."""
    finding = JUDGES[claim](made)
    record(claim, finding, "a commit")
    seeds = len([*finding.seeds])
    return finding, verdict(ledger()[claim], finding.checks, seeds=seeds, share=finding.share)


FLAT = dict(maml=(0, 1, 1, 1))  # a step gains next to nothing, and all trainings differ
QUOTES = {"C110", "C111", "C113", "C116", "C136", "C137", "S110"}  # the quoted part is constant
AS_SAID = {  # at the paper's budget, as the paper says
    "C107": "reproduced",
    "C108": "reproduced",
    "C109": "reproduced",
    "C111": "reproduced",
    "C112": "reproduced",
    "C114": "reproduced",
    "C115": "reproduced",
    "C117": "reproduced",
    "C118": "reproduced",
    "C119": "reproduced",
    "C120": "reproduced",
    "C138": "reproduced",
    "C141": "reproduced",
    "S213": "reproduced",
    "C110": "partial",
    "C113": "reproduced",
    "C116": "partial",
    "C136": "partial",
    "C137": "reproduced",
    "S110": "refuted as stated",
} | dict.fromkeys(("X010", "X011", "X012", "X013", "X014"), "answered")


@pytest.mark.parametrize("claim", JUDGES)
def test_evidence_as_the_paper_says_gives_the_verdict(claim):
    made = evidence(values=dict(context=(0, -1, 1, 2))) if claim == "C141" else evidence()
    if claim == "C141":
        made = evidence(values=dict(context=(0, 0, 0, 0)), cells=dict(spread=0.0))
    assert judged(claim, made)[1] == AS_SAID[claim]


def facts(**changed):
    made = evidence()
    return made._replace(facts=made.facts._replace(**changed))


def untrained(robot, **changed):
    made = evidence()
    return made._replace(
        untrained=made.untrained | {robot: made.untrained[robot] | changed},
    )


WRONG = {  # evidence that contradicts it, and the check that fails
    "C107": (lambda: evidence(values=FLAT), "the authors' size"),
    "C108": (lambda: evidence(values=dict(maml=(0, 480, 470, 460))), "ant velocity"),
    "C109": (lambda: evidence(values=dict(random=(0, 490, 510, 550))), "cheetah velocity"),
    "C111": (lambda: evidence(values=dict(pretrained=(0, 60, 70, 80))), "here"),
    "C112": (
        lambda: untrained("cheetah", returns=torch.linspace(-400, -10, 20)[:, None]),
        "cheetah, here",
    ),
    "C113": (None, None),
    "C114": (
        lambda: facts(drawn={"cheetah": torch.tensor([0.1, 0.8]), "ant": torch.tensor([3.1])}),
        "cheetah",
    ),
    "C115": (
        lambda: facts(extra={"cheetah": torch.full((2, 3), -0.1), "ant": torch.zeros(2, 3)}),
        "cheetah",
    ),
    "C117": (
        lambda: facts(sizes={"navigation": 1, "cheetah": 12_812, "ant": 23_516}),
        "navigation",
    ),
    "C118": (lambda: facts(cosine={"as meant": 1.0, "as released": 0.87}), "as released"),
    "C119": (lambda: facts(kept=[False, False]), "separately"),
    "C120": (
        lambda: evidence(scratch=30)._replace(
            scratch={
                "forward": torch.linspace(0, 3000, 30).expand(3, 30),
                "backward": torch.zeros(3, 30),
            }
        ),
        "ten times fewer",
    ),
    "C138": (
        lambda: untrained("ant", total=torch.tensor([9.0, 8.0, 5.0, 1.0])),
        "with it, lasting pays",
    ),
    "C141": (lambda: evidence(values=dict(context=(0, 90, 95, 99))), "no gain"),
    "S213": (lambda: evidence(cells=dict(tries=(1.0, 2.0, 30.0, 40.0, 100.0))), "a handful"),
    "X010": (lambda: evidence(values=dict(maml=(0, -5, -5, -5))), "it gains"),
    "X011": (lambda: evidence(values=dict(maml=(0, -5, -5, -5))), "it gains"),
    "X012": (
        lambda: evidence(values=dict(random=(0, 999, 999, 999))),
        "velocity, more than untrained",
    ),
    "X013": (lambda: evidence(values=dict(maml=(0, -5, -5, -5))), "it gains"),
    "X014": (lambda: evidence(values=dict(maml=(0, -5, -5, -5))), "it gains"),
}


@pytest.mark.parametrize("claim", [c for c in WRONG if WRONG[c][0]])
def test_evidence_against_it_fails_its_check(claim):
    made, check = WRONG[claim]
    finding, found = judged(claim, made())
    assert not finding.checks[check] and found != "reproduced"
    assert JUDGES[claim](evidence()).checks.get(check, True) or claim == "C141"


def test_every_judge_has_evidence_against_it_or_is_a_quotation():
    assert {c for c in JUDGES if not WRONG.get(c, (None,))[0]} <= QUOTES


@pytest.mark.parametrize(
    "claim, env, name, values, check",
    [
        ("C110", "ant-velocity", "maml", (30.0, 31.0, 32.0, 33.0), "ant velocity"),
        ("C113", "ant-velocity", "oracle", (50.0,) * 4, "ant velocity"),
    ],
)
def test_a_quotation_that_said_otherwise_would_fail(monkeypatch, claim, env, name, values, check):
    assert JUDGES[claim](evidence()).checks[check]
    monkeypatch.setitem(quoted.AUTHORS, env, quoted.AUTHORS[env] | {name: values})
    assert not JUDGES[claim](evidence()).checks[check]


def test_quoted_models_and_orders_that_said_otherwise_would_fail(monkeypatch):
    assert JUDGES["C137"](evidence()).checks["locomotion"]
    changed = dict(iterations=501, tasks=20, rollouts=7)
    monkeypatch.setitem(quoted.MODELS, "ant-velocity", changed)
    assert not JUDGES["C136"](evidence()).checks["ant velocity"]
    assert not JUDGES["C137"](evidence()).checks["locomotion"]
    assert not JUDGES["C116"](evidence()._replace(horizons={"cheetah-direction": 99})).checks[
        "horizon"
    ]
    for env in quoted.ORDER:
        monkeypatch.setitem(
            quoted.AUTHORS, env, quoted.AUTHORS[env] | {"pretrained": (-999.0,) * 4}
        )
    assert JUDGES["S110"](evidence()).checks["often"]


@pytest.mark.parametrize("claim", ["C107", "C108", "C109", "C111", "C120", "S213"])
def test_less_than_the_authors_experience_supports_and_cannot_refute(claim):
    small = lambda **changed: evidence(names=(), **changed)
    supports, against = judged(claim, small()), judged(claim, small(values=FLAT))
    if claim == "C111":
        against = judged(claim, small(values=dict(pretrained=(0, 60, 70, 80))))
    if claim == "S213":
        against = judged(claim, small(cells=dict(tries=(1.0, 2.0, 30.0, 40.0, 100.0))))
    assert supports[0].share < 1
    assert supports[1] in ("partial", "not tested") and against[1] in ("not tested", "partial")
    assert against[1] == "not tested" or claim == "C120"


def test_a_baseline_of_one_seed_gives_no_interval():
    made = evidence()
    for name in quoted.ORDER:
        made.results[name].pop("pretrained-1"), made.results[name].pop("pretrained-2")
    finding, _ = judged("C109", made)
    assert not finding.checks["cheetah velocity"]
    against = finding.here["MAML minus pretrained, step 1, cheetah velocity"]
    assert against.value > 400 and against.low != against.low


@pytest.mark.parametrize("claim", ["C107", "C109", "C111", "C120", "C141", "S213", "X010", "X012"])
def test_without_its_results_a_judge_says_nothing(claim):
    empty = evidence()._replace(results={name: {} for name in TRAININGS}, untrained={})
    assert JUDGES[claim](empty) is None and JUDGES["C112"](empty) is None


def test_episodes_are_counted_up_to_the_first_return_that_reaches():
    returned = torch.tensor([0.0, 3.0, 9.0, 2.0])
    assert episodes_until(returned, 3.0) == SCRATCH_EPISODES
    assert episodes_until(returned, 9.5) == float("inf")

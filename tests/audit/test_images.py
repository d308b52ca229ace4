"""Judges of Table 1: each says yes to made-up results that pass and no to ones that fail."""

import pytest
import torch

from mamlkit.audit import images, images_inside
from mamlkit.audit.accuracies import (
    cell,
    interval,
    made,
    margin,
    of_seeds,
    reaches,
    row,
    shares,
    sure,
)
from mamlkit.audit.claims import ledger, verdict
from mamlkit.bank.experiment import Result
from mamlkit.studies.images import SETTINGS
from mamlkit.studies.released import RELEASED, SETTING

JUDGES = images.JUDGES | images_inside.JUDGES
TASKS, STEPS = 100, 11


def result(
    name, method, percent, *, seed=0, after_one=None, by_ten=None, together=None, **measured
):
    """A made-up result: `percent` of the queries of every task are right after every step but
    the first, where other numbers are not given."""
    s = (SETTINGS | {RELEASED.name: SETTING})[name] | dict(method=method, seed=seed)

    def right(share, queries):
        n = s["way"] * queries
        by_step = torch.full((TASKS, STEPS), share * n / 100)
        by_step[:, 0] = n / s["way"]
        if after_one is not None:
            by_step[:, 1] = after_one * n / 100
        if by_ten is not None:
            by_step[:, 10] = by_ten * n / 100
        # tasks differ a little, by as much up as down
        wiggle = 0.01 * torch.tensor([1.0, -1.0]).repeat(TASKS // 2)[:, None]
        return by_step + wiggle

    other = percent if together is None else together
    kept = {"right.paper": right(percent, s["shots"]), "right.together": right(other, 15)}
    kept |= {"right.support only": right(other, 15), "right.training classes": right(99, 15)}
    kept |= {"features.paper": right(percent, s["shots"])}
    return Result({}, kept | measured, {"setting": s})


def bank(*results):
    found = {}
    for name, r in results:
        cells = found.setdefault(name, {})
        cells[f"{r.setting['method']}-{r.setting['seed']}"] = r
    return found


def of(*rows, **how):
    return bank(*((name, result(name, m, x, **how)) for name, m, x in rows))


def inside(alone, linear, **how):
    """A one-shot network in which a part alone, and the linearised step, reach so many percent."""
    counted = torch.full((TASKS,), alone * 0.75)
    both = torch.stack([torch.full((TASKS,), linear * 0.75), torch.full((TASKS,), 75.0)], -1)
    both[0] -= 1
    looks = {"head.together": counted, "head.support only": counted, "moved": torch.ones(5)}
    name = "omniglot-5w1s"
    return bank((name, result(name, "maml", 100, **looks, linear=both, **how)))


FOUR = [c for c in images.FOUR.values()]
NOCONV = [*images.NOCONV.values()]


def columns(ours, rivals):
    rows = [(c, "maml", ours) for c in FOUR]
    return of(*rows, *((c, m, rivals) for c in FOUR for m in images.PRIOR))


def trained(second):
    scores = torch.tensor([[30_000, 0.98], [60_000, second]])
    return bank(("omniglot-5w1s", result("omniglot-5w1s", "maml", 99, scores=scores)))


def three(spread):
    names = [("omniglot-5w1s", "maml", 98 + spread * i, i) for i in range(3)]
    return bank(*((n, result(n, m, x, seed=i)) for n, m, x, i in names))


def filters(wide):
    narrow = result("mini-5w1s", "maml", 49)
    return bank(
        ("mini-5w1s", narrow),
        ("mini-5w1s-64-filters", result("mini-5w1s-64-filters", "maml", wide)),
    )


CASES = {  # claim: results that pass, results that fail
    **{
        claim: (of((column, "maml", least + 0.1)), of((column, "maml", least - 1)))
        for claim, (column, least) in images.LEAST.items()
    },
    "C056": (columns(99, 97), columns(97, 99)),
    "C023": (
        of(*((c, m, x) for c in NOCONV for m, x in (("maml", 90), ("mann", 80)))),
        of(*((c, m, x) for c in NOCONV for m, x in (("maml", 80), ("mann", 90)))),
    ),
    "C058": (
        of(*((c, m, x) for c in NOCONV for m, x in (("maml", 90), ("mann", 80)))),
        None,  # its quoted half passes by the paper's own numbers
    ),
    **{
        claim: (
            of((column, "maml", 60), (f"{column}-cpu", "lstm", 50)),
            of((column, "maml", 50), (f"{column}-cpu", "lstm", 60)),
        )
        for claim, column in (("X034", "mini-5w1s"), ("X035", "omniglot-5w1s"))
    },
    "C060": (
        of(("omniglot-5w1s", "maml", 99), after_one=97),
        of(("omniglot-5w1s", "maml", 97), after_one=99),
    ),
    "C061": (
        of(("omniglot-20w1s", "maml", 96)),
        of(("omniglot-20w1s", "maml", 90), by_ten=96),
    ),
    "C132": (
        of(("mini-5w1s", "maml", 48), by_ten=50),
        of(("mini-5w1s", "maml", 50), by_ten=48),
    ),
    "C130": (
        of(("omniglot-5w1s", "printed", 98), ("omniglot-5w1s", "maml", 98)),
        of(("omniglot-5w1s", "printed", 90), ("omniglot-5w1s", "maml", 98)),
    ),
    "C131": (
        of(("omniglot-20w1s", "printed", 95), ("omniglot-20w1s", "maml", 95)),
        of(("omniglot-20w1s", "printed", 90), ("omniglot-20w1s", "maml", 95)),
    ),
    "S211": (
        of(("omniglot-5w1s", "maml", 99)),
        of(("omniglot-5w1s", "maml", 99), after_one=90),
    ),
    "C009": (inside(99.5, 50), inside(40, 50)),
    "X004": (inside(50, 90), inside(50, 99)),
    "X005": (of(("omniglot-5w1s-cpu", "printed", 98)), of(("omniglot-5w1s-cpu", "printed", 96))),
    "C139": (
        of(("omniglot-5w1s", "context", 94.5), ("omniglot-5w1s", "maml", 98)),
        of(("omniglot-5w1s", "context", 99), ("omniglot-5w1s", "maml", 98)),
    ),
    "C133": (trained(0.99), trained(0.981)),
    "C048": (three(0.0), three(2.0)),
    "C064": (
        of(("mini-5w1s", "fomaml", 48), ("mini-5w5s", "fomaml", 63)),
        of(("mini-5w1s", "fomaml", 40), ("mini-5w5s", "fomaml", 50)),
    ),
    "C065": (of(("mini-5w1s", "fine-tuned", 35)), of(("mini-5w1s", "fine-tuned", 60))),
    "C067": (filters(45), filters(52)),
}


def test_every_judge_has_a_case_and_every_claim_is_in_the_ledger():
    assert CASES.keys() == JUDGES.keys() and JUDGES.keys() <= ledger().keys()


@pytest.mark.parametrize("claim", CASES)
def test_made_up_results_decide(claim):
    passes, fails = CASES[claim]
    if claim == "C065":  # two numbers, 28.86 and 41.08, are each met by other results
        passes["mini-5w1s"]["fine-tuned-0"].measured["right.paper"] *= 28.86 / 35
        passes["mini-5w1s"]["fine-tuned-0"].measured["features.paper"] *= 41.08 / 35
    for results, passed in ((passes, True), (fails, False)):
        if results is None:
            continue
        found = JUDGES[claim](results)
        assert found.checks.keys() == ledger()[claim]["checks"].keys()
        assert all(found.checks.values()) == passed, (found.checks, found.here)
        assert found.why.endswith(".") and found.protocol and found.seeds and found.experiments


@pytest.mark.parametrize("claim", CASES)
def test_without_results_nothing_is_found(claim):
    assert JUDGES[claim]({}) is None


def test_mann_above_maml_fails_the_same_split_and_not_the_quotation():
    found = JUDGES["C058"](
        of(*((c, m, x) for c in NOCONV for m, x in (("maml", 80), ("mann", 90))))
    )
    assert dict(found.checks) == {"as quoted": True, "same split": False}


@pytest.mark.parametrize("later", images.LATER)
def test_a_later_prior_method_counts_where_it_is_trained(later):
    kept = columns(99, 97)
    kept["omniglot-20w1s"] |= of(("omniglot-20w1s", later, 99.5))["omniglot-20w1s"]
    found = JUDGES["C056"](kept)
    assert [name for name, passed in found.checks.items() if not passed] == ["20-way 1-shot"]
    assert found.here["the best, 20-way 1-shot"] == images.NAMES[later]


def test_prior_methods_are_compared_with_a_maml_of_as_many_tasks():
    small = of(*(("omniglot-20w1s-cpu", m, 90) for m in ("printed", *images.PRIOR, "memory")))
    kept = columns(99, 97) | small | {"omniglot-20w1s": of(("omniglot-20w1s", "maml", 99))}
    kept["omniglot-20w1s"] = kept["omniglot-20w1s"]["omniglot-20w1s"]
    found = JUDGES["C056"](kept)
    assert found.here["MAML minus the best, 20-way 1-shot"].value == pytest.approx(0)
    assert "omniglot-20w1s-cpu" in found.experiments and "omniglot-20w1s" not in found.experiments
    assert found.share == pytest.approx(1 / 15), "the smallest training is what stands behind it"
    shorter = small["omniglot-20w1s-cpu"]["siamese-0"]
    shorter.setting["iterations"] //= 4
    assert JUDGES["C056"](kept) is None, "one of them has fewer tasks"


def test_the_authors_network_counts_where_none_of_ours_has_the_papers_budget():
    theirs = of((RELEASED.name, "maml", 48), by_ten=50)
    found = JUDGES["C132"](theirs | of(("mini-5w1s-cpu", "maml", 50), by_ten=48))
    assert all(found.checks.values()) and found.experiments == (RELEASED.name,)
    assert found.share == 1 and JUDGES["C062"](theirs) is None
    ours = of(("mini-5w1s", "maml", 50), by_ten=48)
    assert JUDGES["C132"](theirs | ours).experiments == ("mini-5w1s",)


def test_first_order_stands_for_maml_against_the_lstm_where_it_is_what_is_trained():
    found = JUDGES["X034"](of(("mini-5w1s-cpu", "fomaml", 60), ("mini-5w1s-cpu", "lstm", 50)))
    assert found.checks == {"above": True} and found.why.startswith("first-order MAML is +10.0")
    assert found.here["accuracy, meta-learner LSTM"].value == pytest.approx(50)
    assert JUDGES["X034"](of(("mini-5w1s-cpu", "fomaml", 60))) is None


def test_the_lstm_is_compared_with_the_maml_of_its_own_experiment_where_that_has_one():
    ours, short, lstm = (
        ("omniglot-5w1s", "maml", 90),
        ("omniglot-5w1s-cpu", "printed", 70),
        ("omniglot-5w1s-cpu", "lstm", 50),
    )
    assert "+40.0 points" in JUDGES["X035"](of(ours, lstm)).why
    found = JUDGES["X035"](of(ours, short, lstm))
    assert "+20.0 points" in found.why and found.experiments == ("omniglot-5w1s-cpu",)


@pytest.mark.parametrize(("percent", "expected"), [(99, "partial"), (90, "not tested")])
def test_a_smaller_budget_supports_and_does_not_refute(percent, expected):
    found = JUDGES["C050"](of(("omniglot-5w1s-cpu", "printed", percent)))
    assert found.share == pytest.approx(1 / 12) and "8.3 %" in found.protocol
    said = verdict(ledger()["C050"], found.checks, seeds=1, share=found.share)
    assert said == expected


def test_the_papers_budget_goes_first():
    both = of(("omniglot-5w1s-cpu", "printed", 90), ("omniglot-5w1s", "maml", 98))
    assert cell(both, "omniglot-5w1s", "maml").experiment == "omniglot-5w1s"
    assert JUDGES["C050"](both).share == 1


def test_one_or_two_seeds_do_not_decide_what_retraining_changes():
    two = of(("omniglot-5w1s", "maml", 98)) | {}
    assert JUDGES["C048"](two) is None
    assert "over seeds" not in of_seeds(torch.full((2, 5), 98.0))
    assert "over seeds" in of_seeds(torch.tensor([[98.0], [98.5], [99.0]]))


def test_features_are_measured_of_the_classifier():
    found = of(("mini-5w1s", "fine-tuned", 30))
    found["mini-5w1s"]["fine-tuned-0"].measured["features.paper"] *= 2
    features, tuned = (row(found, "mini-5w1s", m) for m in ("features", "fine-tuned"))
    assert shares(features).mean() == pytest.approx(2 * shares(tuned).mean().item())


def test_margins_are_paired_over_tasks_and_seeds():
    results = [("omniglot-5w1s", result("omniglot-5w1s", "maml", 98, seed=i)) for i in (0, 1)]
    results += [("omniglot-5w1s", result("omniglot-5w1s", "siamese", 97, seed=1))]
    kept = bank(*results)
    gap = margin(*(row(kept, "omniglot-5w1s", m) for m in ("maml", "siamese")))
    assert gap.value == pytest.approx(1, abs=1e-3) and gap.high - gap.low < 1e-3


def test_three_trainings_have_an_interval_of_their_own():
    """It is wider here than that over tasks, which are all alike."""
    values = torch.tensor([[90.0, 90.0], [92.0, 92.0], [94.0, 94.0]], dtype=torch.double)
    assert sure(values).low == pytest.approx(92 - 4.3027 * 2 / 3**0.5, abs=1e-3)
    assert sure(values[:2]) == interval(values[:2])


def test_an_interval_is_over_tasks():
    values = torch.tensor([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    found = interval(values)  # means over seeds 2, 3, 4
    assert found.value == 3 and found.high - 3 == pytest.approx(1.96 / 3**0.5)


def test_a_protocol_says_budget_and_test():
    words = made(row(of(("omniglot-5w1s-cpu", "printed", 98)), "omniglot-5w1s-cpu", "printed"))
    for part in ("8 tasks x 20,000", "8.3 %", "0.003 falling to 0", "100 test tasks"):
        assert part in words


def test_a_mean_that_is_exactly_what_is_asked_for_reaches_it():
    """14,940 of 15,000 are 99.6 %; in single precision their mean was 99.59999."""
    short = torch.tensor([[0.1 + 0.7]], dtype=torch.float64)
    assert short.item() < 0.8 and reaches(short, 0.8) and not reaches(short - 0.001, 0.8)
    five = of(("omniglot-5w5s", "maml", 99.6))
    assert shares(row(five, "omniglot-5w5s", "maml")).dtype == torch.float64

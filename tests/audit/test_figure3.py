import torch

from mamlkit.audit import figure3 as judges
from mamlkit.audit.claims import ledger, verdict
from tests.audit.made_up import SEEDS, falling, method, summary

PAPERS = [3.0, 0.67, 0.55, 0.45, 0.40, 0.38, 0.37, 0.365, 0.36, 0.355, 0.35]
HUMP = [3.0, 0.67, 0.70, 0.68, 0.66, 0.62, 0.58, 0.55, 0.52, 0.50, 0.47]


def maml(five=PAPERS, ten=None, **extra):
    ten = ten or falling(3.0, 0.3, 0.1)
    parts = [summary("K=5", five), summary("K=10", ten), summary("K=20", falling(3.0, 0.2, 0.05))]
    return method(*parts, **extra)


def pretrained(ten=2.2):
    parts = [summary(f"K={k}", falling(3.0, 2.6, ten)) for k in (5, 10, 20)]
    return method(*parts, summary("K=5 Adam", falling(3.0, 2.5, 2.0)))


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=len(list(finding.seeds)))


def test_nothing_is_said_without_the_networks():
    assert all(judge({}) is None for judge in judges.JUDGES.values())


def test_the_papers_three_numbers_decide_c026():
    near = judges.c026({"maml": maml()})
    assert decided("C026", near) == "reproduced" and "3 of the three" in near.why
    far = judges.c026({"maml": maml(HUMP)})
    assert far.checks == {"one step": True, "five steps": False, "ten steps": False}
    assert decided("C026", far) == "partial"


def test_a_hump_is_not_going_on_to_improve():
    assert decided("C029", judges.c029({"maml": maml()})) == "reproduced"
    hump = judges.c029({"maml": maml(HUMP)})
    assert hump.checks["no step hurts"] is False and decided("C029", hump) == "partial"
    assert hump.here["steps that hurt significantly, by seed"] == str([[2]] * SEEDS)
    worse = judges.c029({"maml": maml(falling(3.0, 0.4, 0.8))})
    assert decided("C029", worse) == "refuted as stated"


def test_a_rise_within_its_error_does_not_hurt():
    noisy = method(summary("K=5", HUMP, error=0.5))
    assert judges.c029({"maml": noisy}).checks["no step hurts"] is True


def test_s105_follows_c029():
    assert decided("S105", judges.s105({"maml": maml()})) == "reproduced"
    assert decided("S105", judges.s105({"maml": maml(HUMP)})) == "partial"


def test_good_generalisation_needs_a_fall_that_stays():
    assert decided("C003", judges.c003({"maml": maml()})) == "reproduced"
    rises = maml([3.0, 3.2, *PAPERS[2:]])
    assert judges.c003({"maml": rises}).checks["query falls"] is False


def test_a_hundred_steps():
    def long(end, lost):
        means = [3.0, *torch.linspace(0.4, end, 100).tolist()]
        parts = [summary(f"K={k} long", means, lost=lost, tasks=2_000) for k in (5, 10)]
        return {"maml": method(*parts)}

    assert decided("C024", judges.c024(long(0.1, 1))) == "reproduced"
    assert judges.c024(long(0.1, 40)).checks["no divergence"] is False
    assert judges.c024(long(0.5, 0)).checks["a hundred steps"] is False


def test_the_baseline_must_be_worse_everywhere():
    good = judges.c027({"maml": maml(), "pretrained": pretrained()})
    assert decided("C027", good) == "reproduced"
    near = judges.c027({"maml": maml(), "pretrained": pretrained(ten=0.2)})
    assert near.checks == {"three times at K=5": False, "everywhere lower": False}


def test_overfitting_is_counted_over_seeds():
    def overfit(count):
        counts = {"overfit": torch.full((SEEDS,), count)}
        return {"maml": maml(**counts, overfit__by__half=torch.full((SEEDS,), count // 3))}

    assert decided("C030", judges.c030(overfit(100))) == "reproduced"
    many = judges.c030(overfit(900))
    assert many.checks == {"few tasks overfit": False, "the mean does not": True}
    assert "9.0%" in many.why


def test_a_region_of_step_sizes():
    def lowest(double):
        ends = {0.25: 0.2, 0.5: 0.15, 1: 0.1, 2: double, 4: 5.0}
        parts = [
            summary(f"K=10 alpha x {m:g}", falling(3.0, max(0.3, end), end))
            for m, end in ends.items()
        ]
        return {"maml": method(*parts)}

    assert decided("C035", judges.c035(lowest(0.2))) == "reproduced"
    assert decided("C035", judges.c035(lowest(0.9))) == "refuted as stated"


def test_more_points_help():
    assert decided("C037", judges.c037({"maml": maml()})) == "reproduced"
    mixed = judges.c037({"maml": maml(ten=falling(3.0, 0.1, 0.02))})
    assert mixed.checks == {"20 below 10": False, "10 below 5": True}


def test_twelve_waves():
    def twelve(wins):
        ours = torch.ones(SEEDS, 12, 11)
        ours[:, :wins] = 0.1
        theirs = torch.full((SEEDS, 12, 11), 0.5)
        return {"maml": method(first__twelve=ours), "pretrained": method(first__twelve=theirs)}

    assert decided("C038", judges.c038(twelve(10))) == "reproduced"
    assert decided("C038", judges.c038(twelve(9))) == "not reproduced"


def test_most_of_it_in_one_step():
    assert decided("S214", judges.s214({"maml": maml()})) == "reproduced"
    slow = judges.s214({"maml": maml(ten=falling(3.0, 2.0, 0.1))})
    assert decided("S214", slow) == "refuted as stated"

import math

import pytest
import torch

from mamlkit.audit import blow_up as judges
from mamlkit.audit.claims import ledger, verdict
from mamlkit.bank.experiment import Result
from tests.audit.made_up import SEEDS, falling, method, summary


def at(values, alpha):
    """Networks whose median of alpha x sharpness / 2 is `values`, by seed."""
    rows = torch.zeros(SEEDS, 2, 3)
    rows[:, 0, 1] = torch.tensor(values)
    return method(**{"edge K=10": rows})


def three(low, middle, high):
    names = judges.ALPHAS.items()
    return {m: at([v] * SEEDS, a) for (a, m), v in zip(names, (low, middle, high))}


def test_the_edge_must_be_met_at_every_alpha_and_followed():
    met = judges.x006(three(1.0, 1.03, 1.1))
    assert met.checks == {"at the edge": True, "follows alpha": True}
    assert verdict(ledger()["X006"], met.checks, seeds=SEEDS) == "answered"
    assert met.here["ratio of sharpness, alpha 0.005 over 0.02"] == pytest.approx(4 / 1.1)
    assert not met.answer
    nearly = judges.x006(three(1.0, 1.03, 1.1) | {"alpha-0.02": at([1.1] * 4 + [1.3], 0.02)})
    assert nearly.answer == "nearly: 14 of 15 networks are there, and it follows alpha"
    fixed = judges.x006(three(0.5, 1.0, 2.0))
    assert not fixed.answer
    assert fixed.checks == {"at the edge": False, "follows alpha": False}
    assert judges.x006({"maml": at([1.0] * SEEDS, 0.01)}) is None


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0, 4.0])
    hits = torch.tensor([False, False, True, True, False])
    assert judges.area(scores, hits) == (2 / 3 + 2.5 / 3) / 2
    assert math.isnan(judges.area(scores, hits & False))


def blown(below):
    """Five runs of a hundred diverge; their sharpness is 500, or, for one of them, `below`."""
    sharp = torch.linspace(100, 300, 100).expand(SEEDS, 2, 100).clone()
    gone = torch.zeros(SEEDS, 100, dtype=torch.bool)
    gone[:, :5] = True
    sharp[:, 1, :5] = 500
    sharp[:, 1, 0] = below
    tests = [summary("blow-up", falling(3.0, 0.7, 0.5), lost=5, tasks=100)]
    tests += [summary("limited", falling(3.0, 0.7, 0.4), tasks=100)]
    return {"maml": method(*tests, **{"blow-up sharpness": sharp, "blow-up diverges": gone})}


def test_who_blows_up_is_told_by_the_sharpness_after_one_step():
    told = judges.x007(blown(below=400.0))
    assert told.checks == {"told apart": True, "none below": True}
    missed = judges.x007(blown(below=150.0))
    assert missed.checks == {"told apart": False, "none below": False}
    assert missed.here["diverged runs below 2 / alpha after step 1"] == "5 of 25"


def edges(of, method, *values):
    """Networks that start at these medians."""
    return {
        f"{of}-{method}-{seed}": Result(
            {},
            {"reach": torch.tensor([0.0, value, 9.0])},
            {"setting": dict(of=of, method=method, seed=seed)},
        )
        for seed, value in enumerate(values)
    }


def test_beyond_sinusoids_needs_both():
    waves = {"maml": at([1.0] * SEEDS, 0.01)}
    others = edges("variants-sinusoid", "anil", 0.3, 0.5)
    assert judges.x008(waves) is None and judges.x008(waves | {"edge": others}) is None
    near = judges.x008(waves | {"edge": others | edges(*judges.ONE_SHOT, 0.9, 1.3)})
    assert near.checks == {"waves": True, "Omniglot": True}
    assert verdict(ledger()["X008"], near.checks, seeds=SEEDS) == "answered"
    assert near.here["anil, variants-sinusoid"].value == pytest.approx(0.4)
    far = judges.x008(waves | {"edge": edges(*judges.ONE_SHOT, 0.2, 0.2)})
    assert far.checks == {"waves": True, "Omniglot": False}

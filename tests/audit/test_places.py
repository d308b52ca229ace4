import torch

from mamlkit.audit import places as judges
from mamlkit.audit.claims import ledger, verdict
from mamlkit.studies.sinusoid_methods import NET
from tests.audit.made_up import SEEDS, falling, method, summary


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=len(list(finding.seeds)))


def placed(end, ranks, outside=30.0):
    """Means that diverging runs rule, medians that end at `end`."""
    names = ["half K=5", "half K=10", *(f"width {w:g}" for w in judges.WIDTHS)]
    medians = falling(1.9, end, end)
    tests = [summary(n, falling(3.0, 9.0, 9.0), median=medians, lost=120) for n in names]
    far = summary("outside", falling(9.0, outside, outside), lost=2_000)
    maml = method(*tests, far)
    pairs = torch.tensor([0.1, 0.85, ranks]).expand(SEEDS, 3)
    maml.tests.update({f"{n} correlations": pairs for n in names})
    maml.tests["outside zero"] = torch.full((SEEDS,), 4.2)
    return {"maml": maml, "pretrained": method(*tests)}


def test_medians_and_ranks_decide_about_the_other_half():
    good = judges.c032(placed(0.5, 0.9))
    assert decided("C032", good) == "reproduced" and "1.2%" in good.why
    assert decided("C032", judges.c032(placed(1.2, 0.9))) == "partial"
    assert decided("C032", judges.c032(placed(1.2, 0.5))) == "refuted as stated"
    assert decided("S103", judges.s103(placed(0.5, 0.9))) == "reproduced"
    assert decided("S103", judges.s103(placed(0.5, 0.5))) == "partial"


def test_a_period_would_help_outside():
    assert decided("C033", judges.c033(placed(0.5, 0.9))) == "partial"
    assert decided("C033", judges.c033(placed(0.5, 0.9, outside=1.0))) == "reproduced"
    assert "no period was learned" in judges.c033(placed(0.5, 0.9)).why


def test_pretraining_is_held_against_the_mean_of_the_tasks():
    zero = {name: torch.zeros_like(p) for name, p in NET.init(torch.Generator()).items()}
    networks = method(params=[zero] * SEEDS)
    rmse = judges.off_mean(networks)
    expected = judges.mean_of_tasks(judges.LINE).square().mean().sqrt()
    assert torch.allclose(rmse, expected.expand(SEEDS))
    found = judges.c034({"pretrained": networks, "settled": networks})
    assert decided("C034", found) == "not reproduced"
    assert abs(judges.mean_of_tasks(torch.zeros(1)).item() + 1.6234) < 1e-4
    assert judges.c034({"pretrained": networks}) is None


def racing(maml, pretrained, random):
    """Steps on test waves; on validation waves the third step size is fastest."""

    def of(takes):
        both = torch.full((SEEDS, 2, 4), 900)
        both[:, 0, 2] = 1
        both[:, 1, 2] = torch.tensor(takes)
        return method(race=both)

    names = ("maml", "pretrained", "random")
    return {name: of(takes) for name, takes in zip(names, (maml, pretrained, random))}


def test_every_seed_of_maml_must_be_faster_than_every_seed_of_the_others():
    never = [1_001] * SEEDS
    fast = judges.s302(racing([1] * SEEDS, [150, 199, 240, 180, 170], never))
    assert decided("S302", fast) == "reproduced"
    assert "takes 1 step from" in fast.why and "150 to 240 steps" in fast.why
    assert "more than 1,000 steps" in fast.why
    mixed = judges.s302(racing([1, 1, 1, 1, 160], [150, 199, 240, 180, 170], never))
    assert decided("S302", mixed) == "partial"

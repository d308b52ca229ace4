import torch

from mamlkit.audit import averaging as judges
from mamlkit.audit.claims import ledger, verdict
from mamlkit.studies.sinusoid_measures import GRID
from tests.audit.made_up import SEEDS, falling, method, summary


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=len(list(finding.seeds)))


def made(none=4.2, l2=7.2, to_mean=2.9, same=3.5, individual=0.01):
    """Averages that end where they are after one step, at the fourth step size of the grid."""

    def average(error):
        tests = [summary(f"alpha {a:g}", falling(9.0, 99.0, 99.0)) for a in GRID]
        tests[3] = summary(f"alpha {GRID[3]:g}", falling(5.0, error, error))
        tuning = torch.full((SEEDS, len(GRID)), 99.0)
        tuning[:, 3] = error
        return method(*tests, tuning=tuning, individual=torch.full((SEEDS, 500), individual))

    forms = {"none": none, "l2": l2, "to-mean": to_mean, "same-start": same}
    networks = {f"average {form}": average(error) for form, error in forms.items()}
    return networks | {
        "maml": method(summary("K=5", falling(3.0, 0.67, 0.35))),
        "pretrained": method(summary("K=5", falling(3.0, 2.4, 2.2))),
    }


def test_the_papers_order_of_the_averages():
    assert decided("C041", judges.c041(made())) == "reproduced"
    reverse = judges.c041(made(none=4.3, l2=4.2, to_mean=4.9))
    assert decided("C041", reverse) == "partial" and not reverse.checks["the paper's order"]
    better = judges.c041(made(to_mean=2.0))
    assert better.checks["towards the mean"] is False


def test_the_best_step_size_is_the_one_that_validation_waves_prefer():
    assert abs(judges.mean(made(), "none")[0, 1].item() - 4.2) < 1e-6


def test_maml_must_be_below_every_average():
    assert decided("C042", judges.c042(made())) == "reproduced"
    assert decided("C042", judges.c042(made(same=0.5))) == "not reproduced"


def test_all_regressors_must_be_good():
    assert decided("C040", judges.c040(made())) == "reproduced"
    one_bad = made()
    one_bad["average none"].tests["individual"][0, 0] = 7.0
    assert decided("C040", judges.c040(one_bad)) == "partial"
    assert decided("C040", judges.c040(made(individual=0.03))) == "not reproduced"
    assert judges.c040({}) is None

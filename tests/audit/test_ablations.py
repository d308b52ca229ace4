import torch

from mamlkit.audit import ablations as judges
from mamlkit.audit.claims import ledger, verdict
from tests.audit.made_up import SEEDS, falling, method, summary


def decided(claim, finding):
    return verdict(ledger()[claim], finding.checks, seeds=len(list(finding.seeds)))


def networks(**others):
    made = {"maml": method(summary("K=5", falling(3.0, 0.43, 0.18)))}
    for name, end in others.items():
        alpha = [{"alpha": torch.tensor(0.003)}] * SEEDS
        made[name.replace("_", "-").lstrip("-")] = method(
            summary("K=5", falling(3.0, *end)), params=alpha
        )
    return made | {"identities": {"alpha": 1e-9, "disjoint": True}}


def test_a_learned_alpha_may_not_be_worse():
    good = judges.c013(networks(learned_alpha=(0.40, 0.2)))
    assert decided("C013", good) == "reproduced" and "ends at 0.003" in good.why
    assert decided("C013", judges.c013(networks(learned_alpha=(0.60, 0.2)))) == "partial"


def test_reusing_the_support_must_cost_something():
    assert decided("C018", judges.c018(networks(support_as_query=(0.6, 0.2)))) == "reproduced"
    assert decided("C018", judges.c018(networks(support_as_query=(0.42, 0.2)))) == "partial"
    shared = networks(support_as_query=(0.6, 0.2)) | {"identities": {"disjoint": False}}
    assert decided("C018", judges.c018(shared)) == "refuted as stated"


def test_larger_networks_must_both_be_better():
    def wider(two, three):
        others = {"_2x100": (0.4, two), "_3x100": (0.4, three)}
        return networks(**others) | {"alpha-0.001": networks()["maml"]}

    assert decided("C039", judges.c039(wider(0.14, 0.10))) == "reproduced"
    assert decided("C039", judges.c039(wider(0.14, 0.19))) == "partial"
    assert judges.c039(networks()) is None

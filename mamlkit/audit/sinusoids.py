"""Chapter 1's claims: what its judges read, and which judge decides which claim."""

from mamlkit.audit import (
    ablations,
    any_model,
    averaging,
    blow_up,
    figure3,
    identities,
    kernels,
    opponents,
    places,
    rivals,
)
from mamlkit.audit.sinusoid_evidence import Evidence, banked, complete
from mamlkit.bank.experiment import load
from mamlkit.studies.edge import EDGE

PARTS = (figure3, opponents, places, blow_up, kernels, ablations, averaging, any_model, rivals)
PARTS += (identities,)
JUDGES = {claim: judge for part in PARTS for claim, judge in part.JUDGES.items()}


def evidence(budget: str = "paper") -> Evidence:
    """What the bank holds of section 5.1 at a budget, and what is computed from it in seconds."""
    methods = banked(budget)
    found = dict(methods) | {
        "identities": identities.measured(),
        "fused": any_model.fused(),
        "pooled gap": any_model.pooled_gap(),
    }
    if complete(methods, kernels.MODELS):
        found["kernels"] = kernels.probe(methods)
    if edges := load(EDGE, budget):
        found["edge"] = edges
    if (trials := any_model.trials(budget)) is not None:
        found["trials"] = trials
    return found

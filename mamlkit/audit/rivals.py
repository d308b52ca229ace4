"""Section 4's other ways to learn, on sine waves, against MAML: medians over all test waves."""

from functools import partial

from torch import Tensor

from mamlkit.audit.intervals import over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, Method, needs
from mamlkit.bank.experiment import Experiment
from mamlkit.studies.sinusoids import FIGURE3, RIVALS

SHOTS = (5, 10)
finding = partial(Finding, protocol=PROTOCOL, experiments=("sinusoid", "sinusoid-rivals"))


def end(method: Method, shots: int) -> Tensor:
    """The median error after the last step, by seed."""
    return method.median(f"K={shots}")[:, -1]


def drawn(experiment: Experiment, method: str) -> int:
    """How many waves a training of a method draws."""
    s = experiment.cells("paper", 1)[f"{method}-0"]
    return s["iterations"] * s["tasks"]


def against_maml(rival: Method, maml: Method) -> tuple[dict, dict, str]:
    """In each seed below MAML's ten steps: checks, numbers and words."""
    both = {k: (end(rival, k), end(maml, k)) for k in SHOTS}
    here = {}
    for k, (theirs, ours) in both.items():
        here |= {f"median MSE, K={k}": over_seeds(theirs), f"MAML's, K={k}": over_seeds(ours)}
    words = " and ".join(
        f"{theirs.mean():.2f} against MAML's {ours.mean():.2f} (K = {k})"
        for k, (theirs, ours) in both.items()
    )
    return {f"K={k}": bool((a < b).all()) for k, (a, b) in both.items()}, here, words


@needs("maml", "learned-optimizer")
def x030(e) -> Finding:
    """A learned optimiser from random starts."""
    rival = e["learned-optimizer"]
    checks, here, words = against_maml(rival, e["maml"])
    before = rival.median("K=10")[:, 0].mean()
    part = f"{drawn(RIVALS, 'learned-optimizer') / drawn(FIGURE3, 'maml'):.1%}"
    return finding(
        checks=checks,
        here=here | {"median MSE before any step": before.item()},
        why=f"trained on {part} of MAML's waves, ten of its steps take the median wave from "
        f"{before:.2f} to {words}.",
        seeds=rival.seeds,
        answer="" if all(checks.values()) else f"no, with {part} of MAML's waves",
    )


@needs("maml", "hypernetwork")
def x031(e) -> Finding:
    """A network that writes the network."""
    rival = e["hypernetwork"]
    checks, here, words = against_maml(rival, e["maml"])
    here |= {f"diverged, K={k}": rival.lost(f"K={k}") for k in SHOTS}
    here |= {f"MAML's diverged, K={k}": e["maml"].lost(f"K={k}") for k in SHOTS}
    return finding(
        checks=checks,
        here=here,
        why=f"what it writes, without a step, has a median error of {words}; MAML's is after ten "
        "steps.",
        seeds=rival.seeds,
    )


@needs("maml", "data-dependent", "random-tuned")
def x032(e) -> Finding:
    """A random start, its scales fitted to data."""
    names = {"data-dependent": "scaled by data", "random-tuned": "unscaled", "maml": "MAML"}
    at = {name: end(e[name], 10) for name in names}
    scaled, plain, maml = at.values()
    return finding(
        checks={
            "helps": bool((scaled < plain).all()),
            "as good as MAML": bool((scaled <= 1.25 * maml).all()),
        },
        here={f"median MSE after ten steps, K=10, {names[m]}": over_seeds(v) for m, v in at.items()}
        | {f"diverged, {names[m]}": e[m].lost("K=10") for m in names},
        why=f"after ten steps on ten points the median error is {scaled.mean():.2f} from a start "
        f"that data have scaled, {plain.mean():.2f} from the same start unscaled, and "
        f"{maml.mean():.2f} from MAML's.",
        seeds=e["data-dependent"].seeds,
    )


JUDGES = {"X030": x030, "X031": x031, "X032": x032}

"""Section 5.1, Figure 2: points in one place, questions in another; and what pretraining learned.

Medians over all runs and ranks decide about Figure 2: with points in one place many runs come near
to diverging, and those rule a mean."""

from functools import partial
from math import pi

import torch
from torch import Tensor

from mamlkit.audit.intervals import over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, Method, needs
from mamlkit.studies.sinusoid_measures import FASTER, WIDTHS
from mamlkit.studies.sinusoid_methods import NET

finding = partial(Finding, protocol=PROTOCOL, experiments=("sinusoid",))
MEAN_AMPLITUDE = 2.55
LINE = torch.linspace(-5, 5, 201)[:, None]


def halved(median: Tensor) -> bool:
    """Is the median error after ten steps below half of what it was before any?"""
    return median[:, -1].mean().item() < 0.5 * median[:, 0].mean().item()


def correlations(maml: Method, test: str) -> dict:
    """How fitted and true amplitudes go together, as intervals over seeds."""
    pearson, calm, ranks = maml.tests[f"{test} correlations"].unbind(1)
    return {
        "amplitudes, correlation of ranks": over_seeds(ranks),
        "amplitudes, correlation without the diverged": over_seeds(calm),
        "the same with the diverged": over_seeds(pearson),
    }


@needs("maml", "pretrained")
def c032(e) -> Finding:
    """Points in one half, questions in the other."""
    maml = e["maml"]
    mean, median, lost = (f("half K=5") for f in (maml.mean, maml.median, maml.lost))
    ranks = maml.tests["half K=5 correlations"][:, 2].mean()
    return finding(
        checks={"other half": halved(median), "amplitude": ranks.item() > 0.8},
        here={
            "median MSE on the other half, 0 steps": over_seeds(median[:, 0]),
            "after 10 steps": over_seeds(median[:, -1]),
            "mean of what did not diverge, 0 and 10 steps": _first_and_last(mean),
            "diverged within 10 steps": lost,
            **correlations(maml, "half K=5"),
            "median, K=10: 0 and 10 steps": _first_and_last(maml.median("half K=10")),
            "median, pretrained: 0 and 10 steps": _first_and_last(
                e["pretrained"].median("half K=5")
            ),
        },
        why=f"on the half without points the median error goes from {median[:, 0].mean():.2f} to "
        f"{median[:, -1].mean():.2f}, and the ranks of fitted and true amplitudes correlate at "
        f"{ranks:.2f}; {lost.value:.1%} of the runs diverge.",
        protocol=f"{PROTOCOL}; supports in [-5, 0] and in [0, 5], questions on the other half",
        seeds=maml.seeds,
    )


def _first_and_last(errors: Tensor) -> str:
    return f"{errors[:, 0].mean():.2f}, {errors[:, -1].mean():.2f}"


@needs("maml")
def c033(e) -> Finding:
    """Was a period learned?"""
    maml = e["maml"]
    median, zero = maml.median("outside")[:, -1].mean().item(), maml.tests["outside zero"]
    zero = zero.mean().item()
    return finding(
        checks={
            "inside the range": halved(maml.median("half K=5")),
            "periodic": median < 0.5 * zero,
        },
        here={
            "median MSE on 5 < |x| < 10 after 10 steps, K=10": over_seeds(
                maml.median("outside")[:, -1]
            ),
            "error above 100 there": maml.lost("outside"),
            "predicting zero there": zero,
        },
        why=f"inside [-5, 5] the half without points is drawn; outside, the median wave's error is "
        f"{median:.1f} where predicting zero costs {zero:.1f}: "
        + ("no period was learned." if median > zero else "better than nothing."),
        seeds=maml.seeds,
    )


@needs("maml")
def s103(e) -> Finding:
    """Five points in one region."""
    maml = e["maml"]
    median, ranks = maml.median("width 2"), maml.tests["width 2 correlations"][:, 2].mean().item()
    lost = maml.lost("width 2")
    return finding(
        checks={"full curve": halved(median), "amplitude": ranks > 0.8},
        here={f"median MSE after 10 steps, width {w:g}": _end(maml, w) for w in WIDTHS}
        | {"diverged within 10 steps, width 2": lost}
        | correlations(maml, "width 2"),
        why="with five points inside a width of 2 the median error goes from "
        f"{median[:, 0].mean():.2f} to {median[:, -1].mean():.2f}, and the ranks of "
        f"amplitudes correlate at {ranks:.2f}; {lost.value:.1%} of the runs diverge.",
        seeds=maml.seeds,
    )


def _end(maml: Method, width: float):
    return over_seeds(maml.median(f"width {width:g}")[:, -1])


def mean_of_tasks(x: Tensor) -> Tensor:
    """E[y given x] over all waves: -(2 E[A] / pi) cos x, which is -1.623 cos x."""
    return -(2 * MEAN_AMPLITUDE / pi) * torch.cos(x)


def off_mean(method: Method) -> Tensor:
    """For each seed, how far (root mean square) the network's output is from the mean of the
    tasks."""
    gaps = [NET.forward(p, LINE) - mean_of_tasks(LINE) for p in method.params]
    return torch.stack([g.square().mean().sqrt() for g in gaps])


@needs("pretrained", "settled")
def c034(e) -> Finding:
    """What pretraining learned is the mean of the tasks."""
    rmse, before = off_mean(e["settled"]), off_mean(e["pretrained"])
    return finding(
        checks={"the mean of the tasks": bool((rmse < 0.1).all())},
        here={
            "RMSE to -1.623 cos x": over_seeds(rmse),
            "largest of the seeds": rmse.max().item(),
            "before Adam's step is lowered": over_seeds(before),
            "before, largest of the seeds": before.max().item(),
        },
        why=f"the pretrained output differs from the closed form by {rmse.mean():.3f} (root mean "
        f"square), at most {rmse.max():.3f}; before Adam's step is lowered, by "
        f"{before.mean():.3f}, at most {before.max():.3f}.",
        protocol=f"{PROTOCOL}; then 10,000 iterations at a tenth of Adam's step",
        seeds=e["settled"].seeds,
        experiments=("sinusoid", "sinusoid-settled"),
    )


def race(method: Method) -> Tensor:
    """Steps to an error of 0.5 on test waves, by seed, at the step size that is fastest on
    validation waves."""
    validation, test = method.tests["race"].double().unbind(1)
    return test[:, int(validation.mean(0).argmin())]


@needs("maml", "pretrained", "random")
def s302(e) -> Finding:
    """How long a new wave takes."""
    takes = {m: race(e[m]) for m in ("maml", "pretrained", "random")}
    said = {m: _steps(t) for m, t in takes.items()}
    most = {m: t.max().item() for m, t in takes.items()}
    least = {m: t.min().item() for m, t in takes.items()}
    return finding(
        checks={
            "fewer than pretrained": most["maml"] < least["pretrained"],
            "fewer than from scratch": most["maml"] < least["random"],
        },
        here={f"steps to an error of 0.5, {m}": s for m, s in said.items()}
        | {"meta-training": "70,000 iterations on 1,750,000 waves"},
        why=f"the median new wave takes {said['maml']} from MAML's start, {said['pretrained']} "
        f"from the pretrained and {said['random']} from a random one, all on the same ten points; "
        "MAML's start has seen 1,750,000 other waves.",
        protocol=f"{PROTOCOL}; ten points of 100 waves, the median of the waves, step sizes chosen "
        f"on validation waves from {', '.join(map(str, FASTER))}; at most 1,000 steps",
        seeds=e["maml"].seeds,
    )


def _steps(takes: Tensor, most: int = 1_000) -> str:
    low, high = int(takes.min()), int(takes.max())
    if low > most:
        return f"more than {most:,} steps"
    if high > most:
        return f"{low} to more than {most:,} steps"
    return f"{low} step{'s' * (low > 1)}" if low == high else f"{low} to {high} steps"


JUDGES = {"C032": c032, "C033": c033, "C034": c034, "S103": s103, "S302": s302}

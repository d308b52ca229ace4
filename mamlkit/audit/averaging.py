"""Appendix C.1: averages of parameters, judged."""

from functools import partial

import torch
from torch import Tensor

from mamlkit.audit.intervals import fraction, over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, needs
from mamlkit.studies.sinusoid_measures import GRID

FORMS = {"none": "no regularisation", "l2": "l2", "to-mean": "towards the mean"}
SAME = {"same-start": "same start"}  # a fourth form, ours: it decides nothing
NEEDED = ("maml", "pretrained", *(f"average {form}" for form in (*FORMS, *SAME)))
finding = partial(
    Finding,
    protocol=f"{PROTOCOL}; 500 regressors of 2,500 steps on 50 fresh points, 50 side by side, "
    "penalties l2 0.001, towards the mean 0.001, fine-tuned with the step size that validation "
    "waves prefer",
    experiments=("sinusoid", "sinusoid-averages"),
)


def mean(e, form: str) -> Tensor:
    """(seeds, steps + 1) at K = 5, at the step size that is best on validation waves."""
    method = e[f"average {form}"]
    alpha = GRID[int(method.tests["tuning"].mean(0).argmin())]
    return method.mean(f"alpha {alpha:g}")


def seeds(e) -> list[int]:
    """The seeds that were trained without averaging, with which all others are paired."""
    return e["average none"].seeds


def one_step(e) -> dict[str, float]:
    """The mean error of every form after one step, by its name in words."""
    return {words: mean(e, form)[:, 1].mean().item() for form, words in (FORMS | SAME).items()}


@needs(*NEEDED)
def c040(e) -> Finding:
    """The error of the single regressors."""
    all_of_them = torch.cat([e[f"average {f}"].tests["individual"].flatten() for f in FORMS | SAME])
    errors = all_of_them[: len(seeds(e)) * e["average none"].tests["individual"].shape[1]]
    small = fraction(errors < 0.02)
    return finding(
        checks={"median": errors.median().item() < 0.02, "all of them": errors.max().item() < 0.02},
        here={
            "median error": errors.median().item(),
            "largest": errors.max().item(),
            "share below 0.02": small,
        },
        why=f"the median regressor's error is {errors.median():.3f}, the largest "
        f"{errors.max():.2g}; {small.value:.0%} are below 0.02.",
        seeds=seeds(e),
    )


@needs(*NEEDED)
def c041(e) -> Finding:
    """Averages in parameter space and in output space."""
    pretrained = e["pretrained"].mean("K=5")[: len(seeds(e))]
    found = {"pretrained": pretrained}
    found |= {words: mean(e, form) for form, words in (FORMS | SAME).items()}
    worse = {
        words: all((found[words][:, s].mean() > pretrained[:, s].mean()).item() for s in (1, 5, 10))
        for words in FORMS.values()
    }
    one = one_step(e)
    order = one["towards the mean"] < one["no regularisation"] < one["l2"]
    return finding(
        checks=worse | {"the paper's order": order},
        here={
            f"MSE, {name}, {s} step{'s' * (s > 1)}": over_seeds(errors[:, s])
            for name, errors in found.items()
            for s in (1, 5, 10)
        },
        why=f"after one step: pretrained {pretrained[:, 1].mean():.2f}, "
        + ", ".join(f"{words} {v:.2f}" for words, v in one.items())
        + ("." if order else "; the paper's order of the three is another."),
        seeds=seeds(e),
    )


@needs(*NEEDED)
def c042(e) -> Finding:
    """More than the mean optimal parameter vector."""
    maml = e["maml"].mean("K=5")[: len(seeds(e)), 1].mean().item()
    best = min(one_step(e).values())
    return finding(
        checks={"below all": maml < best},
        here={"MSE, MAML": maml, "MSE, best average": best},
        why=f"after one step, over the {len(seeds(e))} seeds that both have, MAML's error is "
        f"{maml:.2f} and the best average's {best:.2f}.",
        seeds=seeds(e),
    )


JUDGES = {"C040": c040, "C041": c041, "C042": c042}

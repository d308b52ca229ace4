"""Section 1: any model, any loss."""

import torch
from torch.func import grad, vmap

from mamlkit.audit.intervals import paired
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import needs
from mamlkit.bank.experiment import load
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import pooled_convnet
from mamlkit.probes.finite_differences import double, finite_difference_gap, random_direction
from mamlkit.studies.any_model import TRIALS, all_but_beta
from mamlkit.studies.sinusoids import ANY_MODEL
from mamlkit.task import Data, Task, sample
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml

EXPERIMENTS = ("sinusoid-any-model",)
OTHER_LOSSES = ("MLP, Huber", "MLP, cross-entropy")  # C001 asks the five nets
MOST = 1e-6  # gap to finite differences


def trials(budget: str = "paper") -> dict[str, dict[str, float]] | None:
    """Of each trial: held-out loss before and after one step, the p-value of their difference, and
    the meta-gradient's gap to finite differences. None unless all are banked."""
    found = {r.setting["method"]: r for r in load(ANY_MODEL, budget).values()}
    if found.keys() != TRIALS.keys():
        return None
    rows = {}
    for name, result in found.items():
        held_out = result.measured["held out"]
        before, after = held_out.mean(0).tolist()
        p = paired(held_out[:, 1] - held_out[:, 0])[1]
        rows[name] = {"before": before, "after": after, "p": p, "gap": gap(name)}
    return rows


def gap(name: str) -> float:
    """The smallest of three directions' gaps, in float64 at two inner steps."""
    trial = TRIALS[name]()
    learner = maml(trial.smooth, alpha=trial.alpha, steps=2)
    start = double(trial.net.init(seeded(1)))
    task = double(tree_map(lambda t: t[0], sample(trial.family, seeded(40_000), 1)))
    return _smallest(learner, start, task)


def _smallest(learner, start, task) -> float:
    directions = [random_direction(start, seeded(s)) for s in range(3)]
    return min(finite_difference_gap(learner, start, task, d) for d in directions)


def pooled_gap() -> float:
    """The same for miniImagenet's net: max-pooling, batch norm, softmax loss."""
    net = pooled_convnet(3, filters=4, channels=1, size=16)
    image = torch.randn(6, 1, 16, 16, dtype=torch.double, generator=seeded(2))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    learner = maml(cross_entropy(net.forward), alpha=all_but_beta(net, 0.1), steps=2)
    task = Task(Data(image, labels), Data(image.flip(0), labels))
    return _smallest(learner, double(net.init(seeded(1))), task)


def fused() -> dict[str, bool]:
    """Do torch's own fused operations go through a meta-gradient? Errors that say that a
    derivative or a batching rule is missing mean no."""

    def works(attempt):
        try:
            return attempt() is not None
        except RuntimeError:
            return False

    cell = torch.nn.GRU(1, 3, batch_first=True)
    attend = torch.nn.functional.scaled_dot_product_attention
    once = grad(lambda q: attend(q, q, q).square().sum())
    return {
        "GRU": works(lambda: vmap(grad(lambda s: cell(s)[0].sum()))(torch.randn(2, 4, 5, 1))),
        "attention": works(lambda: grad(lambda q: once(q).square().sum())(torch.randn(2, 3, 5, 4))),
    }


def improves(row) -> bool:
    """Does the error fall from before to after, beyond chance?"""
    return row["after"] < row["before"] and row["p"] < 0.01


def fell(row) -> str:
    """The errors before and after, in words."""
    return f"{row['before']:.2f} to {row['after']:.2f}"


def everywhere(rows) -> dict[str, bool]:
    """The checks that every row must pass."""
    return {
        "finite differences": all(row["gap"] < MOST for row in rows.values()),
        "every net improves": all(
            improves(row) for name, row in rows.items() if name not in OTHER_LOSSES
        ),
    }


def _any_model(e, checks) -> Finding:
    rows = e["trials"]
    return Finding(
        checks=checks,
        here={f"gap to finite differences, {n}": f"{row['gap']:.1e}" for n, row in rows.items()}
        | {f"held-out loss, {n}": fell(row) for n, row in rows.items()},
        why=f"the largest gap to finite differences is {max(r['gap'] for r in rows.values()):.0e}; "
        f"{sum(map(improves, rows.values()))} of {len(rows)} improve on held-out tasks.",
        protocol="3,000 meta-iterations each; finite differences in float64 at two inner steps",
        experiments=EXPERIMENTS,
    )


@needs("trials")
def c001(e) -> Finding:
    """Any model."""
    return _any_model(e, everywhere(e["trials"]))


@needs("trials")
def s114(e) -> Finding:
    """Any model, in an article."""
    return _any_model(e, {"any model": all(everywhere(e["trials"]).values())})


@needs("trials", "fused")
def c006(e) -> Finding:
    """No constraints on the architecture."""
    can = {n: "can" if works else "cannot" for n, works in e["fused"].items()}
    return Finding(
        checks={
            "five architectures": everywhere(e["trials"])["finite differences"],
            "fused GRU": e["fused"]["GRU"],
            "fused attention": e["fused"]["attention"],
        },
        here={f"fused {name}": works for name, works in e["fused"].items()},
        why="written from plain operations every architecture works; torch's fused GRU "
        f"{can['GRU']} be batched and its fused attention {can['attention']} be differentiated "
        "twice.",
        experiments=EXPERIMENTS,
    )


@needs("trials")
def c007(e) -> Finding:
    """Fully connected, convolutional, recurrent."""
    rows = e["trials"]
    recurrent = rows["GRU"]
    names = ("MLP", "ConvNet with batch norm", "GRU")
    return Finding(
        checks={
            "fully connected": improves(rows["MLP"]),
            "convolutional": improves(rows["ConvNet with batch norm"]),
            "recurrent": improves(recurrent) and recurrent["gap"] < MOST,
        },
        here={n: f"{fell(rows[n])}, p {rows[n]['p']:.1g}" for n in names},
        why="the recurrent case, which the paper never tries, "
        + (
            f"adapts from {fell(recurrent)}."
            if improves(recurrent)
            else "did not adapt at this budget."
        ),
        experiments=EXPERIMENTS,
    )


@needs("trials")
def c008(e) -> Finding:
    """A variety of losses."""
    names = {
        "squared error": "MLP",
        "Huber": "MLP, Huber",
        "cross-entropy": "MLP, cross-entropy",
        "REINFORCE": "policy, REINFORCE",
    }
    checks = {loss: improves(e["trials"][name]) for loss, name in names.items()}
    return Finding(
        checks=checks,
        here={name: fell(e["trials"][name]) for name in names.values()},
        why=f"{sum(checks.values())} of 4 losses improve in one step.",
        experiments=EXPERIMENTS,
    )


@needs("trials", "fused", "pooled gap")
def c016(e) -> Finding:
    """Second derivatives of standard libraries."""
    gaps = {
        "with max-pooling and softmax loss": e["pooled gap"],
        "MLP": e["trials"]["MLP"]["gap"],
        "strided convolution and batch norm": e["trials"]["ConvNet with batch norm"]["gap"],
    }
    can = {n: "can" if works else "cannot" for n, works in e["fused"].items()}
    return Finding(
        checks={"the paper's operations": max(gaps.values()) < MOST},
        here={name: f"{g:.1e}" for name, g in gaps.items()},
        why="second derivatives of the paper's operations agree with finite differences to "
        f"{max(gaps.values()):.0e}; PyTorch's fused GRU {can['GRU']} be batched, its fused "
        f"attention {can['attention']} be differentiated twice.",
    )


JUDGES = {"C001": c001, "C006": c006, "C007": c007, "C008": c008, "C016": c016, "S114": s114}

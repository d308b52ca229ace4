"""Our own questions about the tangent kernel (X001 to X003), and the sensitivity of the loss
(C010)."""

from functools import partial
from math import exp

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.audit.intervals import Interval, equivalence, over_seeds, paired
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, Method, low, needs
from mamlkit.inner import inner_step
from mamlkit.losses import mse
from mamlkit.probes.tangent_kernel import alignment, linearised_step, tangent_kernel
from mamlkit.studies.sinusoid_methods import NET, waves
from mamlkit.task import Task
from mamlkit.trees import Params, tree_map

finding = partial(
    Finding,
    protocol=f"{PROTOCOL}; kernel on 201 points of [-5, 5], K = 10, 1,000 of the test waves",
    experiments=("sinusoid",),
)
MODELS = ("maml", "fomaml", "pretrained", "random")
LINE = torch.linspace(-5, 5, 201)[:, None]
PLANE = torch.cat([torch.sin(LINE), torch.cos(LINE)], 1)  # all waves lie in it
MARGIN = 1.25  # of two ratios that count as the same


def probe(methods: dict[str, Method], tasks: int = 1_000) -> dict[str, dict[str, Tensor]]:
    """By method and seed: the kernel's alignment with the plane of waves, and of each wave the
    query error after a real step, after the linearised one, and its fall per distance moved."""
    some = tree_map(lambda t: t[:tasks], waves(10, 10_000))  # how many are drawn decides them
    return {
        m: {
            "alignment": torch.stack(
                [alignment(tangent_kernel(NET.forward, p, LINE), PLANE) for p in methods[m].params]
            ),
            "steps": torch.stack([one_step(p, some) for p in methods[m].params]),
        }
        for m in MODELS
        if m in methods
    }


def one_step(theta: Params, tasks: Task, alpha: float = 0.01) -> Tensor:
    """(tasks, 3): see `probe`."""
    loss = mse(NET.forward)

    def of(task):
        moved = inner_step(theta, lambda p: loss(p, task.support), alpha)
        linear = linearised_step(NET.forward, loss, theta, task.support, alpha, task.query.x)
        distance = sum(((moved[k] - theta[k]) ** 2).sum() for k in theta) ** 0.5
        before, real = loss(theta, task.query), loss(moved, task.query)
        return torch.stack(
            [real, (linear - task.query.y).square().mean(), (before - real) / distance]
        )

    return vmap(of, chunk_size=500)(tasks)


def _aligned(e, m: str) -> Tensor:
    return e["kernels"][m]["alignment"]


def _ratio(e, m: str) -> Tensor:
    """Error after the linearised step over that after the real one, by seed."""
    mean = e["kernels"][m]["steps"].mean(1)
    return mean[:, 1] / mean[:, 0]


@needs("kernels")
def x001(e) -> Finding:
    """Does the kernel turn towards the waves?"""
    turn = over_seeds(_aligned(e, "maml") - _aligned(e, "pretrained"))
    at = {m: over_seeds(_aligned(e, m)) for m in MODELS}
    turned = low(turn) > 0.3
    return finding(
        checks={"turned": turned},
        here={f"alignment, {m}": a for m, a in at.items()} | {"MAML minus pretrained": turn},
        why=f"the alignment with the plane of sin and cos is "
        f"{at['maml'].value:.2f} for MAML, {at['pretrained'].value:.2f} pretrained, "
        f"{at['random'].value:.2f} random.",
        seeds=e["maml"].seeds,
    )


@needs("kernels")
def x002(e) -> Finding:
    """Is the step a kernel step?"""
    times = {m: over_seeds(_ratio(e, m)) for m in MODELS}
    no = low(times["maml"]) > 2
    return finding(
        checks={"no": no},
        here={f"linearised / real, {m}": t for m, t in times.items()},
        why=f"the linearised step leaves {times['maml'].value:.1f} "
        f"times the error of the real one (random parameters: {times['random'].value:.2f}).",
        seeds=e["maml"].seeds,
    )


@needs("kernels")
def x003(e) -> Finding | None:
    """The same without second derivatives? One seed cannot say."""
    if len(e["maml"].seeds) < 2:
        return None
    turn = over_seeds(_aligned(e, "fomaml") - _aligned(e, "pretrained"))
    times = {m: over_seeds(_ratio(e, m)) for m in ("fomaml", "maml")}
    apart = equivalence((_ratio(e, "fomaml") / _ratio(e, "maml")).log()[:, None])
    apart = Interval(*(exp(v) for v in apart))
    same = 1 / MARGIN < apart.low and apart.high < MARGIN
    turned = low(turn) > 0.3
    return finding(
        checks={"same ratio": same, "turned too": turned},
        here={
            "alignment, first order": over_seeds(_aligned(e, "fomaml")),
            "linearised / real, first order": times["fomaml"],
            "linearised / real, MAML": times["maml"],
            "first order's ratio over MAML's, 90 % interval": apart,
        },
        why=f"its kernel {'turns too' if turned else 'does not turn'} (alignment "
        f"{_aligned(e, 'fomaml').mean():.2f}); the ratio is {times['fomaml'].value:.1f}, MAML's "
        f"{times['maml'].value:.1f}, "
        + ("the same within 25 %." if same else "and five seeds do not show them equal in 25 %."),
        seeds=e["maml"].seeds,
    )


@needs("kernels")
def c010(e) -> Finding:
    """Sensitivity of the loss to the parameters."""
    falls = {m: e["kernels"][m]["steps"][..., 2] for m in MODELS}

    def wins(m):
        gaps = falls["maml"] - falls[m]
        return all(paired(gap)[1] < 0.01 and gap.mean() > 0 for gap in gaps)

    mean = {m: over_seeds(f.mean(1)) for m, f in falls.items()}
    return finding(
        checks={f"above {m}": wins(m) for m in ("pretrained", "random")},
        here={f"fall of the error per unit moved, {m}": v for m, v in mean.items()},
        why=f"one step lowers the error by {mean['maml'].value:.1f} per unit of distance moved "
        f"from MAML's parameters, {mean['pretrained'].value:.1f} from pretrained, "
        f"{mean['random'].value:.1f} from random ones.",
        seeds=e["maml"].seeds,
    )


JUDGES = {"C010": c010, "X001": x001, "X002": x002, "X003": x003}

"""Equations that the paper and the articles on it state, as numbers, and things counted."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import needs
from mamlkit.families.sinusoid import sinusoid
from mamlkit.inner import inner_step
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import count, mlp, pooled_convnet, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.probes.finite_differences import double, finite_difference_gap
from mamlkit.studies.sinusoid_methods import NET, learned_alpha, waves
from mamlkit.task import Data, Task, sample
from mamlkit.trees import Params, dot, ravel, tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

LOSS = mse(NET.forward)
PAPERS_COUNTS = {  # of section 5.1, Table 1's nets, and Table 1's net without convolutions
    "sinusoid net": 1_761,
    "Omniglot 5-way": 112_005,
    "Omniglot 20-way": 112_980,
    "no-conv": 247_109,
    "miniImagenet": 32_773,
}


def off(x: Tensor, y: Tensor) -> float:
    """How far x is from y, relative to y."""
    return ((x - y).norm() / y.norm()).item()


def measured() -> dict[str, Any]:
    """All numbers that the judges here read, in seconds."""
    return quadratic() | small_net() | conventions() | counts()


def quadratic(tasks: int = 3, size: int = 6, alpha: float = 0.1) -> dict[str, Any]:
    """Inner steps and meta-gradients of quadratic losses, against their closed forms."""
    g = seeded(0)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.double)
    eye = torch.eye(size, dtype=torch.double)
    curved = lambda m: m @ m.mT / size + 0.1 * eye
    A, B = curved(rand(tasks, size, size)), curved(rand(tasks, size, size))
    c, d, t0 = rand(tasks, size), rand(tasks, size), rand(size)

    def bowl(p, data):
        return 0.5 * (p["t"] - data.y) @ data.x @ (p["t"] - data.y)

    batch, here, kept = Task(Data(A, c), Data(B, d)), {"t": t0}, t0.clone()
    shrunk = lambda k: torch.linalg.matrix_power(eye - alpha * A, k)
    end = lambda k: c + (shrunk(k) @ (t0 - c)[..., None])[..., 0]
    closed = lambda k, power: (shrunk(power).mT @ B @ (end(k) - d)[..., None])[..., 0]

    def gradient(k):
        return vmap(maml(bowl, alpha=alpha, steps=k).meta_grad, (None, 0))(here, batch)[0]["t"]

    def alone(i):
        one = tree_map(lambda x: x[i], batch)
        return maml(bowl, alpha=alpha, steps=1).meta_grad(here, one)[0]["t"]

    stepped = vmap(lambda data: inner_step(here, lambda p: bowl(p, data), alpha)["t"])(
        batch.support
    )
    by_hand = t0 - alpha * (A @ (t0 - c)[..., None])[..., 0]
    return {
        "step": off(stepped, by_hand),
        "theta unchanged": bool((here["t"] == kept).all()),
        "looped": off(gradient(1), torch.stack([alone(i) for i in range(tasks)])),
        "one factor": off(gradient(1), closed(1, 1)),
        "five factors": off(gradient(5), closed(5, 5)),
        "one factor for five steps": off(gradient(5), closed(5, 1)),
    }


def small_net(alpha: float = 0.05) -> dict[str, float]:
    """MAML's meta-gradient on a small tanh net, by one Hessian-vector product and without it."""
    wave = double(tree_map(lambda t: t[0], sample(_waves(), seeded(3), 1)))
    narrow = lambda g, shape: torch.randn(shape, generator=g) * 0.5
    net = mlp(1, 7, 5, 1, activation=torch.tanh, weight=narrow)
    start, loss = double(net.init(seeded(4))), mse(net.forward)
    on_support = grad(lambda p: loss(p, wave.support))
    moved = inner_step(start, lambda p: loss(p, wave.support), alpha)
    at_step = grad(lambda p: loss(p, wave.query))(moved)
    product = grad(lambda p: dot(on_support(p), at_step))(start)  # H times a vector, H never formed
    flat = lambda params: ravel(params)[0]
    second, first = (
        flat(variant(loss, alpha=alpha, steps=1).meta_grad(start, wave)[0])
        for variant in (maml, fomaml)
    )
    return {
        "product": off(second, flat(at_step) - alpha * flat(product)),
        "first order": off(first, flat(at_step)),
        "not MAML": off(first, second),
    }


def _waves():
    return sinusoid(shots=10, queries=10)


def updates(scale: float, eps: float, n: int = 20) -> Tensor:
    """How far Adam moves in n updates when the meta-gradient of 25 waves is multiplied by
    `scale`."""
    few = sample(_waves(), seeded(5), 25)
    x, unravel = ravel(NET.init(seeded(6)))
    start, optimizer = x, adam(0.001, eps=eps)
    state = optimizer.init(x)
    for _ in range(n):
        learner = maml(LOSS, alpha=0.01, steps=1)
        g = vmap(learner.meta_grad, (None, 0))(unravel(x), few)[0]
        mean = torch.cat([v.mean(0).flatten() for v in g.values()])
        x, state = optimizer.update(scale * mean, state, x)
    return x - start


def conventions() -> dict[str, Any]:
    """Sum or mean, over tasks, examples and classes; alpha as a parameter; support and query."""
    g, cross = seeded(0), torch.nn.functional.cross_entropy
    logits = torch.randn(10, 5, generator=g, dtype=torch.double)
    label = torch.arange(10) % 5
    mean = grad(lambda z: cross(z, label))(logits)
    authors = grad(lambda z: (cross(z, label, reduction="none") / 2).sum())(logits)  # over K = 2
    y = torch.randn(10, 1, generator=g, dtype=torch.double)
    summed = grad(lambda y: (y - 1).square().sum())(y)
    averaged = grad(lambda y: (y - 1).square().mean())(y)
    drawn = sample(_waves(), seeded(7), 1000)
    shared = (drawn.support.x[:, :, None, 0] == drawn.query.x[:, None, :, 0]).any()
    learner = learned_alpha(LOSS, alpha=0.01, steps=1)
    start = double(learner.init(NET.init(seeded(8))))
    first = double(tree_map(lambda t: t[0], waves(10, 1)))
    along = {"alpha": torch.ones((), dtype=torch.double)}
    return {
        "sum": {eps: off(updates(25.0, eps), updates(1.0, eps)) for eps in (1e-30, 1e-8)},
        "K times": off(summed, 10 * averaged),
        "N times": off(authors, 5 * mean),
        "disjoint": not bool(shared) and drawn.support.x.shape[1] == 10,
        "alpha": finite_difference_gap(learner, start, first, along),
    }


def counts() -> dict[str, Any]:
    """What MAML learns, counted."""
    nets = {
        "sinusoid net": NET,
        "Omniglot 5-way": strided_convnet(5),
        "Omniglot 20-way": strided_convnet(20),
        "no-conv": mlp(784, 256, 128, 64, 64, 5, norm=True),
        "miniImagenet": pooled_convnet(5),
    }
    learned = {
        n: maml(LOSS, alpha=0.1, steps=1).init(net.init(seeded(0))) for n, net in nets.items()
    }
    own: Params = NET.init(seeded(0))
    return {
        "counts": {name: count(params) for name, params in learned.items()},
        "nothing added": learned["sinusoid net"].keys() == own.keys(),
    }


@needs("identities")
def c012(e) -> Finding:
    """Algorithm 1, line 6."""
    i = e["identities"]
    return Finding(
        checks={
            "formula": i["step"] < 1e-14,
            "theta unchanged": i["theta unchanged"],
            "independent tasks": i["looped"] < 1e-12,
        },
        here={"inner step": f"{i['step']:.0e}", "batched against looped": f"{i['looped']:.0e}"},
        why=f"one step equals line 6 to {i['step']:.0e}, a batch of tasks equals separate tasks to "
        f"{i['looped']:.0e}.",
    )


@needs("identities")
def c014(e) -> Finding:
    """Five inner steps."""
    gap = e["identities"]["five factors"]
    return Finding(
        checks={"five steps": gap < 1e-12},
        here={"relative gap": f"{gap:.0e}"},
        why=f"five inner steps give the closed form's meta-gradient to {gap:.0e}.",
    )


@needs("identities")
def c015(e) -> Finding:
    """One Hessian-vector product."""
    gap = e["identities"]["product"]
    return Finding(
        checks={"one product": gap < 1e-10},
        here={"relative gap": f"{gap:.0e}"},
        why="g - alpha H g with one explicit Hessian-vector product equals the meta-gradient to "
        f"{gap:.0e}.",
    )


@needs("identities")
def s201(e) -> Finding:
    """The factor (I - alpha H)."""
    one, several = e["identities"]["one factor"], e["identities"]["one factor for five steps"]
    return Finding(
        checks={"one step": one < 1e-12, "several steps": several < 1e-12},
        here={"gap, one step": f"{one:.0e}", "gap of the single factor, five steps": several},
        why=f"the factor (I - alpha H) is exact for one step; for five, using it once is off by "
        f"{several:.0%}: a product of five is needed.",
    )


@needs("identities")
def s204(e) -> Finding:
    """What first-order MAML leaves out."""
    gap, apart = e["identities"]["first order"], e["identities"]["not MAML"]
    return Finding(
        checks={"identity": gap < 1e-14, "not MAML": apart > 0.01},
        here={"gap to the query gradient at theta'": f"{gap:.0e}", "gap to MAML": apart},
        why=f"first-order MAML is the query gradient at theta' to {gap:.0e}, and {apart:.0%} away "
        "from MAML's on a small tanh net.",
    )


def _sum_or_mean(gaps: Mapping[float, float], checks) -> Finding:
    return Finding(
        checks=checks,
        here={
            "relative difference after 20 updates, no eps": f"{gaps[1e-30]:.0e}",
            "with eps 1e-8": f"{gaps[1e-8]:.0e}",
        },
        why="Adam divides the scale out again: without its eps, sum and mean differ by "
        f"{gaps[1e-30]:.0e} in the first 20 updates; eps, beside the tiny first gradients of this "
        f"initialisation, makes it {gaps[1e-8]:.0%}.",
    )


@needs("identities")
def c017(e) -> Finding:
    """The sum over tasks."""
    gaps = e["identities"]["sum"]
    return _sum_or_mean(
        gaps, {"same update": gaps[1e-30] < 1e-4, "eps does not matter": gaps[1e-8] < 1e-4}
    )


@needs("identities")
def s113(e) -> Finding:
    """The sum over tasks, in two articles."""
    return _sum_or_mean(
        e["identities"]["sum"], {"same update": e["identities"]["sum"][1e-30] < 1e-4}
    )


@needs("identities")
def c019(e) -> Finding:
    """The sum over examples."""
    k, n = e["identities"]["K times"], e["identities"]["N times"]
    return Finding(
        checks={"K times": k < 1e-12, "N times": n < 1e-12},
        here={
            "sum of squares over mean": "K times (10 here)",
            "authors' softmax loss over mean": "N times (5 here)",
        },
        why=f"summing over K examples makes the gradient K times that of the mean (to {k:.0e}), "
        f"the authors' classification loss N times (to {n:.0e}): with the same alpha the inner "
        "step is K or N times as long.",
    )


def _counted(e, checks) -> Finding:
    found = e["identities"]["counts"]
    return Finding(
        checks=checks,
        here=found,
        why="what MAML learns has the network's own names and "
        f"{', '.join(f'{n:,}' for n in found.values())} numbers.",
    )


@needs("identities")
def c005(e) -> Finding:
    """No parameters are added."""
    i = e["identities"]
    return _counted(
        e, {"nothing added": i["nothing added"], "counts": i["counts"] == PAPERS_COUNTS}
    )


@needs("identities")
def s111(e) -> Finding:
    """No parameters are added, in an article."""
    return _counted(e, {"counts": e["identities"]["counts"] == PAPERS_COUNTS})


JUDGES = {
    "C005": c005,
    "C012": c012,
    "C014": c014,
    "C015": c015,
    "C017": c017,
    "C019": c019,
    "S111": s111,
    "S113": s113,
    "S201": s201,
    "S202": c015,
    "S203": s113,
    "S204": s204,
}

"""Our own questions about the runs that diverge (X006 to X008)."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from mamlkit.audit.intervals import over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, Method, needs
from mamlkit.bank.experiment import Result

finding = partial(Finding, protocol=PROTOCOL, experiments=("sinusoid", "sinusoid-ablations"))
ALPHAS = {0.005: "alpha-0.005", 0.01: "maml", 0.02: "alpha-0.02"}
ONE_SHOT = ("omniglot-5w1s", "maml")
MIDDLE = 1  # of the kept quantiles: 10, 50 and 90 %


def edge(method: Method, shots: int = 10) -> Tensor:
    """The median over waves of alpha x sharpness / 2 at the starting point, by seed."""
    return method.tests[f"edge K={shots}"][:, 0, MIDDLE]


@needs("maml", "alpha-0.005", "alpha-0.02")
def x006(e) -> Finding:
    """Is the start at the edge of stability?"""
    at = {a: edge(e[m]) for a, m in ALPHAS.items()}
    sharp = {a: 2 * v / a for a, v in at.items()}
    ratio = sharp[0.005].mean() / sharp[0.02].mean()
    all_of = torch.cat([*at.values()])
    inside = int(((all_of >= 0.85) & (all_of <= 1.2)).sum())
    near, follows = inside == len(all_of), ratio.item() > 2.5
    counted = f"{inside} of {len(all_of)} networks"
    values = ", ".join(f"{v.mean():.2f} (alpha {a:g})" for a, v in at.items())
    others = {m: e[m] for m in ("fomaml", "pretrained") if m in e}
    return finding(
        checks={"at the edge": near, "follows alpha": follows},
        here={f"alpha x sharpness / 2, alpha {a:g}": over_seeds(v) for a, v in at.items()}
        | {f"sharpness, alpha {a:g}": over_seeds(v) for a, v in sharp.items()}
        | {f"alpha x sharpness / 2, {m}": over_seeds(edge(o)) for m, o in others.items()}
        | {"ratio of sharpness, alpha 0.005 over 0.02": ratio.item()}
        | {f"each network, alpha {a:g}": ", ".join(f"{x:.2f}" for x in v) for a, v in at.items()},
        why=f"the median of alpha x sharpness / 2 is {values}, where 1 is the edge, and of "
        f"{counted} it lies in 0.85 to 1.2; a quarter of the step goes with {ratio:.1f} times the "
        "sharpness.",
        seeds=e["maml"].seeds,
        answer="" if near or not follows else f"nearly: {counted} are there, and it follows alpha",
    )


def area(scores: Tensor, hits: Tensor) -> float:
    """The area under the ROC curve: how often a hit's score is above that of a miss; NaN without
    both."""
    hit, miss = scores[hits], scores[~hits].sort().values
    if not len(hit) or not len(miss):
        return float("nan")
    below = torch.searchsorted(miss, hit).double()
    upto = torch.searchsorted(miss, hit, right=True).double()
    return ((below + upto) / 2 / len(miss)).mean().item()


@needs("maml")
def x007(e) -> Finding:
    """Who blows up?"""
    maml, alpha = e["maml"], 0.01
    sharp, lost = maml.tests["blow-up sharpness"], maml.tests["blow-up diverges"].bool()
    after = [area(s[1], hits) for s, hits in zip(sharp, lost)]
    before = [area(s[0], hits) for s, hits in zip(sharp, lost)]
    unstable = sharp[:, 1] > 2 / alpha
    below = int((lost & ~unstable).sum())
    told = min(after) > 0.95
    mean, limited = (maml.mean(test)[:, -1].mean().item() for test in ("blow-up", "limited"))
    median, limited_median = (
        maml.median(test)[:, -1].mean().item() for test in ("blow-up", "limited")
    )
    return finding(
        checks={"told apart": told, "none below": below == 0},
        here={
            "area after step 1, by seed": ", ".join(f"{a:.3f}" for a in after),
            "area before any step, by seed": ", ".join(f"{a:.3f}" for a in before),
            "diverged runs below 2 / alpha after step 1": f"{below} of {int(lost.sum())}",
            "others above 2 / alpha": over_seeds(
                (unstable & ~lost).double().sum(1) / (~lost).sum(1)
            ),
            "diverged": maml.lost("blow-up"),
            "diverged, alpha limited to 1 / sharpness": maml.lost("limited"),
            "mean, median after 10 steps": f"{mean:.3f}, {median:.3f}",
            "the same, alpha limited": f"{limited:.3f}, {limited_median:.3f}",
        },
        why="the sharpness after one step "
        f"tells them apart with an area of at least {min(after):.3f}, and {below} of "
        f"{int(lost.sum())} lie below 2 / alpha. With alpha at most 1 / sharpness "
        f"{maml.lost('limited').value:.2%} diverge instead of {maml.lost('blow-up').value:.2%}, "
        f"and the mean after ten steps is {limited:.2f} instead of {mean:.2f}, the median "
        f"{limited_median:.2f} instead of {median:.2f}.",
        protocol=f"{PROTOCOL}; K = 5, 10,000 waves used nowhere else",
        seeds=maml.seeds,
        experiments=("sinusoid",),
    )


def by_network(results: Mapping[str, Result]) -> dict[tuple[str, str], Tensor]:
    """The median of alpha x sharpness / 2 over tasks, by seed, of each (experiment, method)."""
    found: dict[tuple[str, str], list[Tensor]] = {}
    for result in results.values():
        at = result.setting["of"], result.setting["method"]
        found.setdefault(at, []).append(result.measured["reach"].median().double())
    return {at: torch.stack(medians) for at, medians in found.items()}


@needs("maml", "edge")
def x008(e) -> Finding | None:
    """Beyond sinusoids and MAML?"""
    found = by_network(e["edge"])
    if (images := found.get(ONE_SHOT)) is None:
        return None
    waves = edge(e["maml"])
    near = lambda values: bool(0.7 <= values.mean() <= 1.4)
    others = ", ".join(
        f"{values.mean():.2f} ({method}, {of})"
        for (of, method), values in found.items()
        if (of, method) != ONE_SHOT
    )
    return finding(
        checks={"waves": near(waves), "Omniglot": near(images)},
        here={
            "MAML on waves": over_seeds(waves),
            "MAML on Omniglot, 5-way 1-shot": over_seeds(images),
        }
        | {f"{method}, {of}": over_seeds(v) for (of, method), v in found.items()},
        why=f"the median of alpha x sharpness / 2, which is 1 at the edge, is {waves.mean():.2f} "
        f"on waves and {images.mean():.2f} on Omniglot; of others: {others}.",
        seeds=e["maml"].seeds,
        experiments=("sinusoid", "edge"),
    )


JUDGES = {"X006": x006, "X007": x007, "X008": x008}

"""Section 5.1's opponents: the oracle, and the pretrained network that is fine-tuned."""

from functools import partial

from mamlkit.audit.intervals import over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, SHOTS, needs, steps
from mamlkit.studies.sinusoid_measures import GRID

finding = partial(Finding, protocol=PROTOCOL, experiments=("sinusoid",))


def below_maml(e, k: int) -> bool:
    """Is the oracle, as it is, below MAML at every step?"""
    return bool((e["oracle"].tests[f"K={k} start"].mean() < e["maml"].mean(f"K={k}").mean(0)).all())


@needs("maml", "oracle")
def c025(e) -> Finding:
    """The oracle as an upper bound: of performance, so a lower bound of the error."""
    oracle, lost = e["oracle"], e["oracle"].lost("K=5")
    lowest = {k: e["maml"].mean(f"K={k}").mean(0).min().item() for k in SHOTS}
    start = {k: over_seeds(oracle.tests[f"K={k} start"]) for k in SHOTS}
    return finding(
        checks={f"K={k}": below_maml(e, k) for k in SHOTS},
        here={f"oracle, K={k}": start[k] for k in SHOTS}
        | {f"MAML's lowest mean, K={k}": lowest[k] for k in SHOTS}
        | {"oracle fine-tuned with alpha 0.01: diverged, K=5": lost},
        why=f"told amplitude and phase, the network's error is {start[5].value:.3f} before any "
        f"step, MAML's at least {min(lowest.values()):.3f}. It must not be fine-tuned: with MAML's "
        f"alpha {lost.value:.0%} of its runs diverge.",
        seeds=oracle.seeds,
    )


@needs("maml", "oracle")
def c036(e) -> Finding:
    """The oracle is near zero."""
    start = over_seeds(e["oracle"].tests["K=10 start"])
    return finding(
        checks={
            "near zero": start.value < 0.1,
            "below MAML": all(below_maml(e, k) for k in SHOTS),
        },
        here={"oracle network, before fine-tuning": start},
        why=f"told amplitude and phase, the network's error is {start.value:.3f} before any step.",
        seeds=e["oracle"].seeds,
    )


@needs("pretrained")
def c028(e) -> Finding:
    """The automatically tuned step size."""
    tried = {k: e["pretrained"].tests[f"K={k} tuning"].mean(0) for k in SHOTS}
    chosen = {k: GRID[int(t.argmin())] for k, t in tried.items()}
    legend = {5: 0.01, 10: 0.02, 20: 0.02}
    over = {k: (t[GRID.index(legend[k])] / t.min()).item() for k, t in tried.items()}
    return finding(
        checks={f"K={k}": over[k] <= 1.03 for k in SHOTS},
        here={f"tuned alpha, K={k}": chosen[k] for k in SHOTS}
        | {f"error at the legend's step over the best, K={k}": over[k] for k in SHOTS},
        why=f"tuning chose {', '.join(f'{a:g}' for a in chosen.values())} for K = 5, 10, 20.",
        seeds=e["pretrained"].seeds,
    )


@needs("pretrained")
def c031(e) -> Finding:
    """Does the pretrained network overfit?"""
    pretrained = e["pretrained"]
    mean, overfits = pretrained.mean("K=5"), overfitting(pretrained)
    end = mean[:, 10].mean()
    return finding(
        checks={"overfits": overfits, "inadequate": end.item() > 1},
        here=steps(mean, 1, 5, 10) | {"before": over_seeds(pretrained.tests["K=5 start"])},
        why=f"at the tuned step 0.005 the query error goes from {mean[:, 0].mean():.2f} to "
        f"{end:.2f}: it {'rises, overfitting.' if overfits else 'falls, too little.'}",
        seeds=pretrained.seeds,
    )


def overfitting(pretrained) -> bool:
    """Do ten steps fit the five points better and the new points worse?"""
    query, own = (pretrained.mean(test).mean(0) for test in ("K=5", "K=5 support"))
    return bool(query[10] > query[0] and own[10] < own[0])


@needs("pretrained")
def s104(e) -> Finding:
    """Does it fail completely?"""
    mean = e["pretrained"].mean("K=5")
    before, end = mean[:, 0].mean().item(), mean[:, 10].mean().item()
    return finding(
        checks={"fails completely": end >= before, "overfits": overfitting(e["pretrained"])},
        here=steps(mean, 1, 5, 10),
        why=f"ten tuned steps take its error from {before:.2f} to {end:.2f}: "
        + ("a start that fails." if end >= before else "a poor start that improves."),
        seeds=e["pretrained"].seeds,
    )


JUDGES = {"C025": c025, "C028": c028, "C031": c031, "C036": c036, "S104": s104}

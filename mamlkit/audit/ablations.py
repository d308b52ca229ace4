"""Section 5.1's trainings in which one thing differs: a learned alpha, the support as query, wider
networks. Medians over all runs decide here."""

from functools import partial

from mamlkit.audit.intervals import over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, high, low, needs

finding = partial(Finding, protocol=PROTOCOL, experiments=("sinusoid", "sinusoid-ablations"))


def median(e, name: str, step: int):
    """The median error at K = 5 after some steps, by seed."""
    return e[name].median("K=5")[:, step]


@needs("maml", "learned-alpha", "identities")
def c013(e) -> Finding:
    """A meta-learned alpha."""
    gain = over_seeds(median(e, "learned-alpha", 1) - median(e, "maml", 1))
    learned = [p["alpha"].item() for p in e["learned-alpha"].params]
    gap = e["identities"]["alpha"]
    return finding(
        checks={"differentiable": gap < 1e-6, "at least as good": high(gain) < 0.05},
        here={
            "learned alpha, by seed": ", ".join(f"{a:.4f}" for a in learned),
            "median MSE after 1 step, K=5, learned minus fixed": gain,
            "gap to finite differences": f"{gap:.0e}",
        },
        why=f"one learned alpha for all parameters ends at {sum(learned) / len(learned):.3f} and "
        f"changes the median error after one step by {gain.value:+.3f}.",
        seeds=e["learned-alpha"].seeds,
    )


@needs("maml", "support-as-query", "identities")
def c018(e) -> Finding:
    """A query set of its own."""
    ours, reused = median(e, "maml", 1), median(e, "support-as-query", 1)
    costs = over_seeds(reused - ours)
    return finding(
        checks={"disjoint": e["identities"]["disjoint"], "separate sets matter": low(costs) > 0},
        here={
            "median MSE after 1 step, K=5, query = support in training": reused.mean().item(),
            "separate": ours.mean().item(),
            "difference": costs,
        },
        why=f"meta-training on the support itself gives {reused.mean():.2f} after one step instead "
        f"of {ours.mean():.2f}.",
        seeds=e["support-as-query"].seeds,
    )


@needs("maml", "2x100", "3x100", "alpha-0.001")
def c039(e) -> Finding:
    """Larger networks."""
    names = ("maml", "2x100", "3x100", "alpha-0.001")
    at = {name: median(e, name, 10) for name in names}
    gains = {name: over_seeds(at[name] - at["maml"]) for name in ("2x100", "3x100")}
    return finding(
        checks={name: high(gain) < 0 for name, gain in gains.items()},
        here={f"median MSE after 10 steps, K=5, {n}": v.mean().item() for n, v in at.items()}
        | {f"{name} minus 2x40": gain for name, gain in gains.items()},
        why=f"ten steps on five points end at {at['maml'].mean():.3f} (2x40), "
        f"{at['2x100'].mean():.3f} (2x100) and {at['3x100'].mean():.3f} (3x100).",
        seeds=e["3x100"].seeds,
        experiments=("sinusoid", "sinusoid-wider", "sinusoid-ablations"),
    )


JUDGES = {"C013": c013, "C018": c018, "C039": c039}

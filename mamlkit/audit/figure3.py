"""Section 5.1, Figure 3: how far each gradient step gets.

One statistic decides all claims that read the test waves of Figure 3: the mean over the runs that
do not diverge. The share of the others is a number of its own."""

from functools import partial

from mamlkit.audit.intervals import holm, over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.sinusoid_evidence import PROTOCOL, SHOTS, high, low, needs, share, steps
from mamlkit.studies.sinusoid_measures import MULTIPLES

PAPER = {1: (0.67, 0.15), 5: (0.38, 0.10), 10: (0.35, 0.10)}  # Table 2, and how near is near
finding = partial(Finding, protocol=PROTOCOL, experiments=("sinusoid",))


def plural(step: int) -> str:
    """A number of steps in words."""
    return f"{step} step{'s' * (step > 1)}"


@needs("maml")
def c003(e) -> Finding:
    """Good generalisation after a small number of steps."""
    maml = e["maml"]
    mean, before = maml.mean("K=5"), maml.tests["K=5 start"]
    falls = all(p[0] < 0.01 for p in maml.pvalues("K=5")) and bool((mean[:, 1] < mean[:, 0]).all())
    return finding(
        checks={
            "query falls": falls,
            "still lower at ten": bool((mean[:, 2:].amax(1) < mean[:, 0]).all()),
        },
        here={
            "query MSE, K=5, 0 and 1 step": f"{before.mean():.2f}, {mean[:, 1].mean():.2f}",
            "mean at 10 steps": over_seeds(mean[:, 10]),
            "median at 10 steps": maml.median("K=5")[:, 10].mean().item(),
            "diverged within 10 steps": maml.lost("K=5"),
        },
        why=f"the held-out error falls from {before.mean():.2f} to {mean[:, 1].mean():.2f} in one "
        f"step on five points, and is {mean[:, 10].mean():.2f} after ten.",
        seeds=maml.seeds,
    )


@needs("maml")
def c024(e) -> Finding:
    """A hundred steps."""
    maml = e["maml"]
    mean, median, lost = (f("K=10 long") for f in (maml.mean, maml.median, maml.lost))
    lowest = {k: maml.median(f"K={k} long").mean(0)[1:].argmin().item() + 1 for k in (5, 10)}
    return finding(
        checks={
            "a hundred steps": bool((mean[:, -1] < mean[:, 1]).all()),
            "no divergence": lost.high < 0.01,
        },
        here={
            "mean error after 1 and 100 steps, K=10": f"{mean[:, 1].mean():.3f}, "
            f"{mean[:, -1].mean():.3f}",
            "median": f"{median[:, 1].mean():.3f}, {median[:, -1].mean():.3f}",
            "diverged, K=10": lost,
            "diverged, K=5": maml.lost("K=5 long"),
            "step with the lowest median, K=5 and 10": f"{lowest[5]}, {lowest[10]}",
        },
        why=f"at K = 10 a hundred steps take the mean error from {mean[:, 1].mean():.2f} (1 step) "
        f"to {mean[:, -1].mean():.2f}, the median from {median[:, 1].mean():.2f} to "
        f"{median[:, -1].mean():.2f}; {lost.value:.2%} of the runs diverge.",
        protocol=f"{PROTOCOL}; 2,000 of the test waves",
        seeds=maml.seeds,
    )


@needs("maml")
def c026(e) -> Finding:
    """Table 2's three numbers."""
    maml = e["maml"]
    mean = maml.mean("K=5")
    found = {s: mean[:, s].mean().item() for s in PAPER}
    near = {s: abs(found[s] - value) <= band for s, (value, band) in PAPER.items()}
    ours = ", ".join(f"{v:.2f}" for v in found.values())
    return finding(
        checks={"one step": near[1], "five steps": near[5], "ten steps": near[10]},
        here=steps(mean, 1, 5, 10)
        | {
            "diverged within 10 steps": maml.lost("K=5"),
            "median after 1, 5 and 10 steps": ", ".join(
                f"{maml.median('K=5')[:, s].mean():.3f}" for s in PAPER
            ),
            "per seed, 1 step": ", ".join(f"{v:.3f}" for v in mean[:, 1]),
        },
        why=f"after 1, 5 and 10 steps the mean error is {ours} where the paper has 0.67, 0.38, "
        f"0.35: {sum(near.values())} of the three within the margin; the medians are "
        + ", ".join(f"{maml.median('K=5')[:, s].mean():.2f}" for s in PAPER)
        + ".",
        seeds=maml.seeds,
    )


@needs("maml", "pretrained")
def c027(e) -> Finding:
    """MAML against fine-tuning the pretrained network."""
    maml, pretrained = e["maml"], e["pretrained"]
    means = {k: pretrained.mean(f"K={k}") / maml.mean(f"K={k}") for k in SHOTS}
    ratio = {k: [over_seeds(means[k][:, s]) for s in range(1, 11)] for k in SHOTS}
    lowest = min(low(r) for k in SHOTS for r in ratio[k])
    medians = pretrained.median("K=5")[:, 10] / maml.median("K=5")[:, 10]
    ten = ratio[5][-1]
    return finding(
        checks={"three times at K=5": ten.value > 3, "everywhere lower": lowest > 1},
        here={
            "ratio at step 10, K=5": ten,
            "lowest ratio, any K and step": lowest,
            "ratio of medians at step 10, K=5": over_seeds(medians),
            "pretrained with Adam 0.01, mean at step 10, K=5": over_seeds(
                pretrained.mean("K=5 Adam")[:, 10]
            ),
        },
        why=f"MAML's mean error is {ten.value:.1f} times smaller at K = 5 after ten steps, and at "
        f"every K and step at least {lowest:.2f} times (lower end).",
        seeds=maml.seeds,
    )


def worse_steps(maml) -> list[list[int]]:
    """For each seed the steps, from 2 on, after which the mean error is higher than before, to a
    corrected p below 0.05."""
    changes = maml.tests["K=5 change"][:, 1:].tolist()
    corrected = [holm(p[1:]) for p in maml.pvalues("K=5")]
    return [
        [s + 2 for s, (c, p) in enumerate(zip(change, ps)) if c > 0 and p < 0.05]
        for change, ps in zip(changes, corrected)
    ]


def c029_checks(maml) -> dict[str, bool]:
    """Does the error keep falling while the steps go on?"""
    mean = maml.mean("K=5")
    return {
        "no step hurts": not any(worse_steps(maml)),
        "better after five": bool((mean[:, 5] < mean[:, 1]).all()),
        "better after ten": bool((mean[:, 10] < mean[:, 1]).all()),
    }


@needs("maml")
def c029(e) -> Finding:
    """Does it continue to improve?"""
    maml = e["maml"]
    mean, lost = maml.mean("K=5"), maml.lost("K=5")
    better, worst = maml.tests["K=5 better"][:, 10].mean(), mean.mean(0)[2:].max()
    return finding(
        checks=c029_checks(maml),
        here=steps(mean, 1, 5, 10)
        | {
            "highest mean of steps 2 to 10": worst.item(),
            "waves that ten steps fit better than one": over_seeds(maml.tests["K=5 better"][:, 10]),
            "diverged within 10 steps": lost,
            "steps that hurt significantly, by seed": str(worse_steps(maml)),
        },
        why=f"ten steps improve {better:.0%} of the waves and take the mean from "
        f"{mean[:, 1].mean():.2f} to {mean[:, 10].mean():.2f}, with up to {worst:.2f} in "
        f"between; {lost.value:.2%} of the runs diverge.",
        seeds=maml.seeds,
    )


@needs("maml")
def c030(e) -> Finding:
    """Without overfitting?"""
    maml = e["maml"]
    tasks, mean = maml.tests["K=5 tasks"], maml.mean("K=5")
    both = maml.tests["overfit"] / tasks
    strong = over_seeds(maml.tests["overfit by half"] / tasks)
    here = over_seeds(both)
    return finding(
        checks={
            "few tasks overfit": high(here) < 0.05,
            "the mean does not": bool((mean[:, 10] <= mean[:, 1]).all()),
        },
        here={
            "waves fitted worse though their points are fitted better, steps 1 to 10": here,
            "worst seed": share(maml.tests["overfit"][both.argmax()], tasks[both.argmax()]),
            "worse by more than half": strong,
        },
        why=f"on {here.value:.1%} of the waves ten steps fit the five points better and the wave "
        f"worse than one step did, on {strong.value:.1%} by more than half; the mean error falls.",
        seeds=maml.seeds,
    )


@needs("maml")
def c035(e) -> Finding:
    """A region in which step sizes work."""
    maml = e["maml"]
    trained = maml.median("K=10 alpha x 1")[:, 1]
    lowest = {m: maml.median(f"K=10 alpha x {m:g}")[:, 1:].amin(1) for m in MULTIPLES}
    works = {m: bool((lowest[m] < trained).all()) for m in MULTIPLES}
    lost = {m: maml.lost(f"K=10 alpha x {m:g}") for m in MULTIPLES}
    good = ", ".join(f"{m:g}" for m in works if works[m])
    return finding(
        checks={"a region": all(works[m] for m in (0.25, 0.5, 1.0, 2.0))},
        here={
            f"lowest median within ten steps, alpha x {m:g}": over_seeds(v)
            for m, v in lowest.items()
        }
        | {f"diverged, alpha x {m:g}": v for m, v in lost.items()},
        why=f"the best of ten steps beats the one step trained for at alpha times {good}; "
        f"{lost[2.0].value:.1%} of the runs diverge at twice the size.",
        protocol=f"{PROTOCOL}; K = 10, 2,000 of the test waves, medians over all runs",
        seeds=maml.seeds,
    )


@needs("maml")
def c037(e) -> Finding:
    """More points, smaller errors."""
    maml = e["maml"]
    mean = {k: maml.mean(f"K={k}")[:, 1:] for k in SHOTS}
    ends = ", ".join(f"{mean[k][:, -1].mean():.3f} at K = {k}" for k in SHOTS)
    return finding(
        checks={
            "20 below 10": bool((mean[20] < mean[10]).all()),
            "10 below 5": bool((mean[10] < mean[5]).all()),
        },
        here={
            f"mean MSE, 1 and 10 steps, K={k}": f"{m[:, 0].mean():.3f}, {m[:, -1].mean():.3f}"
            for k, m in mean.items()
        },
        why=f"after ten steps the mean error is {ends}.",
        seeds=maml.seeds,
    )


@needs("maml", "pretrained")
def c038(e) -> Finding:
    """Appendix B: the first twelve waves, none chosen."""
    ours, theirs = (e[m].tests["first twelve"][0, :, -1] for m in ("maml", "pretrained"))
    nearer = int((ours < theirs).sum())
    return finding(
        checks={"ten of twelve": nearer >= 10},
        here={"MAML nearer to the wave": f"{nearer} of 12"},
        why=f"after ten steps on five points MAML's curve is nearer on {nearer} of the first 12 "
        "test waves.",
        seeds=e["maml"].seeds,
    )


@needs("maml")
def s105(e) -> Finding:
    """Low error after one or two steps, and continuing to improve."""
    mean, checks = e["maml"].mean("K=5"), c029_checks(e["maml"])
    if all(checks.values()):
        then = "so does the improving"
    elif checks["better after ten"]:
        then = "it is lower after ten, but not lower after each step between"
    else:
        then = "the improving does not (C029)"
    return finding(
        checks={
            "one or two steps": abs(mean[:, 1].mean().item() - 0.67) <= 0.15,
            "continues": all(checks.values()),
        },
        here=steps(mean, 1, 5, 10),
        why=f"the low error after one step holds; {then}.",
        seeds=e["maml"].seeds,
    )


@needs("maml")
def s214(e) -> Finding:
    """Most of it in one step."""
    mean = e["maml"].mean("K=10")
    first = (mean[:, 0] - mean[:, 1]) / (mean[:, 0] - mean[:, 10])
    return finding(
        checks={"most in one step": bool((first >= 0.8).all())},
        here={"share of the fall in step 1, mean, K=10": over_seeds(first)},
        why=f"of the fall of the mean error in ten steps, the first makes {first.mean():.0%}.",
        seeds=e["maml"].seeds,
    )


JUDGES = {
    "C003": c003,
    "C024": c024,
    "C026": c026,
    "C027": c027,
    "C029": c029,
    "C030": c030,
    "C035": c035,
    "C037": c037,
    "C038": c038,
    "S105": s105,
    "S214": s214,
    "S301": c003,
}

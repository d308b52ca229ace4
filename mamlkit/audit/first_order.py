"""The judges of section 5.2's first-order approximation: nearly the same, cheaper, and why."""

from collections.abc import Callable, Mapping

from torch import Tensor

from mamlkit.audit.first_order_evidence import (
    LABELS,
    Evidence,
    evidence,
    saved,
    time_saved,
)
from mamlkit.audit.intervals import Interval, bootstrap, equivalence, over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.bank.experiment import Result
from mamlkit.machine import seeded
from mamlkit.studies import first_order, images
from mamlkit.studies.first_order import ALPHAS
from mamlkit.studies.image_measures import QUERIES
from mamlkit.studies.image_methods import step_size
from mamlkit.studies.omitted import ACTIVATIONS, NETWORKS

__all__ = ["JUDGES", "Evidence", "evidence"]

MARGIN = 1.0  # points: what "nearly the same" is taken to mean, fixed before any run
EACH = ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot")  # C070's settings
WEIGHED = ("5-way 1-shot", "miniImagenet, 5-way 1-shot")  # whose memory C074 reads and S216 names
MIB = 2**20


def inside(gap: Interval) -> bool:
    """Is the interval within the margin that counts as nearly the same?"""
    return -MARGIN < gap.low and gap.high < MARGIN


def c069(e: Evidence) -> Finding | None:
    """Second derivatives are a significant expense."""
    operations, seconds = saved(e), time_saved(e)
    if len(operations) < len(LABELS) or not seconds:
        return None
    return Finding(
        {"operations": min(operations.values()) > 25, "time": min(seconds.values()) > 25},
        {f"operations saved, {n}, %": x for n, x in operations.items()}
        | {f"time saved, {n}, %": x for n, x in seconds.items()},
        f"second derivatives are {_span(operations)} % of the operations and "
        f"{_span(seconds)} % of the time, in {len(seconds)} settings timed.",
        "operations of one task, counted; seconds: uncompiled, one task at a time, on cpu, "
        "1 threads",
        experiments=("counting",),
    )


def _span(numbers: Mapping[str, float]) -> str:
    return f"{min(numbers.values()):.0f} to {max(numbers.values()):.0f}"


def c073(e: Evidence) -> Finding | None:
    """The speed-up of roughly 33 %."""
    operations = saved(e)
    if len(operations) < len(LABELS):
        return None
    mini = operations["miniImagenet, 5-way 1-shot"]
    away = [name for name, x in operations.items() if not 28 <= x <= 38]
    return Finding(
        {"miniImagenet 1-shot": 28 <= mini <= 38, "everywhere": not away},
        {"saved": mini, **operations},
        f"{mini:.1f} % in miniImagenet 5-way 1-shot, {_span(operations)} % over Table 1: "
        f"{len(away)} of {len(operations)} settings are outside 28 to 38 %.",
        "operations of one task's meta-gradient, counted",
        experiments=("counting",),
    )


def slopes(e: Evidence, setting: str) -> Tensor:
    """MiB that each inner step adds: (order, 2), the peak and what is kept."""
    sizes = e.counted[setting]["bytes"].float() / MIB
    return (sizes[-1] - sizes[0]) / (e.lengths[-1] - e.lengths[0])


def c074(e: Evidence) -> Finding | None:
    """First order drops the additional backward pass."""
    if not set(WEIGHED) <= e.counted.keys():
        return None
    rises = {name: slopes(e, name).tolist() for name in WEIGHED}
    orders = ("second order", "first order")
    return Finding(
        {
            "first order is flat": all(r[1][1] < 0.1 * r[0][1] for r in rises.values()),
            "second order grows": all(r[0][1] > 0 for r in rises.values()),
        },
        {f"{n}, MiB a step, {o}": x[1] for n, r in rises.items() for o, x in zip(orders, r)}
        | {
            f"{n}, peak of the whole meta-gradient, MiB a step, {o}": x[0]
            for n, r in rises.items()
            for o, x in zip(orders, r)
        },
        "each inner step adds "
        + " and ".join(
            f"{r[0][1]:.1f} MiB with second derivatives, {r[1][1]:.2g} without ({n})"
            for n, r in rises.items()
        )
        + ".",
        "bytes of tensors kept for the backward pass of one task's loss after adapting, where they "
        "are most, at its end; 1 to 10 steps, counted without numbers",
        experiments=("counting",),
    )


def peaks(e: Evidence) -> dict[str, float]:
    """The peak memory of second order over that of first order at the most inner steps, by
    setting."""
    most = {name: c["bytes"][-1, :, 0].double() for name, c in e.counted.items()}
    return {name: (second / first).item() for name, (second, first) in most.items()}


def s216(e: Evidence) -> Finding | None:
    """Second order is memory-intensive."""
    times = peaks(e)
    if len(times) < len(LABELS):
        return None
    many = sum(x >= 3 for x in times.values())
    ends = ", ".join(f"{times[n]:.1f} in {n}" for n in WEIGHED)
    return Finding(
        {"somewhere": many > 0, "everywhere": many == len(times)},
        {f"ratio, {n}": x for n, x in times.items()},
        f"second order's peak is three times first order's or more in {many} of {len(times)} "
        f"settings ({ends}); elsewhere the queries or the weights are most of both.",
        f"most bytes held at one time, one task, {e.lengths[-1]} steps",
        experiments=("counting",),
    )


PAPERS = "convolutions, batch norm", "ReLU"  # the paper's network


def c072(e: Evidence) -> Finding | None:
    """The second derivatives of ReLU networks are close to zero."""
    if len(e.along) < len(NETWORKS) * len(ACTIVATIONS):
        return None
    sizes = {key: found["omitted"][:, 0].tolist() for key, found in e.along.items()}
    relu = [x for (_, activation), path in sizes.items() if activation == "ReLU" for x in path]
    at = {place: found["omitted"][:, 0].tolist() for place, found in e.gradients.items()}
    if "trained" in at:
        relu.append(at["trained"][ALPHAS.index(0.4)])
    special = {
        name: all(
            ours < other
            for activation in ("tanh", "softplus")
            for ours, other in zip(sizes[name, "ReLU"], sizes[name, activation])
        )
        for name in NETWORKS
    }
    start = e.along[PAPERS]["omitted"][0]
    here = {f"{n}, {a}, start and end": f"{p[0]:.2f}, {p[-1]:.2f}" for (n, a), p in sizes.items()}
    here |= {
        "convolutions, ReLU, start: by the loss's curvature alone": start[1].item(),
        "of the mean over the tasks": e.along[PAPERS]["of the mean"][0].item(),
    }
    if "start" in at:
        here["with the authors' step, 5 alpha"] = at["start"][ALPHAS.index(2.0)]
    here["cosine of the two gradients"] = start[3].item()
    if "trained" in at:
        here["in the trained network"] = at["trained"][ALPHAS.index(0.4)]
    fails = "the explanation fails where tested: " if max(relu) >= 0.1 else ""
    return Finding(
        {"close to zero": max(relu) < 0.1, "ReLU is special": all(special.values())},
        here,
        f"{fails}with ReLUs the omitted term is {min(relu):.1f} to {max(relu):.1f} times the kept "
        f"one; it is the smallest of the three activations in {sum(special.values())} of "
        f"{len(special)} networks.",
        "mean over 100 training tasks of omniglot, 5-way 1-shot, one step of alpha 0.4 on the mean "
        "loss, at the start and along 100 iterations by MAML",
        experiments=("omitted-term", "two-gradients"),
    )


def _gaps(e: Evidence) -> dict[str, Interval] | None:
    """What second derivatives add in each of C070's settings, over the seeds common to all; None
    unless all have run."""
    if not set(EACH) <= e.pairs.keys():
        return None
    common = set.intersection(*(set(e.pairs[s].seeds) for s in EACH))
    keep = lambda pair: [i for i, seed in enumerate(pair.seeds) if seed in common]
    return {s: equivalence(e.pairs[s].gap()[keep(e.pairs[s])]) for s in EACH} if common else None


def _gap_words(gaps: Mapping[str, Interval]) -> str:
    parts = (f"{i.value:+.2f} [{i.low:+.2f}, {i.high:+.2f}] ({s})" for s, i in gaps.items())
    return f"second order minus first, with intervals of 90 %: {', '.join(parts)}."


def _of_gaps(e: Evidence, checks, here, why, more: tuple[str, ...] = ()) -> Finding:
    ran = [s for s in EACH if s in e.pairs]
    names = dict.fromkeys(name for s in ran for name in e.pairs[s].experiments)
    seeds = sorted(set.intersection(*(set(e.pairs[s].seeds) for s in ran)))
    shares = ", ".join(f"{100 * e.pairs[s].share:.0f} % ({s})" for s in ran)
    protocol = f"15 queries a class, together; of the paper's training tasks {shares}"
    share = min(e.pairs[s].share for s in ran)
    return Finding(checks, here, why, protocol, seeds, (*names, *more), share)


def c070(e: Evidence) -> Finding | None:
    """First order performs nearly the same."""
    if (gaps := _gaps(e)) is None:
        return None
    other = {
        f"{s}, support's statistics": equivalence(e.pairs[s].gap("support only")) for s in EACH
    }
    return _of_gaps(e, {s: inside(gaps[s]) for s in EACH}, gaps | other, _gap_words(gaps))


def s108(e: Evidence) -> Finding | None:
    """Almost identical, with a third saved."""
    gaps, speed = _gaps(e), c073(e)
    if gaps is None or speed is None:
        return None
    here = gaps | {"operations saved, least and most, %": _span(saved(e))}
    checks = {"C070": all(map(inside, gaps.values())), "C073": all(speed.checks.values())}
    return _of_gaps(e, checks, here, _gap_words(gaps), ("counting",))


def s205(e: Evidence) -> Finding | None:
    """Far cheaper and often nearly as effective. Half of the settings decide it before all have
    run."""
    gaps = {s: equivalence(e.pairs[s].gap()) for s in EACH if s in e.pairs}
    enough = 2 * sum(map(inside, gaps.values())) >= len(EACH)
    if not e.counted or not (enough or len(gaps) == len(EACH)):
        return None
    cost = {n: float(c["operations"][0] / c["operations"][1]) for n, c in e.counted.items()}
    here = {f"operations, second over first, {n}": x for n, x in cost.items()} | gaps
    checks = {"cheaper": min(cost.values()) > 1.5, "nearly as effective": enough}
    least = min(cost, key=lambda n: cost[n])
    why = f"{cost[least]:.2f} times cheaper in {least}; {_gap_words(gaps)}"
    return _of_gaps(e, checks, here, why, ("counting",))


def improvement(e: Evidence) -> tuple[dict[str, Interval], Interval] | None:
    """Accuracy of joint training and the two orders, in percent; and the share of second order's
    improvement over joint training that first order has. None unless all three have run."""
    pair = e.alike
    if pair is None or e.joint is None or 0 not in pair.seeds:
        return None
    at = pair.seeds.index(0)
    parts = {
        "joint training": e.joint,
        "first order": pair.first["together"][at : at + 1],
        "second order": pair.second["together"][at : at + 1],
    }
    n = min(x.shape[1] for x in parts.values())
    means = {name: x[:, :n].mean(1) for name, x in parts.items()}
    gain = {name: means[name] - means["joint training"] for name in parts}
    share = over_seeds(gain["first order"] / gain["second order"])
    return {name: bootstrap(x[:, :n], seeded(1)) for name, x in parts.items()}, share


def c071(e: Evidence) -> Finding | None:
    """Most of the improvement comes from gradients at the post-update parameters."""
    pair = e.alike
    if (found := improvement(e)) is None or pair is None or "start" not in e.gradients:
        return None
    accurate, share = found
    untrained = e.gradients["start"]["right"][:, 3].float().mean().item() / 75 * 100
    return Finding(
        {"most": (share.low if share.low == share.low else share.value) > 0.5},
        {**accurate, "an untrained network, adapted": untrained, "share of first order": share},
        ", ".join(f"{name} {x.value:.1f}" for name, x in accurate.items())
        + f" %: first order has {share.value:.0%} of the improvement.",
        f"5-way 1-shot, {100 * pair.share:.0f} % of the paper's training tasks, one seed, the same "
        "iterations; 600 test tasks, 15 queries a class, together",
        experiments=(*pair.experiments, first_order.JOINT.name),
        share=pair.share,
    )


def by_step(found: Result) -> Tensor:
    """Accuracy in percent by step size at test and inner steps: (times, steps + 1)."""
    return 100 * found.measured["right"].float().mean(1) / (found.setting["way"] * QUERIES)


def s218(e: Evidence) -> Finding | None:
    """Sensitive to the step size and the number of steps."""
    if e.steps is None:
        return None
    s, accurate = e.steps.setting, by_step(e.steps)
    times, test = s["times"], s["test"]
    window = accurate[[times.index(m) for m in (0.5, 1.0, 2.0)], test]
    spread, whole = ((x.max() - x.min()).item() for x in (window, accurate[:, test]))
    return Finding(
        {"range": spread > 2, "somewhere": whole > 2},
        {f"alpha x {m:g}": accurate[i, test].item() for i, m in enumerate(times)}
        | {"range over 1/2 to 2, points": spread, "range over 1/8 to 8, points": whole}
        | {f"alpha x 1, {k} steps": accurate[times.index(1.0), k].item() for k in (1, 2, 3, 5)},
        "at test, between half and twice the step that it was trained with, accuracy ranges over "
        f"{spread:.1f} points, from 1/8 to 8 of it over {whole:.0f}.",
        f"{s['tasks']} tasks x {s['iterations']:,} iterations, alpha {step_size(s):g} on the mean "
        f"loss; {s['tests']} test tasks, {test} steps at test",
        experiments=(first_order.STEP_SIZES.name, first_order.TRAINED[s["method"]]),
        share=images.share(s, "omniglot-5w1s"),
    )


JUDGES: dict[str, Callable[[Evidence], Finding | None]] = {
    "C069": c069,
    "C070": c070,
    "C071": c071,
    "C072": c072,
    "C073": c073,
    "C074": c074,
    "S108": s108,
    "S205": s205,
    "S216": s216,
    "S218": s218,
}

"""The judges of section 5.3's 2D navigation: Figure 4, what happens at each update, Table 4."""

from mamlkit.audit import navigation_details
from mamlkit.audit.intervals import Interval
from mamlkit.audit.judging import Finding, Judge
from mamlkit.audit.navigation_evidence import AUTHORS, Evidence, evidence, interval

__all__ = ["JUDGES", "evidence"]

OWN = ("navigation",)
ORDER = (("oracle", "maml"), ("maml", "pretrained"), ("pretrained", "random"))
NAMES = {"maml": "MAML", "pretrained": "pretrained", "random": "random", "oracle": "oracle"}


def signed(i: Interval) -> str:
    """An interval in words: "+2.9 (+1.3 to +4.5)"."""
    return f"{i.value:+.1f} ({i.low:+.1f} to {i.high:+.1f})"


def protocol(e: Evidence) -> str:
    """How the returns on this page were measured."""
    s = e.settings["maml"]
    chosen = ", ".join(f"{m} {e.step[m]:g}" for m in ("maml", "pretrained", "random"))
    return (
        f"{s['iterations']} meta-updates of {s['tasks']} tasks and {s['rollouts']} rollouts, "
        f"curvature from each tenth sample, alpha {s['alpha']:g}, halved after the first step; "
        f"best snapshot on validation goals; {s['goals']} goals of the authors, {s['walks']} "
        f"rollouts before each update; every walk begun counts; step sizes: {chosen}; "
        "intervals by Student's t over seeds"
    )


def better_rival(e: Evidence) -> str:
    """The pretrained policy with the step size chosen for one update, or for four: whichever is
    better after one."""
    ways = ("pretrained", "pretrained, one step")
    return max(ways, key=lambda m: e.after(m, 1).value)


def judge_one_update(e: Evidence) -> Finding:
    """C100: "adapts much more quickly in a single gradient update"."""
    before, after, lead = (
        e.after("maml", 0),
        e.after("maml", 1),
        e.above("maml", better_rival(e), 1),
    )
    return Finding(
        {"return": after.value >= -15, "above pretrained": lead.low > 0},
        {
            "return before": before,
            "return after 1 update": after,
            "return, pretrained after 1 update": e.after("pretrained, one step", 1),
            "MAML minus pretrained": lead,
        },
        f"one update takes MAML from {before.value:.1f} to {after.value:.1f}, {signed(lead)} above "
        "the pretrained policy.",
        protocol(e) + f"; pretrained {e.step['pretrained, one step']:g} for one step",
        e.seeds(),
        OWN,
    )


def judge_more_updates(e: Evidence) -> Finding:
    """C101: "continues to improve with additional updates"."""
    gain = {k: interval(e.returns("maml", k) - e.returns("maml", k - 1)) for k in (1, 2, 3, 4)}
    return Finding(
        {name: gain[k].low > 0 for name, k in (("second", 2), ("third", 3), ("fourth", 4))},
        {f"return after {k} updates": e.after("maml", k) for k in (2, 3, 4)}
        | {f"gain of update {k}": i for k, i in gain.items()},
        f"the gain of the second update is {signed(gain[2])}, of the third {signed(gain[3])}, of "
        f"the fourth {signed(gain[4])}.",
        protocol(e),
        e.seeds(),
        OWN,
    )


def judge_order(e: Evidence) -> Finding:
    """C102: the order of Figure 4."""
    pairs = {
        f"{NAMES[a]} above {NAMES[b]}": {k: e.above(a, b, k) for k in (1, 2, 3, 4)}
        for a, b in ORDER
    }
    told = "; ".join(
        f"{name} by " + ", ".join(f"{i.value:+.1f}" for i in found.values())
        for name, found in pairs.items()
    )
    close = pairs["MAML above pretrained"]
    return Finding(
        {name: all(i.low > 0 for i in found.values()) for name, found in pairs.items()},
        {
            "return, oracle": e.after("oracle", 0),
            "return, random after 1 update": e.after("random", 1),
            "return, random after 3 updates": e.after("random", 3),
            "return, pretrained after 3 updates": e.after("pretrained", 3),
        }
        | {f"{name}, after {k}": i for name, found in pairs.items() for k, i in found.items()},
        f"differences after 1 to 4 updates: {told}. MAML's lead over the pretrained policy is "
        f"{signed(close[3])} after three updates and {signed(close[4])} after four.",
        protocol(e),
        e.seeds(),
        OWN,
    )


def judge_trajectories(e: Evidence) -> Finding:
    """C103: "each with 40 samples"."""
    first, fourth = (e.returns("maml", k, "walks").mean().item() for k in (0, 3))
    return Finding(
        {"first": 36 <= first <= 44, "fourth": 36 <= fourth <= 44},
        {"trajectories": first, "trajectories before the fourth update": fourth},
        f"4,000 environment steps hold {first:.0f} walks before the first update and {fourth:.0f} "
        "before the fourth, where walks end early.",
        protocol(e),
        e.seeds(),
        OWN,
    )


def judge_walks(e: Evidence) -> Finding:
    """C121: Figure 4, bottom: where the walks end after three updates."""
    ours, theirs = (e.after(m, 3, "end") for m in ("maml", "pretrained"))
    nearer = interval(e.returns("maml", 3, "end") - e.returns("pretrained", 3, "end"))
    words = "spread" if theirs.value > 0.1 else "at the goal as well, not spread"
    return Finding(
        {
            "nearer": nearer.high < 0,
            "at the goal": ours.value < 0.1,
        },
        {
            "distance at the end, MAML": ours,
            "distance at the end, pretrained": theirs,
            "difference": nearer,
        },
        f"after three updates MAML's walks end {ours.value:.3f} from the goal, the pretrained "
        f"policy's {theirs.value:.3f}: {words}.",
        protocol(e),
        e.seeds(),
        OWN,
    )


def share_of_oracle(e: Evidence, updates: int, way: str = "begun", oracle=None) -> float:
    """Which part of the way from before the first update to the oracle's return is covered."""
    start, now = (e.after("maml", k, way).value for k in (0, updates))
    return (now - start) / ((e.after("oracle", 0, way).value if oracle is None else oracle) - start)


def judge_two_updates(e: Evidence) -> Finding:
    """S109: "within one or two policy updates"."""
    mine = {k: share_of_oracle(e, k) for k in (1, 2, 3)}
    counted = share_of_oracle(e, 2, "finished")
    against = share_of_oracle(e, 2, "finished", AUTHORS["oracle"][0])
    return Finding(
        {"two updates": mine[2] >= 0.9, "as the authors count": against >= 0.9},
        {f"share of the oracle's gain after {k}": v for k, v in mine.items()}
        | {
            "after 2, counted as the authors count": counted,
            "after 2, counted so, against their oracle": against,
        },
        f"one update covers {mine[1]:.0%} of the way to our oracle's return, two cover "
        f"{mine[2]:.0%}; counted as the authors count {counted:.0%}, and {against:.0%} of the way "
        "to their oracle's.",
        protocol(e),
        e.seeds(),
        OWN,
    )


def judge_context(e: Evidence) -> Finding | None:
    """C140: "the context vector performed well on the toy pointmass problem"."""
    if "context" not in e.walks:
        return None
    each = ", ".join(f"{r:.1f}" for r in e.returns("context, one step", 1).mean(1))
    behind = e.above("maml", "context", 3)
    ahead = e.above("context, one step", "pretrained, one step", 1)
    one, three = e.after("context, one step", 1), e.after("context", 3)
    sizes = ", ".join(f"{a:g}" for a in e.tuning["context"][0])
    tried = ", ".join(f"{a:g} ({r:.1f})" for a, r in e.contexts.items())
    return Finding(
        {"like MAML": behind.value <= 3, "above pretrained": ahead.low > 0},
        {
            "return before": e.after("context", 0),
            "return after 1 update": one,
            "return after 2 updates": e.after("context", 2),
            "return after 3 updates": three,
            "MAML minus context after 3": behind,
            "context minus pretrained after 1": ahead,
            "after 1 update, each training": each,
        },
        f"adapting five numbers returns {one.value:.1f} after one update and {three.value:.1f} "
        f"after three, {behind.value:.1f} behind MAML; its trainings return {each} after one.",
        f"{protocol(e)}; context of 5 trained with alpha {e.settings['context']['alpha']:g}, the "
        f"best return on validation goals after one update of those trained: {tried}; tested with "
        f"{e.step['context, one step']:g} for one update and {e.step['context']:g} for more, of "
        f"{sizes}, best on validation goals",
        e.seeds("context"),
        ("navigation-context", "navigation-context-alphas", *OWN),
    )


JUDGES: dict[str, Judge] = {
    "C100": judge_one_update,
    "C101": judge_more_updates,
    "C102": judge_order,
    "C103": judge_trajectories,
    "C121": judge_walks,
    "S109": judge_two_updates,
    "C140": judge_context,
    **navigation_details.JUDGES,
}

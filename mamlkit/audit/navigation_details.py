"""The judges of 2D navigation's details: samples and gradients, what the code says, our
questions."""

from torch import Tensor

from mamlkit.audit.intervals import Interval
from mamlkit.audit.judging import Finding, Judge
from mamlkit.audit.navigation_evidence import AUTHORS, CODE, Evidence, interval
from mamlkit.studies.navigation_bandit import PULLS

LATER = {"halved": None, "the same": "same step", "a hundredth": "a hundredth"}
MARGIN = 1.0  # of return, by which X020 and X021 call two trainings alike
TESTED = "the authors' 40 goals, 40 rollouts before each update, every walk begun counts"


def told(i: Interval) -> str:
    """An interval in words: "+2.9 (+1.3 to +4.5)"."""
    return f"{i.value:+.1f} ({i.low:+.1f} to {i.high:+.1f})"


def listed(values: Tensor) -> str:
    """A number for each training."""
    return ", ".join(f"{v:.1f}" for v in values)


def judge_new_samples(e: Evidence) -> Finding:
    """C020: "each additional gradient step ... requires new samples"."""
    new, old, stray = (e.maml[name] for name in ("new walks", "old walks", "stray"))
    cost, far = interval(new - old), stray.max().item()
    return Finding(
        {"on-policy": far < 1e-6, "old samples lose": cost.low > 0},
        {
            "return after 2 updates, new walks": new.mean().item(),
            "the same walks again": old.mean().item(),
            "difference": cost,
            "largest difference of distributions": f"{far:.0e}",
        },
        f"each batch comes from the policy adapted so far (to {far:.0e}); the second step on the "
        f"first step's walks again returns {old.mean():.1f} instead of {new.mean():.1f}.",
        TESTED,
        e.seeds(),
        ("navigation",),
    )


def judge_gradients(e: Evidence) -> Finding:
    """C021: "policy gradient methods to estimate the gradient both for the model gradient update(s)
    and the meta-optimization"."""
    b, off = e.bandit, e.bandit.meta["log"]
    return Finding(
        {
            "inner": b.inner["log"] < 1e-12,
            "outer": max(off) < 1e-12,
            "with the missing term": b.with_missing < 1e-12,
        },
        {"error of the inner gradient": f"{b.inner['log']:.0e}"}
        | {f"error of the meta-gradient, {n} pulls": v for n, v in zip(PULLS, off)}
        | {
            "error with the missing term": f"{b.with_missing:.0e}",
            "error of the Hessian": b.hessian["log"],
        },
        f"the inner gradient is right on average; on one bandit the meta-gradient misses "
        f"{off[0]:.1%} to {off[-1]:.1%} of its size, exactly the term of how sampling changes (to "
        f"{b.with_missing:.0e}), and its Hessian is off by {b.hessian['log']:.0%}.",
        "one bandit with three arms, all histories counted in double precision",
    )


def judge_reward(e: Evidence) -> Finding:
    """C104: "reward is the negative squared distance"."""
    still, before = e.facts.still, AUTHORS["maml"][0]
    return Finding(
        {
            "code": CODE["reward"] == "squared",
            "data": abs(still["squared"] - before) < 4,
        },
        {"return before": still["distance"], "standing still, squared": still["squared"]},
        f"the code returns the plain distance; standing still returns {still['distance']:.1f} with "
        f"it and {still['squared']:.1f} with its square, and the authors' policy {before} before "
        "any update.",
        "a document: the authors' environment, their mean return before any update",
    )


def judge_environment(e: Evidence) -> Finding:
    """C105: velocity, horizon, and what ends an episode."""
    f = e.facts
    return Finding(
        {
            "clipped": abs(f.move - 0.1) < 1e-6,
            "horizon": f.longest == 100,
            "distance": f.disagree == 0,
        },
        {
            "move": f.move,
            "H": f.longest,
            "share of places where box and distance disagree": f.disagree,
        },
        f"moves are at most {f.move:.2g}, episodes {f.longest} steps; the code ends an episode in "
        f"a box, not at a distance: they disagree in {f.disagree:.0%} of the box.",
        "our environment, which follows the authors' code",
    )


def judge_twenty(e: Evidence) -> Finding:
    """C106: "1 policy gradient update using 20 trajectories"."""
    begun = e.maml["walks in 2,000 steps"][0].mean().item()
    return Finding(
        {
            "one update": CODE["gradient steps"] == 1,
            "20 trajectories": CODE["rollouts"] == 20,
            "counted": 18 <= begun <= 22,
        },
        {"trajectories": begun},
        f"the published model's name says {CODE['gradient steps']} update and {CODE['rollouts']} "
        f"trajectories; 2,000 environment steps before the update hold {begun:.1f}.",
        "a document: the name of the authors' published model; counted: MAML's first seed",
        (0,),
        ("navigation",),
    )


def judge_alpha(e: Evidence) -> Finding:
    """C134: "a single gradient step with alpha = 0.1"."""
    larger = e.above("alpha 0.5", "maml", 1) if "alpha 0.5" in e.walks else None
    after = e.after("maml", 1).value
    return Finding(
        {"code": CODE["alpha"] == 0.1},
        {"alpha": CODE["alpha"]}
        | ({"return after 1 update, 0.5 minus 0.1": larger} if larger else {}),
        f"the navigation script and the name of the published model say {CODE['alpha']}"
        + (
            f"; here 0.1 returns {after:.1f} after one update, and 0.5 changes the return "
            f"by {told(larger)}"
            + (": no measurable difference." if larger.low < 0 < larger.high else ".")
            if larger
            else "."
        ),
        f"a document: the authors' script; {TESTED}; alpha 0.5 trained and tested with 0.5",
        e.seeds(),
        ("navigation", "navigation-alpha"),
    )


def later_returns(e: Evidence, name: str):
    """The return averaged over updates 2 to 4 for one rule of later steps, (seeds, goals)."""
    found = e.walks["maml"]["begun"] if LATER[name] is None else e.maml[LATER[name]]
    return found[..., 2:].mean(-1)


def judge_halving(e: Evidence) -> Finding:
    """C135: "halving the learning rate after the first gradient step"."""
    better = interval(later_returns(e, "halved") - later_returns(e, "the same"))
    means = {name: later_returns(e, name).mean().item() for name in LATER}
    return Finding(
        {"halved above constant": better.low > 0},
        {"updates 2 to 4, halved minus constant": better}
        | {f"mean return of updates 2 to 4, {name}": v for name, v in means.items()},
        "mean returns of updates 2 to 4: "
        + ", ".join(f"{name} {v:.1f}" for name, v in means.items())
        + f"; halved minus constant {told(better)}.",
        TESTED,
        e.seeds(),
        ("navigation",),
    )


def judge_curvature(e: Evidence) -> Finding | None:
    """X020: what curvature from each tenth sample costs."""
    if "exact" not in e.walks:
        return None
    more, after = e.above("exact", "maml", 1), e.after("exact", 1)
    return Finding(
        {"no": -MARGIN < more.low and more.high < MARGIN},
        {"return after 1 update, curvature from all samples": after, "all minus every tenth": more},
        f"with curvature from all samples the return after one update is {after.value:.1f}; all "
        f"samples instead of every tenth change it by {told(more)}.",
        TESTED,
        e.seeds("exact"),
        ("navigation-exact", "navigation"),
    )


def memory_against_step(e: Evidence) -> dict[int, Interval]:
    """How much more RL^2 returns in an episode than MAML after an update on 20 walks, by the
    episode's number: the last of its training, and the last that was played."""
    by_memory, number = e.rl2["episodes"], e.rl2["episodes"].shape[-1]
    stepped = e.maml["20 walks"][: len(by_memory), :, 1]
    by_memory = by_memory[: len(stepped)]
    trained = e.rl2_setting["episodes"]
    return {n: interval(by_memory[..., n - 1] - stepped) for n in (trained, number)}


def judge_memory(e: Evidence) -> Finding | None:
    """X021: "Does a memory do what MAML's gradient step does, with as much training?"."""
    if not e.rl2:
        return None
    apart, s = memory_against_step(e), e.rl2_setting
    trained, last = apart
    mean = lambda n: e.rl2["episodes"][..., n - 1].mean().item()
    each = e.maml["20 walks"][: len(e.rl2["episodes"]), :, 1].mean(1)
    stepped = each.mean().item()
    by_training = e.rl2["episodes"][..., trained - 1].mean(1)[: len(each)]
    ahead = f"better in {int((by_training > each).sum())} of {len(each)} trainings"
    sure = apart[last].low > -MARGIN and apart[trained].low > -MARGIN
    return Finding(
        {
            "as good after as many steps": apart[last].low > -MARGIN,
            "as good in its last episode": apart[trained].low > -MARGIN,
            "trained as written": WRITTEN == TRAINED,
        },
        {"steps in the episodes before the last": e.rl2["steps"].mean().item()}
        | {f"RL^2's return in episode {n}": mean(n) for n in (1, trained, last)}
        | {f"RL^2's return in episode {trained}, each training": listed(by_training)}
        | {"MAML's return after 1 update": stepped}
        | {f"RL^2 in episode {n} minus MAML": i for n, i in apart.items()},
        f"RL^2 returns {listed(by_training)} in episode {trained}, {told(apart[trained])} against "
        f"MAML after one update on 20 walks; in episode {last} it is {told(apart[last])}.",
        f"{s['iterations']} TRPO updates of {s['trials']} trials of {s['episodes']} episodes; "
        f"{s['goals']} goals of the authors, {s['walks']} trials of each; it departs from the "
        f"criterion, which asks for {WRITTEN}: it took {TRAINED}",
        range(len(e.rl2["episodes"])),
        ("navigation-rl2", "navigation"),
        answer=f"{'partly' if sure else 'not settled'}: {ahead}, which depart from the criterion",
    )


# Documents: what X021's criterion was written with, and what was trained after a first training
# had stood still.
WRITTEN = "curvature from each tenth trial and smaller first weights"
TRAINED = "curvature from all trials and larger first weights"

JUDGES: dict[str, Judge] = {
    "C020": judge_new_samples,
    "C021": judge_gradients,
    "C104": judge_reward,
    "C105": judge_environment,
    "C106": judge_twenty,
    "C134": judge_alpha,
    "C135": judge_halving,
    "X020": judge_curvature,
    "X021": judge_memory,
}

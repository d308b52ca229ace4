"""Judges of what one secondary text says of MAML's variants: S206 to S210, and S219."""

from collections.abc import Mapping

import torch

from mamlkit.audit.intervals import Interval, over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.variants_evidence import Evidence, failed, of, seeds_of, straight
from mamlkit.bank.experiment import Result
from mamlkit.studies import variants_classes as classes
from mamlkit.studies import variants_images as images
from mamlkit.studies.variant_methods import NAMES

SIX = (  # quoted: section 4 of Antoniou, Edwards & Storkey 2019
    "multi-step loss",
    "derivative-order annealing",
    "per-step batch-norm running statistics",
    "per-step batch-norm weights and biases",
    "per-layer per-step learning rates",
    "cosine annealing of the meta step",
)
CLAMP = 10  # quoted: the authors' code, for mini-ImageNet alone
PUBLISHED_REPTILE = 97.68  # quoted: 5-way 1-shot, transductive
ABOVE = {  # quoted: accuracies of 20-way 1-shot
    "MAML's published 95.8": 95.8,
    "an outsider's MAML++, 96.65": 96.65,
}


def reptile_as_printed(e: Evidence) -> Finding:
    """S206: what one source says of Reptile."""
    i = e.identities
    return Finding(
        {
            "the update": i["printed update"] < 1e-12,
            "no query split": i["another query"] == 0,
            "no second order": abs(i["extra operations"]) < 0.01,
            "K = 1 is joint training, K = 2 sees curvature": max(i["one step"], i["two steps"])
            < 1e-12,
        },
        {
            "gap to the printed update": f"{i['printed update']:.0e}",
            "K = 1, gap to the plain gradient": f"{i['one step']:.0e}",
            "K = 2, gap to 2g - alpha H g": f"{i['two steps']:.0e}",
            "operations beyond K gradients and one value": f"{i['extra operations']:.1%}",
        },
        f"the update is as printed to {i['printed update']:.0e} and no query set enters it; with "
        f"K = 1 it is joint training, to {i['one step']:.0e}: the source does not say that K must "
        "be above 1.",
    )


def reptile_as_published(e: Evidence) -> Finding | None:
    """S207: Reptile at its published settings. A shorter run can support it, not refute it, nor can
    one whose Adam forgets its second moments between tasks, which the authors' does not."""
    if not e.reptile:
        return None
    run = e.reptile["reptile-0"]
    s, reached = run.setting, run.measured["right"][:, -1].mean().item()
    enough = s["iterations"] >= images.PUBLISHED["iterations"]
    if not enough and reached < PUBLISHED_REPTILE - 1:
        return None
    more = int(e.identities["lines more"])
    return Finding(
        {
            "97.68": reached >= PUBLISHED_REPTILE - 1,
            "simpler": more <= 3 and e.identities["another query"] == 0,
            "the authors' Adam": s.get("moments") == "kept",
        },
        {
            f"accuracy after {s['iterations']:,} iterations": reached,
            "lines of code more than first-order MAML": more,
        },
        f"{reached:.1f} % after {s['iterations']:,} of {images.PUBLISHED['iterations']:,} "
        f"iterations; {more} lines of code more than first-order MAML.",
        "published settings"
        + ("" if s.get("moments") == "kept" else ", but Adam begins anew on each task")
        + f", {s['iterations']:,} iterations; {s['tests']} test tasks, "
        f"{s['images']}, queries together",
        [s["seed"]],
        ("reptile-5w1s-kept" if s.get("moments") == "kept" else "reptile-5w1s",),
    )


def tricks(e: Evidence) -> Finding:
    """S208: what one source lists, against the paper's list. A document."""
    return Finding(
        {
            "per-step learning rates": any("per-step learning rates" in part for part in SIX),
            "statistics per task": any("statistics" in p and "per-task" in p for p in SIX),
            "gradient clipping": any("clipping" in part for part in SIX),
            "complete": len(SIX) == 3,
        },
        {"the paper's list (quoted)": "; ".join(SIX)},
        f"one of the three is in the paper's list of {len(SIX)}: the learned step sizes. "
        "Statistics are per step, not per task; gradient clipping is none of them, though the "
        f"authors' code clamps mini-ImageNet's meta-gradients to ±{CLAMP}; four are left out.",
    )


def accuracy(run: Result) -> float:
    """Mean accuracy in percent after the setting's test steps."""
    return run.measured["right"][:, run.setting["test"]].mean().item()


def budget_of(runs: Mapping[str, list[Result]]) -> int:
    """Training tasks of one run; 0 without one."""
    return next((r[0].setting["iterations"] * r[0].setting["tasks"] for r in runs.values() if r), 0)


def mamlpp_part_by_part(e: Evidence) -> Finding | None:
    """S209: MAML++'s parts added one at a time; its whole alone where that was trained longer."""
    runs = {part: of(e.parts, parts=part) for part in images.PARTS}
    longer = {part: of(e.longer, parts=part) for part in ("none", "cosine")}
    if min(map(len, longer.values())) > 2 and budget_of(longer) > budget_of(runs):
        runs = longer
    if not all(runs.values()):
        return None
    s = runs["none"][0].setting
    name = {part: "MAML" if part == "none" else part for part in runs}
    shares = {part: [accuracy(r) for r in found] for part, found in runs.items()}
    broke = {part: failed(found) for part, found in runs.items()}
    gain = over_seeds([b - a for a, b in zip(shares["none"], shares["cosine"], strict=True)])
    reached = sum(shares["cosine"]) / len(shares["cosine"])
    whole = s["iterations"] >= 60_000 and s["tasks"] >= 16
    aims = {f"above {w}": "yes" if reached > n else "no" for w, n in ABOVE.items() if whole}
    count = len(shares["none"])
    return Finding(
        {
            "no more failures": broke["cosine"] <= broke["none"],
            "higher": gain.low > 0,
            "the paper's budget": whole,
        },
        {
            f"accuracy after {s['iterations']} iterations, up to {name[p]}": over_seeds(v)
            for p, v in shares.items()
        }
        | {f"failed, up to {name[p]}": n for p, n in broke.items()}
        | {"all parts minus none": gain}
        | aims,
        ("" if whole else f"{s['iterations']:,} iterations of {s['tasks']} tasks refute nothing: ")
        + f"all parts together are {gain.value:+.1f} points from none ({gain.low:+.1f} to "
        f"{gain.high:+.1f}); {broke['none']} of {count} trainings failed without, "
        f"{broke['cosine']} with them"
        + ("." if broke["none"] else ", so that nothing here was there to be stabilised."),
        f"{s['iterations']:,} iterations of {s['tasks']} tasks, {s['steps']} inner steps of "
        f"{s['alpha']:g} on the mean loss, {s['images']}; {s['tests']} test tasks of "
        f"{s['queries']} queries a class",
        seeds_of(runs["none"]),
        ("mamlpp-20w1s", "mamlpp-20w1s-longer", "mamlpp-20w1s-cpu"),
    )


def implicit(e: Evidence) -> Finding | None:
    """S210: iMAML's meta-gradient knows nothing of the way to the solution."""
    three = ("maml", "fomaml", "imaml")
    if not all(f"{m}-0" in e.costs for m in three):
        return None
    cost = {m: e.costs[f"{m}-0"] for m in three}
    lengths, gaps = cost["maml"].setting["lengths"], e.identities
    memory = {m: straight(lengths, r.measured["MiB"]) for m, r in cost.items()}
    clock = {m: straight(lengths, r.measured["ms"])[0] for m, r in cost.items()}
    same = gaps["implicit after 100"]
    return Finding(
        {
            "same gradient": same < 1e-10,
            "flat memory": abs(memory["imaml"][0]) < 0.01 * memory["maml"][0],
            "MAML's grows": memory["maml"][0] > 0 and memory["maml"][1] > 0.99,
        },
        {
            "relative difference, 100 and 1,000 steps": f"{same:.0e}",
            "relative difference to 1,000 steps, 1 step": gaps["implicit after 1"],
            "relative difference to 1,000 steps, 10 steps": gaps["implicit after 10"],
        }
        | {f"{NAMES[m]}, MiB a step": slope for m, (slope, _) in memory.items()}
        | {f"{NAMES[m]}, R squared": fit for m, (_, fit) in memory.items()}
        | {f"{NAMES[m]}, ms a step": slope for m, slope in clock.items()},
        f"on a quadratic, solved, the meta-gradient is the same after 100 and 1,000 steps to "
        f"{same:.0e}; stopped after ten it is {gaps['implicit after 10']:.0%} off. Memory: "
        f"{memory['maml'][0]:.2f} MiB a step for MAML, {memory['imaml'][0]:.2g} for iMAML.",
        "gradient: a quadratic in float64, lambda 2; memory: bytes of one 5-way 1-shot task's "
        f"meta-gradient, counted without numbers, {lengths[0]} to {lengths[-1]} steps",
        (0,),
        ("variants-costs",),
    )


def gains(e: Evidence, kind: str, n: int, other: str) -> list[float]:
    """MAML's accuracy minus pretraining's from n classes, by seed. other: "means" or "head"."""
    pair = (of(e.classes, images=kind, classes=n, method=m) for m in ("maml", "pretrained"))
    return [
        (a.measured["maml"].mean() - b.measured[other].mean()).item()
        for a, b in zip(*pair, strict=True)
    ]


def trend(e: Evidence, kind: str, other: str) -> Interval:
    """The slope of the gain over the logarithm of the number of classes, over seeds."""
    numbers = classes.CLASSES[kind]
    by_seed = zip(*(gains(e, kind, n, other) for n in numbers), strict=True)
    logs = torch.tensor(numbers).double().log()
    return over_seeds([straight(logs, gain)[0] for gain in by_seed])


def many_classes(e: Evidence) -> Finding | None:
    """S219: whether the gain over pretraining shrinks with the number of training classes."""
    cells = [(kind, n) for kind, numbers in classes.CLASSES.items() for n in numbers]
    if not all(of(e.classes, images=kind, classes=n) for kind, n in cells):
        return None
    mean = lambda values: sum(values) / len(values)
    slopes = {k: {o: trend(e, k, o) for o in ("means", "head")} for k in classes.CLASSES}
    runs = of(e.classes, method="maml", images="omniglot", classes=25)
    s = runs[0].setting
    whole = s["iterations"] >= 60_000
    batches = of(e.classes, method="pretrained")[0].setting
    own = lambda kind, n: mean(
        [
            r.measured["maml"].mean().item()
            for r in of(e.classes, images=kind, classes=n, method="maml")
        ]
    )

    def said(kind):
        numbers = classes.CLASSES[kind]
        points = ", ".join(f"{mean(gains(e, kind, n, 'means')):+.1f}" for n in numbers)
        levels = " ".join(f"{own(kind, n):.0f}" for n in numbers)
        span = f"{numbers[0]} to {numbers[-1]:,} classes"
        return f"{points} points ({kind}, {span}; MAML itself {levels} %)"

    return Finding(
        {"Omniglot": slopes["omniglot"]["means"].high < 0}
        | {"glyphs": slopes["glyphs"]["means"].high < 0}
        | {"the paper's budget": whole},
        {
            f"gain, {kind}, {n:,} classes, over {other}": mean(gains(e, kind, n, other))
            for kind, n in cells
            for other in ("means", "head")
        }
        | {
            f"slope per factor e, {kind}, over {other}": slope
            for kind, found in slopes.items()
            for other, slope in found.items()
        },
        ("" if whole else "a training this short decides nothing: ")
        + f"the gain over class means is {' and '.join(map(said, classes.CLASSES))}, after "
        f"{s['iterations']:,} iterations.",
        f"{s['iterations']:,} meta-iterations of {s['tasks']} tasks; {batches['iterations']:,} "
        f"batches of {batches['batch']} images; {s['tests']} test tasks, {s['queries']} queries a "
        "class",
        seeds_of(runs),
        ("variants-classes", "variants-classes-cpu"),
    )

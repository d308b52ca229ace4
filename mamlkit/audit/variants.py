"""Chapter 6's judges: our own questions here, a secondary text's sentences in their own file."""

from math import log

import torch

from mamlkit.audit import variants_secondary as secondary
from mamlkit.audit.intervals import holm, over_seeds, paired
from mamlkit.audit.judging import Finding, Judge
from mamlkit.audit.variants_evidence import (
    Evidence,
    evidence,
    failed,
    of,
    searched_errors,
    seeds_of,
)
from mamlkit.bank.experiment import Result
from mamlkit.studies import variants_waves as waves
from mamlkit.studies.variant_methods import NAMES, VARIANTS

__all__ = ["JUDGES", "Evidence", "evidence"]
LEARNED = 10_000  # iterations after which a network on waves has learned


def median(run: Result, shots: int, step: int) -> float:
    """The median test wave's squared error after so many inner steps."""
    return run.measured[f"K={shots}"][0, step].item()


def middle(values: list[float]) -> float:
    """The median over seeds."""
    return torch.tensor(values).median().item()


def step_for_every_number(e: Evidence) -> Finding | None:
    """X061: Meta-SGD against MAML on waves."""
    runs = {m: of(e.waves, method=m) for m in ("maml", "meta_sgd")}
    if not all(runs.values()) or seeds_of(runs["maml"]) != seeds_of(runs["meta_sgd"]):
        return None
    s, pairs = runs["maml"][0].setting, [*zip(runs["maml"], runs["meta_sgd"], strict=True)]
    ahead = {k: over_seeds([median(b, k, 1) - median(a, k, 1) for a, b in pairs]) for k in (5, 10)}
    above = sum(median(b, 5, 10) > median(a, 5, 10) for a, b in pairs)
    beyond = sum(median(b, 5, 10) > waves.LIMIT for _, b in pairs)
    checks = {f"K={k}": gap.high < 0 for k, gap in ahead.items()}
    return Finding(
        checks,
        {f"Meta-SGD minus MAML, median error after one step, K={k}": i for k, i in ahead.items()}
        | {
            f"median error after {n} step{'s' * (n > 1)}, K={k}, {NAMES[m]}": middle(
                [median(r, k, n) for r in found]
            )
            for k in waves.SHOTS
            for n in (1, 10)
            for m, found in runs.items()
        }
        | {"failed runs, Meta-SGD": failed(runs["meta_sgd"])},
        f"after one step Meta-SGD is {ahead[5].value:+.2f} from MAML's error at K = 5 and "
        f"{ahead[10].value:+.2f} at K = 10; "
        "after ten, with step sizes learned for one, its median wave at K = 5 has an error above "
        f"MAML's in {above} of {len(pairs)} seeds and above {waves.LIMIT:g} in {beyond}.",
        f"{s['iterations']:,} iterations of {s['tasks']} tasks, K = {s['shots']} in training, Adam "
        f"{s['beta']:g} annealed to 0, {s['tests']:,} test waves",
        seeds_of(runs["maml"]),
        ("variants-sinusoid",),
    )


def best_when_searched(e: Evidence) -> Finding | None:
    """X063: the other seven against MAML, each at the settings that were searched for it."""
    errors = {m: searched_errors(e, m) for m in VARIANTS}
    if not all(errors.values()) or len({tuple(v) for v in errors.values()}) > 1:
        return None
    seeds, base = [*errors["maml"]], torch.tensor([*errors["maml"].values()]).log()
    gaps = {m: torch.tensor([*v.values()]).log() - base for m, v in errors.items() if m != "maml"}
    tests = {m: paired(gap) for m, gap in gaps.items()}
    sure = dict(zip(tests, holm([p for _, p in tests.values()]), strict=True))
    better = [m for m, (gap, _) in tests.items() if gap < 0 and sure[m] < 0.05]
    s = e.searched["maml-0"].setting
    said = f"lower with {', '.join(NAMES[m] for m in better) or 'none'}"
    return Finding(
        {"another is better": bool(better)},
        {f"median error, {NAMES[m]}": middle([*v.values()]) for m, v in errors.items()}
        | {f"over MAML's, {NAMES[m]}": gap.mean().exp().item() for m, gap in gaps.items()}
        | {f"p after Holm's correction, {NAMES[m]}": p for m, p in sure.items()},
        f"each at its own searched settings, the error is {said}; "
        f"MAML's is {middle([*errors['maml'].values()]):.2g}.",
        f"{s['iterations']:,} iterations of {s['tasks']} tasks at searched settings, K = "
        f"{s['shots']}, Adam {s['beta']:g} annealed to 0, {s['tests']:,} test waves",
        seeds,
        ("variants-searched",),
    )


def by_alpha(e: Evidence, method: str) -> dict[int, dict[float, float]]:
    """Median errors after one step at K = 10, by seed and by alpha in training over 0.01; of a run
    that failed infinity."""
    found: dict[int, dict[float, float]] = {}
    for run in of(e.alpha, method=method, steps=1):
        error = run.measured["error"][0, 1].item() if not failed([run]) else float("inf")
        times = round(run.setting["alpha"] / 0.01, 6)
        found.setdefault(run.setting["seed"], {})[times] = error
    return found


def free_of_alpha(e: Evidence) -> Finding | None:
    """X062: how much the error varies with alpha in training, fixed or learned."""
    if not e.alpha:
        return None
    errors = {m: by_alpha(e, m) for m in waves.COMPARED}
    ratio = {
        m: {seed: max(v.values()) / min(v.values()) for seed, v in found.items()}
        for m, found in errors.items()
    }
    varies = {m: " and ".join(f"{r:.2f}" for r in found.values()) for m, found in ratio.items()}
    seeds = [*ratio["maml"]]
    s = next(iter(e.alpha.values())).setting
    times = [*errors["maml"][seeds[0]]]
    halved = all(log(ratio["meta_sgd"][i]) < log(ratio["maml"][i]) / 2 for i in seeds)
    learned = s["iterations"] >= LEARNED
    early = "" if learned else "the networks have not learned yet; "
    return Finding(
        {"less than half": halved, "networks that have learned": learned},
        {
            f"largest over smallest error, {NAMES[m]}, seed {seed}": r
            for m, found in ratio.items()
            for seed, r in found.items()
        }
        | {
            f"median error, {NAMES[m]}, alpha x {t:g}": errors[m][seeds[0]][t]
            for m in ratio
            for t in times
        },
        f"{early}over this range the error after one step varies {varies['maml']} times with alpha "
        f"fixed, and {varies['meta_sgd']} times with step sizes that are learned from there.",
        f"{s['iterations']:,} iterations of {s['tasks']} tasks, one inner step, alpha 0.01 times "
        f"{times[0]:g} to {times[-1]:g}, K = {s['shots']}, {s['tests']:,} test waves",
        seeds,
        ("variants-alpha", "variants-alpha-cpu"),
    )


JUDGES: dict[str, Judge] = {
    "S206": secondary.reptile_as_printed,
    "S207": secondary.reptile_as_published,
    "S208": secondary.tricks,
    "S209": secondary.mamlpp_part_by_part,
    "S210": secondary.implicit,
    "S219": secondary.many_classes,
    "X061": step_for_every_number,
    "X062": free_of_alpha,
    "X063": best_when_searched,
}

"""What chapter 6's figures and sentences show of the banked results, by variant."""

from collections.abc import Callable

from mamlkit.audit.variants_evidence import Evidence, Results, failed, of, searched_errors
from mamlkit.audit.variants_secondary import accuracy, gains
from mamlkit.studies import variants_classes as classes
from mamlkit.studies import variants_images as images
from mamlkit.studies.variant_methods import NAMES, VARIANTS
from mamlkit.studies.variants_waves import LIMIT

EDGE = 20.0  # errors above it are drawn at the edge


def mean(values: list[float]) -> float:
    """The mean over seeds."""
    return sum(values) / len(values)


def errors(e: Evidence, shots: int = 10, step: int = 1) -> dict[str, list[float]]:
    """The median test wave's squared error after so many steps: one number a seed."""
    return {
        m: [r.measured[f"K={shots}"][0, step].item() for r in of(e.waves, method=m)]
        for m in VARIANTS
    }


def searched(e: Evidence) -> dict[str, list[float]]:
    """The same at the settings that were searched, K = 10, after the steps that were searched."""
    return {m: [*searched_errors(e, m).values()] for m in VARIANTS}


def usual(e: Evidence) -> dict[str, list[float]]:
    """The same at the settings of each paper's kind, after the steps that were searched."""
    steps = {m: of(e.searched, method=m)[0].setting["test"] for m in VARIANTS}
    return {m: errors(e, step=k)[m] for m, k in steps.items()}


def clipped(found: dict[str, list[float]]) -> dict[str, list[float]]:
    """The same numbers, those beyond the edge of a figure at its edge."""
    return {m: [min(v, EDGE) for v in values] for m, values in found.items()}


def middle(values: list[float]) -> float:
    """The median of an odd number of values; of an even number the lower one in the middle."""
    return sorted(values)[(len(values) - 1) // 2]


def costs(e: Evidence, name: str, steps: int | None = None) -> dict[str, list[float]]:
    """A measured cost of each variant: at so many inner steps, at all that were tried, or its only
    number."""
    found = {m: e.costs[f"{m}-0"] for m in VARIANTS}
    if found["maml"].measured[name].ndim == 0:
        return {m: [r.measured[name].item()] for m, r in found.items()}
    lengths = found["maml"].setting["lengths"]
    chosen = slice(None) if steps is None else slice(lengths.index(steps), lengths.index(steps) + 1)
    return {m: r.measured[name][chosen].tolist() for m, r in found.items()}


def in_words(found: dict[str, list[float]], unit: str = "", digits: str = ".2f") -> str:
    """ "MAML 0.43, iMAML 2.64": the median over seeds of each, for alt texts."""
    return ", ".join(f"{NAMES.get(m, m)} {middle(v):{digits}}{unit}" for m, v in found.items() if v)


def wave_table(e: Evidence) -> str:
    """The trainings on waves as a Markdown table."""
    shown = lambda v: f"{v:.2f}" if v < LIMIT else "diverged"
    one, ten = errors(e), errors(e, step=10)

    def row(m, s, runs):
        lost = mean([r.measured["K=5"][1, 10].item() for r in runs])
        return (
            f"{s['steps']} × {s['alpha']:g}",
            shown(middle(one[m])),
            shown(middle(ten[m])),
            f"{failed(runs)} of {len(runs)}",
            f"{lost:.1%}",
        )

    columns = ("steps × step size", "median error after 1 step", "after 10", "failed trainings")
    return table((*columns, "waves that diverge in 10 steps, K = 5"), e.waves, row)


def searched_table(e: Evidence) -> str:
    """What was chosen for each variant, and its error so set, as a Markdown table."""
    before, error = usual(e), searched(e)

    def row(m, s, runs):
        pull = f", pull {s['strength']:g}" if "strength" in s else ""
        return (
            f"{s['steps']} × {s['alpha']:g}{pull}",
            str(s["test"]),
            f"{middle(error[m]):.3f}",
            f"{middle(before[m]):.3f}",
            f"{failed(runs)} of {len(runs)}",
        )

    columns = ("chosen: steps × step size", "steps at test", "median error", "at usual settings")
    return table((*columns, "failed trainings"), e.searched, row)


def table(columns: tuple[str, ...], results: Results, row: Callable) -> str:
    """A Markdown table with a line for each variant. row: (method, a setting, its results) -> what
    stands in it."""
    lines = [("variant", *columns), ("---",) * (1 + len(columns))]
    for m in VARIANTS:
        runs = of(results, method=m)
        lines.append((NAMES[m], *row(m, runs[0].setting, runs)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def characters(omniglot: Results, way: int = 5) -> dict[str, list[float]]:
    """Accuracy on new characters, one number a seed."""
    return {m: [accuracy(r) for r in of(omniglot, method=m, way=way)] for m in VARIANTS}


def parts(results: Results) -> dict[str, list[float]]:
    """Accuracy with MAML++'s parts added one at a time, one number a seed; of the parts that are
    banked."""
    found = {part: [accuracy(r) for r in of(results, parts=part)] for part in images.PARTS}
    return {part: shares for part, shares in found.items() if shares}


def by_classes(e: Evidence, kind: str, other: str) -> list[list[float]]:
    """The gain over pretraining by the number of classes, each a list over seeds."""
    return [gains(e, kind, n, other) for n in classes.CLASSES[kind]]


def levels(e: Evidence, kind: str, way: str) -> str:
    """Mean accuracy by the number of classes, in words. way: "maml", "means" or "head"."""
    method = "maml" if way == "maml" else "pretrained"
    found = [of(e.classes, images=kind, classes=n, method=method) for n in classes.CLASSES[kind]]
    return " ".join(
        f"{mean([r.measured[way].mean().item() for r in runs]):.0f}" for runs in found if runs
    )

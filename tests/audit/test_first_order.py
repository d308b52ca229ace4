"""Each judge of the first-order claims, with made-up evidence that passes and that fails."""

import pytest
import torch

from mamlkit.audit.claims import ledger, verdict
from mamlkit.audit.first_order import EACH, JUDGES, evidence, improvement, inside
from mamlkit.audit.first_order_evidence import LABELS, Evidence, Pair, _largest, pairs, saved
from mamlkit.audit.intervals import Interval
from mamlkit.bank.experiment import Result
from mamlkit.studies import first_order
from mamlkit.studies.omitted import ACTIVATIONS, NETWORKS

MIB = 2**20


def counts(ratio=1.5, time=33.0, peak=(40.0, 10.0), kept=(20.0, 1.0)):
    """A counted setting: second order costs `ratio` times first order; MiB at ten steps, which
    second order starts from a half of, and first order from the same."""
    late = torch.tensor([[peak[0], kept[0]], [peak[1], kept[1]]])
    early = late * torch.tensor([[0.5], [1.0]])
    return {
        "operations": torch.tensor([round(ratio * 3000), 3000]),
        "bytes": (torch.stack([early, late]) * MIB).long(),
        "time saved": torch.tensor([time], dtype=torch.double),
    }


def path(size):
    """The omitted term along a training: six moments of the same size."""
    return {
        "omitted": torch.full((6, 9), float(size)),
        "of the mean": torch.full((6,), float(size)),
    }


def pair(gap=0.0, share=1.0, seeds=5, spread=0.1):
    """Two orders, `gap` points apart, give or take."""
    noise = spread * torch.linspace(-1, 1, seeds)[:, None] + torch.zeros(seeds, 40)
    high = {p: 95 + gap + noise for p in ("together", "support only")}
    low = {p: torch.full((seeds, 40), 95.0) for p in ("together", "support only")}
    return Pair(share, [*range(seeds)], high, low, ("second", "first"))


def swept(best=99.0, around=90.0):
    """Right answers of 75 by step size: `best` percent at the trained one, `around` elsewhere."""
    right = torch.full((7, 10, 6), 0.75 * around)
    right[3] = 0.75 * best
    setting = first_order.STEP_SIZES.cells("paper", None)["printed-0"]
    setting = setting | dict(tasks=32, iterations=60_000)  # the paper's
    return Result({}, {"right": right}, {"setting": setting})


def made(**changes):
    """Evidence by which every claim would stand."""
    relu = {(n, "ReLU"): path(0.05) for n in NETWORKS}
    others = {(n, a): path(0.5) for n in NETWORKS for a in ACTIVATIONS if a != "ReLU"}
    gradients = {
        place: {"omitted": torch.full((4, 9), 0.05), "right": torch.full((10, 4), 40)}
        for place in ("start", "trained")
    }
    return Evidence(
        **{
            "counted": {name: counts() for name in LABELS.values()},
            "lengths": [1, 10],
            "along": relu | others,
            "gradients": gradients,
            "pairs": {name: pair() for name in EACH},
            "joint": torch.full((1, 30), 60.0),
            "alike": pair(),
            "steps": swept(),
        }
        | changes
    )


def counted(**setting):
    """Every setting as in `made`, 20-way 1-shot as said."""
    return {n: counts() for n in LABELS.values()} | {"20-way 1-shot": counts(**setting)}


def weighed(**setting):
    return {n: counts(**setting) for n in LABELS.values()}


def paired(**setting):
    return {name: pair() for name in EACH} | {"20-way 1-shot": pair(**setting)}


def along_with(activation, size):
    """One network's omitted term another one than in `made`."""
    return made().along | {("fully connected, no norm", activation): path(size)}


GROWS = {"bytes": torch.tensor([1, 2])[:, None, None].expand(2, 2, 2) * MIB}  # at both orders
FAILS = {  # claim -> evidence by which a check fails, and which
    "C069": [
        (dict(counted=counted(ratio=1.2)), "operations"),
        (dict(counted=counted(time=10.0)), "time"),
    ],
    "C070": [(dict(pairs=paired(gap=3.0)), "20-way 1-shot")],
    "C071": [(dict(joint=torch.full((1, 30), 95.0), alike=pair(3.0)), "most")],
    "C072": [
        (dict(along=along_with("ReLU", 0.2)), "close to zero"),
        (dict(along=along_with("tanh", 0.01)), "ReLU is special"),
    ],
    "C073": [
        (dict(counted=counted(ratio=2.0)), "everywhere"),
        (dict(counted=weighed(ratio=2.0)), "miniImagenet 1-shot"),
    ],
    "C074": [
        (dict(counted=weighed(kept=(0.0, 1.0))), "second order grows"),
        (dict(counted=weighed() | {"5-way 1-shot": counts() | GROWS}), "first order is flat"),
    ],
    "S108": [
        (dict(pairs=paired(gap=3.0)), "C070"),
        (dict(counted=counted(ratio=2.0)), "C073"),
    ],
    "S205": [
        (dict(counted=counted(ratio=1.4)), "cheaper"),
        (dict(pairs={name: pair(gap=3.0) for name in EACH}), "nearly as effective"),
    ],
    "S216": [
        (dict(counted=weighed(peak=(15.0, 10.0))), "somewhere"),
        (dict(counted=counted(peak=(15.0, 10.0))), "everywhere"),
    ],
    "S218": [
        (dict(steps=swept(best=91.0)), "range"),
        (dict(steps=swept(best=91.0)), "somewhere"),
    ],
}  # fmt: skip
# S205 asks for more than 1.5 times, C073 for 28 to 38 percent: no evidence passes both.
PASSES = {"S205": dict(counted=weighed(ratio=1.55)), "S108": {}}


@pytest.mark.parametrize("claim", JUDGES)
def test_evidence_that_supports_a_claim_passes_every_check_of_its_criterion(claim):
    found = JUDGES[claim](made(**PASSES.get(claim, {})))
    entry = ledger()[claim]
    assert found.checks.keys() == entry["checks"].keys()
    assert all(found.checks.values()), found
    assert verdict(entry, found.checks, seeds=entry["seeds"], share=found.share) == "reproduced"
    assert found.why.endswith(".") and found.experiments


@pytest.mark.parametrize(
    "claim, change, check",
    [(claim, change, check) for claim, cases in FAILS.items() for change, check in cases],
)
def test_evidence_against_a_claim_fails_its_check(claim, change, check):
    assert not JUDGES[claim](made(**change)).checks[check]


def test_every_judge_has_evidence_that_fails_it():
    assert FAILS.keys() == JUDGES.keys()


@pytest.mark.parametrize("claim", JUDGES)
def test_without_what_it_needs_a_judge_says_nothing(claim):
    empty = Evidence({}, [], {}, {}, {}, None, None, None)
    assert JUDGES[claim](empty) is None


def test_half_of_the_settings_can_support_the_often_and_less_than_half_decide_nothing():
    change = PASSES["S205"]
    two = JUDGES["S205"](made(pairs={name: pair() for name in EACH[:2]}, **change))
    assert two.checks["nearly as effective"] and "5-shot" in two.protocol
    assert "20-way" not in two.protocol + two.why
    for some in ({EACH[0]: pair()}, {EACH[0]: pair(), EACH[1]: pair(gap=3.0)}):
        assert JUDGES["S205"](made(pairs=some, **change)) is None


@pytest.mark.parametrize("claim", ["C070", "S108"])
def test_one_setting_that_has_not_run_leaves_the_others_unjudged(claim):
    three = {name: pair() for name in EACH[:3]}
    assert JUDGES[claim](made(pairs=three)) is None


@pytest.mark.parametrize("claim", ["C070", "C071", "S108", "S205"])
def test_a_small_budget_can_support_and_cannot_refute(claim):
    small = {name: pair(share=0.1) for name in EACH}
    entry, change = ledger()[claim], PASSES.get(claim, {})
    found = JUDGES[claim](made(pairs=small, alike=pair(share=0.1), **change))
    assert found.share == pytest.approx(0.1)
    assert verdict(entry, found.checks, seeds=5, share=found.share) == "partial"
    far = {name: pair(gap=3.0, share=0.1) for name in EACH}
    change |= dict(alike=pair(gap=3.0, share=0.1), joint=torch.full((1, 30), 95.0))
    lost = JUDGES[claim](made(pairs=far, **change))
    assert verdict(entry, lost.checks, seeds=5, share=lost.share) == "not tested"


def test_the_explanation_fails_only_where_it_does():
    assert "fails" not in JUDGES["C072"](made()).why
    assert "fails where tested" in JUDGES["C072"](made(along=along_with("ReLU", 0.2))).why


def test_only_seeds_that_all_settings_share_are_compared():
    found = JUDGES["C070"](made(pairs=paired(seeds=2)))
    assert list(found.seeds) == [0, 1]


def test_the_margin_holds_the_whole_interval():
    assert inside(Interval(0.0, -0.9, 0.9)) and not inside(Interval(0.5, 0.0, 1.1))
    assert not inside(Interval(-0.5, -1.1, 0.1))


def test_the_share_of_the_improvement_is_counted_from_joint_training():
    alike = pair(gap=1.0, seeds=1, spread=0.0)
    accurate, share = improvement(made(joint=torch.full((1, 30), 92.0), alike=alike))
    assert share.value == pytest.approx(3 / 4)
    assert accurate["second order"].value == pytest.approx(96)


def test_what_is_saved_is_a_share_of_second_order():
    assert saved(made())["5-way 1-shot"] == pytest.approx(100 / 3)


def test_pairs_read_the_largest_budget_and_the_seeds_that_both_have(monkeypatch):
    def kept(method, seed, right, n):
        setting = dict(way=5, shots=1, test=1, method=method, seed=seed)
        names = ("together", "support only", "one by one")
        measured = {f"right.{p}": torch.full((n, 3), right) for p in names}
        measured["right.paper"] = torch.full((n, 3), right // 15)  # one query a class, not 15
        return Result({}, measured, {"setting": setting})

    bank = {
        "omniglot-5w1s-cpu": {f"printed-{s}": kept("printed", s, 75, 20) for s in (0, 1, 2)},
        "omniglot-5w1s-cpu-first-order": {
            f"first-order-printed-{s}": kept("first order, printed", s, 60, 10) for s in (1, 2, 3)
        },
    }
    monkeypatch.setattr(
        "mamlkit.audit.first_order_evidence.load",
        lambda experiment, budget: bank.get(experiment.name, {}),
    )
    assert evidence().alike.share == pytest.approx(20_000 * 8 / (60_000 * 32))
    found = pairs("paper")
    assert found.keys() == {"5-way 1-shot"}
    one = found["5-way 1-shot"]
    assert one.seeds == [1, 2] and one.gap().shape == (2, 10), "of the tasks that both have"
    assert one.gap().unique().item() == pytest.approx(20)
    assert one.gap("paper").unique().item() == pytest.approx(20)
    assert one.share == pytest.approx(20_000 * 8 / (60_000 * 32))
    longer = {f"{m}-0": kept(m, 0, right, 20) for m, right in (("maml", 75), ("fomaml", 45))}
    bank["omniglot-5w1s"] = longer
    assert pairs("paper")["5-way 1-shot"].share == 1
    assert evidence().alike.gap().unique().item() == pytest.approx(20), "as joint training was"


def test_the_bank_is_read_in_seconds():
    assert evidence().counted.keys() == {*LABELS.values()}


def test_the_sweep_at_the_papers_budget_counts_where_it_is_kept():
    ours, papers = swept(91.0), swept()
    assert _largest({"printed-0": ours, "maml-0": papers}) is papers
    assert _largest({"printed-0": ours}) is ours
    assert _largest({}) is None

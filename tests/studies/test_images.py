"""Table 1's settings are the paper's, and one training and measuring serves all its methods."""

import pickle

import pytest
import torch

from mamlkit.bank.experiment import LIMIT
from mamlkit.machine import seeded
from mamlkit.optimizer import adam
from mamlkit.studies import images
from mamlkit.studies.image_looks import HEAD_STEPS, looks
from mamlkit.studies.image_methods import (
    CLASSES,
    GRADIENT,
    METHODS,
    RULE_STEPS,
    TUNINGS,
    blank_task,
    drawn_for,
    every_class,
    method,
    pictures,
    step_size,
)
from mamlkit.studies.images import (
    COLUMNS,
    EXPERIMENTS,
    ROWS,
    SETTINGS,
    SHORTER,
    begin,
    cells,
    cost,
    measure,
    rule,
    share,
    steps,
)
from mamlkit.task import sample
from mamlkit.train import Step
from mamlkit.trees import tree_map

SMOKE = cells("omniglot-5w1s-cpu", tuple(METHODS), "smoke", 1)


def last(items):
    *_, end = items
    return end


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # appendix A.1: alpha, steps, steps at test, meta-batch, iterations
        ("omniglot-5w1s", (0.4, 1, 3, 32, 60_000)),
        ("omniglot-20w1s", (0.1, 5, 5, 16, 60_000)),
        ("mini-5w1s", (0.01, 5, 10, 4, 60_000)),
        ("mini-5w5s", (0.01, 5, 10, 2, 60_000)),
    ],
)
def test_the_papers_settings_are_those_of_its_appendix(name, expected):
    s = SETTINGS[name]
    assert (s["alpha"], s["steps"], s["test"], s["tasks"], s["iterations"]) == expected


def test_the_kept_two_core_training_has_the_setting_that_it_was_made_with():
    s = cells("omniglot-5w1s-cpu", ("printed",), "paper", 1)["printed-0"]
    kept = dict(way=5, shots=1, net="strided", alpha=0.4, steps=1, test=3, tasks=8, queries=5)
    kept |= dict(iterations=20_000, beta=0.003, schedule="cosine", method="printed", seed=0)
    assert {name: s[name] for name in kept} == kept


def test_a_share_counts_training_tasks():
    assert share(SETTINGS["omniglot-5w1s-cpu"], "omniglot-5w1s") == pytest.approx(1 / 12)
    assert share(SETTINGS["mini-5w5s-cpu"], "mini-5w5s") == pytest.approx(1 / 10)
    assert all(share(SETTINGS[c], c) == 1 for c in COLUMNS)


def test_every_smaller_setting_stands_in_a_column_and_is_smaller():
    for column, names in COLUMNS.items():
        assert names[0] == column
        shares = [share(SETTINGS[name], column) for name in names]
        assert shares[0] == 1 and shares == sorted(shares, reverse=True)
        assert all(s < 0.5 for s in shares[1:])
        assert all(SETTINGS[n][k] == SETTINGS[column][k] for n in names for k in ("way", "shots"))


def test_another_process_can_be_told_every_experiment():
    assert [pickle.loads(pickle.dumps(e)).name for e in EXPERIMENTS] == [*SETTINGS]


def test_the_first_method_has_as_many_seeds_as_asked_for_and_the_others_one():
    named = [*cells("omniglot-5w1s-cpu", ROWS["omniglot-5w1s-cpu"], "paper")]
    assert [n for n in named if n.startswith("printed")] == ["printed-0", "printed-1", "printed-2"]
    assert [n for n in named if n.startswith("siamese")] == ["siamese-0"]
    assert [*cells("mini-5w1s", ("first order, printed",), "paper", 2)] == [
        "first-order-printed-0",
        "first-order-printed-1",
    ]


@pytest.mark.parametrize(
    "name", ["printed", "prototypical", "mann", "statistician", "memory", "lstm", "fine-tuned"]
)
def test_a_method_trains_and_is_measured(name, monkeypatch):
    monkeypatch.setattr("mamlkit.studies.image_methods.TUNINGS", TUNINGS[1:3])
    monkeypatch.setitem(RULE_STEPS, "glyphs", {1: 1})
    setting = SMOKE[f"{name}-0"]
    step = last(steps(setting))
    assert step.iteration == 2 and torch.isfinite(step.losses).all()
    params, found = measure(setting, step)
    assert bool(params) == (name in GRADIENT)
    expected = 5 if name in GRADIENT else 1
    assert found["right.together"].shape == (4, expected)
    assert found["right.paper"].amax() <= 5
    assert ("features.paper" in found) == (name == "fine-tuned")


def test_pixels_need_no_training_and_are_known_by_their_answers():
    setting = SMOKE["pixels-0"]
    step = last(steps(setting))
    assert not step.meta and len(step.losses) == 0
    answers = begin(setting)
    assert len(answers) == 10 and answers.sum() > 10
    assert measure(setting, step)[1]["right.paper"].shape == (4, 1)


def test_a_stop_shortens_a_run_and_changes_nothing_else():
    whole, part = last(steps(SMOKE["printed-0"])), last(steps(SMOKE["printed-0"], None, 1))
    assert torch.equal(whole.losses[:1], part.losses)
    assert torch.equal(begin(SMOKE["printed-0"]), whole.losses)


@pytest.mark.parametrize(
    "row, until, expected",
    [("lstm", None, (None, True)), ("lstm", 2, (1, None)), ("prototypical", None, (1, None))],
)
def test_only_a_long_run_of_the_lstm_on_miniimagenet_is_compiled(row, until, expected, monkeypatch):
    asked = {}
    monkeypatch.setattr(images, "drawn_for", lambda *_: None)
    monkeypatch.setattr(images, "train", lambda *_, **how: asked.update(how) or iter(()))
    steps(cells("mini-5w1s-cpu", (row,), "paper")[f"{row}-0"], None, until)
    assert (asked["chunk"], asked["compiled"]) == expected


def test_a_falling_step_falls_to_zero_at_the_settings_end_not_at_the_stops():
    x, g = torch.ones(3), torch.ones(3)
    falling = rule(dict(beta=0.1, schedule="cosine", iterations=2))
    state = falling.init(x)
    sizes = []
    for _ in range(3):
        after, state = falling.update(g, state, x)
        sizes.append((x - after).mean().item())
    assert sizes == pytest.approx([0.1, 0.05, 0.0], abs=1e-6)
    constant = rule(dict(beta=0.1, schedule="constant", iterations=2))
    assert torch.equal(
        constant.update(g, constant.init(x), x)[0], adam(0.1).update(g, adam(0.1).init(x), x)[0]
    )


def test_the_printed_step_is_on_the_mean_loss_and_the_authors_n_times_larger():
    for name, size in (("printed", 0.4), ("maml", 2.0), ("first order, printed", 0.4)):
        assert step_size(SETTINGS["omniglot-5w1s"] | dict(method=name)) == pytest.approx(size)


def test_a_row_that_would_take_hours_has_fewer_tasks_than_maml_and_every_other_as_many():
    for name in SHORTER:
        asked, column = cells(name, ROWS[name], "paper", 1), name.removesuffix("-cpu")
        less = {c for c, s in asked.items() if share(s, column) < share(SETTINGS[name], column)}
        others = {f"{m}-0" for m in SHORTER[name][0] if m != "pixels"}
        assert less == (others | {"lstm-0"}) & {*asked}
        assert max(share(s, column) for s in asked.values()) == share(SETTINGS[name], column)
    whole = cells("mini-5w1s", ROWS["mini-5w1s"], "paper", 1)
    assert {share(s, "mini-5w1s") for s in whole.values()} == {1}
    short = cells("mini-5w1s-cpu", ("lstm", "matching"), "smoke", 1)
    assert {s["iterations"] for s in short.values()} == {2}


def test_costs_grow_with_the_budget():
    small, large = (
        cost(cells(n, ("maml",), "paper", 1)["maml-0"])
        for n in ("omniglot-5w1s-cpu", "omniglot-5w1s")
    )
    assert 0 < small < large


def test_a_cost_is_told_without_reading_an_image(monkeypatch):
    monkeypatch.setattr("mamlkit.studies.image_methods.pictures", None)
    for name, how in (
        ("omniglot-5w1s", "mann"),
        ("mini-5w5s", "fomaml"),
        ("mini-5w1s", "fine-tuned"),
    ):
        (setting,) = cells(name, (how,), "paper", 1).values()
        assert cost(setting) > 0


@pytest.mark.parametrize("name", ["printed", "mann", "statistician", "fine-tuned"])
def test_a_blank_task_has_the_shape_of_those_trained_on(name):
    setting = SMOKE[f"{name}-0"]
    drawn = tree_map(lambda t: t[0].shape, sample(drawn_for(setting), seeded(0), 1))
    assert tree_map(lambda t: t.shape, blank_task(setting)) == drawn


def test_a_classifier_has_as_many_classes_as_the_images():
    assert len(every_class("glyphs")) == CLASSES["glyphs"]


def test_unknown_words_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match='method "reptile" is unknown; allowed are maml'):
        method(SMOKE["printed-0"] | dict(method="reptile"))
    with pytest.raises(ValueError, match='images "mnist" are unknown; allowed are omniglot'):
        pictures("mnist", "train")


@pytest.mark.parametrize("name", ["omniglot-5w1s", "omniglot-noconv-5w1s", "mini-5w1s-64-filters"])
def test_what_is_kept_of_a_gradient_method_is_below_a_megabyte(name):
    """Parameters go to half precision where all would be larger."""
    setting = SETTINGS[name] | dict(method="maml", images="glyphs")
    params = method(setting).net.init(seeded(0))
    tests = 2 * setting["tests"] * (setting["longest"] + 1) * 3
    assert sum(p.numel() * 2 for p in params.values()) + tests + 50_000 < LIMIT


def test_looks_are_taken_of_one_shot_networks_only(monkeypatch):
    taken = []
    monkeypatch.setattr(images, "looks", lambda setting, theta: taken.append(setting) or {})
    monkeypatch.setattr(images, "right", lambda *args, **how: torch.zeros(2, 11))
    for name in ("omniglot-5w1s", "omniglot-5w5s"):
        setting = SETTINGS[name] | dict(method="maml", seed=0)
        measure(setting, Step(1, {"w": torch.ones(1)}, {}, torch.empty(0), torch.empty(0)))
    assert [s["shots"] for s in taken] == [1]


def test_looks_agree_with_each_other():
    setting = SMOKE["printed-0"] | dict(tests=8, images="glyphs")
    theta = method(setting).net.init(seeded(3))
    found = looks(setting, theta)
    assert found["head steps"].shape == (len(HEAD_STEPS), 8)
    assert torch.equal(found["head steps"][0], found["head.together"])  # alpha as printed, 0.4
    assert found["before"].sum() == 8 * 75 and found["moved"].shape == (5,)
    assert -1 <= found["alike"].min() and found["alike"].max() <= 1
    assert found["linear"].shape == (8, 2) and found["linear"].max() <= 75

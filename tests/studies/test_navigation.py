"""Section 5.3's navigation as experiments: what is trained, and how each training begins."""

import pytest
import torch

from mamlkit.bank.experiment import fingerprint, last
from mamlkit.rl.goals import Mixed
from mamlkit.studies.navigation import (
    ALPHA,
    CONTEXT,
    CONTEXT_ALPHAS,
    EXACT,
    EXPERIMENTS,
    MAML,
    NAVIGATION,
    SQUARED,
    begin,
    cells,
    setting,
    steps,
)
from mamlkit.studies.navigation_walks import own_world

SMOKE = NAVIGATION.cells("smoke", None)


def test_the_paper_s_cells_are_section_5_3_s():
    found = NAVIGATION.cells("paper", None)
    assert len(found) == 25 and len(EXACT.cells("paper", None)) == 3
    maml = found["maml-3"]
    assert (maml["tasks"], maml["rollouts"], maml["steps"], maml["iterations"]) == (20, 20, 1, 100)
    assert maml["seed"] == 3 and maml["alpha"] == MAML["alpha"] == 0.1
    joint = found["pretrained-0"]
    played = lambda s: s["tasks"] * s["rollouts"] * (s["steps"] + 1) * s["iterations"]
    assert played(joint) == played(maml), "pretraining takes as many environment steps"
    assert len({tuple(s.items()) for s in map(flat, found.values())}) == 25


def flat(one):
    return {k: tuple(v) if isinstance(v, list) else v for k, v in one.items()}


def test_the_other_experiments_change_one_thing():
    plain = NAVIGATION.cells("paper", 1)["maml-0"]
    differs = lambda other: {k for k in other if other[k] != plain[k]}
    assert differs(ALPHA.cells("paper", 1)["maml-0"]) == {"alpha", "tested"}
    assert differs(SQUARED.cells("paper", 1)["maml-0"]) == {"reward"}
    assert differs(EXACT.cells("paper", 1)["maml-0"]) == {"every"}
    five = CONTEXT.cells("paper", 1)["context-0"]
    assert five["adapts"] == "context"
    smaller = CONTEXT_ALPHAS.cells("paper", 1)
    assert {c: {k for k in s if s[k] != five[k]} for c, s in smaller.items()} == dict.fromkeys(
        ("context-0.3-0", "context-0.1-0"), {"method", "alpha", "tested"}
    )


def test_joint_training_sees_a_new_goal_in_every_walk_and_the_test_does_not():
    oracle = setting("oracle", 0)
    assert isinstance(own_world(oracle, mixed=True), Mixed)
    assert not isinstance(own_world(oracle), Mixed) and own_world(oracle).observations == 4


@pytest.mark.parametrize("method", ["maml", "pretrained", "oracle"])
def test_a_shorter_run_is_the_beginning_of_a_longer_one(method):
    one = SMOKE[f"{method}-0"]
    whole, start = last(steps(one)), last(steps(one, None, 1))
    assert (whole.iteration, start.iteration) == (2, 1)
    assert torch.equal(whole.optimizer["returns"][:1], start.optimizer["returns"])
    resumed = last(steps(one, start))
    assert all(torch.equal(p, resumed.meta[k]) for k, p in whole.meta.items())
    assert len(whole.scores) == 2 and whole.best


def test_the_random_policy_is_its_own_first_step():
    step = last(steps(SMOKE["random-0"]))
    assert step.iteration == 0 and len(step.losses) == 0 and step.best is step.meta


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_a_beginning_sees_a_changed_seed_and_nothing_else(experiment):
    one = next(iter(experiment.cells("smoke", None).values()))
    kept = fingerprint(experiment, one)
    assert torch.isfinite(kept).all() and torch.equal(fingerprint(experiment, one), kept)
    assert not torch.equal(fingerprint(experiment, {**one, "seed": 1}), kept)


def test_a_beginning_sees_a_changed_inner_step():
    one = SMOKE["maml-0"]
    before, after = begin(one), begin({**one, "alpha": 0.101})
    assert torch.equal(before[:1], after[:1]) and not torch.allclose(before[1:], after[1:])


def test_costs_grow_with_what_is_played():
    whole, smoke = (NAVIGATION.cells(b, 1)["maml-0"] for b in ("paper", "smoke"))
    assert NAVIGATION.cost(whole) > 5 * NAVIGATION.cost(smoke) > 0
    assert EXACT.cost(EXACT.cells("paper", 1)["maml-0"]) > NAVIGATION.cost(whole)


def test_seeds_are_counted_as_asked():
    assert [*cells(("maml",), {}, 5, "smoke")] == ["maml-0"]
    assert [*cells(("maml",), {}, 5, "paper", 2)] == ["maml-0", "maml-1"]

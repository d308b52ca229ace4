"""What is kept of a policy's walks: the numbers that `collect` and `mean_return` give."""

import pytest
import torch

from mamlkit.bank.experiment import last
from mamlkit.inner import inner_step
from mamlkit.machine import seeded
from mamlkit.rl.navigation import Navigation, authors_goals
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.rollout import mean_return
from mamlkit.studies.navigation import CONTEXT, NAVIGATION, steps
from mamlkit.studies.navigation_walks import (
    AT_TEST,
    distance_at_the_end,
    measure,
    own_policy,
    sampling,
    stepping,
    validation_goals,
    validation_return,
    walked,
)
from mamlkit.trees import tree_map

SMOKE = NAVIGATION.cells("smoke", None)


@pytest.fixture(scope="module")
def kept():
    """What is measured of the smoke cells, by method."""
    return {s["method"]: measure(s, last(steps(s))) for s in SMOKE.values()}


def test_later_steps_are_half_of_the_first():
    assert sampling(SMOKE["maml-0"], 0.1, 3) == [0.1, 0.05, 0.05]
    assert sampling(SMOKE["maml-0"], 0.1, 2, later=1.0) == [0.1, 0.1]
    assert sampling(SMOKE["maml-0"], 0.1, 0) == []
    context = CONTEXT.cells("smoke", None)["context-0"]
    assert sampling(context, 1.0, 2) == [{"context": 1.0}, {"context": 0.5}]


def test_only_the_context_moves_in_a_context_policy():
    one = CONTEXT.cells("smoke", None)["context-0"]
    theta = own_policy(one).init(seeded(0))
    alphas = sampling(one, 1.0, 1)
    batch = walked(one, theta, authors_goals(2), alphas, 3, 0)[0]
    support = tree_map(lambda t: t[0], batch.support)
    after = stepping(one, alphas)(1).adapt(theta, support)[-1]
    assert [k for k in theta if not torch.equal(after[k], theta[k])] == ["context"]


def test_returns_are_those_of_the_steps_that_are_said(kept):
    one, (theta, measured) = SMOKE["maml-0"], kept["maml"]
    assert measured["begun"].shape == measured["end"].shape == (1, 4, 5)
    batch, played = walked(one, theta, authors_goals(4), [0.1, 0.05], 4, AT_TEST)
    found = torch.stack([mean_return(t, 100) for t in played], 1)
    assert torch.equal(measured["begun"][0, :, :3], found)
    steps_of_first = tree_map(lambda t: t[0], batch.support[0])
    by_hand = inner_step(theta, lambda p: reinforce(own_policy(one))(p, steps_of_first), 0.1)
    one_step = stepping(one, [0.1])(1).adapt(theta, (steps_of_first,))[-1]
    assert all(torch.allclose(by_hand[k], one_step[k]) for k in theta)


def test_each_tried_step_size_has_its_row(kept):
    theta, measured = kept["pretrained"]
    tried = SMOKE["pretrained-0"]["tried"]
    assert measured["validation"].shape == (len(tried), 3, 5)
    again = validation_return(SMOKE["pretrained-0"], theta, tried[-1])
    assert abs(again - measured["validation"][-1, :, 1].mean()) < 60  # other walks, same policy
    assert not torch.equal(measured["validation"][0], measured["validation"][-1])
    assert "validation" not in kept["maml"][1]


def test_the_oracle_takes_no_update(kept):
    assert kept["oracle"][1]["begun"].shape == (1, 4, 1)


def test_what_only_maml_is_asked(kept):
    measured = kept["maml"][1]
    assert measured["stray"] < 1e-6
    assert measured["new walks"].shape == measured["old walks"].shape == (4,)
    assert not torch.equal(measured["new walks"], measured["old walks"])
    same, halved = measured["same step"], measured["begun"][0]
    assert torch.equal(same[:, :2], halved[:, :2]) and not torch.equal(same[:, 2], halved[:, 2])
    assert "stray" not in kept["random"][1]


def test_a_walk_ends_where_its_last_move_leads():
    one = SMOKE["random-0"]
    goals = authors_goals(2)
    theta = own_policy(one).init(seeded(0))
    (played,) = walked(one, theta, goals, [], 3, 1)[1]
    found = distance_at_the_end(played, goals)
    place = played.observation[1, :, 0] * 0
    at = [int(last.int().argmax()) for last in played.last[1]]
    for lane, end in enumerate(at):
        place[lane] = played.observation[1, lane, end] + 0.1 * played.action[1, lane, end].clamp(
            -1, 1
        )
    assert torch.allclose(found[1], (place - goals[1]).norm(dim=-1).mean())


def test_validation_goals_are_not_the_test_s():
    assert validation_goals().shape == (20, 2)
    assert not torch.isin(validation_goals(), authors_goals()).any()
    assert Navigation().reset(validation_goals(3), seeded(0)).observation.shape == (3, 2)

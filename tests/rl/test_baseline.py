"""Baseline and advantages against loops over episodes (oracle O21)."""

import pytest
import torch
from torch.func import vmap

from mamlkit.machine import seeded
from mamlkit.rl.baseline import advantages, experience, linear_baseline, standardised
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.rollout import rollout
from mamlkit.trees import tree_flatten, tree_map
from tests.rl.worlds import HORIZON, LANES, TASKS, Clock, shared, small

pytestmark = pytest.mark.usefixtures("float64")
DISCOUNT = 0.9


def play(env=None, goals=None):
    policy, env = small(), env or Clock()
    goals = torch.tensor([[3, 0, 0], [7, 0, 0], [5, 0, 2]]) if goals is None else goals
    return rollout(
        env, policy, shared(policy.init(seeded(0))), goals, lanes=LANES, generator=seeded(1)
    )


def moves():
    return play(Navigation(horizon=HORIZON), Navigation().sample_goals(seeded(3), TASKS))


def by_hand(reward, values, last, gae):
    """Episode by episode: A_t = sum_k (discount gae)^k (r + discount V' - V)."""
    result, start = [], 0
    for end in [i + 1 for i, x in enumerate(last) if x] + [len(last)]:
        r, v = reward[start:end], [*values[start:end], 0.0]
        surprise = [r[t] + DISCOUNT * v[t + 1] - v[t] for t in range(len(r))]
        result += [
            sum((DISCOUNT * gae) ** (k - t) * surprise[k] for k in range(t, len(r)))
            for t in range(len(r))
        ]
        start = end
    return result


@pytest.mark.parametrize("gae", [0.0, 0.7, 1.0])
def test_advantages_are_summed_episode_by_episode(gae):
    generator = seeded(0)
    reward, values = torch.randn(2, 9, generator=generator), torch.randn(2, 9, generator=generator)
    last = torch.tensor([[0, 0, 1, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 1, 0, 0]]).bool()
    ours = advantages(reward, values, last, discount=DISCOUNT, gae=gae)
    for lane in range(2):
        assert ours[lane].tolist() == pytest.approx(
            by_hand(*(t[lane].tolist() for t in (reward, values, last)), gae), abs=1e-12
        )


def test_with_gae_1_an_advantage_is_the_discounted_return_minus_the_prediction():
    done = moves()
    to_go = advantages(done.reward, torch.zeros_like(done.reward), done.last, discount=DISCOUNT)
    values = vmap(linear_baseline)(done, to_go)
    assert (
        advantages(done.reward, values, done.last, discount=DISCOUNT) - (to_go - values)
    ).abs().max() < 1e-10
    assert (
        to_go[0, 1, 0] - sum(DISCOUNT**t * r for t, r in enumerate(done.reward[0, 1]))
    ).abs() < 1e-12


def test_the_baseline_is_the_ridge_regression_of_each_task():
    done = moves()
    to_go = advantages(done.reward, torch.zeros_like(done.reward), done.last, discount=DISCOUNT)
    together = vmap(linear_baseline)(done, to_go)
    for task in range(TASKS):
        o = done.observation[task].flatten(0, 1)
        t = (torch.arange(HORIZON) / 100).repeat(LANES)[:, None]
        features = torch.cat([o, o**2, t, t**2, t**3, torch.ones_like(t)], 1)
        padded = torch.cat([features, 1e-5**0.5 * torch.eye(8)])
        weights = torch.linalg.lstsq(
            padded, torch.cat([to_go[task].flatten(), torch.zeros(8)])
        ).solution
        assert ((features @ weights).view(LANES, HORIZON) - together[task]).abs().max() < 1e-9
        assert (
            linear_baseline(tree_map(lambda x: x[task], done), to_go[task]) - together[task]
        ).abs().max() < 1e-9
    assert (together - to_go).std() < 0.5 * to_go.std()


def test_time_is_counted_from_the_start_of_each_episode():
    """A return that depends on the time in the episode alone is predicted exactly."""
    done = play(goals=torch.tensor([[3, 0, 0], [4, 0, 0], [5, 0, 0]]))
    to_go = torch.where(
        done.valid, 2 - 3 * done.observation[..., 0], 0
    )  # a Clock shows the steps since the start
    blind = done._replace(observation=torch.zeros_like(done.observation))
    assert (vmap(linear_baseline)(blind, to_go) - to_go)[done.valid].abs().max() < 2e-2


def test_what_does_not_count_is_not_fitted():
    done = play()
    to_go = torch.randn(done.reward.shape, generator=seeded(2))
    poisoned = (
        done._replace(observation=torch.where(done.valid[..., None], done.observation, 9.0)),
        torch.where(done.valid, to_go, 1e6),
    )
    difference = vmap(linear_baseline)(done, to_go) - vmap(linear_baseline)(*poisoned)
    assert not done.valid.all() and difference[done.valid].abs().max() < 1e-9


def test_advantages_are_standardised_over_the_steps_that_count():
    valid = torch.tensor([[True, True, False], [True, True, True]])
    advantage = standardised(torch.tensor([[3.0, -1.0, 1e9], [7.0, 2.0, 0.0]]), valid)
    counted = advantage[valid]
    assert (
        counted.mean().abs() < 1e-15
        and counted.std(correction=0) == pytest.approx(1, abs=1e-7)
        and advantage[0, 2] == 0
    )
    assert (
        standardised(torch.ones(2, 3), valid).abs().max() == 0
        and standardised(torch.ones(2, 3), valid & False).abs().max() == 0
    )


def test_experience_holds_the_steps_that_count_first():
    done = play()
    steps = experience(done, discount=DISCOUNT)
    counts = done.valid.flatten(1).sum(1)
    assert (
        counts.tolist() == [36, 28, 0]
        and steps.weight.shape == (TASKS, 36)
        and steps.action.shape == (TASKS, 36, 2)
    )
    assert steps.old.mean.shape == steps.old.log_std.shape == (TASKS, 36, 2)
    for task, n in enumerate(counts):
        assert steps.weight[task].tolist() == [1.0] * n + [0.0] * (36 - n)
        assert torch.equal(steps.action[task, :n], done.action[task][done.valid[task]])
        assert torch.equal(steps.old.mean[task, :n], done.old.mean[task][done.valid[task]])
    assert all(torch.isfinite(t).all() for t in tree_flatten(steps)[0])


def test_experience_of_one_task_does_not_know_the_others():
    done = moves()
    together = experience(done)
    for task in range(TASKS):
        alone = experience(tree_map(lambda t: t[task : task + 1], done))
        assert (
            alone.advantage[0] - together.advantage[task]
        ).abs().max() < 1e-9 and alone.advantage.std() > 0.5


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"discount": 1.5}, "discount is 1.5: it must be a number from 0 to 1"),
        ({"gae": -0.1}, "gae is -0.1: it must be a number from 0 to 1"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        experience(play(), **settings)

"""RL^2's memory lives as long as a trial, and what trains it is the gradient of what it was fed."""

import pytest
import torch
from torch.func import grad

from mamlkit.machine import seeded
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.rl2 import experience, rl2
from mamlkit.rl.rollout import episodes
from mamlkit.trees import ravel, tree_map
from tests.rl.worlds import Clock

pytestmark = pytest.mark.usefixtures("float64")
ENV, EPISODES, UNITS, TRIALS = Navigation(horizon=4), 3, 5, 6
AGENT = rl2(ENV, episodes=EPISODES, units=UNITS)


def start(agent=AGENT, seed=0):
    """Parameters without a zero among them."""
    generator = seeded(seed)
    return {
        k: p + 0.1 * torch.randn(p.shape, generator=generator)
        for k, p in agent.policy.init(generator).items()
    }


def played(agent=AGENT, env=ENV, trials=TRIALS, seed=1):
    generator = seeded(seed)
    return agent.play(start(agent), env.sample_goals(generator, trials), generator)


def test_it_is_torchs_gated_recurrent_unit():
    params, seen = start(), torch.randn(TRIALS, 7, 6, generator=seeded(2))
    gates = [params[name] for name in ("input.weight", "state.weight", "input.bias", "state.bias")]
    memory = torch.gru(
        seen, torch.zeros(1, TRIALS, UNITS), gates, True, 1, 0.0, False, False, True
    )[0]
    by_hand = memory @ params["layer0.weight"].T + params["layer0.bias"]
    assert (AGENT.policy.forward(params, seen).mean - by_hand).abs().max() < 1e-14


def test_it_is_fed_what_happened_a_step_before():
    done = played()
    assert done.observation.shape == (TRIALS, EPISODES * 4, 2 + 2 + 1 + 1) and done.valid.all()
    place, before, paid, ended = done.observation.split([2, 2, 1, 1], -1)
    assert not done.observation[:, 0].any(), "a trial begins at the origin with nothing behind it"
    assert torch.equal(before[:, 1:], done.action[:, :-1]) and torch.equal(
        paid[:, 1:, 0], done.reward[:, :-1]
    )
    assert (
        torch.equal(ended[:, 1:, 0] == 1, done.last[:, :-1])
        and not place[:, ::4].any()
        and (place[:, 1] != 0).all()
    )


def test_the_memory_goes_on_when_an_episode_ends_and_is_empty_when_a_trial_begins():
    params, done = start(), played()
    whole = AGENT.policy.forward(params, done.observation).mean
    assert (whole - done.old.mean).abs().max() < 1e-14, "what played is what is trained"
    alone = AGENT.policy.forward(params, done.observation[:, 4:]).mean
    assert (alone - whole[:, 4:]).abs().amax((1, 2)).min() > 1e-3, (
        "the second episode remembers the first"
    )
    again = played(seed=1)
    assert torch.equal(again.old.mean, done.old.mean), (
        "the next trial remembers nothing of the one before"
    )
    changed = done.observation.clone()
    changed[0] += 1
    assert torch.equal(AGENT.policy.forward(params, changed).mean[1:], whole[1:]), (
        "trials do not know each other"
    )


def test_from_the_start_a_memory_fades_slowly():
    agent = rl2(ENV, episodes=EPISODES, units=64)
    told, silent = torch.zeros(TRIALS, 9, 6), torch.zeros(TRIALS, 9, 6)
    told[:, 0] = 0.1 * torch.randn(TRIALS, 6, generator=seeded(3))
    mean = lambda seen: agent.policy.forward(agent.policy.init(seeded(0)), seen).mean
    left = (mean(told) - mean(silent)).norm(dim=(0, 2))
    assert 0.2 < left[8] / left[0] < 0.6, "eight steps at seven eighths each: 0.34"
    assert agent.policy.init(seeded(0))["input.weight"].std().item() == pytest.approx(
        (2 / 6) ** 0.5, rel=0.1
    ), "He's, six inputs"


def test_a_batch_of_trials_is_trial_after_trial():
    params, done = start(), played()
    alone = torch.cat([AGENT.policy.forward(params, one[None]).mean for one in done.observation])
    assert (alone - done.old.mean).abs().max() < 1e-14


def of_lengths():
    """Trials of two episodes: of 2 steps, of 7, and one that breaks at its second step."""
    agent = rl2(Clock(), episodes=2, units=UNITS)
    goals = torch.tensor([[2, 0, 0], [7, 0, 0], [3, 2, 0]]).double()
    return agent.play(start(agent), goals, seeded(0))


def test_a_trial_has_so_many_episodes_whatever_their_lengths():
    done = of_lengths()
    assert done.valid.sum(1).tolist() == [4, 14, 0] and done.broken.sum(1).tolist() == [0, 0, 2]
    assert (
        episodes(done)[0][:2, :2].tolist() == [[2, 2], [7, 7]] and done.observation.isfinite().all()
    )
    data = experience(done, 0.99, 0.9)
    assert (
        data.advantage[~done.valid[None]].abs().max() == 0 and (data.advantage[0, 0, :4] != 0).all()
    )


def test_what_comes_after_a_trial_counts_for_nothing():
    """A short trial goes on beside longer ones until they end too."""
    done = of_lengths()
    after = ~done.valid & (torch.arange(14) >= 4) & (torch.arange(3) == 0)[:, None]
    assert after.sum() == 10
    other = done._replace(reward=done.reward.masked_fill(after, 50.0))
    for gae in (0.9, 1.0):
        told, same = (experience(d, 0.99, gae).advantage for d in (done, other))
        assert torch.equal(told, same)


def test_what_an_episode_brings_counts_for_the_one_before():
    """Later rewards of the same trial change the advantages of its first step, those of another
    trial only their common scale."""
    done = played()
    later = done._replace(
        reward=done.reward.clone().index_put_(
            (torch.tensor(2), torch.tensor(-1)), torch.tensor(50.0)
        )
    )
    first, second = (experience(d, 0.99, 1.0).advantage[0, :, 0] for d in (done, later))
    assert second[2] == second.max() and second[2] > first[2]


def test_the_gradient_is_that_of_finite_differences():
    params, data = start(), tree_map(lambda t: t[0], experience(played(), 0.99, 0.9))
    vector, unravel = ravel(params)
    loss = lambda v: reinforce(AGENT.policy)(unravel(v), data)
    direction = torch.randn(vector.shape, generator=seeded(3))
    slope = (loss(vector + 1e-6 * direction) - loss(vector - 1e-6 * direction)) / 2e-6
    assert abs(grad(loss)(vector) @ direction - slope) < 1e-7 * slope.abs()


def test_an_update_stays_within_its_radius_and_it_learns():
    env = Navigation(horizon=5)
    agent, generator = rl2(env, episodes=2, units=8, radius=0.05), seeded(0)
    params, returns = agent.policy.init(generator), []
    for _ in range(15):
        done = agent.play(params, env.sample_goals(generator, 60), generator)
        params, outcome = agent.update(params, done)
        returns.append(done.reward.sum(1).mean().item())
        assert outcome.kl <= 0.05
    assert sum(returns[-3:]) > sum(returns[:3])


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(episodes=0), "episodes is 0: it must be 1 or more"),
        (dict(episodes=1, units=0), "units is 0"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        rl2(ENV, **settings)

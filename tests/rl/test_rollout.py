"""Many tasks and episodes side by side: what is counted, what ends, what never poisons."""

import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.rollout import episodes, mean_return, rollout
from mamlkit.trees import tree_flatten
from tests.rl.worlds import HORIZON, LANES, TASKS, Clock, Lottery, shared, small

pytestmark = pytest.mark.usefixtures("float64")


def play(env=None, goals=None, policy=None, lanes=LANES, seed=1):
    policy, env = policy or small(), env or Clock()
    goals = torch.tensor([[3, 0, 0], [7, 0, 0], [5, 0, 0]]) if goals is None else goals
    return rollout(
        env,
        policy,
        shared(policy.init(seeded(0)), len(goals)),
        goals,
        lanes=lanes,
        generator=seeded(seed),
    )


def test_axes_are_tasks_lanes_and_time():
    done = play()
    assert done.reward.shape == (TASKS, LANES, 10), (
        "two episodes of 5, three of 3: the last ends at 10, at 9"
    )
    assert (
        done.observation.shape
        == done.action.shape
        == done.old.mean.shape
        == done.old.log_std.shape
        == (TASKS, LANES, 10, 2)
    )


def test_episodes_follow_one_another_and_the_last_that_began_in_time_is_played_to_its_end():
    """H is 7: episodes of 3 begin at 0, 3 and 6, of 7 at 0, of 5 at 0 and 5."""
    done = play()
    for task, (length, counted) in enumerate([(3, 9), (7, 7), (5, 10)]):
        time = torch.arange(10)
        assert torch.equal(done.first[task], (time % length == 0).expand(LANES, -1))
        assert torch.equal(done.last[task], (time % length == length - 1).expand(LANES, -1))
        assert torch.equal(done.valid[task], (time < counted).expand(LANES, -1))
        assert torch.equal(
            done.observation[task, :, :, 0], (time % length).double().expand(LANES, -1)
        ), "an episode starts anew"
    assert not done.broken.any()


def test_an_episode_that_does_not_end_is_ended_by_the_horizon():
    done = play(goals=torch.tensor([[0, 0, 0], [99, 0, 0]]))
    assert (
        done.reward.shape == (2, LANES, HORIZON)
        and done.last[..., -1].all()
        and not done.last[..., :-1].any()
        and done.valid.all()
    )


@pytest.mark.parametrize("goal", [[0, 4, 0], [0, 0, 4]], ids=["reward", "state"])
def test_a_number_that_is_not_finite_ends_its_episode_is_counted_and_goes_nowhere(goal):
    done = play(goals=torch.tensor([goal, [0, 0, 0]]))
    bad = torch.tensor([False, False, False, True])
    assert torch.equal(done.broken[0, :, :4], bad.expand(LANES, -1)) and torch.equal(
        done.last[0, :, :4], bad.expand(LANES, -1)
    )
    assert not done.valid[0, :, :4].any() and done.first[0, :, 4].all(), (
        "no step of a broken episode counts"
    )
    assert not done.broken[1].any() and done.valid[1, :, :7].all(), "other tasks are not touched"
    assert all(torch.isfinite(t).all() for t in tree_flatten(done)[0])
    assert (
        mean_return(done, HORIZON).isnan().tolist() == [True, False]
        and mean_return(done, HORIZON)[1] == 7
    )


def test_a_policy_that_is_not_finite_ends_too():
    policy = small()
    params = shared(policy.init(seeded(0)))
    params["layer0.bias"] = torch.full_like(params["layer0.bias"], torch.nan)
    done = rollout(
        Clock(),
        policy,
        params,
        torch.zeros(TASKS, 3, dtype=torch.int64),
        lanes=2,
        generator=seeded(0),
    )
    assert done.broken.all() and not done.valid.any() and torch.isfinite(done.action).all()


def test_batched_is_looped():
    policy = small()._replace(
        draw=lambda dist, generator: 3 * dist.mean + torch.tensor([0.7, -0.4])
    )
    params = {
        k: torch.stack([small().init(seeded(i))[k] for i in range(TASKS)])
        for k in small().init(seeded(0))
    }
    goals = Navigation().sample_goals(seeded(5), TASKS)
    together = rollout(Navigation(horizon=5), policy, params, goals, lanes=2, generator=seeded(0))
    for i in range(TASKS):
        alone = rollout(
            Navigation(horizon=5),
            policy,
            {k: p[i : i + 1] for k, p in params.items()},
            goals[i : i + 1],
            lanes=2,
            generator=seeded(0),
        )
        assert (together.action[i] - alone.action[0]).abs().max() < 1e-12 and (
            together.reward[i] - alone.reward[0]
        ).abs().max() < 1e-12
    assert together.action[:, :, 1:].std(0).min() > 1e-3, "the tasks differ"


def test_the_generator_alone_decides():
    state = torch.get_rng_state()
    first, again, other = (play(Lottery(), seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(tree_flatten(first)[0], tree_flatten(again)[0]))
    assert not torch.equal(
        first.action[..., :HORIZON, :], other.action[..., :HORIZON, :]
    ) and torch.equal(torch.get_rng_state(), state)


def test_episodes_have_a_return_a_length_and_an_end():
    total, length, end = episodes(play())
    assert total.shape == length.shape == end.shape == (TASKS, LANES, 4)
    assert total[0, 1].tolist() == length[0, 1].tolist() == [3, 3, 3, 1] and end[0, 1].tolist() == [
        3,
        6,
        9,
        float("inf"),
    ]
    assert length[1, 0].tolist() == [7, 3, 0, 0] and end[1, 0].tolist() == [7] + [float("inf")] * 3


def test_returns_are_right_on_average_unless_what_still_runs_is_thrown_away():
    """Lengths 2 and 20, each half of the time, 1 a step: 11 on average. The authors' way counts the
    short ones more."""
    env = Lottery(horizon=20)
    done = play(env, goals=torch.zeros(40, 3, dtype=torch.int64), lanes=50)
    values = {counted: mean_return(done, 20, counted) for counted in ("begun", "first", "finished")}
    error = {counted: v.std() / 40**0.5 for counted, v in values.items()}
    assert (
        abs(values["begun"].mean() - 11) < 3 * error["begun"] + 0.05
        and abs(values["first"].mean() - 11) < 3 * error["first"]
    )
    assert (
        values["finished"].mean() < 11 - 10 * error["finished"]
        and error["begun"] < 0.7 * error["first"]
    )


def test_the_ways_to_count_agree_where_no_episode_ends_early():
    done = play(Navigation(horizon=HORIZON), goals=torch.tensor([[0.4, 0.4], [-0.3, 0.5]]))
    assert (mean_return(done, HORIZON) - done.reward.sum(-1).mean(-1)).abs().max() < 1e-12
    assert all(
        (mean_return(done, HORIZON, c) - mean_return(done, HORIZON)).abs().max() < 1e-12
        for c in ("first", "finished")
    )


def test_finished_counts_whole_episodes_in_the_order_of_their_ends():
    """Two lanes of H 7 with episodes of 5: ends at 5, 5, 10, 10; 14 steps need three of them."""
    done = play(goals=torch.tensor([[5, 0, 0]]), lanes=2)
    rewards = torch.tensor([[1.0] * 5 + [3.0] * 5, [2.0] * 5 + [100.0] * 5])
    done = done._replace(reward=rewards[None])
    assert mean_return(done, HORIZON, "finished").item() == (5 + 10 + 15) / 3
    assert (
        mean_return(done, HORIZON, "first").item() == 7.5
        and mean_return(done, HORIZON).item() == (5 + 10 + 15 + 500) / 4
    )


def test_finished_stops_where_the_steps_are_full():
    """Three lanes of H 7 with episodes of 3: the seventh of the nine that end fills the 21
    steps."""
    done = play(goals=torch.tensor([[3, 0, 0]]), lanes=3)
    returns = torch.tensor([[1.0, 4.0, 7.0], [2.0, 5.0, 100.0], [3.0, 6.0, 100.0]])
    done = done._replace(reward=returns.repeat_interleave(3, 1)[None] / 3)
    assert done.reward.shape == done.first.shape == (1, 3, 9)
    assert mean_return(done, HORIZON, "finished").item() == pytest.approx(4, abs=1e-12)


def test_an_episode_that_broke_is_left_out_of_means_so_that_breaking_never_pays():
    done = play(goals=torch.tensor([[5, 0, 0]]), lanes=2)
    rewards = torch.tensor([[-1.0] * 5 + [-3.0] * 5, [-2.0] * 5 + [-100.0] * 5])
    at = torch.zeros_like(done.broken)
    at[0, 0, 4] = True  # the first lane's first episode, the best of all
    done = done._replace(reward=rewards[None], broken=at)
    assert (
        mean_return(done, HORIZON).item() == -(10 + 15 + 500) / 3
        and mean_return(done, HORIZON, "finished").item() == -(10 + 15) / 2
    )
    assert mean_return(done, HORIZON, "first").item() == -10


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ValueError, match="lanes is 0: it must be 1 or more"):
        play(lanes=0)
    with pytest.raises(
        ValueError, match='counted is "all": it must be "begun", "first" or "finished"'
    ):
        mean_return(play(), HORIZON, "all")

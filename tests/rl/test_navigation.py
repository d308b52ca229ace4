"""The point agent of section 5.3: closed forms of an environment (oracle O20)."""

import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.rl.env import State
from mamlkit.rl.navigation import NEAR, SPEED, Navigation, authors_goals
from mamlkit.rl.rollout import mean_return, rollout
from tests.rl.worlds import LANES, shared, still

pytestmark = pytest.mark.usefixtures("float64")


def step(position, action, goal, **settings):
    state, reward, done = Navigation(**settings).step(
        State(torch.tensor([position]), ()), torch.tensor([action]), torch.tensor([goal])
    )
    return state.observation[0].tolist(), reward.item(), done.item()


def test_an_agent_that_does_nothing_is_paid_minus_its_distance_at_every_step():
    """-40.08 over the authors' 40 goals; their meta-learned policy starts at -40.41 (oracle
    O20)."""
    goals, policy = authors_goals(), still()
    played = rollout(
        Navigation(),
        policy,
        shared(policy.init(seeded(0)), 40),
        goals,
        lanes=2,
        generator=seeded(1),
    )
    assert played.reward.shape == (40, 2, 100)
    returns = mean_return(played, 100)
    assert (returns + 100 * goals.norm(dim=1)).abs().max() < 1e-10
    assert returns.mean().item() == pytest.approx(-40.08, abs=0.005)


def test_the_authors_goals_are_their_seeds():
    assert authors_goals().shape == (40, 2) and torch.equal(authors_goals(7), authors_goals()[:7])
    assert authors_goals(1)[0].tolist() == pytest.approx(
        [-0.082977995297426, 0.2203244934421581], abs=1e-12
    )


def test_goals_are_uniform_in_the_unit_square_around_the_start():
    goals = Navigation().sample_goals(seeded(0), 100_000)
    assert (
        goals.shape == (100_000, 2) and -0.5 <= goals.min() < -0.499 and 0.499 < goals.max() <= 0.5
    )
    assert (goals.mean(0).abs() < 0.003).all() and (goals.var(0) - 1 / 12).abs().max() < 1e-3
    assert (goals[:, 0] * goals[:, 1]).mean().abs() < 1e-3
    assert torch.equal(
        Navigation().reset(goals[:LANES], seeded(0)).observation, torch.zeros(LANES, 2)
    )


@pytest.mark.parametrize(
    "goal, words",
    [
        ([0.1, torch.nan], r"\[0.1.*, nan\]"),
        ([5.0, 5.0], r"\[5.0, 5.0\]"),
        ([0.1], r"of shape \(1,\)"),
        ([0.1, 0.2, 0.3], r"of shape \(3,\)"),
    ],
)
def test_a_goal_that_is_no_place_in_the_square_is_refused(goal, words):
    with pytest.raises(
        ValueError,
        match=(
            f"the goal {words} is refused: each task of navigation is a place .x, y., both from"
            " -0.5 to 0.5"
        ),
    ):
        Navigation().reset(
            torch.tensor([[0.2, -0.1][: len(goal)] + [0.0] * (len(goal) - 2), goal]), seeded(0)
        )


def test_a_step_moves_by_a_tenth_of_the_clipped_action():
    assert SPEED == 0.1
    assert step([0.1, -0.2], [0.5, -0.3], [0.4, 0.4])[0] == pytest.approx([0.15, -0.23])
    assert step([0.1, -0.2], [7.0, -1.5], [0.4, 0.4])[0] == pytest.approx([0.2, -0.3])


def test_the_reward_is_minus_the_distance_from_where_it_arrives_or_its_square():
    assert step([0.0, 0.0], [1.0, 0.0], [0.4, 0.4])[1] == pytest.approx(-0.5)
    assert step([0.0, 0.0], [1.0, 0.0], [0.4, 0.4], reward="squared")[1] == pytest.approx(-0.25)


def test_an_episode_ends_near_the_goal_in_a_box_or_in_a_disc():
    assert NEAR == 0.01
    still = [0.0, 0.0]
    assert step([0.109, 0.2], still, [0.1, 0.2])[2] and not step([0.111, 0.2], still, [0.1, 0.2])[2]
    assert not step([0.1, 0.211], still, [0.1, 0.2])[2], "both coordinates must be near"
    corner = [0.109, 0.209]
    assert (
        step(corner, still, [0.1, 0.2])[2] and not step(corner, still, [0.1, 0.2], done="radius")[2]
    )
    assert step([0.106, 0.206], still, [0.1, 0.2], done="radius")[2]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"reward": "cubed"}, 'reward is "cubed": it must be "distance" or "squared"'),
        ({"done": "never"}, 'done is "never": it must be "box" or "radius"'),
        ({"horizon": 0}, "horizon is 0: it must be 1 or more"),
        ({"horizon": float("nan")}, "horizon is nan: it must be a whole number, 1 or more"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Navigation(**settings)

"""What the baselines of section 5.3 see: all goals mixed, and the goal in sight."""

import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.rl.env import State
from mamlkit.rl.goals import Fixed, Informed, Mixed
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.rollout import rollout
from tests.rl.worlds import shared, still

pytestmark = pytest.mark.usefixtures("float64")


def test_mixed_draws_a_goal_for_every_episode():
    """The trap of the authors' code: a worker that keeps its first goal never sees "all of the
    tasks" (claims.md, 3.6)."""
    env, policy = Mixed(Navigation(horizon=3)), still()
    goals = env.sample_goals(seeded(0), 2)
    assert goals.shape == (2, 0)
    state = env.reset(goals[:1].expand(50, 0), seeded(1))
    drawn = state.hidden[0]
    assert drawn.shape == (50, 2) and len(drawn.unique(dim=0)) == 50
    after, reward, _ = env.step(state, torch.ones(50, 2), goals[:1].expand(50, 0))
    assert torch.equal(after.hidden[0], drawn), "within an episode it stays"
    assert (reward + (0.1 - drawn).norm(dim=1)).abs().max() < 1e-12
    done = rollout(
        env, policy, shared(policy.init(seeded(0)), 2), goals, lanes=5, generator=seeded(2)
    )
    assert len(done.reward[..., 0].unique()) == 10
    short = Mixed(Short())
    done = rollout(
        short, policy, shared(policy.init(seeded(0)), 2), goals, lanes=5, generator=seeded(2)
    )
    assert done.reward.shape == (2, 5, 4) and len(done.reward.unique()) == 2 * 5 * 4 // 2, (
        "the next episode has another"
    )


def test_fixed_draws_one_goal_only_and_changes_nothing_else():
    env = Navigation(horizon=3)
    one = Fixed(env, torch.tensor([0.3, -0.1]))
    assert (one.horizon, one.observations, one.actions) == (3, 2, 2)
    goals = one.sample_goals(seeded(0), 5)
    assert goals.shape == (5, 2) and (goals == torch.tensor([0.3, -0.1])).all()
    assert torch.equal(goals, one.sample_goals(seeded(1), 5)), "no seed changes it"
    policy = still()
    params = shared(policy.init(seeded(0)), 2)
    ours, theirs = (
        rollout(e, policy, params, goals[:2], lanes=2, generator=seeded(2)) for e in (one, env)
    )
    assert torch.equal(ours.reward, theirs.reward) and abs(ours.reward + 0.1**0.5).max() < 1e-12
    assert Fixed(Line(), 1).sample_goals(seeded(0), 2).tolist() == [[1.0], [1.0]], (
        "a number is enough where a goal is one"
    )
    with pytest.raises(RuntimeError):
        Fixed(env, torch.tensor([0.3, -0.1, 0.2]))


class Line(Navigation):
    """Goals of one number."""

    def sample_goals(self, generator, tasks):
        return torch.zeros(tasks, 1)


class Short(Navigation):
    """Episodes of two steps."""

    def __init__(self):
        super().__init__(horizon=4)

    def reset(self, goals, generator):
        return State(torch.zeros_like(goals), torch.zeros(len(goals)))

    def step(self, state, action, goals):
        arrived, reward, _ = super().step(state, action, goals)
        return State(arrived.observation, state.hidden + 1), reward, state.hidden == 1


@pytest.mark.parametrize(
    "env", [Informed(Navigation()), Mixed(Informed(Navigation()))], ids=["informed", "mixed"]
)
def test_informed_shows_the_goal_beside_the_observation(env):
    assert env.observations == 4 and env.actions == 2 and env.horizon == 100
    goals = env.sample_goals(seeded(0), 3)
    state = env.reset(goals, seeded(1))
    goal = goals if goals.shape[1] else state.hidden[0]
    assert torch.equal(state.observation, torch.cat([torch.zeros(3, 2), goal], 1))
    after, reward, done = env.step(state, torch.ones(3, 2), goals)
    assert (
        torch.equal(after.observation, torch.cat([torch.full((3, 2), 0.1), goal], 1))
        and not done.any()
    )
    assert (reward + (0.1 - goal).norm(dim=1)).abs().max() < 1e-12

"""What is measured of a trained robot is what its episodes show."""

import torch

from mamlkit.machine import seeded
from mamlkit.rl.collect import halved
from mamlkit.rl.frames import walk
from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import Trajectories
from mamlkit.studies import locomotion_measures as measures

SETTING = dict(method="maml", seed=0, alpha=0.1, goals=2, practice=2, test_rollouts=3)
ENV, POLICY = Locomotion("cheetah", "direction", horizon=12), gaussian(20, 6)
THETA, LEARNER = POLICY.init(seeded(1)), halved(reinforce(gaussian(20, 6)), alpha=0.1)


def test_a_way_is_that_of_the_centre_of_mass():
    positions, _ = walk(ENV, POLICY, THETA, torch.ones(1), generator=seeded(3))
    seen = ENV.robot.look((positions.numpy(), torch.zeros(len(positions), 9).numpy()))
    moved = seen[-1, measures.ALONG] - seen[0, measures.ALONG]
    root = (positions[-1, 0] - positions[0, 0]).item()
    assert abs(moved - root) < 0.15 and moved != 0, "the root joint is near the centre of mass"


def test_ways_begin_at_nought_and_differ_by_goal_after_the_step_only():
    found = measures.ways(SETTING, ENV, POLICY, LEARNER, THETA)
    assert found.shape == (2, 2, 3, 6) and not found[..., 0].any()
    assert found[..., -1].unique().numel() == 12


def test_the_tests_count_as_the_authors_do_and_leave_none_early():
    found = measures.tested(SETTING, ENV, POLICY, LEARNER, THETA)
    assert torch.equal(found["finished"], found["begun"]), "no episode of a cheetah ends early"
    assert found["goals"].tolist() == [[-1.0], [1.0]] and not found["early"].any()
    oracle = measures.tested(SETTING | {"method": "oracle"}, ENV, POLICY, LEARNER, THETA)
    assert torch.equal(oracle["finished"], found["finished"][:, :1])


def test_only_baselines_choose_a_step_size():
    made = lambda alpha: halved(reinforce(POLICY), alpha=alpha)
    own = measures.step_sizes(SETTING, ENV, POLICY, made, THETA)
    assert own.tolist() == [[torch.tensor(0.1).item(), 0.0]]
    table = measures.step_sizes(SETTING | {"method": "random"}, ENV, POLICY, made, THETA)
    assert table[:, 0].tolist() == torch.tensor(measures.GRID).tolist()
    assert table[:, 1].unique().numel() == len(measures.GRID)


def test_the_gain_by_tries_ends_with_that_of_twenty():
    found = measures.by_tries(SETTING, ENV, POLICY, LEARNER, THETA)
    played = measures.play(SETTING, ENV, POLICY, LEARNER, THETA, ENV.authors_goals(2), 1, 20)
    assert found.shape == (len(measures.TRIES),)
    assert found[-1] == measures.returned(played, 12).diff(dim=1).mean()


def test_episodes_that_end_early_are_a_share_of_the_finished_ones():
    last = torch.zeros(1, 2, 10, dtype=torch.bool)
    last[0, 0, [3, 9]] = last[0, 1, 9] = True
    first = torch.zeros_like(last)
    first[0, 0, [0, 4]] = first[0, 1, 0] = True
    nothing = torch.zeros(1, 2, 10)
    played = Trajectories(nothing, nothing, None, nothing, first, last, ~last & last, last | ~last)
    assert measures.too_short(played, 10) == torch.tensor(2 / 3)


def test_untrained_policies_are_each_their_own():
    setting = SETTING | {"policies": 2, "goals": 2}
    found = measures.untrained(setting, ENV, POLICY, LEARNER)
    assert found["returns"].shape == (2, 2) and found["total"].shape == (6,)
    assert abs(found["total"].mean() - found["returns"][0].mean()) < 1e-4

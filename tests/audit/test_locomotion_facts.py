"""The facts that chapter 05's judges read, measured small."""

import torch

from mamlkit.audit import locomotion_facts as facts
from mamlkit.machine import seeded
from mamlkit.rl.locomotion import Locomotion
from mamlkit.rl.policy import gaussian


def test_trpos_directions_and_the_baselines_of_two_tasks():
    cosine, kept, linear = facts.machinery(horizon=10)
    assert [*cosine] == ["as meant", "as released"]
    assert 0.99 < cosine["as meant"] <= 1 and cosine["as released"] < cosine["as meant"]
    assert kept == [True, False] and linear < 1e-6


def test_what_the_reward_holds_besides_is_what_moving_costs():
    env = Locomotion("cheetah", "velocity")
    found = facts.besides(env, gaussian(env.observations, env.actions))
    assert found.shape == (20, 100) and (found < 0).all()
    assert found.min() >= -0.05 * 6 - 1e-9, "0.05 a squared action, of six at most 1"


def test_numbers_become_double_and_nothing_else():
    tree = {"a": torch.ones(2), "b": torch.tensor([1]), "c": torch.tensor([True])}
    kinds = [t.dtype for t in facts.doubled(tree).values()]
    assert kinds == [torch.double, torch.int64, torch.bool]


def test_a_direction_solves_the_damped_system():
    curvature = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
    slope = torch.randn(2, generator=seeded(0)).double()
    found = facts.direction(lambda v: curvature @ v, slope)
    exact = torch.linalg.solve(curvature + facts.DAMPING * torch.eye(2).double(), -slope)
    assert torch.allclose(found, exact)


def test_goals_that_lean_are_not_even():
    assert facts.evenly(torch.linspace(0, 2, 101), 2) and not facts.evenly(
        torch.linspace(0, 1.9, 101), 2
    )
    assert not facts.evenly(torch.linspace(-0.1, 2.1, 101), 2)

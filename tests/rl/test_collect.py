"""Fresh trajectories before each inner step (claim C020)."""

import pytest
import torch

from mamlkit.inner import inner_step
from mamlkit.machine import seeded
from mamlkit.rl.collect import collect, halved
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.trees import tree_flatten, tree_map
from mamlkit.variants.maml import maml
from tests.oracles import gap
from tests.rl.worlds import HORIZON, LANES, TASKS, small

pytestmark = pytest.mark.usefixtures("float64")
POLICY = small()
LOSS = reinforce(POLICY)


def sampled(steps=2, seed=0, learner=lambda k: maml(LOSS, alpha=0.3, steps=k)):
    theta, goals = POLICY.init(seeded(9)), Navigation().sample_goals(seeded(8), TASKS)
    batch, played = collect(
        Navigation(horizon=HORIZON),
        POLICY,
        learner,
        theta,
        goals,
        steps=steps,
        rollouts=LANES,
        generator=seeded(seed),
    )
    return theta, batch, played


def test_every_step_samples_anew_from_the_policy_adapted_so_far():
    theta, batch, played = sampled()
    assert type(batch.support) is tuple and len(batch.support) == 2 and len(played) == 3
    for i in range(TASKS):
        support, query = tree_map(lambda t: t[i], batch)
        path = maml(LOSS, alpha=0.3, steps=2).adapt(theta, support)
        for params, steps in zip(path, [*support, query], strict=True):
            acted = POLICY.forward(params, steps.observation)
            assert (acted.mean - steps.old.mean).abs().max() < 1e-12 and (
                acted.log_std - steps.old.log_std
            ).abs().max() < 1e-12
        assert (path[1]["log_std"] - theta["log_std"]).abs().min() > 1e-4, (
            "the standard deviation adapts too"
        )
    actions = [steps.action for steps in (*batch.support, batch.query)]
    assert not any(torch.equal(a, b) for a, b in zip(actions, actions[1:]))


def test_with_no_steps_the_policy_itself_is_played():
    theta, batch, played = sampled(steps=0)
    assert (
        batch.support == ()
        and len(played) == 1
        and batch.query.weight.shape == (TASKS, LANES * HORIZON)
    )
    assert (
        POLICY.forward(theta, batch.query.observation[1]).mean - batch.query.old.mean[1]
    ).abs().max() < 1e-12


def test_later_steps_are_half_as_long():
    theta, batch, _ = sampled(steps=3, learner=halved(LOSS, alpha=0.4))
    support = tree_map(lambda t: t[1], batch.support)
    params = theta
    path = halved(LOSS, alpha=0.4)(3).adapt(theta, support)
    for alpha, steps, ours in zip((0.4, 0.2, 0.2), support, path[1:], strict=True):
        params = inner_step(params, lambda p: LOSS(p, steps), alpha)
        assert gap(params, ours) < 1e-12
    assert len(halved(LOSS, alpha=0.4)(0).adapt(theta, ())) == 1


def test_the_generator_alone_decides():
    state = torch.get_rng_state()
    first, again, other = (tree_flatten(sampled(seed=seed)[1])[0] for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again)) and not torch.equal(
        first[1], other[1]
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_a_negative_number_of_steps_is_refused():
    with pytest.raises(
        ValueError, match="steps is -1: the number of inner steps must be a whole number, 0 or more"
    ):
        sampled(steps=-1)

"""Algorithm 3's loop: it learns, says what it did, and goes on after a kill with the same
numbers."""

import pytest
import torch

from mamlkit.bank.checkpoint import resumable
from mamlkit.machine import seeded
from mamlkit.rl.collect import halved
from mamlkit.rl.goals import Informed, Mixed
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.train import WINDOW, returns_after, train_policy
from mamlkit.variants.maml import maml
from tests.oracles import same
from tests.rl.worlds import Clock, small

ENV = Navigation(horizon=6)
POLICY = small(std=1.0)


def run(env=ENV, policy=POLICY, iterations=3, seed=0, steps=1, tasks=3, rollouts=4, **settings):
    generator = seeded(seed)
    theta = policy.init(generator)
    learner = lambda k: maml(reinforce(policy), alpha=0.3, steps=k)
    return train_policy(
        env,
        policy,
        learner,
        theta,
        generator=generator,
        tasks=tasks,
        rollouts=rollouts,
        steps=steps,
        iterations=iterations,
        **settings,
    )


def test_a_step_holds_what_is_needed_to_go_on_and_the_runs_history():
    steps = list(run(steps=2))
    last = steps[-1]
    assert [s.iteration for s in steps] == [1, 2, 3] and last.losses.shape == (3,)
    assert last.optimizer["returns"].shape == (3, 3) and torch.equal(
        last.losses, -last.optimizer["returns"][:, -1]
    )
    assert all(
        last.optimizer[name].shape == (3,)
        for name in ("broken", "before", "after", "kl", "tries", "accepted")
    )
    assert (last.optimizer["kl"] <= 0.01).all() and last.optimizer["accepted"].sum() > 0
    assert not same(steps[0].meta, last.meta) and torch.equal(
        steps[0].optimizer["kl"], last.optimizer["kl"][:1]
    )


def test_the_generator_alone_decides():
    state = torch.get_rng_state()
    first, again, other = (list(run(seed=seed))[-1] for seed in (0, 0, 1))
    assert (
        same(first.meta, again.meta)
        and torch.equal(first.losses, again.losses)
        and not torch.equal(first.losses, other.losses)
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_that_is_killed_goes_on_with_the_same_numbers(tmp_path):
    straight = list(run(iterations=4))[-1]
    path = tmp_path / "run.safetensors"
    about = {"name": "test"}
    killed = resumable(path, lambda resume: run(iterations=4, resume=resume), about=about)
    next(killed), next(killed)
    killed.close()
    *_, resumed = resumable(
        path, lambda resume: run(iterations=4, seed=7, resume=resume), about=about
    )
    assert (
        resumed.iteration == 4
        and same(resumed.meta, straight.meta)
        and torch.equal(resumed.generator, straight.generator)
    )
    assert torch.equal(resumed.losses, straight.losses) and same(
        resumed.optimizer, straight.optimizer
    )
    assert [
        s.iteration
        for s in resumable(path, lambda resume: run(iterations=4, resume=resume), about=about)
    ] == [4]


def test_the_best_of_a_window_is_kept():
    steps = list(run(iterations=17, seed=2))
    returns, last = steps[-1].optimizer["returns"][:, -1], steps[-1]
    means = returns[:15].view(3, WINDOW).mean(1)
    assert last.scores[:, 0].tolist() == [5, 10, 15] and torch.allclose(last.scores[:, 1], means)
    assert not steps[3].best and same(steps[4].best, steps[4].meta), (
        "the first window ends at its fifth"
    )
    assert same(last.best, steps[5 * int(means.argmax()) + 4].meta) and not same(
        last.best, last.meta
    )


def test_a_resumed_run_keeps_its_best_and_equals_one_that_was_never_interrupted():
    straight = list(run(iterations=12, seed=2))
    for cut in (5, 7):
        held = straight[cut - 1]
        *_, resumed = run(iterations=12, seed=99, resume=held)
        assert (
            same(resumed.meta, straight[-1].meta)
            and same(resumed.best, straight[-1].best)
            and torch.equal(resumed.scores, straight[-1].scores)
        )
        assert same(resumed.optimizer, straight[-1].optimizer) and torch.equal(
            resumed.generator, straight[-1].generator
        )


def test_plain_trpo_learns_where_the_goal_is_in_sight_and_the_goals_are_mixed():
    """The oracle of section 5.3 is another call of the same pieces."""
    env, policy = Mixed(Informed(Navigation(horizon=10))), gaussian(4, 2, hidden=(16,), std=0.5)
    history = list(run(env, policy, iterations=12, steps=0, tasks=1, rollouts=60, radius=0.05))[
        -1
    ].optimizer["returns"]
    assert history.shape == (12, 1) and history[-1] > 0.8 * history[0], "returns are below 0"


def test_episodes_that_break_are_counted_told_and_harmless():
    class Fragile(Clock):
        def sample_goals(self, generator, tasks):
            return torch.tensor([[0, 3, 0], [5, 0, 0]])[:tasks]

        def step(self, state, action, goals):
            after, reward, done = super().step(state, action, goals)
            return after, reward - action.square().sum(-1), done

    with pytest.warns(
        UserWarning,
        match="iteration 1: .* episodes met a number that is not finite and were ended there",
    ):
        step = next(run(Fragile(), tasks=2))
    assert step.optimizer["broken"].item() == 2 * 4 * 3, (
        "two rollouts of four lanes, three episodes of 3 steps each within 7"
    )
    assert (
        all(torch.isfinite(p).all() for p in step.meta.values()) and step.optimizer["accepted"] == 1
    )


def test_returns_after_each_step_are_those_of_the_trajectories_it_learns_from():
    theta, goals = POLICY.init(seeded(0)), ENV.sample_goals(seeded(1), 5)
    settings = {"steps": 3, "rollouts": 4, "generator": seeded(2)}
    returns = returns_after(
        ENV, POLICY, halved(reinforce(POLICY), alpha=0.3), theta, goals, **settings
    )
    assert returns.shape == (5, 4) and (returns < 0).all()
    assert torch.equal(
        returns,
        returns_after(
            ENV,
            POLICY,
            halved(reinforce(POLICY), alpha=0.3),
            theta,
            goals,
            **settings | {"generator": seeded(2)},
        ),
    )


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"tasks": 0}, "tasks is 0: it must be 1 or more"),
        ({"rollouts": 0}, "rollouts is 0"),
        ({"iterations": 0}, "iterations is 0"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        next(run(**settings))


def test_a_mean_return_that_is_no_number_is_never_the_best(monkeypatch):
    from mamlkit.rl import train as module

    honest, calls = module.mean_return, []

    def spoilt(*args):
        calls.append(1)
        return honest(*args) * (torch.nan if len(calls) <= 2 * WINDOW else 1)

    monkeypatch.setattr(module, "mean_return", spoilt)
    steps = list(run(iterations=2 * WINDOW))
    assert steps[WINDOW - 1].best == {} and steps[-1].scores[0, 1].isnan()
    assert same(steps[-1].best, steps[-1].meta)


def test_a_step_of_another_policy_or_of_another_number_of_steps_is_refused():
    step = next(run())
    with pytest.raises(ValueError, match="the parameters of another policy"):
        next(run(policy=gaussian(2, 2, hidden=(7,)), resume=step))
    with pytest.raises(ValueError, match="another number of steps"):
        next(run(steps=2, resume=step))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"iterations": float("nan")}, "iterations is nan: it must be a whole number"),
        ({"tasks": 1.5}, "tasks is 1.5: it must be a whole number"),
        ({"steps": -1}, "steps is -1: the number of inner steps must be a whole number"),
        ({"env": Navigation}, "env is the class Navigation"),
        ({"radius": float("nan")}, "radius is nan: it must be above 0"),
        ({"every": 1.5}, "every is 1.5: it must be a whole number"),
    ],
    ids=str,
)
def test_what_cannot_be_a_run_is_refused_in_one_sentence(settings, words):
    with pytest.raises(ValueError, match=words):
        next(run(**settings))


def test_parameters_that_require_grad_give_the_same_numbers():
    theta = {k: p.requires_grad_() for k, p in POLICY.init(seeded(0)).items()}
    policy = POLICY._replace(init=lambda generator: POLICY.init(generator) and theta)
    a, b = (list(run(policy=p))[-1] for p in (policy, POLICY))
    assert same(a.meta, b.meta) and not any(p.requires_grad for p in a.meta.values())

"""Algorithm 3's outer loop, as a generator, and how well what it finds adapts."""

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from mamlkit.boundary import inner_steps, made_of, parameters, random_numbers, said, whole
from mamlkit.evaluate import better
from mamlkit.learner import Learner
from mamlkit.machine import restored
from mamlkit.rl.collect import collect
from mamlkit.rl.env import Env
from mamlkit.rl.policy import Policy
from mamlkit.rl.rollout import mean_return
from mamlkit.rl.trpo import Outcome, trpo_step
from mamlkit.train import Step
from mamlkit.trees import Params

WINDOW = 5  # iterations whose mean return decides which parameters were the best


def train_policy(
    env: Env,
    policy: Policy,
    learner: Callable[[int], Learner],
    theta: Params,
    *,
    generator: Generator,
    tasks: int,
    rollouts: int,
    steps: int,
    iterations: int,
    discount: float = 0.99,
    radius: float = 0.01,
    every: int = 1,
    chunk: int | None = None,
    resume: Step | None = None,
) -> Iterator[Step]:
    """Meta-trains a policy by TRPO (Algorithm 3), yielding a `Step` after every meta-update.

    learner: the number of inner steps -> the learner, see `collect`. theta: initial parameters.
    generator: draws goals, first states and actions; it decides the device. tasks: the meta-batch
    size. rollouts: H environment steps each, before and after every inner step. steps: inner steps,
    0 for plain TRPO (the baselines: on `Mixed(env)`, and on `Mixed(Informed(env))` for the oracle).
    iterations: meta-updates in all. every, chunk: see `trpo_step`. resume: go on from this Step
    instead of from `theta`, with the same numbers.

    `Step.losses` is minus the mean return after adaptation. `Step.optimizer` holds the run's
    history: "returns" (iterations, steps + 1), as the authors count them ("finished", see
    `mean_return`); "broken", how many episodes met a number that was not finite (the first time a
    warning says so too); and TRPO's before, after, kl, tries and accepted. `Step.best` is where the
    mean return of WINDOW iterations was highest, `Step.scores` those means (appendix A.2: "the
    model with the best average return during training was used"); a mean of NaN is never the best.
    Raises ValueError for settings out of range, FloatingPointError if a meta-gradient is not
    finite. Source: section 5.3, Algorithm 3.
    """
    for name, value in {"tasks": tasks, "rollouts": rollouts, "iterations": iterations}.items():
        whole(name, value)
    inner_steps(steps)
    made_of("env", env, ("sample_goals", "reset", "step"), "Navigation() is one")
    made_of("policy", policy, ("init", "forward", "draw"), "gaussian(2, 2) is one")
    made_of("learner", learner, ("__call__",), "lambda k: maml(loss, alpha=0.1, steps=k) is one")
    random_numbers(generator)
    theta = parameters(theta)
    if not theta:
        raise ValueError("the parameters are empty: policy.init(generator) makes a policy's")
    done, history, best, scores = 0, _history(steps), {}, torch.empty(0, 2)
    if resume is not None:
        _same_run(resume, theta, history)
        done, theta, history, best, scores = (
            resume.iteration,
            {name: p.to(theta[name].device) for name, p in resume.meta.items()},
            resume.optimizer,
            resume.best,
            resume.scores,
        )
        restored(generator, resume.generator)
    while done < iterations:
        goals = env.sample_goals(generator, tasks)
        batch, played = collect(
            env,
            policy,
            learner,
            theta,
            goals,
            steps=steps,
            rollouts=rollouts,
            discount=discount,
            generator=generator,
        )
        theta, outcome = trpo_step(
            learner(steps), policy, theta, batch, radius=radius, every=every, chunk=chunk
        )
        done += 1
        broken = sum(int(t.broken.sum()) for t in played)
        if broken and not history["broken"].any():
            warnings.warn(
                f"iteration {done}: {broken} episodes met a number that is not finite and were "
                "ended there",
                stacklevel=2,
            )
        returns = torch.stack(
            [mean_return(t, env.horizon, "finished").nanmean() for t in played]
        )  # NaN: of a task nothing was left
        news = {"returns": returns, "broken": torch.tensor(broken), **outcome._asdict()}
        history = {k: torch.cat([h, news[k].to(h)[None]]) for k, h in history.items()}
        if done % WINDOW == 0:
            score = history["returns"][-WINDOW:, -1].mean()
            best = theta if better(score, scores[:, 1]) else best
            scores = torch.cat([scores, torch.tensor([[done, score]])])
        yield Step(
            done, theta, history, generator.get_state(), -history["returns"][:, -1], best, scores
        )


def returns_after(
    env: Env,
    policy: Policy,
    learner: Callable[[int], Learner],
    theta: Params,
    goals: Tensor,
    *,
    steps: int,
    rollouts: int,
    generator: Generator,
    discount: float = 0.99,
    counted: str = "begun",
) -> Tensor:
    """The mean return on every task after 0, 1, ... `steps` inner steps: (tasks, steps + 1), on the
    CPU.

    Each step adapts to the very trajectories whose returns stand before it. goals: (tasks, ...);
    counted: see `mean_return`. Source: section 5.3, Figures 4 and 5.
    """
    _, played = collect(
        env,
        policy,
        learner,
        theta,
        goals,
        steps=steps,
        rollouts=rollouts,
        discount=discount,
        generator=generator,
    )
    return torch.stack([mean_return(t, env.horizon, counted) for t in played], 1).cpu()


def _same_run(resume, theta, history):
    """Raises ValueError unless a Step belongs to a run with these parameters and steps."""
    if not isinstance(resume, Step):
        raise ValueError(f"resume is {said(resume)}: it must be a Step")
    shapes = lambda params: {name: tuple(p.shape) for name, p in params.items()}
    if shapes(resume.meta) != shapes(theta):
        raise ValueError(
            f"the Step to resume from holds the parameters of another policy: "
            f"{shapes(resume.meta)}, and this run has {shapes(theta)}"
        )
    kept = {name: tuple(h.shape[1:]) for name, h in resume.optimizer.items()}
    if kept != {name: tuple(h.shape[1:]) for name, h in history.items()}:
        raise ValueError(
            f"the Step to resume from is of a run with another number of steps or another kind of "
            f"update: its history holds {kept}"
        )


def _history(steps):
    return {
        "returns": torch.empty(0, steps + 1),
        "broken": torch.empty(0),
        **{name: torch.empty(0) for name in Outcome._fields},
    }

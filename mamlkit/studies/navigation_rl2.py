"""RL^2 (Duan et al. 2016) on 2D navigation: a memory where MAML takes a gradient step."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mamlkit.bank.budget import budget as of
from mamlkit.bank.experiment import Device, Experiment, Setting
from mamlkit.machine import restored, seeded
from mamlkit.rl.navigation import Navigation, authors_goals
from mamlkit.rl.rl2 import RL2, rl2
from mamlkit.rl.rollout import Trajectories, episodes
from mamlkit.rl.trpo import Outcome
from mamlkit.train import Step
from mamlkit.trees import Params

AT_TEST = 70_000  # the seed of what is played on test goals


def cells(budget: str, asked: int | None = None) -> dict[str, Setting]:
    """Three seeds at the paper's budget. 330 updates of 80 trials of 3 episodes are at most 7.9
    million environment steps, as many as MAML's 100 updates take.

    recalled: episodes that are played on a test goal before the last one; goals, walks: the
    authors' test goals, and the trials on each.
    """
    size = of(
        budget,
        smoke=dict(trials=4, episodes=2, iterations=2, goals=4, walks=2, recalled=2),
        quick=dict(trials=40, episodes=3, iterations=40, goals=40, walks=20, recalled=20),
        paper=dict(trials=80, episodes=3, iterations=330, goals=40, walks=20, recalled=20),
    )
    seeds = asked or of(budget, smoke=1, quick=1, paper=3)
    return {f"rl2-{seed}": dict(method="rl2", seed=seed) | size for seed in range(seeds)}


def agent(setting: Setting, episodes: int | None = None) -> RL2:
    """The policy with a memory of 64 units; its TRPO takes curvature from all trials, since every
    tenth are too few."""
    return rl2(Navigation(), episodes=episodes or setting["episodes"])


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """A Step for each update; its history holds the returns of a trial's episodes, in order."""
    memory, world, generator = agent(setting), Navigation(), seeded(setting["seed"], device)
    params, done = memory.policy.init(generator), 0
    history = {"returns": torch.empty(0, setting["episodes"])}
    history |= {name: torch.empty(0) for name in Outcome._fields}
    if resume is not None:
        params = {name: p.to(device) for name, p in resume.meta.items()}
        done, history = resume.iteration, {name: h.cpu() for name, h in resume.optimizer.items()}
        restored(generator, resume.generator)
    for iteration in range(done + 1, (until or setting["iterations"]) + 1):
        goals = world.sample_goals(generator, setting["trials"])
        played = memory.play(params, goals, generator)
        params, outcome = memory.update(params, played)
        news = outcome._asdict() | {"returns": by_episode(played, setting["episodes"]).mean(0)}
        history = {k: torch.cat([h, news[k].to(h)[None]]) for k, h in history.items()}
        yield Step(iteration, params, history, generator.get_state(), -history["returns"][:, -1])


def by_episode(played: Trajectories, number: int) -> Tensor:
    """The returns of each trial's first episodes, (trials, number)."""
    return episodes(played)[0][:, :number]


def begin(setting: Setting) -> Tensor:
    """The first update: mean returns of the episodes, TRPO's surrogate after it, its KL."""
    (step,) = steps(setting, None, 1)
    history = step.optimizer
    return torch.cat([history["returns"][0], *(history[k] for k in ("after", "kl"))])


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """The last parameters, and what they do on the authors' goals.

    "episodes": the mean return of each of `recalled` + 1 episodes with one goal, (goals,
    episodes); it was trained for the first few. "steps": how many environment steps all but the
    last took, on average. "returns": the history of training, (iterations, episodes).
    """
    before = setting["recalled"]
    goals = authors_goals(setting["goals"]).repeat_interleave(setting["walks"], 0)
    played = agent(setting, before + 1).play(step.meta, goals, seeded(AT_TEST))
    earlier = played.valid & (played.last.cumsum(1) - played.last.long() < before)
    trials = by_episode(played, before + 1).unflatten(0, (setting["goals"], setting["walks"]))
    return step.meta, {
        "episodes": trials.mean(1),
        "steps": earlier.sum(1).float().mean(),
        "returns": step.optimizer["returns"],
    }


def cost(setting: Setting) -> float:
    """Seconds: an update of 240 episodes takes about five."""
    return 30 + 0.02 * setting["trials"] * setting["episodes"] * setting["iterations"]


RL2_NAVIGATION = Experiment("navigation-rl2", cells, steps, measure, begin, cost)

"""Made-up evidence of 2D navigation: five seeds, six goals, in which every claim holds."""

import torch

from mamlkit.audit.navigation_evidence import Evidence, Facts
from mamlkit.machine import seeded
from mamlkit.studies.navigation_bandit import PULLS, Counted

SEEDS, GOALS = 5, 6
RETURNS = {
    "maml": (-40.0, -8.0, -3.0, -2.0, -1.0),
    "pretrained": (-40.0, -19.0, -11.0, -8.0, -7.0),
    "pretrained, one step": (-40.0, -18.0),
    "random": (-82.0, -57.0, -53.0, -46.0, -42.0),
    "oracle": (-0.5,),
    "context": (-42.0, -9.0, -4.0, -3.0, -2.5),
    "context, one step": (-42.0, -9.0),
    "alpha 0.5": (-40.0, -8.0, -3.0, -2.0, -1.0),
    "exact": (-40.0, -8.0, -3.0, -2.0, -1.0),
}


def spread(values, seeds=SEEDS, seed=0, size=0.05):
    """(seeds, goals, updates + 1): the values, and a little noise."""
    values = torch.tensor(values)
    noise = torch.randn(seeds, GOALS, len(values), generator=seeded(seed))
    return values + size * noise


def measured(returns, end=0.05, walks=40.0, seeds=SEEDS, seed=0):
    begun = spread(returns, seeds, seed)
    return {
        "begun": begun,
        "finished": begun,
        "first": begun,
        "end": spread([end] * len(returns), seeds, seed, 0.001),
        "walks": torch.full_like(begun, walks),
    }


def evidence(**changes) -> Evidence:
    """Evidence by which every check passes; changes: of its fields, "returns" being of methods."""
    returns = RETURNS | changes.pop("returns", {})
    walks = {
        m: measured(
            r, 0.15 if m == "pretrained" else 0.05, seeds=1 if m == "exact" else SEEDS, seed=i
        )
        for i, (m, r) in enumerate(returns.items())
    }
    walks["exact"] = {k: t[:1] for k, t in walks["maml"].items()}
    good = dict(log=[0.0] * len(PULLS), ratio=[0.0] * len(PULLS))
    maml = {
        "new walks": spread([-3.0])[..., 0],
        "old walks": spread([-15.0], seed=1)[..., 0],
        "stray": torch.zeros(SEEDS),
        "walks in 2,000 steps": torch.full((SEEDS, GOALS), 20.0),
        "same step": spread((-40.0, -8.0, -9.0, -9.0, -9.0)),
        "a hundredth": spread((-40.0, -8.0, -8.0, -8.0, -8.0)),
        "20 walks": spread((-40.0, -9.0, -4.0, -3.0, -2.0)),
    }
    sizes = dict(tasks=20, rollouts=20, iterations=100, alpha=0.1, goals=GOALS, walks=40)
    made = Evidence(
        walks=walks,
        step=dict.fromkeys(walks, 0.1),
        theta={},
        maml=maml | changes.pop("maml", {}),
        histories={},
        tuning={"context": ([0.5, 1.0], torch.zeros(2, 5))},
        settings={"maml": sizes, "context": dict(alpha=1.0)},
        rl2={"episodes": spread((-11.0, -5.0, -4.0, -4.0), 1), "steps": torch.tensor([870.0])},
        contexts={1.0: -32.0, 0.3: -40.0},
        rl2_setting=dict(episodes=3, iterations=330, trials=80, goals=GOALS, walks=20),
        facts=Facts({"distance": -40.0, "squared": -17.0}, 0.1, 100, 0.0),
        bandit=Counted(good, {"log": 0.0}, {"log": 0.0}, 0.0, [0.0]),
    )
    return made._replace(**changes)

"""Section 5.3's 2D navigation: which policies are trained, and how each training begins."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from mamlkit.bank.budget import budget as of
from mamlkit.bank.experiment import Device, Experiment, Setting, follows, load
from mamlkit.evaluate import validated
from mamlkit.machine import seeded
from mamlkit.rl.train import train_policy
from mamlkit.studies import navigation_rl2
from mamlkit.studies.navigation_walks import (
    measure,
    own_policy,
    own_world,
    sampling,
    stepping,
    validation_return,
)
from mamlkit.train import Step

# Section 5.3 and the published model's name give 20 tasks, 20 rollouts and 1 step; alpha is the
# paper's 0.1 (their script has 0.5); the reward is the plain distance, as in their code. Ours:
# curvature from every tenth sample, and the snapshot that is best on validation goals is kept.
MAML = dict(reward="distance", alpha=0.1, adapts="all", context=0, steps=1, every=10)
PAPER = dict(
    tasks=20, rollouts=20, iterations=100, score_every=10, goals=40, walks=40, validation=20
)
# 800 rollouts of the pretrained policy are the environment steps that MAML takes in an update; 100
# are the authors' batch.
JOINT = dict(tasks=1, steps=0)
# First step sizes that are tried on validation goals, and the one that is best there on average
# over all seeds, with which the test is taken. A context policy tries more: it was trained with 1,
# and nothing says that this is its best.
GRID = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
MORE = [0.005, 0.01, 0.02, *GRID, 5.0]
FIVE = dict(adapts="context", context=5, tried=MORE)
FIRST, BAND = 2, 0.25  # how a run of today is held against a kept one, see `repeats`
METHODS = {
    "maml": {},
    "pretrained": JOINT | dict(rollouts=800, tried=GRID, tested=[0.2]),
    "pretrained-100": JOINT | dict(rollouts=100, tested=[0.2]),
    "oracle": JOINT | dict(rollouts=100),
    "random": dict(iterations=0, tried=GRID, tested=[1.0]),
    # Appendix C.2: five numbers adapt; their step size of 1 is ours, and two smaller ones are tried
    "context": FIVE | dict(alpha=1.0, tested=[0.5, 1.0]),
    "context-0.3": FIVE | dict(alpha=0.3, tested=MORE),
    "context-0.1": FIVE | dict(alpha=0.1, tested=MORE),
}


def setting(method: str, seed: int, budget: str = "paper", **other) -> dict:
    """What decides the numbers of one training and of its evaluation.

    reward: see `Navigation`. alpha: the first inner step's size, adapts: what it moves, context:
    how many numbers of context there are. tasks, rollouts, steps, every, iterations: see
    `train_policy`. score_every: meta-updates between two looks at the validation goals. goals,
    walks: the authors' test goals, and the rollouts on each before every update. validation: the
    validation goals, and the rollouts on each. tried, tested: the first step sizes there and here.
    """
    tiny = dict(tasks=3, rollouts=4, iterations=2, score_every=1, goals=4, walks=4, validation=3)
    quick = PAPER | dict(iterations=20)
    own = dict(tried=[]) | METHODS[method] | other
    own = dict(tested=[own.get("alpha", MAML["alpha"])]) | own
    if budget == "smoke" and "rollouts" in own:
        own["rollouts"] = 5
    size = of(budget, smoke=tiny, quick=quick, paper=PAPER)
    return dict(method=method, seed=seed) | MAML | size | own


def cells(
    methods: tuple[str, ...], other: dict, seeds: int, budget: str, asked: int | None = None
) -> dict[str, Setting]:
    """A setting for each method and seed. seeds: how many the paper's budget takes."""
    number = asked or of(budget, smoke=1, quick=1, paper=seeds)
    return {
        f"{method}-{seed}": setting(method, seed, budget, **other)
        for method in methods
        for seed in range(number)
    }


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """Algorithm 3's Steps; each holds the snapshot that did best on validation goals so far."""
    generator, policy = seeded(setting["seed"], device), own_policy(setting)
    theta = policy.init(generator)
    if not setting["iterations"]:  # the random policy is its own first Step
        untrained = {"returns": torch.empty(0, 2)}
        yield Step(0, theta, untrained, generator.get_state(), torch.empty(0), theta)
        return
    trained = train_policy(
        own_world(setting, mixed=setting["steps"] == 0),
        policy,
        stepping(setting, sampling(setting, setting["alpha"], 1)),
        theta,
        generator=generator,
        **{name: setting[name] for name in ("tasks", "rollouts", "steps", "every")},
        iterations=until or setting["iterations"],
        resume=resume,
    )
    yield from validated(
        trained, partial(_score, setting), every=setting["score_every"], resume=resume
    )


def _score(setting, theta) -> Tensor:
    """The return on validation goals by which a snapshot is kept.

    The pretrained policy is given the best of four step sizes each time.
    """
    theta = {name: p.cpu() for name, p in theta.items()}
    tried = GRID[1:5] if setting["method"].startswith("pretrained") else (setting["alpha"],)
    return torch.tensor(max(validation_return(setting, theta, a) for a in tried))


def begin(setting: Setting) -> Tensor:
    """The first update: mean returns before and after the inner step, TRPO's surrogate after it
    (before it is 0, since advantages are centred), its KL. Of the random policy, which is not
    trained: the means of its parameters."""
    *_, step = steps(setting, None, 1)
    if not step.iteration:
        return torch.stack([p.mean() for p in step.meta.values()])
    history = step.optimizer
    return torch.cat([history["returns"][0], *(history[k] for k in ("after", "kl"))])


def repeats(losses: Tensor, setting: Setting) -> str:
    """Holds the first updates of MAML's training against the banked run of its seed: in words, how
    far they agree.

    FIRST updates agree to the bank's tolerance on any processor. From then on rounding passes
    through conjugate gradient and a line search, and only the mean loss of the later updates must
    lie within BAND. Raises ValueError naming the updates that differ.
    """
    kept = load(NAVIGATION).get(f"maml-{setting['seed']}")
    if kept is None:
        return f"Not compared with the bank: it holds no training with seed {setting['seed']}."
    said = follows(losses, kept, setting, exact=FIRST)
    if not said.startswith("Agrees") or len(losses) <= FIRST:
        return said
    now, then = (x[FIRST : len(losses)].mean() for x in (losses, kept.measured["losses"]))
    if abs(now - then) > BAND * abs(then):
        raise ValueError(
            f"this run is not the beginning of the banked one: over updates {FIRST + 1} to "
            f"{len(losses)} its mean loss is {now:.4g}, kept {then:.4g}"
        )
    later = f"updates {FIRST + 1} to {len(losses)}"
    return f"{said} Over {later} the mean return is {-now:.2f}, kept {-then:.2f}."


def cost(setting: Setting) -> float:
    """Seconds: environment steps, and learning from them, dearer where all samples give
    curvature."""
    rollouts = setting["tasks"] * setting["rollouts"] * (setting["steps"] + 1)
    each = 3e-5 if setting["every"] > 1 else 8e-5
    return 30 + 100 * rollouts * setting["iterations"] * each


def _experiment(name: str, *methods: str, seeds: int = 5, **other) -> Experiment:
    return Experiment(name, partial(cells, methods, other, seeds), steps, measure, begin, cost)


NAVIGATION = _experiment("navigation", "maml", "pretrained", "pretrained-100", "oracle", "random")
CONTEXT = _experiment("navigation-context", "context")
CONTEXT_ALPHAS = _experiment("navigation-context-alphas", "context-0.3", "context-0.1", seeds=3)
ALPHA = _experiment("navigation-alpha", "maml", alpha=0.5)
SQUARED = _experiment("navigation-squared", "maml", reward="squared")
EXACT = _experiment("navigation-exact", "maml", seeds=3, every=1)
RL2 = navigation_rl2.RL2_NAVIGATION
EXPERIMENTS = (NAVIGATION, CONTEXT, CONTEXT_ALPHAS, ALPHA, SQUARED, EXACT, RL2)

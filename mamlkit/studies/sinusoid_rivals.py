"""Section 4's other ways to learn, on sine waves: a learned optimiser, a hypernetwork, and a start
that is scaled by data."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mamlkit.bank.budget import budget
from mamlkit.bank.experiment import Device, Setting, first_losses
from mamlkit.baselines.data_dependent import data_dependent
from mamlkit.baselines.hypernetwork import hypernetwork, written
from mamlkit.baselines.learned_optimizer import learned_optimizer, optimizer_params, started
from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.optimizer import adam, annealed, cosine
from mamlkit.studies.sinusoid_measures import GRID, SHOTS, summary
from mamlkit.studies.sinusoid_methods import NET, STEPS, errors, waves
from mamlkit.task import Family, Task, sample
from mamlkit.train import Step, train
from mamlkit.trees import Params
from mamlkit.variants.maml import maml

LOSS = mse(NET.forward)
RANDOM = mlp(1, 40, 40, 1, weight=he)  # the same net; 5.1's small weights begin on a plateau
HYPER = hypernetwork(NET, inputs=1, outputs=1)
UNTRAINED = ("random-tuned", "data-dependent")
LARGER = (*GRID, 0.1, 0.2)  # step sizes tried for an untrained network
SEEN = 100  # training waves whose inputs a start is scaled by


def own(profile: str) -> dict[str, dict]:
    """What each method's setting has of its own; the outer step falls to 0 along half a cosine."""
    few = budget(profile, smoke=6, quick=100, paper=2_000)
    many = budget(profile, smoke=10, quick=4_000, paper=70_000)
    return {
        **{name: dict(iterations=0) for name in UNTRAINED},
        "hypernetwork": dict(iterations=many),
        "learned-optimizer": dict(
            iterations=few, tasks=budget(profile, smoke=3, quick=10, paper=10), beta=0.01
        ),
    }


def start(setting: Setting, generator: torch.Generator) -> Params:
    """The parameters that a training begins with, or those of an untrained network."""
    if setting["method"] == "learned-optimizer":
        return optimizer_params(generator)
    if setting["method"] == "hypernetwork":
        return HYPER.init(generator)
    theta = NET.init(generator)
    if setting["method"] == "random-tuned":
        return theta
    seen = sample(sinusoid(shots=setting["shots"]), generator, SEEN).support.x
    return data_dependent(NET, theta, seen.flatten(0, 1), generator)


def learner(setting: Setting) -> Learner:
    """The learner of a method that is trained."""
    if setting["method"] == "hypernetwork":
        return unrolled(LOSS, written)
    return learned_optimizer(LOSS, steps=STEPS)


def as_wanted(setting: Setting, family: Family) -> Family:
    """The tasks; an optimiser's have random starts."""
    return started(family, RANDOM) if setting["method"] == "learned-optimizer" else family


def steps(
    setting: Setting,
    resume: Step | None = None,
    until: int | None = None,
    device: Device = "cpu",
) -> Iterator[Step]:
    """The training of a setting; `until` ends it early and changes nothing else."""
    generator = seeded(setting["seed"], device)
    theta = start(setting, generator)
    if setting["method"] in UNTRAINED:
        return iter([Step(0, theta, {}, generator.get_state(), torch.empty(0))])
    return train(
        learner(setting),
        theta,
        as_wanted(setting, sinusoid(shots=setting["shots"], queries=10)),
        annealed(adam(setting["beta"]), cosine(setting["iterations"])),
        generator=generator,
        tasks=setting["tasks"],
        iterations=until or setting["iterations"],
        resume=resume,
    )


def begin(setting: Setting) -> Tensor:
    """A training is known by its first losses, an untrained network by its first weights."""
    if setting["method"] in UNTRAINED:
        return start(setting, seeded(setting["seed"]))["layer1.weight"].flatten()[:5]
    return first_losses(steps, setting)


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """Figure 3's errors with 5, 10 and 20 points. An untrained network takes its steps at the size
    that validation waves prefer; "tuning" holds their errors after ten steps, a row for each K."""
    found, tuning = {}, []
    for k in SHOTS:
        if setting["method"] in UNTRAINED:
            validation = waves(k, max(20, setting["test_tasks"] // 10), 20_000)
            tried = [errors(tuned(a), step.meta, validation)[:, -1].median() for a in LARGER]
            tuning.append(torch.stack(tried))
            e = errors(
                tuned(LARGER[int(tuning[-1].argmin())]), step.meta, waves(k, setting["test_tasks"])
            )
        else:
            e = errors(learner(setting), step.meta, tests(setting, k))
        found |= summary(f"K={k}", e)
    return step.meta, found | ({"tuning": torch.stack(tuning)} if tuning else {})


def tuned(alpha: float) -> Learner:
    """Ten gradient steps of this size."""
    return maml(LOSS, alpha=alpha, steps=STEPS)


def tests(setting: Setting, shots: int) -> Task:
    """The test waves of section 5.1, the same ones for every method."""
    family = as_wanted(setting, sinusoid(shots=shots, queries=100))
    return sample(family, seeded(10_000), setting["test_tasks"])


def cost(setting: Setting) -> float:
    """Seconds of one core."""
    each = {"learned-optimizer": 0.5, "hypernetwork": 1 / 400}.get(setting["method"], 0)
    return 30 + each * setting["iterations"]

"""A tiny experiment: sines, a small net, two methods, seconds."""

import itertools
import os
import time
from functools import partial
from pathlib import Path

import torch

from mamlkit.bank import experiment
from mamlkit.bank.experiment import Experiment, first_losses
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp
from mamlkit.optimizer import adam
from mamlkit.task import sample
from mamlkit.train import Step, train
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

if place := os.environ.get("MAMLKIT_TINY_PLACE"):  # in a process that a test has started
    experiment.ROOT, experiment.SAVE_EVERY = Path(place), 0.3

NET, WAVES = mlp(1, 7, 5, 1), sinusoid(shots=3, queries=4)
VARIANTS = {"maml": maml, "fomaml": fomaml}


def cells(budget, seeds=None):
    size = {"smoke": 6, "quick": 300, "paper": 900}[budget]
    setting = dict(alpha=0.01, beta=0.001, tasks=2, iterations=size)
    return {
        f"{method}-{seed}": dict(method=method, seed=seed, **setting)
        for method in VARIANTS
        for seed in range(seeds or 2)
    }


def learner(setting):
    return VARIANTS[setting["method"]](mse(NET.forward), alpha=setting["alpha"], steps=1)


def steps(setting, resume=None, until=None, device="cpu"):
    generator = seeded(setting["seed"], device)
    return train(
        learner(setting),
        NET.init(generator),
        WAVES,
        adam(setting["beta"]),
        generator=generator,
        tasks=setting["tasks"],
        iterations=until or setting["iterations"],
        compiled=False,
        resume=resume,
    )


def measure(setting, step):
    tasks = sample(WAVES, seeded(10_000), 11)
    return step.meta, {
        "error": evaluate(learner(setting), step.meta, tasks, on_query(mse(NET.forward)))
    }


def cost(setting):
    return 1.0


def long(setting):
    return 7_200.0


TINY = Experiment("tiny", cells, steps, measure, partial(first_losses, steps), cost)
SLOW = TINY._replace(name="slow", cost=long)


def stuck(setting, resume=None, until=None, device="cpu"):
    """Never ends by itself. It learns nothing: gradients would take seconds to import."""
    meta = NET.init(seeded(setting["seed"]))
    for n in itertools.count(resume.iteration + 1 if resume else 1):
        time.sleep(0.01)
        yield Step(n, meta, {}, seeded(n).get_state(), torch.zeros(n))


STUCK = TINY._replace(name="stuck", steps=stuck)


def rested(setting, resume=None, until=None, device="cpu"):
    """Rests after every Step, so that there is time to end it."""
    for step in steps(setting, resume, until, device):
        yield step
        time.sleep(1.0)


RESTED = TINY._replace(name="rested", steps=rested)

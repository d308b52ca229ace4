"""Values that nobody should give to a public function: each is refused in one sentence that names
it, or it was good."""

import math
import random

import numpy as np
import pytest
import torch

from mamlkit import machine, nets, optimizer, sequence
from mamlkit.bank import budget
from mamlkit.baselines import averaging, fine_tune, mann, matching, pretrain, siamese
from mamlkit.evaluate import evaluate, on_query, validated
from mamlkit.families import minibatches, sinusoid
from mamlkit.losses import accuracy, cross_entropy, huber, mse
from mamlkit.machine import seeded
from mamlkit.probes import quadratic
from mamlkit.rl import (
    bandit,
    baseline,
    collect,
    navigation,
    policy,
    rl2,
    rollout,
    train,
)
from mamlkit.task import sample, validate
from mamlkit.train import train as meta_train
from mamlkit.variants.anil import anil
from mamlkit.variants.cavia import cavia
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.imaml import imaml
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from mamlkit.variants.meta_sgd import meta_sgd
from mamlkit.variants.reptile import reptile
from tests.fuzz.rule import answer, count, odd

NET, WAVES = nets.mlp(1, 4, 1), sinusoid.sinusoid(shots=3, queries=2)
LOSS = mse(NET.forward)
LEARNER, THETA = maml(LOSS, alpha=0.1, steps=1), NET.init(seeded(0))
IMAGES = torch.randint(0, 256, (6, 9, 1, 4, 4), generator=seeded(0)).to(torch.uint8)
PLAYED = dict(env=navigation.Navigation(horizon=2), policy=policy.gaussian(2, 2, hidden=(3,)))
MANY = 3_000  # a number of tasks that would take too long here


def number(value):
    """Is it a finite real number, and no tensor or array?"""
    return (
        isinstance(value, (int, float, np.floating))
        and not isinstance(value, bool)
        and (math.isfinite(value))
    )


def whole(least, most=2**63 - 1):
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most


def above(low):
    return lambda v: number(v) and v > low


def between(low, high):
    return lambda v: number(v) and low <= v <= high


def alpha(value):
    """A step size that any learner takes; a dict's names are asked later."""
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(torch.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(alpha, value.values()))
    return number(value) and value >= 0


def one_of(*values):
    return lambda v: any(v is w or isinstance(v, str) and v == w for w in values)


nothing = lambda value: False
function = lambda value: value in (print, int) if callable(value) else False


def ran(**changes):
    """A meta-training of two updates with one thing changed."""
    size = dict(generator=seeded(0), tasks=2, iterations=2, block=2)
    given = dict(learner=LEARNER, meta=THETA, family=WAVES, optimizer=optimizer.adam(0.1))
    given |= size | changes
    return next(meta_train(**given))


def measured(**changes):
    given = dict(learner=LEARNER, meta=THETA, tasks=WAVES, metric=on_query(LOSS))
    return evaluate(**(given | dict(number=2, generator=seeded(0)) | changes))


def played(**changes):
    learner = collect.halved(lambda p, d: p["log_std"].sum(), alpha=0.1)
    size = dict(tasks=2, rollouts=2, steps=1, iterations=1, generator=seeded(0))
    theta = PLAYED["policy"].init(seeded(0))
    return next(
        train.train_policy(**(PLAYED | dict(learner=learner, theta=theta) | size | changes))
    )


def experience(**changes):
    theta = {k: p[None] for k, p in PLAYED["policy"].init(seeded(0)).items()}
    place = torch.zeros(1, 2)
    size = dict(lanes=2, generator=seeded(0))
    tr = rollout.rollout(**PLAYED, params=theta, goals=place, **size)
    return baseline.experience(tr, **changes)


def each(names, make, good, *words):
    """Entries of one kind: a name of a parameter -> how it is given."""
    return {name: (lambda v, n=name: make(**{n: v}), good, words or (name,)) for name in names}


def named(title, entries):
    return {f"{title} {name}": entry for name, entry in entries.items()}


def rolled(lanes):
    theta = {k: p[None] for k, p in PLAYED["policy"].init(seeded(0)).items()}
    return rollout.rollout(
        **PLAYED, params=theta, goals=torch.zeros(1, 2), lanes=lanes, generator=seeded(0)
    )


generator = lambda v: isinstance(v, torch.Generator)
LEARNERS = dict(anil=anil, cavia=cavia, fomaml=fomaml, imaml=imaml, maml=maml, mamlpp=mamlpp)
LEARNERS |= dict(meta_sgd=meta_sgd, reptile=reptile)
WAVE = lambda **c: sinusoid.sinusoid(**c)
TABLE = {
    **named("train", each(["tasks", "iterations", "block"], ran, whole(1, MANY))),
    **named("train", each(["chunk"], ran, lambda v: v is None or whole(1)(v))),
    **named("train", each(["compiled"], ran, lambda v: v is None or isinstance(v, bool))),
    **named("train", each(["generator"], ran, nothing)),
    **named("train", each(["meta"], ran, nothing, "parameters")),
    **named("train", each(["learner", "family", "optimizer"], ran, nothing)),
    **named("train", each(["resume"], ran, lambda v: v is None)),
    **named("evaluate", each(["number"], measured, whole(1, MANY))),
    **named("evaluate", each(["chunk"], measured, lambda v: v is None or whole(1)(v))),
    **named("evaluate", each(["generator"], measured, nothing)),
    **named("evaluate", each(["learner", "tasks"], measured, nothing)),
    **named("evaluate", each(["meta"], measured, nothing, "parameters")),
    **named("evaluate", each(["metric"], measured, nothing)),
    **named(
        "sample", each(["tasks"], lambda tasks: sample(WAVES, seeded(0), tasks), whole(1, MANY))
    ),
    **named("sample", each(["generator"], lambda generator: sample(WAVES, generator, 2), nothing)),
    **named("sample", each(["family"], lambda family: sample(family, seeded(0), 2), nothing)),
    "validate": (validate, nothing, ("Task",)),
    "validated every": (
        lambda v: list(validated([], lambda m: 0.0, every=v)),
        whole(1),
        ("every",),
    ),
    **{
        f"{name} {part}": (
            lambda v, make=make, part=part: make(
                **(dict(loss=LOSS, alpha=0.1, steps=1) | {part: v})
            ),
            {"loss": function, "alpha": alpha, "steps": whole(0)}[part]
            if (name, part) != ("cavia", "alpha")
            else lambda v: not isinstance(v, dict) and alpha(v),
            (part,),
        )
        for name, make in LEARNERS.items()
        for part in ("loss", "alpha", "steps")
    },
    **named(
        "imaml", each(["strength"], lambda **c: imaml(LOSS, alpha=0.1, steps=1, **c), above(0))
    ),
    **named(
        "imaml", each(["cg_steps"], lambda **c: imaml(LOSS, alpha=0.1, steps=1, **c), whole(1))
    ),
    **named(
        "mamlpp",
        each(["annealing"], lambda **c: mamlpp(LOSS, alpha=0.1, steps=1, **c), between(0, 1)),
    ),
    **named(
        "adam",
        each(
            ["eps"],
            lambda **c: optimizer.adam(**({"beta": 0.1} | c)),
            lambda v: number(v) and v >= 0,
        ),
    ),
    **named("adam", each(["decay"], lambda **c: optimizer.adam(0.1, **c), nothing)),
    **named("adam", each(["beta"], optimizer.adam, above(0))),
    **named("sgd", each(["beta"], optimizer.sgd, above(0))),
    **named("cosine", each(["iterations"], optimizer.cosine, whole(1))),
    **named("cosine", each(["end"], lambda end: optimizer.cosine(5, end), between(0, 1))),
    **named("linear", each(["iterations"], optimizer.linear, whole(1))),
    **named("linear", each(["end"], lambda end: optimizer.linear(5, end), between(0, 1))),
    **{
        f"{f.__name__} forward": (f, function, ("forward",))
        for f in (mse, huber, cross_entropy, accuracy)
    },
    "mlp": (lambda v: nets.mlp(2, v, 1), whole(1), ("size",)),
    **named(
        "strided", each(["filters", "channels"], lambda **c: nets.strided_convnet(2, **c), whole(1))
    ),
    **named(
        "pooled", each(["filters", "channels"], lambda **c: nets.pooled_convnet(2, **c), whole(1))
    ),
    **named("pooled", each(["size"], lambda **c: nets.pooled_convnet(2, **c), whole(16))),
    **named("convnet", each(["ways"], nets.strided_convnet, whole(1))),
    **named(
        "context",
        each(["size"], lambda size: nets.with_context(NET, size, shift="layer0.bias"), whole(1)),
    ),
    "module build": (nets.from_module, lambda v: v is nothing, ("from_module", "Module")),
    **named(
        "module",
        each(
            ["derivatives"],
            lambda **c: nets.from_module(lambda: torch.nn.Linear(2, 1), **c),
            whole(0, 2),
        ),
    ),
    **named(
        "gru",
        each(
            ["inputs", "hidden", "outputs"],
            lambda **c: sequence.gru(**(dict(inputs=1, hidden=2, outputs=1) | c)),
            whole(1),
        ),
    ),
    **named(
        "transformer",
        each(
            ["inputs", "width", "heads", "outputs"],
            lambda **c: sequence.transformer(**(dict(inputs=1, width=1, heads=1, outputs=1) | c)),
            whole(1),
        ),
    ),
    **named("sinusoid", each(["shots", "queries"], WAVE, whole(1))),
    **named("sinusoid", each(["noise"], WAVE, lambda v: number(v) and v >= 0)),
    **named("sinusoid", each(["width"], WAVE, lambda v: v is None or number(v) and 0 < v <= 10)),
    **named(
        "sinusoid",
        each(
            ["support_range", "query_range"],
            WAVE,
            lambda v: isinstance(v, tuple) and v == (1, 2),
            "range",
        ),
    ),
    **named("walked", each(["length"], lambda length: sinusoid.walked(WAVES, length), whole(1))),
    **named("pictured", each(["size"], lambda size: sinusoid.pictured(WAVES, size), whole(1))),
    **named(
        "minibatched",
        each(
            ["examples", "batches"],
            lambda **c: minibatches.minibatched(WAVES, **(dict(examples=1, batches=1) | c)),
            whole(1),
        ),
    ),
    **named("seeded", each(["seed"], machine.seeded, whole(-(2**63), 2**64 - 1))),
    "device": (machine.choose_device, one_of("auto", "cpu"), ("device",)),
    "restored": (lambda v: machine.restored(seeded(0), v), nothing, ("state",)),
    "budget": (lambda v: budget.budget(v, smoke=1, quick=2, paper=3), nothing, ("profile",)),
    **{
        f"{f.__name__}": (f, lambda v: number(v) and v >= 0, ("weight",))
        for f in (averaging.l2, averaging.to_mean)
    },
    "fine_tune names": (
        lambda v: fine_tune.fine_tune(LOSS, alpha=0.1, steps=0, names=v)(THETA, None),
        lambda v: v is None,
        ("names", "parameter"),
    ),
    **{
        f"fine_tune {part}": (
            lambda v, part=part: fine_tune.fine_tune(
                **(dict(loss=LOSS, alpha=0.1, steps=1) | {part: v})
            ),
            {"loss": function, "alpha": above(0), "steps": whole(0)}[part],
            (part,),
        )
        for part in ("loss", "alpha", "steps")
    },
    **{
        f"pretrain {part}": (
            lambda v, part=part: pretrain.pretrain(
                **(dict(loss=LOSS, alpha=0.1, steps=1) | {part: v})
            ),
            {"loss": function, "alpha": alpha, "steps": whole(0)}[part],
            (part,),
        )
        for part in ("loss", "alpha", "steps")
    },
    **named(
        "all_classes",
        each(
            ["examples"], lambda examples: pretrain.all_classes(IMAGES, examples=examples), whole(1)
        ),
    ),
    "all_classes images": (lambda v: pretrain.all_classes(v, examples=1), nothing, ("images",)),
    "fresh_head": (
        lambda v: fine_tune.fresh_head(nets.strided_convnet(2, filters=1).init(seeded(0)), v),
        whole(2, MANY),
        ("ways",),
    ),
    **named(
        "mann",
        each(
            ["inputs", "ways", "hidden", "slots", "width", "reads"],
            lambda **c: mann.mann(**(dict(inputs=2, ways=2, reads=1) | c)),
            whole(1, 128),
        ),
    ),
    **named("matching", each(["ways"], lambda ways: matching.matching(NET, ways=ways), whole(1))),
    **named(
        "full_context",
        each(
            ["features", "ways", "steps"],
            lambda **c: matching.full_context(NET, **(dict(features=1, ways=2, steps=1) | c)),
            whole(1),
        ),
    ),
    **named(
        "siamese",
        each(
            ["features", "ways"],
            lambda **c: siamese.siamese(NET, **(dict(features=1, ways=2) | c)),
            whole(1),
        ),
    ),
    **named(
        "three_tasks",
        each(["spread", "anisotropy"], quadratic.three_tasks, lambda v: number(v) and v >= 1),
    ),
    **named("Navigation", each(["horizon"], navigation.Navigation, whole(1))),
    **named("Navigation", each(["reward", "done"], navigation.Navigation, nothing)),
    "authors_goals": (navigation.authors_goals, whole(1, MANY), ("tasks",)),
    **named("gaussian", each(["std"], lambda std: policy.gaussian(2, 2, std=std), above(0))),
    **named(
        "gaussian",
        each(
            ["observations", "actions"],
            lambda **c: policy.gaussian(**(dict(observations=2, actions=2) | c)),
            whole(1),
        ),
    ),
    **named(
        "gaussian",
        each(
            ["hidden"],
            lambda hidden: policy.gaussian(2, 2, hidden=hidden),
            lambda v: isinstance(v, (tuple, list)) and all(map(whole(1), v)),
        ),
    ),
    **named("rollout", each(["lanes"], rolled, whole(1, MANY))),
    **named("experience", each(["discount", "gae"], experience, between(0, 1))),
    **named(
        "train_policy", each(["tasks", "rollouts", "iterations", "every"], played, whole(1, 40))
    ),
    **named("train_policy", each(["steps"], played, whole(0, 2))),
    **named("train_policy", each(["discount"], played, between(0, 1))),
    **named("train_policy", each(["radius"], played, above(0))),
    **named("train_policy", each(["chunk"], played, lambda v: v is None or whole(1)(v))),
    **named("train_policy", each(["env", "policy", "learner"], played, nothing)),
    **named("train_policy", each(["theta"], played, nothing, "parameters")),
    **named("train_policy", each(["resume"], played, lambda v: v is None)),
    **named("train_policy", each(["generator"], played, nothing)),
    **named(
        "rl2",
        each(
            ["episodes", "units"],
            lambda **c: rl2.rl2(PLAYED["env"], **(dict(episodes=2) | c)),
            whole(1),
        ),
    ),
    **named(
        "rl2",
        each(
            ["discount", "gae"], lambda **c: rl2.rl2(PLAYED["env"], episodes=2, **c), between(0, 1)
        ),
    ),
    "arms": (bandit.arms, whole(1), ("number",)),
    **named(
        "bandit",
        each(
            ["samples"],
            lambda samples: bandit.meta_gradient(
                torch.ones(2), torch.zeros(2), alpha=0.1, samples=samples
            ),
            whole(1, 20),
        ),
    ),
    **named(
        "bandit",
        each(
            ["alpha"],
            lambda alpha: bandit.meta_gradient(
                torch.ones(2), torch.zeros(2), alpha=alpha, samples=2
            ),
            lambda v: not isinstance(v, dict) and alpha(v),
        ),
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_value_that_cannot_be(name, tmp_path, monkeypatch):
    call, good, words = TABLE[name]
    rng, wrong = random.Random(name), []
    for _ in range(count(9)):
        value = odd(rng)
        if name == "train compiled" and value is True:
            continue  # that takes long, and other tests do it
        if whole(MANY + 1)(value) and not good(value) and "seed" not in name:
            continue  # a whole number that is only too many for this test
        kind, told = answer(lambda: call(value), *words)
        if kind != ("taken" if good(value) else "refused"):
            wrong.append((value, kind, str(told)[:300]))
    assert not wrong, wrong

"""Averaging in parameter space is what appendix C.1 says: independent regressors, each on its own
wave, then their mean."""

import pytest
import torch

from mamlkit.baselines.averaging import average, l2, none, to_mean
from mamlkit.families.sinusoid import same_wave, sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.optimizer import adam, sgd
from mamlkit.task import Data, Family
from mamlkit.trees import ravel
from tests.oracles import gap

pytestmark = pytest.mark.usefixtures("float64")

NET = mlp(1, 5, 4, 1, activation=torch.tanh, weight=he)
FAMILY = sinusoid(shots=1, queries=6)
SETTINGS = {"models": 6, "at_once": 3, "iterations": 7}


def averages(penalty=none, *, inits=NET.init, family=FAMILY, optimizer=None, seed=0, **settings):
    return [
        *average(
            inits,
            mse(NET.forward),
            family,
            same_wave,
            optimizer or adam(0.02),
            penalty=penalty,
            generator=seeded(seed),
            **SETTINGS | settings,
        )
    ]


class Observed:
    """Initial weights and noise as they were drawn, in order."""

    def __init__(self):
        self.events = []
        self.family = Family(
            lambda generator, tasks: self.seen(FAMILY.noise(generator, tasks)), FAMILY.make
        )

    def seen(self, drawn):
        self.events.append(drawn)
        return drawn

    def inits(self, generator):
        return self.seen(NET.init(generator))

    def groups(self, at_once, iterations):
        """For each group: (initial parameters, assigned waves, fresh noise of each iteration)."""
        events = list(self.events)
        while events:
            first = next(i for i, e in enumerate(events) if not isinstance(e, dict))
            yield (
                events[first - at_once : first],
                events[first],
                events[first + 1 : first + 1 + iterations],
            )
            events = events[first + 1 + iterations :]


def by_hand(observed, penalty, at_once=3, iterations=7):
    """The same regressors one by one with torch's Adam: their parameters and last errors, and the
    means so far."""
    trained, errors, means = [], [], []
    for starts, waves, fresh in observed.groups(at_once, iterations):
        mean = torch.stack(trained).mean(0) if trained else torch.zeros(ravel(starts[0])[0].shape)
        group = []
        for i, start in enumerate(starts):
            leaves = {k: p.clone().requires_grad_() for k, p in start.items()}
            optimizer = torch.optim.Adam(leaves.values(), lr=0.02)
            for noise in fresh:
                x = noise.query_x[i]
                y = waves.amplitude[i] * torch.sin(x - waves.phase[i])
                error = ((NET.forward(leaves, x) - y) ** 2).mean()
                vector = torch.cat([p.flatten() for p in leaves.values()])
                optimizer.zero_grad()
                (error + penalty(vector, mean)).backward()
                optimizer.step()
            errors.append(error.item())
            group.append(torch.cat([p.detach().flatten() for p in leaves.values()]))
        trained += group
        means.append(torch.stack(trained).mean(0))
    return trained, errors, means


PENALTIES = {
    "none": (none, lambda v, m: 0.0),
    "l2": (l2(0.3), lambda v, m: 0.3 * v.square().sum()),
    "to the mean": (to_mean(0.3), lambda v, m: 0.3 * (v - m).square().sum()),
}


@pytest.mark.parametrize("form", PENALTIES)
def test_the_average_is_the_mean_of_regressors_trained_one_by_one(form):
    observed, (penalty, written_out) = Observed(), PENALTIES[form]
    got = averages(penalty, inits=observed.inits, family=observed.family)
    trained, errors, means = by_hand(observed, written_out)
    assert len(got) == 2 and len(trained) == 6
    for found, mean in zip(got, means):
        assert (ravel(found.params)[0] - mean).abs().max() < 1e-12
    assert got[-1].losses.tolist() == pytest.approx(errors, rel=1e-10), (
        "each regressor's error on fresh points of its own wave"
    )
    assert len(got[0].losses) == 3 and torch.equal(got[0].losses, got[-1].losses[:3])
    assert list(got[-1].params) == list(NET.init(seeded(0)))
    spread = torch.stack(trained).std(0).max()
    assert spread > 0.1, (
        "regressors on different waves from different starts differ, so a mean is something"
    )


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [(none, 0.0), (l2(0.5), 0.5 * (1 + 4 + 9)), (to_mean(0.5), 0.5 * (0 + 9 + 4)), (l2(0.0), 0.0)],
)
def test_penalties_by_hand(penalty, expected):
    assert penalty(
        torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0, 1.0])
    ).item() == pytest.approx(expected)


def test_the_first_group_decays_towards_zero_and_the_second_towards_the_first():
    """What the penalty is given as the mean thus far."""
    targets = []

    def watched(vector, mean):
        targets.append(mean)
        return to_mean(1.0)(vector, mean)

    first, second = (ravel(a.params)[0] for a in averages(watched))
    assert torch.equal(targets[0], torch.zeros_like(first)), "no group came before the first"
    assert torch.equal(targets[-1], first) and not torch.equal(second, first)


def test_decay_towards_the_mean_pulls_towards_the_groups_before():
    """The second group ends nearer to the first group's mean, and the nearer the heavier the
    penalty."""

    def apart(weight):
        before, after = (ravel(a.params)[0] for a in averages(to_mean(weight), iterations=60))
        return (
            (2 * after - before - before).norm().item()
        )  # 2 after - before is the second group's own mean

    free, pulled, tied = apart(0.0), apart(0.3), apart(30.0)
    assert free > 1.2 * pulled > 1.2 * 1.2 * tied


def test_weight_decay_pulls_towards_zero():
    free, pulled, tied = (
        ravel(averages(l2(weight), iterations=60)[-1].params)[0].norm().item()
        for weight in (0.0, 0.3, 30.0)
    )
    assert free > 1.2 * pulled > 1.2 * 1.2 * tied


def test_regressors_of_one_start_share_it():
    """Three groups of one common start, one gradient step each: their mean is the start minus the
    mean gradient."""
    start, observed = NET.init(seeded(77)), Observed()
    *_, got = averages(
        inits=lambda generator: start,
        family=observed.family,
        optimizer=sgd(0.5),
        models=6,
        at_once=2,
        iterations=1,
    )
    vector, unravel = ravel(start)
    moves = []
    for waves, fresh in zip(observed.events[::2], observed.events[1::2]):
        for i in range(2):
            data = Data(
                fresh.query_x[i], waves.amplitude[i] * torch.sin(fresh.query_x[i] - waves.phase[i])
            )
            moves.append(torch.func.grad(lambda v: mse(NET.forward)(unravel(v), data))(vector))
    assert (
        len(moves) == 6
        and gap(got.params, unravel(vector - 0.5 * torch.stack(moves).mean(0))) < 1e-13
    )


def test_starts_differ_and_waves_differ_and_every_iteration_has_fresh_points():
    observed = Observed()
    averages(inits=observed.inits, family=observed.family)
    starts, waves, points = [], [], []
    for start, wave, fresh in observed.groups(3, 7):
        starts += [ravel(s)[0] for s in start]
        waves += [*wave.amplitude.tolist()]
        points += [x for noise in fresh for x in noise.query_x.flatten().tolist()]
    assert (
        len({tuple(s.tolist()) for s in starts}) == 6
        and len(set(waves)) == 6
        and len(set(points)) == 2 * 7 * 3 * 6
    )


def test_regressors_fit_their_own_wave():
    """Enough steps leave a small error on each wave, while the average of them has a large one."""
    family = sinusoid(shots=1, queries=30)
    got = averages(family=family, models=4, at_once=2, iterations=400)[-1]
    assert got.losses.max() < 0.3
    x = torch.linspace(-5, 5, 50).unsqueeze(1)
    assert mse(NET.forward)(got.params, Data(x, 4 * torch.sin(x))) > 1


def test_the_seed_decides_everything():
    a, b, c = (averages(seed=seed)[-1] for seed in (1, 1, 2))
    assert gap(a.params, b.params) == 0 and gap(a.params, c.params) > 1e-3


@pytest.mark.parametrize(("models", "at_once"), [(7, 3), (2, 3)])
def test_all_regressors_asked_for_are_trained_or_the_number_is_refused(models, at_once):
    try:
        got = averages(models=models, at_once=at_once, iterations=1)
    except ValueError as refusal:
        assert str(models) in str(refusal) and str(at_once) in str(refusal)
    else:
        assert got and len(got[-1].losses) == models


@pytest.mark.parametrize("penalty", [l2, to_mean])
@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "1"])
def test_a_penalty_that_rewards_is_refused(penalty, weight):
    with pytest.raises(
        ValueError, match="^weight is .*: a penalty's weight must be a finite number"
    ):
        penalty(weight)


def test_where_compiling_fails_the_same_numbers_are_made_uncompiled(monkeypatch):
    def fails(*_, **__):
        raise PermissionError("the cache is read-only")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.warns(UserWarning, match="read-only.*uncompiled"):
        found = averages(compiled=True)
    for a, b in zip(found, averages(), strict=True):
        assert gap(a.params, b.params) == 0 and torch.equal(a.losses, b.losses)


def test_parameters_that_require_grad_leave_no_graph():
    inits = lambda g: {k: p.requires_grad_() for k, p in NET.init(g).items()}
    for a, b in zip(averages(inits=inits), averages(), strict=True):
        assert gap(a.params, b.params) == 0 and a.losses.grad_fn is None
        assert not any(p.requires_grad for p in a.params.values())

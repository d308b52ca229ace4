"""The three ways to normalise queries, each against a loop by hand in float64."""

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from mamlkit.baselines import protocols
from mamlkit.baselines.episodic import episodic, remembering
from mamlkit.baselines.matching import matching
from mamlkit.baselines.protocols import one_by_one, recalled, support_only, together, under
from mamlkit.baselines.prototypical import prototypical
from mamlkit.evaluate import evaluate
from mamlkit.learner import unrolled
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import (
    all_but_norms,
    batch_norm,
    he,
    mlp,
    pooled_convnet,
    scaled,
    strided_body,
    strided_convnet,
)
from mamlkit.probes.finite_differences import finite_difference_gap, random_direction
from mamlkit.task import sample
from mamlkit.variants.maml import maml
from tests.episodes import QUERIES, SHAPE, WAYS, toy
from tests.oracles import gap, one

pytestmark = pytest.mark.usefixtures("float64")
TASKS = 3
NETS = {
    "strided": (strided_convnet(WAYS, filters=6, channels=SHAPE[0]), SHAPE),
    "pooled": (pooled_convnet(WAYS, filters=6, channels=2, size=16), (2, 16, 16)),
    "no conv": (mlp(9 * 11, 8, 6, WAYS, norm=True, weight=he), (1, 9, 11)),
    "with a scale": (scaled(strided_convnet(WAYS, filters=6, channels=SHAPE[0])), SHAPE),
}
ALL = [together, support_only, one_by_one]


def case(name):
    net, shape = NETS[name]
    generator = seeded(1)
    params = {
        k: p + 0.1 * torch.randn(p.shape, generator=generator)
        for k, p in net.init(generator).items()
    }
    return net, params, sample(toy(shape=shape, spread=2.0), seeded(2), TASKS)


def layer_by_layer(name, p, support, queries):
    """Every layer in turn, the queries normalised by the statistics of what the support set has
    become there."""
    last = max(int(k[5]) for k in p if k.startswith("layer"))
    if name == "no conv":
        support, queries = support.flatten(1), queries.flatten(1)
    for i in range(last):
        w, b = p[f"layer{i}.weight"], p[f"layer{i}.bias"]
        if name == "no conv":
            a, q = F.linear(support, w, b), F.linear(queries, w, b)
        else:
            stride = 1 if name == "pooled" else 2
            a, q = (F.conv2d(x, w, b, stride=stride, padding=1) for x in (support, queries))
        by_channel = a.transpose(0, 1).flatten(1)
        mean, var = by_channel.mean(1), by_channel.var(1, correction=0)
        scale = p.get(f"norm{i}.scale", torch.ones_like(mean))
        support, queries = (
            F.batch_norm(x, mean, var, scale, p[f"norm{i}.beta"], training=False, eps=1e-3).relu()
            for x in (a, q)
        )
        if name == "pooled":
            support, queries = (F.max_pool2d(x, 2) for x in (support, queries))
    queries = queries.flatten(1) if name in ("pooled", "no conv") else queries.mean((2, 3))
    return F.linear(queries, p[f"layer{last}.weight"], p[f"layer{last}.bias"])


@pytest.mark.parametrize("name", NETS)
def test_support_only_is_layer_by_layer_the_support_s_statistics(name):
    net, params, tasks = case(name)
    task = one(tasks, 1)
    out = support_only(net.forward, task.support.x)(params, task.query.x)
    assert (out - layer_by_layer(name, params, task.support.x, task.query.x)).abs().max() < 1e-10
    assert (
        support_only(net.forward, task.support.x)(params, task.query.x[2:3]) - out[2]
    ).abs().max() < 1e-11, "no query sees another"


@pytest.mark.parametrize("name", NETS)
def test_one_by_one_is_a_loop_over_batches_of_the_support_and_one_query(name):
    net, params, tasks = case(name)
    task = one(tasks, 1)
    out = one_by_one(net.forward, task.support.x)(params, task.query.x)
    for i in range(WAYS * QUERIES):
        batch = torch.cat(
            [task.query.x[i : i + 1], task.support.x]
        )  # its place in the batch does not matter
        assert (net.forward(params, batch)[0] - out[i]).abs().max() < 1e-11


def test_one_by_one_holds_only_some_queries_at_once(monkeypatch):
    net, params, tasks = case("strided")
    task, seen = one(tasks, 1), []
    monkeypatch.setattr(protocols, "AT_ONCE", 3)

    def forward(params, x):
        seen.append(x.shape)
        return net.forward(params, x)

    out = one_by_one(forward, task.support.x)(params, task.query.x)
    assert len(seen) == 3, "8 queries, 3 at a time"
    monkeypatch.undo()
    assert (out - one_by_one(net.forward, task.support.x)(params, task.query.x)).abs().max() < 1e-12


def test_together_is_the_forward_itself():
    net, params, tasks = case("strided")
    assert together(net.forward, one(tasks, 0).support.x) is net.forward


def test_the_three_differ_and_only_together_lets_queries_see_each_other():
    net, params, tasks = case("strided")
    task = one(tasks, 1)
    outs = [protocol(net.forward, task.support.x)(params, task.query.x) for protocol in ALL]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (outs[i] - outs[j]).abs().max() > 1e-3
    other = torch.cat([task.query.x[:1], 3 * task.query.x[1:]])
    again = [protocol(net.forward, task.support.x)(params, other) for protocol in ALL]
    moved = [(a[0] - b[0]).abs().max() for a, b in zip(again, outs)]
    assert moved[0] > 1e-3 and max(moved[1:]) < 1e-11


def test_without_batch_norm_the_three_are_one():
    net = mlp(9 * 11, 8, WAYS, weight=he)
    params, task = net.init(seeded(0)), one(sample(toy(shape=(1, 9, 11)), seeded(2), 1), 0)
    outs = [protocol(net.forward, task.support.x)(params, task.query.x) for protocol in ALL]
    assert max((out - outs[0]).abs().max() for out in outs) < 1e-12


@pytest.mark.parametrize("protocol", ALL)
@pytest.mark.parametrize("measure", [accuracy, cross_entropy])
def test_as_metrics_of_an_adapted_net_batched_is_looped(protocol, measure):
    net, params, tasks = case("strided")
    loss = cross_entropy(net.forward)
    learner = maml(loss, alpha=all_but_norms(params, 0.4), steps=2)
    measured = evaluate(learner, params, tasks, under(protocol, measure, net.forward))
    assert measured.shape == (TASKS, 3)
    for i in range(TASKS):
        task = one(tasks, i)
        for k, theta in enumerate(learner.adapt(params, task.support)):
            logits = protocol(net.forward, task.support.x)(theta, task.query.x)
            right = (logits.argmax(-1) == task.query.y).float().mean()
            expected = F.cross_entropy(logits, task.query.y) if measure is cross_entropy else right
            assert abs(measured[i, k] - expected) < 1e-10


@pytest.mark.parametrize("method", [prototypical, matching])
@pytest.mark.parametrize("protocol", ALL)
def test_they_measure_methods_that_remember_as_well(protocol, method):
    """Queries are normalised as the protocol says, the support always by itself."""
    body = strided_body(filters=6, channels=SHAPE[0])
    net, flat = (
        method(b, ways=WAYS)
        for b in (body, mlp(6, 6)._replace(forward=lambda params, x, reference=None: x))
    )
    params, tasks = body.init(seeded(0)), sample(toy(spread=2.0), seeded(2), TASKS)
    learner = episodic(cross_entropy(net.forward))
    measured = evaluate(learner, params, tasks, under(protocol, cross_entropy, net.forward))
    for i in range(TASKS):
        task = one(tasks, i)
        embedded = protocol(body.forward, task.support.x)(params, task.query.x)
        logits = flat.forward(
            {"support.x": body.forward(params, task.support.x), "support.y": task.support.y},
            embedded,
        )
        assert abs(measured[i, 0] - F.cross_entropy(logits, task.query.y)) < 1e-9


@pytest.mark.parametrize("protocol", [support_only, one_by_one])
def test_maml_can_be_trained_under_a_protocol(protocol):
    """Its loss is the protocol's metric, and its meta-gradient is right."""
    net, params, tasks = case("strided")
    plain = maml(cross_entropy(net.forward), alpha=all_but_norms(params, 0.4), steps=1)
    learner = unrolled(cross_entropy(recalled(protocol, net.forward)), remembering(plain.adapt))
    task = one(tasks, 0)
    gradient, aux = learner.meta_grad(params, task)
    metric = under(protocol, cross_entropy, net.forward)
    assert abs(aux["loss"] - metric(plain.adapt(params, task.support)[-1], task)) < 1e-12
    assert gap(gradient, plain.meta_grad(params, task)[0]) > 1e-3
    assert (
        min(
            finite_difference_gap(learner, params, task, random_direction(params, seeded(s)))
            for s in range(3)
        )
        < 1e-6
    )


def test_a_reference_is_the_first_examples_for_every_statistic():
    x, beta = torch.randn(7, 4, 3, 2, generator=seeded(0)), torch.randn(4, generator=seeded(1))
    out = batch_norm(x, beta, reference=5)
    assert (out[:5] - batch_norm(x[:5], beta)).abs().max() < 1e-12
    assert (batch_norm(x, beta, reference=7) - batch_norm(x, beta)).abs().max() < 1e-12
    assert (
        vmap(lambda x: batch_norm(x, beta, reference=5))(torch.stack([x, x]))[1] - out
    ).abs().max() < 1e-12
    for wrong in (0, 8, -1):
        with pytest.raises(ValueError, match=f"reference is {wrong}: it must be from 1 to 7"):
            batch_norm(x, beta, reference=wrong)


def test_a_learned_scale_is_torchs():
    x, beta, scale = (
        torch.randn(7, 4, 3, generator=seeded(0)),
        torch.randn(4, generator=seeded(1)),
        torch.randn(4, generator=seeded(2)),
    )
    theirs = lambda x, beta, scale: F.batch_norm(
        x, None, None, scale, beta, training=True, eps=1e-3
    )
    assert (batch_norm(x, beta, scale) - theirs(x, beta, scale)).abs().max() < 1e-12
    for argument in range(3):
        ours, native = (
            grad(lambda *a: (f(*a) ** 3).sum(), argument)(x, beta, scale)
            for f in (batch_norm, theirs)
        )
        assert (ours - native).abs().max() < 1e-9


def test_betas_that_adapt_and_betas_that_do_not_are_an_alpha_away():
    """The authors' convention, and its alternative: with alpha a number, the betas take the inner
    step as well."""
    net, params, tasks = case("with a scale")
    support = one(tasks, 0).support
    alpha = all_but_norms(params, 0.4)
    authors, all_of_them = (
        maml(cross_entropy(net.forward), alpha=a, steps=1).adapt(params, support)[-1]
        for a in (alpha, 0.4)
    )
    norms = {k for k in params if k.split(".")[1] in ("beta", "scale")}
    assert len(norms) == 8 and set(alpha) == set(params) - norms and set(alpha.values()) == {0.4}
    assert all(torch.equal(authors[k], params[k]) for k in norms)
    assert all((all_of_them[k] - params[k]).abs().max() > 1e-6 for k in norms)
    assert all((authors[k] - all_of_them[k]).abs().max() < 1e-12 for k in alpha)

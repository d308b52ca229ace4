"""The bound by loops and by quadrature, the divergence by torch, and a toy without any label."""

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.func import vmap
from torch.nn import functional as F

from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.neural_statistician import (
    Sets,
    bound,
    context_of,
    divergence,
    neural_statistician,
    sets,
)
from mamlkit.evaluate import evaluate, on_query
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp, strided_body
from mamlkit.optimizer import adam
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from tests.episodes import mislabelled, toy

flat = Net(lambda generator: {}, lambda params, x, reference=None: x.flatten(1))
PIXELS, WAYS, CONTEXT, LATENT, HIDDEN = 3, 2, 4, 5, 6


def small(context=CONTEXT, latent=LATENT):
    net = neural_statistician(
        flat,
        features=PIXELS,
        pixels=PIXELS,
        ways=WAYS,
        context=context,
        latent=latent,
        hidden=HIDDEN,
    )
    generator = seeded(3)
    theta = net.init(generator)
    wild = lambda p: p + 0.5 * torch.randn(p.shape, generator=generator)
    return net, {name: wild(p) for name, p in theta.items()}


def layers(theta, name, x):
    hidden = F.elu(theta[f"{name}.weight"] @ x + theta[f"{name}.bias"])
    return theta[f"{name}.out.weight"] @ hidden + theta[f"{name}.out.bias"]


def normal(numbers):
    mean, log_variance = numbers.chunk(2)
    return Normal(mean, (log_variance / 2).exp())


def statistics(theta, images):
    """q(c | a set), image by image."""
    each = [F.elu(theta["statistic.weight"] @ x + theta["statistic.bias"]) for x in images]
    deep = F.elu(theta["pooled.weight"] @ (sum(each) / len(each)) + theta["pooled.bias"])
    return normal(theta["context.weight"] @ deep + theta["context.bias"])


@pytest.mark.usefixtures("float64")
def test_the_divergence_is_torchs():
    a, b = (torch.randn(2, 3, 7, generator=seeded(s)) for s in (0, 1))
    theirs = kl_divergence(*(Normal(m, (v / 2).exp()) for m, v in (a, b))).sum(-1)
    assert (divergence(a, b) - theirs).abs().max() < 1e-12


@pytest.mark.usefixtures("float64")
def test_the_loss_is_the_papers_bound_set_by_set():
    _, theta = small()
    x = torch.rand(3, 4, PIXELS, generator=seeded(0)).round()
    noise = [torch.randn(3, *s, generator=seeded(1)) for s in ((CONTEXT,), (4, LATENT))]
    total = 0.0
    for images, for_c, for_z in zip(x, *noise):
        q = statistics(theta, images)
        c = q.mean + q.stddev * for_c
        total -= kl_divergence(q, Normal(0.0, 1.0)).sum()
        for image, e in zip(images, for_z):
            posterior = normal(layers(theta, "latent", torch.cat([image, c])))
            total -= kl_divergence(posterior, normal(layers(theta, "prior", c))).sum()
            z = posterior.mean + posterior.stddev * e
            pictures = Bernoulli(logits=layers(theta, "picture", torch.cat([z, c])))
            total += pictures.log_prob(image).sum()
    params = theta | {"support.x": x, "support.y": torch.zeros(3)}
    assert abs(bound(flat)(params, Sets(x, *noise)) + total / 12) < 1e-10


@pytest.mark.usefixtures("float64")
def test_on_average_it_is_an_integral_that_is_below_the_sets_log_probability():
    """With one number of context and one of latent both are integrals on a grid."""
    _, theta = small(context=1, latent=1)
    x = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    grid = torch.linspace(-12, 12, 601)
    width, standard, q = grid[1] - grid[0], Normal(0.0, 1.0), statistics(theta, x)
    exact = standard.log_prob(grid)
    below = exact - q.log_prob(grid)
    for image in x:
        integrals, bounds = [], []
        for c in grid:
            posterior = normal(layers(theta, "latent", torch.cat([image, c[None]])))
            told = torch.stack([grid, c.expand(len(grid))])
            hidden = F.elu(theta["picture.weight"] @ told + theta["picture.bias"][:, None])
            logits = theta["picture.out.weight"] @ hidden + theta["picture.out.bias"][:, None]
            joint = Bernoulli(logits=logits.T).log_prob(image).sum(1)
            joint = joint + normal(layers(theta, "prior", c[None])).log_prob(grid)
            own = posterior.log_prob(grid)
            integrals.append(torch.logsumexp(joint, 0) + width.log())
            bounds.append((own.exp() * (joint - own)).sum() * width)
        exact, below = exact + torch.stack(integrals), below + torch.stack(bounds)
    exact = torch.logsumexp(exact, 0) + width.log()
    expected = (q.log_prob(grid).exp() * below).sum() * width
    params = theta | {"support.x": x, "support.y": torch.zeros(2)}
    noise = torch.randn(4_000, 3, generator=seeded(2))
    loss = lambda n: bound(flat)(params, Sets(x[None], n[None, :1], n[None, 1:, None]))
    draws = -2 * vmap(loss)(noise)
    assert abs(draws.mean() - expected) < 4 * draws.std() / len(draws) ** 0.5 < 0.2
    assert expected < exact


@pytest.mark.usefixtures("float64")
def test_a_query_is_of_the_class_with_the_nearest_statistics():
    net, theta = small()
    x, queries = (torch.rand(n, PIXELS, generator=seeded(n)) for n in (5, 4))
    y = torch.tensor([1, 0, 1, 1, 0])
    out = net.forward(theta | {"support.x": x, "support.y": y}, queries)
    for i, query in enumerate(queries):
        for label in range(WAYS):
            expected = -kl_divergence(
                statistics(theta, x[y == label]), statistics(theta, query[None])
            ).sum()
            assert abs(out[i, label] - expected) < 1e-10


def test_a_tasks_query_becomes_all_its_images_class_by_class():
    family = toy(ways=4, shots=3, queries=2)
    plain = sample(family, seeded(5), 7)
    task = sample(sets(family, context=6, latent=8), seeded(5), 7)
    assert torch.equal(task.support.x, plain.support.x)
    assert task.query.x.shape[:3] == (7, 4, 5)
    assert task.query.context.shape == (7, 4, 6) and task.query.latent.shape == (7, 4, 5, 8)
    assert torch.equal(task.query.x[:, :, :3].flatten(1, 2), plain.support.x)
    assert torch.equal(task.query.x[:, :, 3:].flatten(1, 2), plain.query.x)


def test_its_size_on_omniglot():
    net = neural_statistician(strided_body(), features=64, pixels=784, ways=5)
    shapes = [(256, 64), (256, 256), (1024, 256), (256, 512), (32, 256)]
    shapes += [(256, 576), (32, 256), (256, 528), (784, 256)]
    assert count(net.init(seeded(0))) == 111_680 + sum(m * n + m for m, n in shapes)


def test_it_tells_classes_apart_without_ever_seeing_a_label():
    images = toy(ways=WAYS, shots=1, queries=5, shape=(1, 1, 8), spread=0.3)
    bright = lambda d: Data(torch.sigmoid(3 * d.x), d.y)
    family = Family(images.noise, lambda n: Task(*map(bright, images.make(n))))
    body = mlp(8, 32, 16, weight=he)
    net = neural_statistician(
        body, features=16, pixels=8, ways=WAYS, context=8, latent=4, hidden=32
    )
    *_, step = train(
        episodic(bound(body)),
        net.init(seeded(0)),
        sets(family, context=8, latent=4),
        adam(0.003),
        generator=seeded(1),
        tasks=16,
        iterations=200,
        compiled=False,
    )
    learner, metric = episodic(cross_entropy(net.forward)), on_query(accuracy(net.forward))
    tasks = sample(family, seeded(9), 300)
    right = evaluate(learner, step.meta, tasks, metric).mean()
    blind = evaluate(learner, step.meta, mislabelled(tasks, seeded(2)), metric).mean()
    assert right > 0.85 and abs(blind - 0.5) < 0.1
    assert step.losses[-20:].mean() < step.losses[:20].mean()


def test_a_set_of_one_pools_to_itself():
    _, theta = small()
    x = torch.rand(2, PIXELS, generator=seeded(0))
    mean, _ = context_of(theta, torch.eye(2), x)
    assert torch.allclose(mean[1], statistics(theta, x[1:]).mean, atol=1e-6)

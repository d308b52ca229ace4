"""The neural statistician: Edwards & Storkey 2017."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mamlkit.baselines.episodic import membership, recall
from mamlkit.nets import Net
from mamlkit.sequence import apply_dense, dense
from mamlkit.task import Family, Task
from mamlkit.trees import Params, tree_map

Gaussian = tuple[Tensor, Tensor]  # means and log-variances, one number for each dimension


class Sets(NamedTuple):
    """What an update sees of a task: the images of each class as a set, x (classes, examples, ...),
    and the normal numbers that draw each set's context (classes, context) and each image's latent
    (classes, examples, latent)."""

    x: Tensor
    context: Tensor
    latent: Tensor


def neural_statistician(
    body: Net,
    *,
    features: int,
    pixels: int,
    ways: int,
    context: int = 512,
    latent: int = 16,
    hidden: int = 256,
) -> Net:
    """A query is of the class whose set of images has the nearest statistics: logits are minus the
    divergence KL(q(c | set of the class) || q(c | the query alone)).

    body: images -> features, the encoder that all share; the paper's own is larger. pixels: numbers
    in an image, from 0 to 1, which are drawn by one hidden layer where the paper has
    deconvolutions. The other sizes are the paper's for Omniglot: one layer of latents. Trained by
    `bound(body)` on `sets(family)`. forward: images -> (queries, ways), see baselines/episodic.py.
    Source: sections 3 and 5.4, appendix A.
    """

    def init(generator):
        layers = {
            "statistic": (hidden, features),
            "pooled": (hidden, hidden),
            "context": (2 * context, hidden),
            "prior": (hidden, context),
            "prior.out": (2 * latent, hidden),
            "latent": (hidden, features + context),
            "latent.out": (2 * latent, hidden),
            "picture": (hidden, latent + context),
            "picture.out": (pixels, hidden),
        }
        params = body.init(generator)
        for name, (outputs, inputs) in layers.items():
            params |= dense(generator, name, outputs, inputs)
        return params

    def forward(params, x, reference=None):
        theta, support = recall(params)
        seen, asked = (
            body.forward(theta, images, reference=reference) for images in (support.x, x)
        )
        share = membership(support.y, ways).to(seen.dtype)
        of_classes = context_of(theta, (share / share.sum(0)).T, seen)
        of_queries = context_of(theta, torch.eye(len(x), dtype=x.dtype, device=x.device), asked)
        return -divergence([t[None] for t in of_classes], [t[:, None] for t in of_queries])

    return Net(init, forward)


def bound(body: Net):
    """The loss that trains a `neural_statistician`: minus the variational lower bound of the log
    probability of a set, for each image. (params that remember, `Sets`) -> scalar.

    Source: equations 8 to 10 (reconstruction, context and latent divergence), section 3.2.
    """

    def loss(params, sets: Sets):
        theta, _ = recall(params)
        classes, examples = sets.x.shape[:2]
        features = body.forward(theta, sets.x.flatten(0, 1))
        pool = torch.eye(classes, dtype=features.dtype, device=features.device)
        pool = pool.repeat_interleave(examples, 1) / examples
        context = context_of(theta, pool, features)
        c = draw(context, sets.context).repeat_interleave(examples, 0)
        latent = _two_layers(theta, "latent", torch.cat([features, c], -1)).chunk(2, -1)
        prior = _two_layers(theta, "prior", c).chunk(2, -1)
        z = draw(latent, sets.latent.flatten(0, 1))
        pictures = _two_layers(theta, "picture", torch.cat([z, c], -1))
        said = sets.x.flatten(0, 1).flatten(1)
        missed = F.binary_cross_entropy_with_logits(pictures, said, reduction="sum")
        standard = [torch.zeros_like(t) for t in context]
        apart = divergence(context, standard).sum() + divergence(latent, prior).sum()
        return (missed + apart) / len(said)

    return loss


def context_of(theta: Params, pool: Tensor, features: Tensor) -> Gaussian:
    """The statistic network: q(c | set) of sets, by the mean over each set's images.

    pool: (sets, images), the weight of an image in a set's mean. features: (images, features).
    Returns means and log-variances, each (sets, context).
    """
    pooled = pool @ F.elu(apply_dense(theta, "statistic", features))
    deep = F.elu(apply_dense(theta, "pooled", pooled))
    mean, log_variance = apply_dense(theta, "context", deep).chunk(2, -1)
    return mean, log_variance


def draw(gaussian, noise: Tensor) -> Tensor:
    """A draw from a Gaussian by standard normal noise of its shape."""
    mean, log_variance = gaussian
    return mean + (log_variance / 2).exp() * noise


def divergence(a, b) -> Tensor:
    """KL(a || b) of Gaussians with independent dimensions, the last axis; the others broadcast."""
    (mean, log_variance), (other, log_other) = a, b
    gap = ((mean - other).square() + log_variance.exp()) / log_other.exp()
    return (log_other - log_variance + gap - 1).sum(-1) / 2


def _two_layers(theta, name, x):
    return apply_dense(theta, f"{name}.out", F.elu(apply_dense(theta, name, x)))


def sets(family: Family, *, context: int = 512, latent: int = 16) -> Family:
    """The same tasks, the query of each all its images as `Sets`: nobody is told which is asked.

    family: of N-way tasks with as many examples of each class. context, latent: the sizes of the
    statistician that is trained.
    """

    def noise(generator, tasks):
        def normal(*shape):
            return torch.randn(tasks, *shape, generator=generator, device=generator.device)

        drawn = family.noise(generator, tasks)
        one = family.make(tree_map(lambda n: n[0], drawn))
        ways = int(one.support.y.max()) + 1
        each = (len(one.support.y) + len(one.query.y)) // ways
        return drawn, normal(ways, context), normal(ways, each, latent)

    def make(noise):
        drawn, for_context, for_latent = noise
        task = family.make(drawn)
        x, y = (torch.cat(pair) for pair in zip(task.support, task.query))
        x = x[y.argsort(stable=True)].unflatten(0, for_latent.shape[:2])
        return Task(task.support, Sets(x, for_context, for_latent))

    return Family(noise, make)

"""What the image workloads O1, O15, O20 and M share: one convolutional net, and every contestant's
way to train it.

Sampling (from random pixels: times do not depend on what is seen) and the Adam update count for
every contestant. Peers are written as their own examples are, and draw their tasks with mamlkit.
"""

from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net
from mamlkit.optimizer import adam
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from tests.benchmarks.speed import Contestant

WAYS, BETA = 5, 1e-3
CLASSES, EXAMPLES = 20, 16  # that tasks are drawn from


def flat(gradient):
    return torch.cat([g.detach().flatten() for g in gradient.values()])


def one_by_one(tasks):
    return [tree_map(lambda t: t[i], tasks) for i in range(len(tasks.query.x))]


def remembering(iterate) -> Contestant:
    """A contestant that makes an iteration with each call and returns Adam's first moment after it:
    after the first iteration a tenth of the gradient. So what is compared with the reference is
    what is timed."""
    first = None

    def advance(n):
        nonlocal first
        for _ in range(n):
            moment = iterate()
            first = moment.clone() if first is None else first

    return Contestant(advance, 1, lambda: first / (1 - 0.9))


class Setting(NamedTuple):
    """net: the net. image: (channels, height, width). stride: of its convolutions, 2 or, with
    pools, 1. filters: in each layer. tasks: the meta-batch. queries: a class. steps, alpha: the
    inner loop, on all but the batch-norm shifts; alpha on the mean loss. ways: the classes of a
    task."""

    net: Net
    image: tuple[int, int, int]
    stride: int
    filters: int
    tasks: int
    queries: int
    steps: int
    alpha: float
    ways: int = WAYS


class Workload:
    """A Setting, and who runs it."""

    def __init__(self, setting: Setting):
        self.setting = setting
        self.theta = setting.net.init(seeded(0))
        self.alphas = {name: setting.alpha for name in self.theta if not name.endswith(".beta")}
        self.loss = cross_entropy(setting.net.forward)

    @cached_property
    def family(self) -> Family:
        """The setting's ways, 1 shot, and its queries."""
        images = torch.rand(CLASSES, EXAMPLES, *self.setting.image, generator=seeded(3))
        ways, queries = self.setting.ways, self.setting.queries
        labels = torch.arange(ways)

        def noise(generator, tasks):
            draw = lambda *shape: torch.rand(tasks, *shape, generator=generator).argsort(-1)
            return draw(CLASSES)[:, :ways], draw(ways, EXAMPLES)[..., : 1 + queries]

        def make(drawn):
            classes, examples = drawn
            x = images.flatten(0, 1)[classes[:, None] * EXAMPLES + examples]
            return Task(
                Data(x[:, 0], labels),
                Data(x[:, 1:].flatten(0, 1), labels.repeat_interleave(queries)),
            )

        return Family(noise, make)

    @cached_property
    def fixed(self) -> Task:
        """What every contestant draws first."""
        return sample(self.family, seeded(2), self.setting.tasks)

    def contestants(self, order):
        """name -> function that builds the Contestant."""
        return {
            "mamlkit": lambda: self.ours(order),
            "mamlkit, uncompiled": lambda: self.ours(order, compiled=False),
            "mamlkit, a task at a time": lambda: self.ours(order, compiled=False, chunk=1),
            "mamlkit, as it chooses": lambda: self.ours(order, compiled=None),
            "JAX, im2col": lambda: self.in_jax(order, patches=True),
            "JAX, convolution": lambda: self.in_jax(order),
            "JAX, a task at a time": lambda: self.in_jax(order, in_turn=True),
            "torch, loop over tasks": lambda: self.looped(
                partial(self.loop_gradient, loss=self.torchs_loss), order
            ),
            "torchopt": lambda: self.looped(self.torchopt_gradient, order),
            "higher": lambda: self.looped(self.higher_gradient, order),
            "matmul floor": lambda: self.floor(order),
        }

    def scaling(self, tasks):
        """Here it is the work that takes the time: it grows with the tasks."""
        return {}

    def reference(self, order):
        """The meta-gradient at theta on the fixed tasks in float64, by plain autograd and a loop
        over tasks."""
        theta, tasks = tree_map(
            lambda t: t.double() if t.is_floating_point() else t, (self.theta, self.fixed)
        )
        return flat(self.loop_gradient(theta, tasks, order))

    def ours(self, order, **settings):
        """`train` itself."""
        learner = (maml if order == 2 else fomaml)(
            self.loss, alpha=self.alphas, steps=self.setting.steps
        )
        run = train(
            learner,
            self.theta,
            self.family,
            adam(BETA),
            generator=seeded(2),
            tasks=self.setting.tasks,
            iterations=10**9,
            block=1,
            **{"compiled": True} | settings,
        )
        return remembering(lambda: next(run).optimizer["first"])

    def looped(self, gradient, order):
        """A library that takes tasks one by one, with torch's own Adam and mamlkit's sampling."""
        theta = {name: p.clone().requires_grad_() for name, p in self.theta.items()}
        optimizer, generator = torch.optim.Adam(theta.values(), BETA), seeded(2)

        def iterate():
            tasks = sample(self.family, generator, self.setting.tasks)
            for p, g in zip(theta.values(), gradient(theta, tasks, order).values()):
                p.grad = g.detach()
            optimizer.step()
            return flat({name: optimizer.state[p]["exp_avg"] for name, p in theta.items()})

        return remembering(iterate)

    @cached_property
    def torchs_loss(self):
        """The loss of the same net made of torch's own layers: what a peer without
        mamlkit would have."""
        module = Module(self.setting)
        return cross_entropy(lambda params, x: functional_call(module, params, (x,)))

    def loop_gradient(self, theta, tasks, order, loss=None):
        """The mean meta-gradient by plain autograd. loss: of mamlkit's own layers, if not given."""
        loss = loss or self.loss
        theta = {name: p.detach().requires_grad_() for name, p in theta.items()}
        sums = {name: torch.zeros_like(p) for name, p in theta.items()}
        for task in one_by_one(tasks):
            adapted = theta
            for _ in range(self.setting.steps):
                leaves = [adapted[name] for name in self.alphas]
                inner = torch.autograd.grad(
                    loss(adapted, task.support), leaves, create_graph=order == 2
                )
                adapted = adapted | {
                    name: adapted[name] - a * g for (name, a), g in zip(self.alphas.items(), inner)
                }
            for name, g in zip(
                sums, torch.autograd.grad(loss(adapted, task.query), theta.values())
            ):
                sums[name] += g / len(tasks.query.x)
        return sums

    def torchopt_gradient(self, theta, tasks, order):
        import torchopt

        theta = {name: p.detach().requires_grad_() for name, p in theta.items()}
        sums = {name: torch.zeros_like(p) for name, p in theta.items()}
        optimizer = torchopt.sgd(lr=self.setting.alpha)
        for task in one_by_one(tasks):
            adapted = tuple(theta[name] for name in self.alphas)
            state = optimizer.init(adapted)
            for _ in range(self.setting.steps):
                value = self.torchs_loss(theta | dict(zip(self.alphas, adapted)), task.support)
                inner = torch.autograd.grad(value, adapted, create_graph=order == 2)
                updates, state = optimizer.update(inner, state, inplace=False)
                adapted = torchopt.apply_updates(adapted, updates, inplace=False)
            value = self.torchs_loss(theta | dict(zip(self.alphas, adapted)), task.query)
            for name, g in zip(sums, torch.autograd.grad(value, theta.values())):
                sums[name] += g / len(tasks.query.x)
        return sums

    def higher_gradient(self, theta, tasks, order):
        import higher

        module, groups = adapting(self.setting, theta)
        sums = {name: torch.zeros_like(p) for name, p in theta.items()}
        for task in one_by_one(tasks):
            inner = torch.optim.SGD(groups)
            with higher.innerloop_ctx(
                module, inner, copy_initial_weights=False, track_higher_grads=order == 2
            ) as (fast, step):
                for _ in range(self.setting.steps):
                    step.step(F.cross_entropy(fast(task.support.x), task.support.y))
                at = list(fast.parameters(time=0 if order == 2 else -1))
                for s, g in zip(
                    sums.values(),
                    torch.autograd.grad(F.cross_entropy(fast(task.query.x), task.query.y), at),
                ):
                    s += g / len(tasks.query.x)
        return sums

    def jax_loss(self, patches):
        """(parameters, data) -> the mean loss, in JAX; see `in_jax`."""
        import jax
        import jax.numpy as jnp
        import optax

        stride = self.setting.stride

        def convolution(x, w):
            if not patches:
                return jax.lax.conv_general_dilated(
                    x,
                    w,
                    (stride, stride),
                    ((1, 1), (1, 1)),
                    dimension_numbers=("NHWC", "OIHW", "NHWC"),
                )
            n, rows, columns, channels = x.shape
            rows, columns = (rows - 1) // stride + 1, (columns - 1) // stride + 1
            x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            x = jnp.concatenate(
                [
                    x[
                        :,
                        i : i + stride * (rows - 1) + 1 : stride,
                        j : j + stride * (columns - 1) + 1 : stride,
                    ]
                    for i in range(3)
                    for j in range(3)
                ],
                -1,
            )
            y = x.reshape(n * rows * columns, -1) @ w.transpose(2, 3, 1, 0).reshape(
                9 * channels, -1
            )
            return y.reshape(n, rows, columns, -1)

        def forward(theta, x):
            x = x.transpose(0, 2, 3, 1)
            for i in range(4):
                x = convolution(x, theta[f"layer{i}.weight"]) + theta[f"layer{i}.bias"]
                x = (x - x.mean((0, 1, 2))) * jax.lax.rsqrt(x.var((0, 1, 2)) + 1e-3)
                x = jax.nn.relu(x + theta[f"norm{i}.beta"])
                if (
                    stride == 1
                ):  # pools of 2 by 2; of an odd map the last row and column are dropped
                    n, rows, columns, channels = x.shape
                    x = (
                        x[:, : rows // 2 * 2, : columns // 2 * 2]
                        .reshape(n, rows // 2, 2, columns // 2, 2, channels)
                        .max((2, 4))
                    )
            x = x.mean((1, 2)) if stride == 2 else x.transpose(0, 3, 1, 2).reshape(len(x), -1)
            return x @ theta["layer4.weight"].T + theta["layer4.bias"]

        def loss(theta, data):
            return optax.softmax_cross_entropy_with_integer_labels(
                forward(theta, data.x), data.y
            ).mean()

        return loss

    def in_jax(self, order, patches=False, in_turn=False):
        """jit, and vmap or a map over tasks. patches: a convolution is a matrix product; else it is
        JAX's own."""
        import jax
        import jax.numpy as jnp
        import optax

        steps, loss = self.setting.steps, self.jax_loss(patches)

        def objective(theta, task):
            adapted = theta
            for _ in range(steps):
                inner = jax.grad(loss)(adapted, task.support)
                inner = inner if order == 2 else jax.lax.stop_gradient(inner)
                adapted = adapted | {
                    name: adapted[name] - a * inner[name] for name, a in self.alphas.items()
                }
            return loss(adapted, task.query)

        def meta_gradient(theta, batch):
            one = lambda task: jax.grad(objective)(theta, task)
            gradients = jax.lax.map(one, batch) if in_turn else jax.vmap(one)(batch)
            return jax.tree.map(lambda g: g.mean(0), gradients)

        @jax.jit
        def iteration(theta, state, batch):
            updates, state = optimizer.update(meta_gradient(theta, batch), state)
            return optax.apply_updates(theta, updates), state

        optimizer, generator = optax.adam(BETA), seeded(2)
        theta = jax.tree.map(lambda p: jnp.asarray(p.numpy()), self.theta)
        state = optimizer.init(theta)

        def iterate():
            nonlocal theta, state
            tasks = tree_map(
                lambda t: jnp.asarray(t.numpy()), sample(self.family, generator, self.setting.tasks)
            )
            theta, state = jax.block_until_ready(iteration(theta, state, tasks))
            return torch.cat(
                [
                    torch.from_numpy(jax.device_get(state[0].mu[name]).copy()).flatten()
                    for name in self.theta
                ]
            )

        return remembering(iterate)

    def floor(self, order):
        """Only the matrix products of one iteration, into memory that is there: no patch is cut
        out, nothing is normalised. More than 4,096 rows are taken in parts, which stay in the
        cache."""
        return self.floor_of(self.products(order))

    def floor_of(self, products):
        """The given matrix products, (batch, m, k, n) each."""
        work = []
        for batch, m, k, n in products:
            parts = -(-max(m, k) // 4096)
            m, k = (-(-m // parts), k) if m > k else (m, -(-k // parts))
            shapes = (
                [(m, k), (k, n), (m, n)]
                if batch == 1
                else [(batch, m, k), (batch, k, n), (batch, m, n)]
            )
            work.extend(
                [(torch.mm if batch == 1 else torch.bmm, *map(torch.randn, shapes))] * parts
            )

        def advance(n):
            for _ in range(n):
                for multiply, a, b, out in work:
                    multiply(a, b, out=out)

        return Contestant(advance, 1)

    def products(self, order):
        """The matrix products of one iteration, (batch, m, k) by (batch, k, n), each as (batch, m,
        k, n).

        One on weights that all tasks share (the first step's) is one over all examples; one on
        adapted weights, and a gradient that each task needs for itself, is a batch.
        """
        s = self.setting
        channels, rows, columns = s.image
        for i in range(4):
            rows, columns = (rows - 1) // s.stride + 1, (columns - 1) // s.stride + 1
            positions, patch, channels = rows * columns, 9 * channels, s.filters

            def of(examples, shared, kinds):
                """y: the layer's output; x: the gradient of its input; w: of its weights."""
                batch, n = (
                    (1, s.tasks * examples * positions)
                    if shared
                    else (s.tasks, examples * positions)
                )
                shapes = {
                    "y": (batch, n, patch, s.filters),
                    "x": (batch, n, s.filters, patch),
                    "w": (batch, patch, n, s.filters),
                }
                return [shapes[kind] for kind in kinds]

            x = "x" * (i > 0)  # the images need no gradient
            for shared in [step == 0 for step in range(s.steps)]:
                yield from of(s.ways, shared, "y" + x) + of(s.ways, False, "w")
                if (
                    order == 2
                    # backward through the step: each of its products gives one to each factor
                ):
                    yield from of(
                        s.ways, False, "y" + x
                    )  # that of w, to the outputs' gradient and to x
                    yield from of(
                        s.ways, shared, "yw" * (i > 0)
                    )  # that of x, to the outputs' gradient and to w
                    yield from of(s.ways, shared, x + "w")  # that of y, to x and to w
            yield from of(s.ways * s.queries, False, "y" + x) + of(
                s.ways * s.queries, order == 1, "w"
            )
            if s.stride == 1:
                rows, columns = rows // 2, columns // 2


class Module(nn.Module):
    """The same net as a module, for `higher`; its parameters come in the same order."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.stride, channels, size = setting.stride, setting.image[0], setting.image[1]
        for i in range(4):
            self.add_module(
                f"layer{i}",
                nn.Conv2d(channels, setting.filters, 3, stride=setting.stride, padding=1),
            )
            self.add_module(f"norm{i}", Shift(setting.filters))
            channels = setting.filters
        features = channels * (1 if setting.stride == 2 else (size // 16) ** 2)
        self.layer4 = nn.Linear(features, setting.ways)

    def forward(self, x):
        for i in range(4):
            x = F.relu(getattr(self, f"norm{i}")(getattr(self, f"layer{i}")(x)))
            x = F.max_pool2d(x, 2) if self.stride == 1 else x
        return self.layer4(x.mean((2, 3)) if self.stride == 2 else x.flatten(1))


def adapting(setting, theta):
    """A module that holds theta, as torch's optimizers and `higher` take it: (module, groups of its
    parameters, of which the norms' shifts do not adapt)."""
    module = Module(setting)
    with torch.no_grad():
        for mine, p in zip(module.parameters(), theta.values(), strict=True):
            mine.copy_(p)
    shifts = [p for name, p in module.named_parameters() if name.endswith("beta")]
    others = [p for name, p in module.named_parameters() if not name.endswith("beta")]
    return module, [{"params": others, "lr": setting.alpha}, {"params": shifts, "lr": 0.0}]


class Shift(nn.Module):
    """Batch normalisation with a shift and no scale."""

    def __init__(self, channels):
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        scale = torch.ones_like(self.beta)  # without one torch 2.13 fails at second order
        return F.batch_norm(x, None, None, scale, self.beta, training=True, eps=1e-3)

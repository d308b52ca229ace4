"""Workload S: sinusoids (section 5.1), 25 tasks, 10 support and 10 query points, one inner step.

Sampling new tasks and the Adam update count for every contestant. Peers are written as their own
examples are.
"""

import itertools

import torch
from torch.nn import functional as F

from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.optimizer import adam, sgd
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from tests.benchmarks.speed import Contestant

DESCRIPTION = (
    "sinusoid, MLP 1-40-40-1, 25 tasks, K=10 + 10 query, one inner step, alpha 0.01, Adam 1e-3,"
    " sampling included"
)
ROUNDS = 15
TASKS, ALPHA, BETA = 25, 0.01, 1e-3
NET = mlp(1, 40, 40, 1, weight=he)  # far enough from 0 that first and second order differ
THETA = NET.init(seeded(0))
FAMILY = sinusoid()
FIXED = sample(FAMILY, seeded(1), TASKS)


def contestants(order):
    """name -> function that builds the Contestant."""
    return {
        "mamlkit": lambda: ours(order),
        "mamlkit, uncompiled": lambda: ours(order, compiled=False, step=20),
        "JAX, scan": lambda: in_jax(order, scan=100),
        "JAX, a call an iteration": lambda: in_jax(order),
        "torch, loop over tasks": lambda: looped(loop_gradient, order),
        "torchopt": lambda: looped(torchopt_gradient, order),
        "higher": lambda: looped(higher_gradient, order),
        "matmul floor": lambda: floor(order),
    }


def scaling(tasks):
    return {"mamlkit": lambda: ours(2, tasks), "JAX, scan": lambda: in_jax(2, tasks, scan=100)}


def reference(order):
    """The meta-gradient at THETA on FIXED in float64, by plain autograd and a loop over tasks."""
    theta, tasks = tree_map(torch.Tensor.double, (THETA, FIXED))
    return flat(loop_gradient(theta, tasks, order))


def flat(gradient):
    return torch.cat([g.detach().flatten() for g in gradient.values()])


def one_by_one(tasks):
    return [tree_map(lambda t: t[i], tasks) for i in range(len(tasks.query.x))]


def ours(order, tasks=TASKS, compiled=True, step=100):
    """`train` itself: its gradient is what an update of plain gradient descent with step size 1
    takes away."""
    learner = (maml if order == 2 else fomaml)(mse(NET.forward), alpha=ALPHA, steps=1)
    settings = dict(tasks=tasks, compiled=compiled)

    def gradient():
        fixed = Family(lambda generator, n: tree_map(lambda t: t[:n], FIXED), lambda task: task)
        run = train(
            learner, THETA, fixed, sgd(1.0), generator=seeded(0), iterations=1, block=1, **settings
        )
        return flat(THETA) - flat(next(run).meta)

    run = train(
        learner,
        THETA,
        FAMILY,
        adam(BETA),
        generator=seeded(2),
        iterations=10**9,
        block=step,
        **settings,
    )
    return Contestant(lambda n: next(itertools.islice(run, n // step - 1, None)), step, gradient)


def looped(gradient, order):
    """A library that takes tasks one by one, with torch's own Adam and mamlkit's sampling."""
    theta = {name: p.clone().requires_grad_() for name, p in THETA.items()}
    optimizer, generator = torch.optim.Adam(theta.values(), BETA), seeded(2)

    def advance(n):
        for _ in range(n):
            for p, g in zip(
                theta.values(), gradient(theta, sample(FAMILY, generator, TASKS), order).values()
            ):
                p.grad = g.detach()
            optimizer.step()

    return Contestant(advance, 3, lambda: flat(gradient(THETA, FIXED, order)))


def loss(theta, data):
    return F.mse_loss(NET.forward(theta, data.x), data.y)


def loop_gradient(theta, tasks, order):
    theta = {name: p.detach().requires_grad_() for name, p in theta.items()}
    total = 0
    for task in one_by_one(tasks):
        inner = torch.autograd.grad(
            loss(theta, task.support), theta.values(), create_graph=order == 2
        )
        adapted = {name: p - ALPHA * g for (name, p), g in zip(theta.items(), inner)}
        total = total + loss(adapted, task.query) / len(tasks.query.x)
    return dict(zip(theta, torch.autograd.grad(total, theta.values())))


def torchopt_gradient(theta, tasks, order):
    import torchopt

    theta = {name: p.detach().requires_grad_() for name, p in theta.items()}
    names, leaves, optimizer, total = list(theta), tuple(theta.values()), torchopt.sgd(lr=ALPHA), 0
    for task in one_by_one(tasks):
        inner = torch.autograd.grad(loss(theta, task.support), leaves, create_graph=order == 2)
        updates, _ = optimizer.update(inner, optimizer.init(leaves), inplace=False)
        adapted = torchopt.apply_updates(leaves, updates, inplace=False)
        total = total + loss(dict(zip(names, adapted)), task.query) / len(tasks.query.x)
    return dict(zip(names, torch.autograd.grad(total, leaves)))


def higher_gradient(theta, tasks, order):
    import higher

    net = torch.nn.Sequential(
        torch.nn.Linear(1, 40),
        torch.nn.ReLU(),
        torch.nn.Linear(40, 40),
        torch.nn.ReLU(),
        torch.nn.Linear(40, 1),
    )
    with torch.no_grad():
        for mine, p in zip(net.parameters(), theta.values()):
            mine.copy_(p)
    sums = [torch.zeros_like(p) for p in net.parameters()]
    for task in one_by_one(tasks):
        inner = torch.optim.SGD(net.parameters(), lr=ALPHA)
        with higher.innerloop_ctx(
            net, inner, copy_initial_weights=False, track_higher_grads=order == 2
        ) as (fast, step):
            step.step(F.mse_loss(fast(task.support.x), task.support.y))
            at = list(fast.parameters(time=0 if order == 2 else -1))
            for s, g in zip(
                sums, torch.autograd.grad(F.mse_loss(fast(task.query.x), task.query.y), at)
            ):
                s += g / len(tasks.query.x)
    return dict(zip(theta, sums))


def in_jax(order, tasks=TASKS, scan=None):
    """jit and vmap; `scan` iterations in one call, or one."""
    import jax
    import jax.numpy as jnp
    import optax

    def forward(theta, x):
        for i in range(3):
            x = x @ theta[f"layer{i}.weight"].T + theta[f"layer{i}.bias"]
            x = jax.nn.relu(x) if i < 2 else x
        return x

    def loss(theta, data):
        return jnp.mean((forward(theta, data.x) - data.y) ** 2)

    def objective(theta, task):
        inner = jax.grad(loss)(theta, task.support)
        inner = inner if order == 2 else jax.lax.stop_gradient(inner)
        return loss(jax.tree.map(lambda p, g: p - ALPHA * g, theta, inner), task.query)

    def draw(key, low, high, *shape):
        return jax.random.uniform(key, (tasks, *shape), minval=low, maxval=high)

    def make(amplitude, phase, support_x, query_x):
        def y(x):
            return amplitude * jnp.sin(x - phase)

        return Task(Data(support_x, y(support_x)), Data(query_x, y(query_x)))

    def meta_gradient(theta, batch):
        gradients = jax.vmap(jax.grad(objective), (None, 0))(theta, batch)
        return jax.tree.map(lambda g: g.mean(0), gradients)

    def iteration(carry, _):
        theta, state, key = carry
        key, a, p, s, q = jax.random.split(key, 5)
        noise = (
            draw(a, 0.1, 5.0),
            draw(p, 0.0, jnp.pi),
            draw(s, -5.0, 5.0, 10, 1),
            draw(q, -5.0, 5.0, 10, 1),
        )
        updates, state = optimizer.update(meta_gradient(theta, jax.vmap(make)(*noise)), state)
        return (optax.apply_updates(theta, updates), state, key), None

    optimizer, theta = optax.adam(BETA), jax.tree.map(lambda p: jnp.asarray(p.numpy()), THETA)
    carry = theta, optimizer.init(theta), jax.random.key(2)
    call = jax.jit(
        lambda carry: (
            jax.lax.scan(iteration, carry, None, length=scan)[0]
            if scan
            else iteration(carry, None)[0]
        )
    )

    def advance(n):
        nonlocal carry
        for _ in range(n // (scan or 1)):
            carry = call(carry)
        jax.block_until_ready(carry)

    def gradient():
        fixed = tree_map(lambda t: jnp.asarray(t.numpy()), FIXED)
        g = jax.jit(meta_gradient)(theta, fixed)
        return torch.cat([torch.tensor(g[name].tolist()).flatten() for name in THETA])

    return Contestant(advance, 100, gradient)


def floor(order, tasks=TASKS):
    """Only the matrix products of one iteration, into memory that is there: no sampling,
    activation, loss or update. They are called as torch.mm and torch.bmm, so the cost of some 16 or
    30 calls from Python is in it.

    A product on weights that all tasks share is one product of 250 rows; one on adapted weights,
    and a gradient that each task needs for itself, is a batch of 25.
    """

    def product(*shapes):
        a, b = (torch.randn(shape) for shape in shapes)
        return (
            (torch.bmm if a.ndim == 3 else torch.mm),
            a,
            b,
            torch.empty(*a.shape[:-1], b.shape[-1]),
        )

    n, t = tasks * 10, tasks
    shared = [
        product((n, 1), (1, 40)),
        product((n, 40), (40, 40)),
        product((n, 40), (40, 1)),  # forward
        product((n, 1), (1, 40)),
        product((n, 40), (40, 40)),
    ]  # to the inputs
    weights = [
        product((t, 40, 10), (t, 10, 1)),
        product((t, 40, 10), (t, 10, 40)),
        product((t, 1, 10), (t, 10, 40)),
    ]
    adapted = [
        product((t, 10, 1), (t, 1, 40)),
        product((t, 10, 40), (t, 40, 40)),
        product((t, 10, 40), (t, 40, 1)),
        product((t, 10, 1), (t, 1, 40)),
        product((t, 10, 40), (t, 40, 40)),
    ]
    summed = [product((40, n), (n, 1)), product((40, n), (n, 40)), product((1, n), (n, 40))]
    inner, outer = shared + weights, adapted + (weights if order == 2 else summed)
    # Backward through the inner step: each of its eight products gives one to each factor that is
    # not data.
    through = [
        adapted[0],
        adapted[0],
        adapted[1],
        adapted[1],
        adapted[2],
        *shared[1:],
        summed[0],
        *summed[1:],
        *summed[1:],
    ]
    work = inner + outer + (through if order == 2 else [])

    def advance(n):
        for _ in range(n):
            for multiply, a, b, out in work:
                multiply(a, b, out=out)

    return Contestant(advance, 100)

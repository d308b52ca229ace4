"""What the workloads EO and EM share: the losses on new tasks' queries after 0, 1, ... steps.

The paper's test of a network is 600 such tasks. A round takes a few of them: their number changes
no contestant's time for one.
"""

import torch
from torch.nn import functional as F

from mamlkit.evaluate import evaluate, on_query
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.benchmarks.convnets import Setting, Workload, adapting, one_by_one
from tests.benchmarks.speed import Contestant


class Evaluation:
    """A Setting whose `tasks` are evaluated, and who does it; an iteration is all of them."""

    def __init__(self, setting: Setting):
        self.setting, self.work = setting, Workload(setting)

    def contestants(self, order):
        """name -> function that builds the Contestant. There is one order: nothing is
        differentiated through a step."""
        return {
            "mamlkit": self.ours,
            "mamlkit, batched": lambda: self.ours(chunk=self.setting.tasks),
            "JAX, im2col": lambda: self.in_jax(patches=True),
            "JAX, convolution": self.in_jax,
            "torch, loop over tasks": lambda: self.finding(self.in_a_loop),
            "higher": lambda: self.finding(self.in_higher),
            "matmul floor": lambda: self.work.floor_of(self.products()),
        }

    def scaling(self, tasks):
        """The work grows with the tasks."""
        return {}

    def reference(self, order):
        """The losses in float64, flat: of each task at each step."""
        exact = tree_map(lambda t: t.double() if t.is_floating_point() else t, self.work.fixed)
        return self.in_a_loop({n: p.double() for n, p in self.work.theta.items()}, exact).flatten()

    def finding(self, losses) -> Contestant:
        """A contestant that finds all losses with each call, and returns them as its numbers."""
        found = None

        def advance(n):
            nonlocal found
            for _ in range(n):
                found = losses(self.work.theta, self.work.fixed)

        return Contestant(advance, 1, lambda: found.flatten())

    def ours(self, chunk=None):
        """`evaluate` itself."""
        learner = maml(self.work.loss, alpha=self.work.alphas, steps=self.setting.steps)
        metric = on_query(self.work.loss)
        return self.finding(
            lambda theta, tasks: evaluate(learner, theta, tasks, metric, chunk=chunk)
        )

    def in_a_loop(self, theta, tasks):
        losses, loss = [], self.work.loss
        for task in one_by_one(tasks):
            theta_i = {name: p.detach().requires_grad_() for name, p in theta.items()}
            for step in range(self.setting.steps + 1):
                with torch.no_grad():
                    losses.append(loss(theta_i, task.query))
                if step < self.setting.steps:
                    leaves = [theta_i[name] for name in self.work.alphas]
                    gradient = torch.autograd.grad(loss(theta_i, task.support), leaves)
                    for (name, a), g in zip(self.work.alphas.items(), gradient):
                        theta_i[name] = (theta_i[name] - a * g).detach().requires_grad_()
        return torch.stack(losses)

    def in_higher(self, theta, tasks):
        import higher

        (module, groups), losses = adapting(self.setting, theta), []
        for task in one_by_one(tasks):
            inner = torch.optim.SGD(groups)
            with higher.innerloop_ctx(module, inner, track_higher_grads=False) as (fast, descend):
                for step in range(self.setting.steps + 1):
                    with torch.no_grad():
                        losses.append(F.cross_entropy(fast(task.query.x), task.query.y))
                    if step < self.setting.steps:
                        descend.step(F.cross_entropy(fast(task.support.x), task.support.y))
        return torch.stack(losses)

    def in_jax(self, patches=False):
        """jit, and vmap over tasks. patches: a convolution is a matrix product."""
        import jax
        import jax.numpy as jnp

        loss, alphas = self.work.jax_loss(patches), self.work.alphas
        theta = jax.tree.map(lambda p: jnp.asarray(p.numpy()), self.work.theta)
        batch = tree_map(lambda t: jnp.asarray(t.numpy()), self.work.fixed)

        def one(theta, task):
            losses = [loss(theta, task.query)]
            for _ in range(self.setting.steps):
                inner = jax.grad(loss)(theta, task.support)
                theta = theta | {name: theta[name] - a * inner[name] for name, a in alphas.items()}
                losses.append(loss(theta, task.query))
            return jnp.stack(losses)

        every = jax.jit(jax.vmap(one, (None, 0)))
        return self.finding(lambda *_: torch.from_numpy(jax.device_get(every(theta, batch)).copy()))

    def products(self):
        """The matrix products of all steps and of all queries after each, see
        `Workload.products`."""
        s = self.setting
        channels, rows, columns = s.image
        for i in range(4):
            rows, columns = (rows - 1) // s.stride + 1, (columns - 1) // s.stride + 1
            positions, patch, channels = rows * columns, 9 * channels, s.filters
            for step in range(s.steps + 1):
                batch, each = (1, s.tasks) if step == 0 else (s.tasks, 1)
                yield batch, each * s.ways * s.queries * positions, patch, s.filters
                if step < s.steps:
                    n = s.ways * positions
                    yield batch, each * n, patch, s.filters
                    yield s.tasks, patch, n, s.filters
                    if i:  # the images need no gradient
                        yield batch, each * n, s.filters, patch
            if s.stride == 1:
                rows, columns = rows // 2, columns // 2

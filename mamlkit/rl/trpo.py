"""The outer step of section 5.3: trust-region policy optimization of the policies after
adaptation."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vjp, vmap

from mamlkit.boundary import finite, not_negative, positive, said, whole
from mamlkit.learner import Learner
from mamlkit.rl.objectives import divergence, surrogate
from mamlkit.rl.policy import Policy
from mamlkit.solve import conjugate_gradient
from mamlkit.task import Task
from mamlkit.trees import Params, ravel, tree_map


class Outcome(NamedTuple):
    """What a TRPO step did, scalars on the CPU. before, after: the surrogate. kl: of the step
    taken. tries: points that the line search looked at. accepted: 1, or 0 where none was good
    enough and the parameters were kept (after is before, kl 0)."""

    before: Tensor
    after: Tensor
    kl: Tensor
    tries: Tensor
    accepted: Tensor


def trpo_step(
    learner: Learner,
    policy: Policy,
    theta: Params,
    tasks: Task,
    *,
    radius: float = 0.01,
    damping: float = 1e-5,
    cg_iterations: int = 10,
    backtrack: float = 0.8,
    tries: int = 15,
    every: int = 1,
    chunk: int | None = None,
) -> tuple[Params, Outcome]:
    """One meta-update: the mean surrogate of the adapted policies falls, their mean KL from those
    that acted stays below `radius`.

    learner: adapts `theta` to one task's support. tasks: a batch, support one `Experience` for each
    inner step, query one of the adapted policy. The direction solves (F + damping I) x = -g by
    `cg_iterations` of conjugate gradient, F being the exact Hessian of the KL (the authors take
    finite differences); its length is the radius's, and is cut by `backtrack` up to `tries` times
    until the surrogate is lower and the KL not above `radius`; else theta is kept. every: curvature
    from each `every`-th step of support and query only (1: from all). chunk: how many tasks are
    differentiated at once, None for one at a time on a CPU, where its cache holds them, and all on
    a GPU. Defaults: the authors'. Raises ValueError for settings out of range, FloatingPointError
    if the gradient is not finite. Source: section 5.3, Schulman et al. 2015; cbfinn/maml_rl.
    """
    for name, value in {"cg_iterations": cg_iterations, "tries": tries, "every": every}.items():
        whole(name, value)
    if chunk is not None:
        whole("chunk", chunk)
    radius = float(positive("radius", radius, "it"))
    not_negative("damping", damping, "it")
    if not (finite(backtrack) and 0 < backtrack < 1):
        raise ValueError(f"backtrack is {said(backtrack)}: it must be between 0 and 1")
    vector, unravel = ravel(theta)
    after = _adapted(learner, policy, unravel)
    count = len(tasks.query.weight)
    chunk = chunk or (count if vector.is_cuda else 1)
    parts = list(_parts(tasks, chunk, 1))

    def measured(vector):
        """The mean surrogate and the mean KL."""
        with torch.no_grad():
            each = [(_each(lambda task: after(vector, task), part), part.query) for part in parts]
            return [
                sum(_total(of, policy, *there) for there in each) / count
                for of in (surrogate, divergence)
            ]

    before, gradient, products = 0.0, torch.zeros_like(vector), []
    for part in parts:
        here = linearised(after, vector, part)
        before = before + _total(surrogate, policy, here.dists, part.query) / count
        gradient = gradient + here.pull(_slope(surrogate, policy, part.query)(here.dists)) / count
        if every == 1:
            products.append(fisher(here, policy, part))
    if every > 1:  # thinner parts are made of more tasks, so that they are as large
        products = [
            fisher(linearised(after, vector, part), policy, part)
            for part in _parts(tasks, chunk * every, every)
        ]
    if not torch.isfinite(gradient).all():
        names = [name for name, g in unravel(gradient).items() if not torch.isfinite(g).all()]
        raise FloatingPointError(
            f"the surrogate's gradient of {', '.join(names)} is not finite: the parameters were "
            "left as they were"
        )

    direction = conjugate_gradient(
        lambda v: sum(product(v) for product in products) / count + damping * v,
        -gradient,
        iterations=cg_iterations,
    )
    square = (
        -gradient @ direction
    )  # x'(F + damping I)x, because conjugate gradient leaves its residual orthogonal to x
    longest = (2 * radius / square.clamp_min(1e-16)).sqrt() * direction
    for i in range(tries):
        moved = vector + backtrack**i * longest
        loss, kl = measured(moved)
        if loss < before and kl <= radius:
            return {k: p.clone() for k, p in unravel(moved).items()}, _outcome(
                before, loss, kl, i + 1, 1
            )
    return theta, _outcome(before, before, 0.0, tries, 0)


class Linearised(NamedTuple):
    """The adapted policies of some tasks at theta. dists: their distributions at the query's steps.
    pull: u -> J' u, J being the derivative of `dists` by theta, through the inner steps. push: ()
    -> (v -> J v); recorded when it is called."""

    dists: Any
    pull: Callable[[Any], Tensor]
    push: Callable[[], Callable[[Tensor], Any]]


def linearised(after: Callable, vector: Tensor, tasks: Task) -> Linearised:
    """J' u is a reverse pass; as it is linear in u, its own reverse pass is J v: nothing is
    differentiated anew for a product."""
    # vjp gives two values without has_aux; its stub says two or three
    dists, transposed = vjp(  # pyright: ignore[reportAssignmentType]
        lambda v: _each(lambda task: after(v, task), tasks), vector
    )

    def pull(u):
        with torch.no_grad():
            return transposed(u)[0]

    def push():
        forwards = vjp(lambda u: transposed(u)[0], tree_map(torch.zeros_like, dists))[1]
        return lambda v: forwards(v)[0]

    return Linearised(dists, pull, push)


def fisher(here: Linearised, policy: Policy, tasks: Task) -> Callable[[Tensor], Tensor]:
    """v -> F v, F the exact Hessian of the KL by theta, summed over the tasks.

    The KL is at its minimum at theta, so that its Hessian is J' M J without a further term, M being
    its Hessian by the distributions: symmetric, so that M u is a reverse pass as well.
    """
    push = here.push()
    curve = vjp(_slope(divergence, policy, tasks.query), here.dists)[1]

    def product(v):
        with torch.no_grad():
            return here.pull(curve(push(v))[0])

    return product


def finite_difference_product(
    learner: Learner, policy: Policy, theta: Params, tasks: Task, v: Tensor, *, base: float = 1.0
) -> Tensor:
    """F v by central differences of the KL's gradient, as section 5.3 says the authors do: kept to
    compare, not used.

    v: a vector of theta's size. The difference's half-width is base / |theta|. The authors' code
    means base 1e-8 and passes 1 by a slip of position (cbfinn/maml_rl,
    `FiniteDifferenceHvp(num_slices)`): so coarse a difference that it is not the derivative at
    theta.
    """
    vector, unravel = ravel(theta)
    after = _adapted(learner, policy, unravel)
    slope = grad(
        lambda x: vmap(lambda task: divergence(policy, after(x, task), task.query))(tasks).mean()
    )
    width = base / (vector.norm() + 1e-8)
    return (slope(vector + width * v) - slope(vector - width * v)) / (2 * width)


def _adapted(learner, policy, unravel):
    """(theta as a vector, one task) -> the adapted policy's distributions at the steps of the
    query."""
    return lambda vector, task: policy.forward(
        learner.adapt(unravel(vector), task.support)[-1], task.query.observation
    )


def _each(function, tasks):
    """`vmap` over the tasks, without its cost where there is only one."""
    if len(tasks.query.weight) > 1:
        return vmap(function)(tasks)
    return tree_map(lambda t: t[None], function(tree_map(lambda t: t[0], tasks)))


def _total(of, policy, dists, query):
    """`surrogate` or `divergence` of the distributions, summed over tasks."""
    return vmap(lambda d, q: of(policy, d, q))(dists, query).sum()


def _slope(of, policy, query):
    """The gradient of that by the distributions."""
    return grad(lambda dists: _total(of, policy, dists, query))


def _parts(tasks: Task, chunk: int, every: int) -> Iterator[Task]:
    """The tasks, `chunk` at a time, without the steps that none of them needs, and of the others
    each `every`-th."""

    def trimmed(steps, rows):
        most = int(steps.weight[rows].sum(1).max())
        return tree_map(lambda t: t[rows, : max(most, 1) : every], steps)

    for i in range(0, len(tasks.query.weight), chunk):
        rows = slice(i, i + chunk)
        yield Task(
            tuple(trimmed(steps, rows) for steps in tasks.support), trimmed(tasks.query, rows)
        )


def _outcome(*values):
    return Outcome(*(torch.as_tensor(value).cpu() for value in values))

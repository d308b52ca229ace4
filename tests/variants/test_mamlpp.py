"""MAML++, part by part: each against what it stands for written out, and against MAML when it is
left out."""

from functools import partial

import pytest
import torch

from mamlkit.inner import inner_step
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from tests.oracles import after_adaptation, derivative_gap, gap, one, problem, same

pytestmark = pytest.mark.usefixtures("float64")
NEVER = lambda name: False
PLAIN = dict(annealing=1.0, learned=NEVER, per_step=NEVER)  # every part is left out


def spread(meta):
    """Meta-parameters that differ from step to step, so that exchanged steps would show."""
    return {
        k: p + 0.05 * torch.arange(len(p)).view(-1, *[1] * (p.ndim - 1))
        if k.startswith(("alpha/", "norm"))
        else p
        for k, p in meta.items()
    }


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_with_every_part_left_out_it_is_maml(name, steps):
    loss, theta, tasks, alpha = problem(name)
    task, first, second = (
        one(tasks, 0),
        mamlpp(loss, alpha=alpha, steps=steps, **PLAIN),
        maml(loss, alpha=alpha, steps=steps),
    )
    assert same(first.init(theta), theta)
    assert all(
        same(a, b)
        for a, b in zip(
            first.adapt(theta, task.support), second.adapt(theta, task.support), strict=True
        )
    )
    assert gap(first.meta_grad(theta, task)[0], second.meta_grad(theta, task)[0]) < 1e-14


@pytest.mark.parametrize(
    "annealing, weights",
    [(0.0, [1 / 4] * 4), (0.5, [1 / 8, 1 / 8, 1 / 8, 5 / 8]), (1.0, [0, 0, 0, 1])],
)
def test_the_multi_step_loss_is_the_sum_written_out(annealing, weights):
    """The start is not in it, and what is reported is the last step's alone."""
    loss, theta, tasks, alpha = problem("tanh mlp")
    task = one(tasks, 0)
    learner = mamlpp(loss, alpha=alpha, steps=4, **PLAIN | {"annealing": annealing})

    def written_out(theta):
        total = 0.0
        for w in weights:
            theta = inner_step(theta, lambda p: loss(p, task.support), alpha)
            total = total + w * loss(theta, task.query)
        return total

    gradient, aux = learner.meta_grad(theta, task)
    assert gap(gradient, torch.func.grad(written_out)(theta)) < 1e-14
    assert torch.equal(aux["loss"], loss(learner.adapt(theta, task.support)[-1], task.query))


def test_a_loss_that_does_not_count_may_overflow():
    """At annealing 1 it is MAML also where the query loss after the first step is infinite: 0 times
    that is no number."""
    loss, theta, tasks, alpha = problem("tanh mlp")
    task = one(tasks, 0)
    halfway = maml(loss, alpha=alpha, steps=1).adapt(theta, task.support)[-1]["layer2.bias"].sum()

    def explodes(params, batch):
        """Far too steep, on the query alone, where the first step ends; nothing elsewhere."""
        near = (params["layer2.bias"].sum() - halfway).abs() < 1e-9
        return loss(params, batch) + torch.where(
            near & torch.equal(batch.y, task.query.y), torch.inf, 0.0
        ) * params["layer2.bias"].sum().square().add(1)

    first, second = (
        mamlpp(explodes, alpha=alpha, steps=2, **PLAIN),
        maml(explodes, alpha=alpha, steps=2),
    )
    assert explodes(
        maml(loss, alpha=alpha, steps=1).adapt(theta, task.support)[-1], task.query
    ).isinf()
    assert gap(first.meta_grad(theta, task)[0], second.meta_grad(theta, task)[0]) < 1e-14


def test_first_order_is_an_update_of_another_order():
    loss, theta, tasks, alpha = problem("tanh mlp")
    task, update = one(tasks, 0), partial(inner_step, first_order=True)
    first = mamlpp(loss, alpha=alpha, steps=3, **PLAIN, update=update)
    assert (
        gap(
            first.meta_grad(theta, task)[0],
            fomaml(loss, alpha=alpha, steps=3).meta_grad(theta, task)[0],
        )
        < 1e-14
    )
    learned = mamlpp(loss, alpha=alpha, steps=3, update=update)
    gradient, _ = learned.meta_grad(learned.init(theta), task)
    assert all(g.abs().min() > 1e-9 for k, g in gradient.items() if k.startswith("alpha/")), (
        "the step sizes are learned at first order too"
    )


def test_each_parameter_has_a_step_size_for_each_step_that_starts_at_alpha():
    loss, theta, _, alpha = problem("strided convnet")
    meta = mamlpp(loss, alpha=alpha, steps=3).init(theta)
    adapts = [k for k in theta if not k.startswith("norm")]
    assert list(meta) == [*theta, *(f"alpha/{k}" for k in adapts)]
    assert all(
        meta[f"alpha/{k}"].shape == (3,) and (meta[f"alpha/{k}"] == alpha).all() for k in adapts
    )


def test_the_learned_step_sizes_are_used_in_turn():
    loss, theta, tasks, alpha = problem("tanh mlp")
    learner, support = mamlpp(loss, alpha=alpha, steps=3), one(tasks, 0).support
    meta = spread(learner.init(theta))
    expected = [theta]
    for i in range(3):
        expected.append(
            inner_step(
                expected[-1], lambda p: loss(p, support), {k: meta[f"alpha/{k}"][i] for k in theta}
            )
        )
    assert all(same(a, b) for a, b in zip(learner.adapt(meta, support), expected, strict=True))


def test_norms_have_values_for_each_step_that_never_adapt():
    """Step k's values adapt theta_k and measure theta_(k+1); with all the same they are MAML's
    betas that do not adapt."""
    loss, theta, tasks, alpha = problem("strided convnet")
    learner, support = mamlpp(loss, alpha=alpha, steps=3), one(tasks, 0).support
    meta, norms = learner.init(theta), [k for k in theta if k.startswith("norm")]
    assert all(meta[k].shape == (3, *theta[k].shape) for k in norms)
    still = maml(loss, alpha={k: alpha for k in theta if k not in norms}, steps=3)
    assert (
        max(
            gap(a, b)
            for a, b in zip(learner.adapt(meta, support), still.adapt(theta, support), strict=True)
        )
        < 1e-15
    )
    meta = spread(meta)
    for params, i in zip(learner.adapt(meta, support), [0, 0, 1, 2], strict=True):
        assert all(torch.equal(params[k], meta[k][i]) for k in norms)


@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_the_gradient_is_the_derivative_by_everything_that_is_meta_learned(name):
    loss, theta, tasks, alpha = problem(name)
    learner, task = mamlpp(loss, alpha=alpha, steps=3, annealing=1.0), one(tasks, 0)
    meta = spread(learner.init(theta))
    gradient, _ = learner.meta_grad(meta, task)
    value = after_adaptation(learner, loss, task)
    assert derivative_gap(value, meta, gradient) < 1e-6
    tables = {k: p for k, p in meta.items() if k.startswith(("alpha/", "norm"))}
    assert (
        derivative_gap(lambda t: value(meta | t), tables, {k: gradient[k] for k in tables}) < 1e-6
    )


def test_a_dict_names_what_adapts_and_some_of_it_may_keep_its_step_size():
    loss, theta, tasks, _ = problem("tanh mlp")
    alphas = {"layer1.weight": 0.2, "layer2.bias": 0.3}
    learner = mamlpp(loss, alpha=alphas, steps=2, learned=lambda name: name.endswith("bias"))
    meta, support = learner.init(theta), one(tasks, 0).support
    assert list(meta)[len(theta) :] == ["alpha/layer2.bias"]
    assert same(
        learner.adapt(meta, support)[-1],
        maml(loss, alpha=alphas, steps=2).adapt(theta, support)[-1],
    )


def test_more_steps_than_were_learned_stay_with_the_last_ones_values():
    loss, theta, tasks, alpha = problem("strided convnet")
    support = one(tasks, 0).support
    meta = spread(mamlpp(loss, alpha=alpha, steps=2).init(theta))
    longer = {
        k: torch.cat([p, p[-1:], p[-1:]]) if k.startswith(("alpha/", "norm")) else p
        for k, p in meta.items()
    }
    learner = mamlpp(loss, alpha=alpha, steps=4)
    assert all(
        same(a, b)
        for a, b in zip(learner.adapt(meta, support), learner.adapt(longer, support), strict=True)
    )


def test_with_no_steps_nothing_adapts_and_the_first_steps_values_are_used():
    """As collecting trajectories asks for, before the first inner step."""
    loss, theta, tasks, alpha = problem("strided convnet")
    task, none = one(tasks, 0), mamlpp(loss, alpha=alpha, steps=0)
    meta = spread(mamlpp(loss, alpha=alpha, steps=3).init(theta))
    path = none.adapt(meta, task.support)
    assert len(path) == 1 and all(
        torch.equal(path[0][k], meta[k][0] if k.startswith("norm") else meta[k]) for k in theta
    )
    gradient, aux = none.meta_grad(meta, task)
    assert (aux["loss"] - loss(path[0], task.query)).abs() < 1e-12 and gap(
        {k: gradient[k] for k in theta if "norm" not in k},
        {
            k: g
            for k, g in torch.func.grad(lambda p: loss(p, task.query))(path[0]).items()
            if "norm" not in k
        },
    ) < 1e-14
    assert none.init(theta)["alpha/layer0.weight"].shape == (1,)


@pytest.mark.parametrize(
    "settings",
    [{"steps": -1}, {"annealing": -0.1}, {"annealing": 1.5}, {"annealing": float("nan")}],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} is {settings[name]}: .* (0 or more|from 0 to 1)"):
        mamlpp(print, **{"alpha": 0.1, "steps": 2} | settings)

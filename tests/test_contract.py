"""What every variant promises. The files of mamlkit/variants are found by themselves: a new one is
tested here at once."""

import ast
import importlib
import inspect
import pkgutil

import pytest
import torch
from torch.func import vmap

from mamlkit import variants
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import Learner
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp, with_context
from mamlkit.optimizer import adam
from mamlkit.rl.collect import collect
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.task import sample
from mamlkit.train import train
from tests.oracles import copied, each, gap, one, problem, same

pytestmark = pytest.mark.usefixtures("float64")
NAMES = sorted(module.name for module in pkgutil.iter_modules(variants.__path__))
KEYWORD = inspect.Parameter.KEYWORD_ONLY


def variant(name):
    return getattr(importlib.import_module(f"mamlkit.variants.{name}"), name)


# The nets hold a context vector as well, so that a variant that adapts nothing else is one like the
# others.
CASES = {
    "regression": ("tanh mlp", "layer0.bias"),
    "classification with batch norm": ("strided convnet", "norm2.beta"),
}


@pytest.fixture(params=CASES)
def case(request, float64):
    name, shift = CASES[request.param]
    return problem(name, shift=shift)


def test_variants_are_found():
    assert {"maml", "fomaml"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_one_public_function_of_its_own_name(name):
    module = importlib.import_module(f"mamlkit.variants.{name}")
    public = [
        k
        for k, v in vars(module).items()
        if not k.startswith("_") and getattr(v, "__module__", None) == module.__name__
    ]
    assert public == [name], (
        f"variants/{name}.py should define the function `{name}` and nothing else that is public, "
        f"it defines {public}"
    )
    assert inspect.isfunction(variant(name)) and variant(name).__doc__ and module.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_is_called_the_same_way(name):
    loss, *settings = inspect.signature(variant(name)).parameters.values()
    assert (
        loss.name == "loss"
        and loss.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and loss.default is inspect.Parameter.empty
    )
    assert [s.name for s in settings[:2]] == ["alpha", "steps"] and all(
        s.kind is KEYWORD for s in settings
    ), "after the loss: keywords only"
    assert all(s.default is inspect.Parameter.empty for s in settings[:2]), (
        "alpha and steps are constants of an experiment: no default"
    )
    assert all(s.default is not inspect.Parameter.empty for s in settings[2:]), (
        "whatever else it takes has the default that its paper gives"
    )
    assert inspect.signature(variant(name)).return_annotation is Learner


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_read_in_one_sitting(name):
    """At most 60 lines of code: neither blank, nor a comment, nor in a docstring."""
    text = inspect.getsource(importlib.import_module(f"mamlkit.variants.{name}"))
    nodes = [
        n
        for n in ast.walk(ast.parse(text))
        if isinstance(n, (ast.Module, ast.FunctionDef)) and ast.get_docstring(n)
    ]
    said = {line for n in nodes for line in range(n.body[0].lineno, n.body[0].end_lineno + 1)}
    code = [
        line
        for i, line in enumerate(text.splitlines(), 1)
        if i not in said and line.strip() and not line.strip().startswith("#")
    ]
    assert len(code) <= 60


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_path_starts_at_the_initial_parameters_and_has_an_entry_more_than_steps(
    name, steps, case
):
    loss, params, tasks, alpha = case
    learner = variant(name)(loss, alpha=alpha, steps=steps)
    assert isinstance(learner, Learner)
    path = learner.adapt(learner.init(params), each(tasks)[0].support)
    assert len(path) == steps + 1
    assert all(torch.equal(path[0][k], params[k]) for k in params)
    for theta in path:
        assert theta.keys() >= params.keys() and all(
            theta[k].shape == p.shape and theta[k].dtype == p.dtype for k, p in params.items()
        )
    support = each(tasks)[0].support
    assert loss(path[-1], support) < loss(path[0], support), (
        "adaptation lowers the loss of the support"
    )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_handed_in_is_changed(name, case):
    loss, params, tasks, alpha = case
    learner = variant(name)(loss, alpha=alpha, steps=2)
    meta, task = learner.init(params), each(tasks)[0]
    before = copied((params, meta, task))
    first = learner.adapt(meta, task.support)[-1], learner.meta_grad(meta, task)[0]
    assert same(params, before[0]) and same(meta, before[1])
    assert all(
        torch.equal(a, b)
        for a, b in zip((*task.support, *task.query), (*before[2].support, *before[2].query))
    )
    again = learner.adapt(meta, task.support)[-1], learner.meta_grad(meta, task)[0]
    assert same(first[0], again[0]) and same(first[1], again[1]), (
        "nothing is remembered between calls"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_meta_gradient_is_shaped_as_the_meta_parameters(name, case):
    """In the same order as well: `train` keeps all in one vector."""
    loss, params, tasks, alpha = case
    learner = variant(name)(loss, alpha=alpha, steps=2)
    meta = learner.init(params)
    assert meta.keys() >= params.keys()
    gradient, _ = learner.meta_grad(meta, each(tasks)[0])
    assert list(gradient) == list(meta)
    for k, g in gradient.items():
        assert (
            g.shape == meta[k].shape
            and g.dtype == meta[k].dtype
            and torch.isfinite(g).all()
            and not g.requires_grad
        )
    assert max(g.abs().max() for g in gradient.values()) > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_that_is_reported_is_the_query_loss_after_adaptation(name, case):
    loss, params, tasks, alpha = case
    learner = variant(name)(loss, alpha=alpha, steps=2)
    meta, task = learner.init(params), each(tasks)[0]
    reported = learner.meta_grad(meta, task)[1]["loss"]
    assert (
        reported.shape == ()
        and (reported - loss(learner.adapt(meta, task.support)[-1], task.query)).abs() < 1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_batched_is_looped(name, case):
    loss, params, tasks, alpha = case
    learner = variant(name)(loss, alpha=alpha, steps=3)
    meta = learner.init(params)
    paths = vmap(learner.adapt, (None, 0))(meta, tasks.support)
    gradients, aux = vmap(learner.meta_grad, (None, 0))(meta, tasks)
    for i, task in enumerate(each(tasks)):
        for batched, alone in zip(paths, learner.adapt(meta, task.support), strict=True):
            assert gap(one(batched, i), alone) < 1e-12
        gradient, reported = learner.meta_grad(meta, task)
        assert gap(one(gradients, i), gradient) < 1e-12
        assert (aux["loss"][i] - reported["loss"]).abs() < 1e-12
    assert aux["loss"].std() > 1e-3, "the tasks differ"


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_for_each_step_is_used_in_turn_or_refused_with_a_sentence(name):
    """As reinforcement learning hands them in: a plain tuple. What step k + 1 sees does not reach
    step k."""
    loss, params, tasks, alpha = problem("tanh mlp", shift="layer0.bias")
    learner = variant(name)(loss, alpha=alpha, steps=3)
    meta, (first, second, third) = learner.init(params), [task.support for task in each(tasks)]
    try:
        path = learner.adapt(meta, (first, second, third))
    except ValueError as refusal:
        said = str(refusal)
        assert "batch" in said and "step" in said and "\n" not in said
        with pytest.raises(ValueError):
            learner.meta_grad(meta, one(tasks, 0)._replace(support=(first, second, third)))
        return
    exchanged = learner.adapt(meta, (first, third, second))
    assert [same(a, b) for a, b in zip(path, exchanged)] == [True, True, False, False]
    gradient, aux = learner.meta_grad(meta, one(tasks, 0)._replace(support=(first, second, third)))
    assert list(gradient) == list(meta) and aux["loss"] == loss(path[-1], one(tasks, 0).query)
    with pytest.raises(ValueError, match="the support holds 2 batches for 3 inner steps"):
        learner.adapt(meta, (first, second))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "settings, words",
    [
        ({"alpha": -0.1, "steps": 2}, "alpha is -0.1"),
        ({"alpha": 0.1, "steps": -1}, "steps is -1"),
        ({"alpha": 0.1, "steps": 1.5}, "steps is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, words):
    loss, params, tasks, _ = problem("tanh mlp", shift="layer0.bias")
    with pytest.raises(ValueError, match=words):
        learner = variant(name)(loss, **settings)
        learner.adapt(learner.init(params), one(tasks, 0).support)


@pytest.mark.parametrize("name", NAMES)
def test_training_lowers_the_loss_after_adaptation_on_tasks_it_has_not_seen(name):
    net = with_context(mlp(1, 12, 8, 1, activation=torch.tanh, weight=he), 3, shift="layer0.bias")
    loss, family = mse(net.forward), sinusoid(shots=6, queries=9)
    learner = variant(name)(loss, alpha=0.05, steps=2)
    meta, unseen = learner.init(net.init(seeded(0))), sample(family, seeded(1), 60)
    *_, last = train(
        learner,
        meta,
        family,
        adam(0.02),
        generator=seeded(2),
        tasks=4,
        iterations=40,
        compiled=False,
    )
    before, after = (
        evaluate(learner, m, unseen, on_query(loss))[:, -1].mean() for m in (meta, last.meta)
    )
    assert after < 0.9 * before


@pytest.mark.parametrize("name", NAMES)
def test_in_navigation_it_works_unchanged_or_refuses_with_a_sentence(name):
    """The third kind of task, beside the two of CASES: a batch of its own for every step, sampled
    by the adapted policy."""
    policy = with_context(gaussian(2, 2, hidden=(6,)), 3, shift="layer0.bias")
    env, generator = Navigation(horizon=6), seeded(0)
    learner = lambda steps: variant(name)(reinforce(policy), alpha=0.3, steps=steps)
    meta, goals = learner(2).init(policy.init(generator)), env.sample_goals(generator, 3)
    try:
        tasks, played = collect(
            env, policy, learner, meta, goals, steps=2, rollouts=4, generator=generator
        )
    except ValueError as refusal:
        assert (
            name == "imaml"
            and str(refusal).endswith("it takes one support set, not a batch for each step")
            and "\n" not in str(refusal)
        )
        return
    paths = vmap(learner(2).adapt, (None, 0))(meta, tasks.support)
    assert len(played) == len(paths) == 3 and any(
        (paths[2][k] - paths[1][k]).abs().max() > 0 for k in paths[2]
    ), "it adapts twice"
    moved = {k for k in paths[1] if (paths[1][k] - paths[0][k]).abs().max() > 0}
    assert (
        moved == {"anil": {"layer1.weight", "layer1.bias"}, "cavia": {"context"}}.get(name, moved)
        and moved
    )
    gradient, aux = vmap(learner(2).meta_grad, (None, 0))(meta, tasks)
    assert list(gradient) == list(meta) and aux["loss"].shape == (3,)
    assert all(
        torch.isfinite(g).all() and g.shape[1:] == meta[k].shape for k, g in gradient.items()
    )
    assert max(g.abs().max() for g in gradient.values()) > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_no_variant_knows_another(name):
    text = inspect.getsource(importlib.import_module(f"mamlkit.variants.{name}"))
    assert "variants" not in text.replace(
        importlib.import_module(f"mamlkit.variants.{name}").__doc__, ""
    ), "what two variants share stands on a lower floor"

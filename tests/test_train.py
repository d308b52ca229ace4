"""The outer loop, through `train` and the Steps it yields, whatever makes it fast."""

import re
import shutil
from functools import partial

import pytest
import torch

from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import Learner
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.optimizer import adam, sgd
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import Step, train
from mamlkit.trees import tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from mamlkit.variants.meta_sgd import meta_sgd
from tests.oracles import (
    TASKS,
    after_adaptation,
    copied,
    derivative_gap,
    each,
    fixed,
    gap,
    held,
    one,
    problem,
    same,
    trained_gradient,
)

pytestmark = pytest.mark.usefixtures("float64")
NET = mlp(1, 4, 8, 1, weight=he)
FAMILY = sinusoid(shots=6, queries=7)


def fresh():
    """A generator that nobody has seeded."""
    generator = torch.Generator()
    generator.seed()
    return generator


def shaken(numbers):
    return numbers * torch.rand(())


def start(seed=0):
    return NET.init(seeded(seed))


def run(*, seed=1, learner=None, meta=None, family=FAMILY, optimizer=None, **settings):
    """All the Steps of a small run."""
    settings = {"tasks": 3, "iterations": 9, "block": 4, "compiled": False} | settings
    learner = learner or maml(mse(NET.forward), alpha=0.05, steps=2)
    return list(
        train(
            learner,
            meta or start(),
            family,
            optimizer or adam(0.01),
            generator=seeded(seed),
            **settings,
        )
    )


def alike(a: Step, b: Step) -> bool:
    """Are two Steps the same, bit for bit?"""
    return (
        a.iteration == b.iteration
        and same(a.meta, b.meta)
        and same(a.optimizer, b.optimizer)
        and torch.equal(a.generator, b.generator)
        and torch.equal(a.losses, b.losses)
    )


# The meta-gradient


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["strided convnet", "pooled convnet", "softplus mlp, batch norm"])
def test_the_batched_meta_gradient_through_batch_norm_is_the_finite_difference(name, steps):
    """The trap of anchors.md, section 1: at second order, batched. At first order it would not
    show."""
    loss, theta, tasks, alpha = problem(name)
    learner = maml(loss, alpha=alpha, steps=steps)
    value = (
        lambda theta: sum(after_adaptation(learner, loss, task)(theta) for task in each(tasks))
        / TASKS
    )
    gradient = trained_gradient(learner, theta, tasks)
    assert derivative_gap(value, theta, gradient) < 1e-6
    first_order = trained_gradient(fomaml(loss, alpha=alpha, steps=steps), theta, tasks)
    assert derivative_gap(value, theta, first_order) > 1e-3, "so this test can fail"


@pytest.mark.parametrize("chunk", [1, 2, 3, 50])
@pytest.mark.parametrize("name", ["tanh mlp", "strided convnet"])
def test_chunks_give_the_same_gradient(name, chunk):
    loss, theta, tasks, alpha = problem(name)
    learner = maml(loss, alpha=alpha, steps=2)
    assert (
        gap(
            trained_gradient(learner, theta, tasks, chunk=chunk),
            trained_gradient(learner, theta, tasks),
        )
        < 1e-12
    )


def test_an_update_is_the_optimizers_on_the_mean_meta_gradient():
    """Algorithm 1, line 8, with torch's own Adam, the tasks drawn by hand from the same
    generator."""
    learner = maml(mse(NET.forward), alpha=0.05, steps=2)
    *_, step = run(iterations=5, block=5, tasks=3)
    tasks = sample(FAMILY, seeded(1), 5 * 3)
    leaves = {k: p.clone().requires_grad_() for k, p in start().items()}
    theirs, losses = torch.optim.Adam(leaves.values(), lr=0.01), []
    for i in range(5):
        found = [
            learner.meta_grad({k: p.detach() for k, p in leaves.items()}, one(tasks, 3 * i + j))
            for j in range(3)
        ]
        losses.append(sum(aux["loss"] for _, aux in found) / 3)
        for k, leaf in leaves.items():
            leaf.grad = sum(gradient[k] for gradient, _ in found) / 3
        theirs.step()
    assert gap(step.meta, {k: p.detach() for k, p in leaves.items()}) < 1e-11
    assert (step.losses - torch.stack(losses)).abs().max() < 1e-6, "losses are kept in float32"


def test_training_lowers_the_loss_after_adaptation():
    loss, theta, tasks, alpha = problem("tanh mlp")
    learner = maml(loss, alpha=alpha, steps=1)
    *_, step = run(
        learner=learner, meta=theta, family=fixed(tasks), optimizer=sgd(0.05), iterations=60
    )
    assert (step.losses.diff() < 0).all() and step.losses[-1] < 0.9 * step.losses[0]


@pytest.mark.parametrize("room", [1, 2, 4])
def test_where_memory_runs_out_the_same_tasks_go_on_with_fewer_at_once(room):
    """For five tasks, in the third block. The CPU's allocator refuses a petabyte for real."""
    straight, calls = maml(mse(NET.forward), alpha=0.05, steps=2), []

    def hungry(meta, task):
        size = held(task.query.x).shape[0]
        calls.append(size)
        if len(calls) > 1 + 2 * 4 and size > room:
            torch.empty(1 << 50)
        return straight.meta_grad(meta, task)

    settings = dict(tasks=5, iterations=11, block=4)
    with pytest.warns(
        UserWarning, match=rf"memory ran out with 5 tasks at once: from here on {min(room, 2)} are"
    ) as said:
        steps = run(learner=straight._replace(meta_grad=hungry), **settings)
    assert len(said) == 1 and 5 in calls and set(calls[-2:]) <= {1, 2}
    for a, b in zip(steps, run(**settings), strict=True):
        assert (
            gap(a.meta, b.meta) < 1e-10
            and gap(a.optimizer, b.optimizer) < 1e-10
            and torch.equal(a.generator, b.generator)
        )
        assert (a.losses - b.losses).abs().max() < 1e-6


def test_where_one_task_is_too_much_for_the_memory_the_error_says_so():
    hungry = lambda meta, task: torch.empty(1 << 50)
    learner = Learner(dict, lambda meta, support: [meta], hungry)
    with pytest.raises(RuntimeError, match="allocate memory") as error:
        run(learner=learner)
    assert "a single task at once" in error.value.__notes__[0]


# Steps


@pytest.mark.parametrize(
    "block, yields", [(4, [4, 8, 9]), (3, [3, 6, 9]), (1, list(range(1, 10))), (20, [9])]
)
def test_a_step_after_every_block_and_after_the_last(block, yields):
    steps = run(block=block)
    assert [step.iteration for step in steps] == yields
    for step in steps:
        assert len(step.losses) == step.iteration and torch.equal(
            step.losses, steps[-1].losses[: step.iteration]
        )
        assert list(step.meta) == list(start()) and all(
            step.meta[k].shape == p.shape for k, p in start().items()
        )
        assert step.losses.device.type == "cpu" and not any(
            p.requires_grad for p in step.meta.values()
        )


def test_what_was_yielded_is_never_changed_later():
    """A notebook may keep every Step."""
    loop = train(
        maml(mse(NET.forward), alpha=0.05, steps=2),
        start(),
        FAMILY,
        adam(0.01),
        generator=seeded(1),
        tasks=3,
        iterations=9,
        block=3,
        compiled=False,
    )
    first = next(loop)
    kept = Step(
        first.iteration,
        copied(first.meta),
        copied(first.optimizer),
        first.generator.clone(),
        first.losses.clone(),
    )
    *_, last = loop
    assert alike(first, kept) and not alike(last, kept) and gap(first.meta, last.meta) > 1e-4


def test_changing_what_was_yielded_does_not_change_the_run():
    loop = train(
        maml(mse(NET.forward), alpha=0.05, steps=2),
        start(),
        FAMILY,
        adam(0.01),
        generator=seeded(1),
        tasks=3,
        iterations=9,
        block=4,
        compiled=False,
    )
    first = next(loop)
    for p in first.meta.values():
        p.zero_()
    *_, last = loop
    assert alike(last, run()[-1])


def test_the_parameters_handed_in_stay_as_they_are():
    meta = start()
    run(meta=meta)
    assert same(meta, start())


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    a, b, c = run(), run(), run(seed=2)
    assert all(alike(x, y) for x, y in zip(a, b, strict=True))
    assert gap(a[-1].meta, c[-1].meta) > 1e-5


def test_nothing_else_is_random():
    state = torch.get_rng_state()
    torch.manual_seed(0)
    a = run()
    torch.manual_seed(1)
    assert alike(run()[-1], a[-1])
    torch.set_rng_state(state)
    run()
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not used"


@pytest.mark.parametrize("stop", [4, 8])
@pytest.mark.parametrize("optimizer", [adam(0.01), sgd(0.01)], ids=["adam", "sgd"])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(stop, optimizer):
    unbroken = run(iterations=12, optimizer=optimizer)
    broken = run(iterations=stop, optimizer=optimizer)[-1]
    resumed = run(iterations=12, optimizer=optimizer, resume=broken, seed=99, meta=start(5))
    assert [step.iteration for step in resumed] == [n for n in (8, 12) if n > stop]
    last, whole = resumed[-1], unbroken[-1]
    assert (
        same(last.meta, whole.meta)
        and torch.equal(last.generator, whole.generator)
        and torch.equal(last.losses, whole.losses)
    )
    assert optimizer.init(torch.ones(2)) == () or same(last.optimizer, whole.optimizer)


def test_a_run_resumed_at_its_end_yields_nothing():
    assert run(resume=run()[-1]) == []


def test_nothing_is_made_before_it_is_asked_for():
    def learner_that_must_not_run(*_):
        raise AssertionError("the learner ran")

    train(
        Learner(dict, learner_that_must_not_run, learner_that_must_not_run),
        start(),
        FAMILY,
        adam(0.01),
        generator=seeded(0),
        tasks=3,
        iterations=9,
    )


# What is refused


@pytest.mark.parametrize(
    "name, value", [("tasks", 0), ("tasks", -3), ("iterations", 0), ("block", 0), ("chunk", -1)]
)
def test_a_setting_out_of_range_is_refused_naming_it(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: it must be 1 or more"):
        run(**{name: value})


def test_malformed_tasks_are_refused_before_any_update():
    family = Family(
        lambda generator, n: torch.rand(n, 6, 1, generator=generator),
        lambda x: Task(Data(x, x[:4]), Data(x, x)),
    )
    with pytest.raises(
        ValueError, match=r"support x \(6, 1\) and y \(4, 1\) differ in their number of examples"
    ):
        run(family=family)


def breaking(bad, at=6.5):
    """A learner whose meta-gradient is 1 for `good`, which so falls by 1 at each update, and `bad`
    for `poor` from the update on that starts with good <= at."""

    def meta_grad(meta, task):
        poor = torch.where(
            meta["good"] <= at, torch.full_like(meta["poor"], bad), torch.ones_like(meta["poor"])
        )
        fine = (
            torch.ones_like(meta["fine"]) + 0 * meta["poor"].sum()
        )  # were `poor` poisoned, `fine` would break too
        return {"good": torch.ones_like(meta["good"]), "poor": poor, "fine": fine}, {
            "loss": meta["good"].sum()
        }

    meta = {"good": torch.tensor(10.0), "poor": torch.zeros(3, 2), "fine": torch.zeros(5)}
    return Learner(dict, lambda meta, support: [meta], meta_grad), meta


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("block", [1, 3, 4, 5, 20])
@pytest.mark.parametrize("optimizer", [sgd(1.0), adam(1.0)], ids=["sgd", "adam"])
def test_a_meta_gradient_that_is_not_finite_stops_the_run_naming_iteration_and_parameter(
    bad, block, optimizer
):
    """It is 10, 9, 8, 7, 6: four updates are done when `poor` breaks, wherever in a block that
    is."""
    learner, meta = breaking(bad)
    steps = []
    with pytest.raises(FloatingPointError) as stop:
        for step in train(
            learner,
            meta,
            FAMILY,
            optimizer,
            generator=seeded(0),
            tasks=3,
            iterations=30,
            block=block,
            compiled=False,
        ):
            steps.append(step)
    said = str(stop.value)
    assert (
        re.search(r"meta-gradient of poor is not finite at iteration 4\b", said)
        and "good" not in said
        and "fine" not in said
    )
    assert [step.iteration for step in steps] == [n for n in range(block, 5, block)]
    for step in steps:
        assert all(torch.isfinite(p).all() for p in step.meta.values()) and step.meta[
            "good"
        ] == pytest.approx(10 - step.iteration)
    assert same(meta, breaking(bad)[1])


@pytest.mark.parametrize("block", [3, 5, 20])
def test_one_bad_iteration_in_a_block_of_good_ones_stops_the_run_there(block):
    """Task 7 of a block, in its iteration 2, is the only one that is bad."""
    family = Family(
        lambda generator, n: torch.arange(n, dtype=torch.float64).view(n, 1),
        lambda x: Task(Data(x, x), Data(x, x)),
    )
    learner = Learner(
        dict,
        lambda meta, support: [meta],
        lambda meta, task: (
            {"w": torch.where(task.query.x[0] == 7, float("nan"), meta["w"])},
            {"loss": meta["w"].sum()},
        ),
    )
    with pytest.raises(FloatingPointError, match=r"gradient of w is not finite at iteration 2\b"):
        run(
            learner=learner,
            meta={"w": torch.ones(4)},
            family=family,
            optimizer=sgd(0.1),
            iterations=40,
            block=block,
        )


def test_one_bad_task_in_a_meta_batch_is_enough_to_stop():
    loss, theta, tasks, alpha = problem("tanh mlp")
    learner = maml(loss, alpha=alpha, steps=1)
    tasks.support.y[1, 2] = 1e308  # finite itself, so that `validate` has nothing to say
    assert [
        all(torch.isfinite(g).all() for g in learner.meta_grad(theta, task)[0].values())
        for task in each(tasks)
    ] == [True, False, True]
    with pytest.raises(FloatingPointError, match=r"layer0.weight.* is not finite at iteration 0\b"):
        trained_gradient(learner, theta, tasks)


def test_without_the_gate_the_parameters_would_be_poisoned():
    """So the test above can fail: the same update by hand is not finite."""
    learner, meta = breaking(float("nan"), at=10.0)
    gradient, _ = learner.meta_grad(meta, sample(FAMILY, seeded(0), 1))
    assert torch.isnan(sgd(1.0).update(gradient["poor"], (), meta["poor"])[0]).any()


# Compiling


def test_where_compiling_fails_the_run_goes_on_uncompiled_and_says_so(monkeypatch):
    """As on a machine without a C++ compiler; no update is lost."""

    def broken(function=None, **_):
        def fail(*_):
            raise RuntimeError("there is no compiler")

        return fail if function else lambda function: fail

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="there is no compiler.*runs uncompiled"):
        steps = run(compiled=True)
    assert all(alike(a, b) for a, b in zip(steps, run(), strict=True))


def test_a_short_run_is_not_compiled_unless_asked(monkeypatch):
    def must_not(*_, **__):
        raise AssertionError("torch.compile was called")

    monkeypatch.setattr(torch, "compile", must_not)
    assert alike(run(compiled=None)[-1], run(compiled=False)[-1])


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler"
)


@pytest.mark.compiled
@pytest.mark.filterwarnings("error:.*uncompiled")
@needs_compiler
def test_compiled_training_gives_the_same_numbers():
    settings = {
        "learner": maml(mse(mlp(1, 3, 1).forward), alpha=0.05, steps=1),
        "meta": mlp(1, 3, 1, weight=he).init(seeded(0)),
        "iterations": 7,
    }
    compiled, eager = run(compiled=True, **settings), run(**settings)
    assert [a.iteration for a in compiled] == [b.iteration for b in eager] == [4, 7]
    for a, b in zip(compiled, eager):
        # moments of Adam's are as large as 1e6 here
        torch.testing.assert_close(a[1:4], b[1:4], rtol=1e-12, atol=1e-12)
        assert a.losses.shape == b.losses.shape and (a.losses - b.losses).abs().max() < 1e-6
    assert gap(eager[0].meta, eager[-1].meta) > 1e-3


@pytest.mark.compiled
@pytest.mark.filterwarnings("error:.*uncompiled")
@needs_compiler
def test_compiled_training_stops_at_a_meta_gradient_that_is_not_finite():
    learner, meta = breaking(float("nan"))
    loop = train(
        learner,
        meta,
        FAMILY,
        sgd(1.0),
        generator=seeded(0),
        tasks=3,
        iterations=30,
        block=3,
        compiled=True,
    )
    assert next(loop).meta["good"] == 7
    with pytest.raises(
        FloatingPointError, match=r"meta-gradient of poor is not finite at iteration 4\b"
    ):
        next(loop)


def test_a_learner_whose_gradient_has_its_names_in_another_order_trains_the_same():
    net = mlp(1, 4, 3, 1)
    straight = maml(mse(net.forward), alpha=0.05, steps=1)

    def reversed_names(meta, task):
        gradient, aux = straight.meta_grad(meta, task)
        return dict(reversed(gradient.items())), aux

    ends = []
    for learner in (straight, straight._replace(meta_grad=reversed_names)):
        g = seeded(5)
        *_, last = train(
            learner,
            net.init(g),
            sinusoid(shots=6, queries=7),
            adam(0.01),
            generator=g,
            tasks=3,
            iterations=5,
            block=5,
        )
        ends.append(last.meta)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("stops", [(6, 12), (1, 2, 7, 12), (3, 9, 11, 12)], ids=str)
def test_a_run_that_ended_inside_a_block_is_made_longer_bit_for_bit(stops):
    assert alike(in_pieces(stops), run(iterations=12)[-1])


def in_pieces(stops, **settings):
    """The last Step of a run that was stopped at these iterations and made longer each time."""
    step = None
    for stop in stops:
        seed = 1 if step is None else 9
        step = run(iterations=stop, resume=step, seed=seed, **settings)[-1]
        assert step.iteration == stop == len(step.losses)
    return step


@pytest.mark.compiled
@pytest.mark.filterwarnings("error:.*uncompiled")
@needs_compiler
def test_compiled_training_is_made_longer_bit_for_bit_too():
    """With the least of learners: what is compiled is the block, and that takes as long as the
    learner is large."""

    def meta_grad(meta, task):
        away = meta["w"] - task.query.y.mean()
        return {"w": away}, {"loss": away.square().sum()}

    learner = Learner(dict, lambda meta, support: [meta], meta_grad)
    settings = dict(learner=learner, meta={"w": torch.arange(3.0)}, compiled=True)
    unbroken = run(iterations=12, **settings)
    assert alike(in_pieces((6, 12), **settings), unbroken[-1])
    assert gap(unbroken[0].meta, unbroken[-1].meta) > 1e-3, "so this test can fail"


def test_a_run_that_breaks_in_a_block_that_was_begun_before_names_its_iteration():
    learner, meta = breaking(float("nan"))
    size = {"learner": learner, "optimizer": sgd(1.0), "block": 8}
    step = run(meta=meta, iterations=3, **size)[-1]
    with pytest.raises(FloatingPointError, match=r"poor is not finite at iteration 4\b"):
        run(meta=meta, iterations=30, resume=step, **size)


@pytest.mark.parametrize("size", [16, 5056 + 8])
def test_a_run_begun_on_another_device_goes_on_with_other_tasks_and_says_so(size):
    """A generator's state on a GPU has 16 bytes, on a CPU 5,056."""
    step = run(iterations=4)[-1]._replace(generator=torch.arange(size).to(torch.uint8))
    with pytest.warns(
        UserWarning, match="began on another kind of device than cpu: .* other tasks"
    ):
        first = run(iterations=8, resume=step)[-1]
    with pytest.warns(UserWarning):
        assert alike(run(iterations=8, resume=step)[-1], first), "the same ones each time"
    assert first.iteration == 8 and gap(first.meta, run(iterations=8)[-1].meta) > 1e-6


# What comes in


def test_parameters_that_require_grad_give_the_same_numbers_and_no_graph():
    theta = {k: p.requires_grad_() for k, p in start().items()}
    alpha = torch.tensor(0.05, requires_grad=True)
    learner = maml(mse(NET.forward), alpha=alpha, steps=2)
    steps = run(meta=theta, learner=learner)
    assert all(alike(a, b) for a, b in zip(steps, run(), strict=True))
    for step in steps:
        tensors = [*step.meta.values(), *step.optimizer.values(), step.losses]
        assert not any(t.requires_grad or t.grad_fn is not None for t in tensors)


@pytest.mark.parametrize(
    "learner",
    [meta_sgd, mamlpp, partial(mamlpp, per_step=lambda name: name.startswith("layer0"))],
    ids=["meta_sgd", "mamlpp", "mamlpp, values for each step"],
)
def test_a_learners_own_meta_parameters_are_made_where_they_are_missing(learner):
    learner = learner(mse(NET.forward), alpha=0.05, steps=2)
    given, made = (run(learner=learner, meta=meta)[-1] for meta in (learner.init(start()), start()))
    assert alike(given, made)
    moved = [k for k in made.meta if k.startswith("alpha/") and (made.meta[k] != 0.05).any()]
    assert moved


def test_meta_parameters_of_another_learner_are_refused():
    learner = meta_sgd(mse(NET.forward), alpha=0.05, steps=2)
    meta = meta_sgd(mse(NET.forward), alpha={"layer0.bias": 0.05}, steps=2).init(start())
    with pytest.raises(ValueError, match=r"are not this learner's: give it learner.init\(params\)"):
        run(learner=learner, meta=meta)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"iterations": float("nan")}, "iterations is nan: it must be a whole number, 1 or more"),
        ({"tasks": 2.5}, "tasks is 2.5: it must be a whole number"),
        ({"block": True}, "block is True: it must be a whole number"),
        ({"chunk": "all"}, 'chunk is "all": it must be a whole number'),
        ({"compiled": "yes"}, 'compiled is "yes": it must be True, False or None'),
        ({"learner": maml}, "learner is the function maml, which has no function init"),
        ({"family": sinusoid}, "family is the function sinusoid, which has no function noise"),
        ({"optimizer": adam}, "optimizer is the function adam, which has no function init"),
        ({"meta": {"w": torch.tensor(float("nan"))}}, '"w" holds a value that is not finite'),
        ({"resume": {}}, "resume is {}: it must be a Step"),
    ],
)
def test_what_cannot_be_a_run_is_refused_in_one_sentence(settings, words):
    with pytest.raises(ValueError, match=words):
        run(**settings)
    with pytest.raises(ValueError, match="generator is 0: it must be a torch.Generator"):
        next(
            train(
                *(maml(mse(NET.forward), alpha=0.1, steps=1), start(), FAMILY, adam(0.1)),
                generator=0,
                tasks=3,
                iterations=1,
            )
        )


def test_a_step_of_another_net_or_optimizer_is_refused_naming_both():
    other = mlp(1, 4, 7, 1)
    step = run(learner=maml(mse(other.forward), alpha=0.05, steps=2), meta=other.init(seeded(0)))[0]
    with pytest.raises(ValueError, match=r"of another model: .*\(7, 4\).*this run has .*\(8, 4\)"):
        run(resume=step)
    with pytest.raises(ValueError, match="holds the state of another optimizer: .* has nothing"):
        run(resume=run(iterations=4)[-1], optimizer=sgd(0.1))


@pytest.mark.parametrize(
    "family",
    [
        Family(lambda _, n: FAMILY.noise(fresh(), n), FAMILY.make),
        Family(
            FAMILY.noise, lambda drawn: FAMILY.make(tree_map(lambda n: n * torch.rand(()), drawn))
        ),
    ],
    ids=["in its noise", "in its tasks"],
)
def test_a_family_that_draws_past_its_generator_is_refused(family):
    with pytest.raises(ValueError, match="two different tasks from one state of the generator"):
        run(family=family)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (lambda g, n: {"x": 0.5}, "noise of 1 tasks holds 0.5: it must hold tensors"),
        (lambda g, n: FAMILY.noise(g, 3), r"noise of 1 tasks holds .* shape \(3,.* first axis"),
        (lambda g, n: FAMILY.noise(g, min(n, 3)), r"noise of 12 tasks holds .* shape \(3,"),
    ],
)
def test_noise_without_an_axis_of_so_many_tasks_is_refused(noise, words):
    with pytest.raises(ValueError, match=words):
        run(family=Family(noise, FAMILY.make))


@pytest.mark.parametrize(
    "task, words",
    [
        (lambda x: (Data(x, x), Data(x, x)), "a family makes a tuple: it must make a Task"),
        (lambda x: Task(Data(x, x), (x, x)), r"a loss reads Data, got a tuple: .* Data\(x, y\)"),
        (lambda x: Task((x, x), Data(x, x)), "a loss reads Data, got a tensor"),
        (lambda x: Task(Data(x.float(), x), Data(x.float(), x)), "inputs are torch.float32 and"),
        (lambda x: Task(Data(x, x.float()), Data(x, x)), "support y is torch.float32 and query y"),
    ],
)
def test_a_task_that_the_model_cannot_take_is_refused_in_one_sentence(task, words):
    family = Family(lambda generator, n: torch.rand(n, 6, 1, generator=generator), task)
    with pytest.raises(ValueError, match=words) as refusal:
        run(family=family, compiled=False)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "loss, got",
    [
        (
            lambda params, data: (NET.forward(params, data.x) - data.y) ** 2,
            r"a tensor of .* shape \(6, 1\)",
        ),
        (lambda params, data: 3, "3"),
        (lambda params, data: None, "None"),
        (lambda params, data: mse(NET.forward)(params, data) * 1j, "a tensor of torch.complex"),
    ],
)
def test_a_loss_that_is_no_number_is_refused_in_one_sentence(loss, got):
    settings = dict(generator=seeded(1), tasks=2, iterations=2, block=1, compiled=False)
    run = train(maml(loss, alpha=0.1, steps=1), NET.init(seeded(0)), FAMILY, adam(0.1), **settings)
    with pytest.raises(ValueError, match=f"^the value of the loss is {got}.*: it must be a"):
        next(run)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(iteration=-1), "the iteration of the Step to resume from is -1: it must be 0 or"),
        (
            dict(iteration=1.5),
            "the iteration of the Step to resume from is 1.5: it must be a whole",
        ),
        (dict(losses=None), "the losses of the Step to resume from are None"),
    ],
)
def test_a_step_that_cannot_be_is_refused(change, words):
    settings = dict(generator=seeded(1), tasks=2, iterations=4, block=2, compiled=False)
    parts = maml(mse(NET.forward), alpha=0.1, steps=1), NET.init(seeded(0)), FAMILY, adam(0.1)
    step = next(train(*parts, **settings))
    with pytest.raises(ValueError, match=f"^{words}"):
        next(train(*parts, **settings, resume=step._replace(**change)))


@pytest.mark.parametrize("name", ["tasks", "block"])
@pytest.mark.parametrize("value", [10**12, 2**62])
def test_more_tasks_than_memory_holds_are_refused(name, value):
    with pytest.raises(ValueError, match="^the noise of .* tasks does not fit in memory: "):
        run(**{name: value})


def test_a_loss_that_trains_nothing_is_refused_before_any_update():
    """Also where the query loss alone is cut off, which no inner step shows."""
    loss = mse(NET.forward)
    cut = lambda params, data: loss(params, data).detach()
    with pytest.raises(ValueError, match="^the loss does not depend on the parameters .*, ..., "):
        run(learner=maml(cut, alpha=0.1, steps=1))
    with pytest.raises(ValueError, match="^the loss does not depend on the parameters"):
        run(learner=maml(cut, alpha=0.1, steps=0))


def test_a_loss_that_cannot_be_batched_is_refused_naming_its_function():
    def loss(params, data):
        value = mse(NET.forward)(params, data)
        return value if value > 0 else -value

    with pytest.raises(ValueError, match=r"^the function loss \(line \d+\) .*torch.where"):
        run(learner=maml(loss, alpha=0.1, steps=1))

import pytest
import torch

from mamlkit.evaluate import evaluate, on_query, on_support, validated
from mamlkit.families.sinusoid import sinusoid
from mamlkit.learner import Learner
from mamlkit.losses import accuracy, mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp, strided_convnet
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import Step
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from mamlkit.variants.meta_sgd import meta_sgd
from tests.oracles import TASKS, copied, each, held, problem, same

pytestmark = pytest.mark.usefixtures("float64")
STEPS = 4
NAN, INF = float("nan"), float("inf")


@pytest.fixture(params=["tanh mlp", "strided convnet"])
def case(request, float64):
    loss, theta, tasks, alpha = problem(request.param)
    return maml(loss, alpha=alpha, steps=STEPS), theta, tasks, loss


def test_a_row_for_each_task_and_a_column_for_each_step_step_0_first(case):
    learner, theta, tasks, loss = case
    table = evaluate(learner, theta, tasks, on_query(loss))
    assert table.shape == (TASKS, STEPS + 1)
    for row, task in zip(table, each(tasks)):
        alone = [loss(params, task.query).item() for params in learner.adapt(theta, task.support)]
        assert (
            row.tolist() == pytest.approx(alone, abs=1e-12)
            and abs(row[0] - loss(theta, task.query)) < 1e-12
        )


def test_on_support_measures_what_was_seen_and_on_query_what_was_not(case):
    learner, theta, tasks, loss = case
    seen = evaluate(learner, theta, tasks, on_support(loss))
    for row, task in zip(seen, each(tasks)):
        alone = [loss(params, task.support).item() for params in learner.adapt(theta, task.support)]
        assert row.tolist() == pytest.approx(alone, abs=1e-12)
    assert (seen - evaluate(learner, theta, tasks, on_query(loss))).abs().min() > 1e-6
    assert (seen[:, -1] < seen[:, 0]).all(), "adaptation lowers the loss that it follows"


@pytest.mark.parametrize("chunk", [1, 2, 3, 50])
def test_chunks_change_nothing(case, chunk):
    learner, theta, tasks, loss = case
    whole, parts = (evaluate(learner, theta, tasks, on_query(loss), chunk=n) for n in (1000, chunk))
    assert (whole - parts).abs().max() < 1e-12


def test_where_memory_runs_out_fewer_tasks_are_held_at_once(case):
    """The CPU's allocator refuses a petabyte for real."""
    learner, theta, tasks, loss = case
    calls = []

    def hungry(meta, support):
        calls.append(1)
        # the first call is that of `begun`
        return torch.empty(1 << 50) if len(calls) == 2 else learner.adapt(meta, support)

    with pytest.warns(
        UserWarning, match="memory ran out with 3 tasks at once: from here on 1 are held"
    ):
        table = evaluate(learner._replace(adapt=hungry), theta, tasks, on_query(loss), chunk=TASKS)
    assert (
        len(calls) == 2 + TASKS
        and (table - evaluate(learner, theta, tasks, on_query(loss))).abs().max() < 1e-12
    )


def test_nothing_carries_over_from_one_task_to_another(case):
    learner, theta, tasks, loss = case
    before, table = copied(theta), evaluate(learner, theta, tasks, on_query(loss))
    order = torch.tensor([2, 0, 1])
    reordered = evaluate(learner, theta, tree_map(lambda t: t[order], tasks), on_query(loss))
    assert (reordered - table[order]).abs().max() < 1e-12
    assert torch.equal(evaluate(learner, theta, tasks, on_query(loss)), table) and same(
        theta, before
    )


def test_any_metric_of_parameters_and_task(case):
    learner, theta, tasks, _ = case
    distance = evaluate(
        learner,
        theta,
        tasks,
        lambda params, task: sum((params[k] - theta[k]).square().sum() for k in theta),
    )
    assert (distance[:, 0] == 0).all() and (distance[:, 1:] > 0).all()


def test_accuracy_as_a_metric():
    loss, theta, tasks, alpha = problem("strided convnet")
    forward = strided_convnet(5, filters=4, channels=2).forward
    table = evaluate(
        maml(loss, alpha=alpha, steps=STEPS), theta, tasks, on_query(accuracy(forward))
    )
    assert set((7 * table).round(decimals=4).flatten().tolist()) <= set(range(8)), (
        "sevenths, of 7 queries"
    )


def test_a_model_of_another_output_shape_is_refused():
    _, theta, tasks, alpha = problem("tanh mlp")
    loss = mse(lambda params, x: x)
    with pytest.raises(ValueError, match=r"output \(7, 2\) and the targets \(7, 3\)"):
        evaluate(maml(loss, alpha=alpha, steps=0), theta, tasks, on_query(loss))


def run_of(iterations, resume=None, scores=torch.empty(0, 2)):
    """Steps 10 apart whose only meta-parameter is the iteration, from after `resume` on, with
    scores of their own."""
    start = resume.iteration + 10 if resume else 10
    return [
        Step(
            i,
            {"p": torch.tensor(float(i))},
            {},
            torch.empty(0),
            torch.empty(0),
            {"p": torch.tensor(-1.0)},
            scores,
        )
        for i in range(start, iterations + 1, 10)
    ]


def test_the_best_on_validation_is_kept_and_every_score_with_it():
    asked = []
    score = lambda meta: asked.append(meta["p"].item()) or -(meta["p"] - 47).abs()
    steps = list(validated(run_of(90), score, every=20))
    assert asked == [20, 40, 60, 80]
    assert [s.iteration for s in steps] == list(range(10, 91, 10)) and [
        len(s.scores) for s in steps
    ] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert steps[0].best == {} and [s.best["p"] for s in steps[1:]] == [20, 20] + [40] * 6
    assert steps[-1].scores.tolist() == [[20, -27], [40, -7], [60, -13], [80, -33]]


def test_a_resumed_run_goes_on_with_its_best_and_asks_nothing_twice():
    asked = []
    score = lambda meta: asked.append(meta["p"].item()) or -(meta["p"] - 47).abs()
    whole = list(validated(run_of(90), score, every=20))[-1]
    for cut in (40, 50):
        first = list(validated(run_of(cut), score, every=20))[-1]
        asked.clear()
        rest = list(validated(run_of(90, first), score, every=20, resume=first))
        assert rest[0].iteration == cut + 10 and asked == [60, 80]
        assert rest[-1].best == whole.best and torch.equal(rest[-1].scores, whole.scores)


def test_a_step_that_is_met_again_is_not_asked_again():
    """A run that is read from its file yields its last Step once more."""
    first = list(validated(run_of(40), lambda meta: meta["p"], every=20))[-1]
    again = [first._replace(best={}), *run_of(60, first)]
    asked = []
    score = lambda meta: asked.append(meta["p"].item()) or meta["p"]
    steps = list(validated(again, score, every=20, resume=first))
    assert asked == [60] and steps[0].best["p"] == 40
    assert steps[-1].scores.tolist() == [[20, 20], [40, 40], [60, 60]]


def test_what_a_run_itself_scored_is_not_mixed_in():
    steps = validated(
        run_of(60, scores=torch.tensor([[10.0, 99.0]] * 9)), lambda meta: -meta["p"], every=20
    )
    assert list(steps)[-1].scores.tolist() == [[20, -20], [40, -40], [60, -60]]


def test_the_first_of_equals_is_the_best():
    assert list(validated(run_of(60), lambda meta: torch.tensor(0.5), every=20))[-1].best["p"] == 20


@pytest.mark.parametrize(
    "scores, best",
    [
        ([0.9, NAN, 0.5, 0.4], 20),
        ([NAN, 0.5, 0.4, NAN], 40),
        ([NAN, NAN, NAN, 0.1], 80),
        ([0.1, NAN, 0.3, 0.3], 60),
        ([-INF, NAN, -INF, NAN], 20),
    ],
)
def test_a_score_that_is_no_number_is_never_the_best(scores, best):
    given = iter(scores)
    steps = list(validated(run_of(90), lambda meta: torch.tensor(next(given)), every=20))
    assert steps[-1].best["p"] == best
    assert torch.equal(steps[-1].scores[:, 1].isnan(), torch.tensor(scores).isnan())


def test_where_no_score_is_a_number_there_is_no_best():
    assert list(validated(run_of(90), lambda meta: NAN, every=20))[-1].best == {}


@pytest.mark.parametrize("every", [0, -1, 2.5, NAN])
def test_how_often_to_validate_is_a_whole_number(every):
    with pytest.raises(ValueError, match=f"every is {every}: it must be"):
        next(validated(run_of(90), lambda meta: 1.0, every=every))
    with pytest.raises(ValueError, match=r"the score has shape \(2,\): it must be one number"):
        list(validated(run_of(90), lambda meta: torch.ones(2), every=20))


@pytest.mark.parametrize("chunk", [None, 1, 4, 1000])
def test_a_family_is_drawn_as_it_goes_with_the_numbers_of_all_at_once(chunk):
    net, family = mlp(1, 4, 8, 1, weight=he), sinusoid(shots=6, queries=7)
    loss = mse(net.forward)
    learner, theta = maml(loss, alpha=0.1, steps=2), net.init(seeded(0))
    drawn = evaluate(
        learner, theta, family, on_query(loss), number=11, generator=seeded(3), chunk=chunk
    )
    whole = evaluate(learner, theta, sample(family, seeded(3), 11), on_query(loss))
    assert drawn.shape == (11, 3) and (drawn - whole).abs().max() < 1e-12


def test_the_memory_of_an_evaluation_does_not_grow_with_the_number_of_tasks():
    """A task here is made of 16 MB, so that one is held at once, of 8 or of 40."""
    made = []

    def make(seed):
        x = seed * torch.ones(1, dtype=torch.float64).expand(2**19).clone()
        return Task(Data(x[:, None], x[:, None]), Data(x[:, None], x[:, None]))

    def metric(params, task):
        size = held(task.query.x).numel() * 8
        made.append(size)
        return params["w"] + task.query.x.mean()

    family = Family(lambda generator, n: torch.rand(n, generator=generator), make)
    learner = Learner(dict, lambda meta, support: [meta], None)
    peaks = []
    for number in (8, 40):
        made.clear()
        table = evaluate(
            learner, {"w": torch.ones(())}, family, metric, number=number, generator=seeded(0)
        )
        assert table.shape == (number, 1) and len(made) >= number / 4
        peaks.append(max(made))
    assert peaks[0] == peaks[1] <= 2**23


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"number": 0}, "number is 0: it must be 1 or more"),
        ({"number": 2.5}, "number is 2.5: it must be a whole number"),
        ({"chunk": 0}, "chunk is 0: it must be 1 or more"),
        ({"generator": 1}, "generator is 1: it must be a torch.Generator"),
        ({"generator": None}, "number=... tasks are drawn with generator=..."),
    ],
)
def test_what_cannot_be_an_evaluation_is_refused(settings, words):
    net = mlp(1, 4, 1)
    loss = mse(net.forward)
    given = (maml(loss, alpha=0.1, steps=1), net.init(seeded(0)))
    size = {"number": 3, "generator": seeded(0)}
    with pytest.raises(ValueError, match=words):
        evaluate(*given, sinusoid(), on_query(loss), **size | settings)
    with pytest.raises(ValueError, match="tasks is the function sinusoid, which has no function"):
        evaluate(*given, sinusoid, on_query(loss), **size)
    with pytest.raises(ValueError, match="a loss reads Data, got a Task: on_query"):
        evaluate(*given, sinusoid(), loss, **size)
    with pytest.raises(ValueError, match="draw from a family"):
        evaluate(*given, sample(sinusoid(), seeded(0), 2), on_query(loss), **size)


def test_meta_parameters_are_made_where_they_are_missing_and_no_graph_is_kept():
    net = mlp(1, 4, 1, weight=he)
    loss = mse(net.forward)
    learner, theta = meta_sgd(loss, alpha=0.1, steps=2), net.init(seeded(0))
    tasks = sample(sinusoid(shots=6, queries=7), seeded(1), 3)
    table = evaluate(
        learner, {k: p.requires_grad_() for k, p in theta.items()}, tasks, on_query(loss)
    )
    assert not table.requires_grad and (table[:, 0] != table[:, 2]).all()
    assert torch.equal(table, evaluate(learner, learner.init(theta), tasks, on_query(loss)))
    more = mamlpp(loss, alpha=0.1, steps=5)
    meta = mamlpp(loss, alpha=0.1, steps=2).init(theta)
    assert evaluate(more, meta, tasks, on_query(loss)).shape == (3, 6), "more steps than trained"


@pytest.mark.parametrize(
    "metric, said",
    [
        (lambda params, task: None, "None"),
        (lambda params, task: 0.5, "0.5"),
        (lambda params, task: task.query.x, r"a tensor of torch.float64 and shape \(7, 1\)"),
    ],
)
def test_a_metric_that_is_no_number_is_refused(metric, said):
    net = mlp(1, 4, 1)
    given = (maml(mse(net.forward), alpha=0.1, steps=1), net.init(seeded(0)))
    tasks = sample(sinusoid(shots=6, queries=7), seeded(1), 3)
    with pytest.raises(ValueError, match=f"^the metric gives {said}: it must give one number"):
        evaluate(*given, tasks, metric)


@pytest.mark.parametrize("cut", [lambda t: t[:0], lambda t: t[: len(t) - (t.shape[1] == 6)]])
def test_tasks_that_are_none_or_not_as_many_are_refused(cut):
    net = mlp(1, 4, 1)
    given = (maml(mse(net.forward), alpha=0.1, steps=1), net.init(seeded(0)))
    tasks = tree_map(cut, sample(sinusoid(shots=6, queries=7), seeded(1), 3))
    with pytest.raises(ValueError, match="^the tasks have shapes .* as many tasks, 1 or more$"):
        evaluate(*given, tasks, on_query(mse(net.forward)))


@pytest.mark.parametrize(("x", "y"), [((5, 1), (5, 1)), ((5, 1), (5,)), ((5,), (5,))])
def test_one_task_without_a_tasks_axis_is_refused(x, y):
    net = mlp(1, 4, 1)
    learner = maml(mse(net.forward), alpha=0.1, steps=1)
    part = Data(torch.ones(x), torch.ones(y))
    with pytest.raises(ValueError, match=r"needs a tasks axis|\(examples, 1\), got .* \(1,\)$"):
        evaluate(learner, net.init(seeded(0)), Task(part, part), on_query(mse(net.forward)))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t * NAN, "not finite"),
        (lambda t: t / torch.arange(len(t)).view(-1, 1, 1), "not finite"),
        (lambda t: t[:, :0], "is empty"),
        (lambda t: t.numpy(), "an array of float64"),
        (lambda t: None, "None"),
    ],
)
@pytest.mark.parametrize("part", ["support", "query"])
def test_tasks_without_numbers_are_refused(part, edit, words):
    """As in training: an average with one NaN in it, or of nothing, is none."""
    net, family = mlp(1, 4, 1), sinusoid(shots=6, queries=7)
    given = (maml(mse(net.forward), alpha=0.1, steps=1), net.init(seeded(0)))
    change = lambda task: task._replace(**{part: Data(*map(edit, getattr(task, part)))})
    metric = on_query(mse(net.forward))
    with pytest.raises(ValueError, match=words):
        evaluate(*given, change(sample(family, seeded(1), 3)), metric)


@pytest.mark.parametrize("least, found", [(0, 4), (1e30, 3)], ids=["alone", "batched"])
def test_the_task_that_is_looked_at_first_is_not_adapted_to_twice(least, found, monkeypatch):
    """One call asks whether the parameters are this learner's; batched, one is of all tasks."""
    monkeypatch.setattr("mamlkit.memory.ALONE_FROM", least)
    net, calls = mlp(1, 3, 1, weight=he), []
    loss = mse(net.forward)
    learner = maml(loss, alpha=0.05, steps=2)
    counted = learner._replace(adapt=lambda *args: calls.append(0) or learner.adapt(*args))
    theta, tasks = net.init(seeded(0)), sample(sinusoid(shots=4), seeded(1), 3)
    error = evaluate(counted, theta, tasks, on_query(loss))
    assert len(calls) == found
    torch.testing.assert_close(error, evaluate(learner, theta, tasks, on_query(loss), chunk=3))

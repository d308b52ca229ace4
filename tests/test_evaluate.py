import pytest
import torch

from mamlkit.evaluate import evaluate, on_query, on_support, validated
from mamlkit.losses import accuracy, mse
from mamlkit.nets import strided_convnet
from mamlkit.train import Step
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.oracles import TASKS, copied, each, problem, same

pytestmark = pytest.mark.usefixtures("float64")
STEPS = 4


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
        return torch.empty(1 << 50) if len(calls) == 1 else learner.adapt(meta, support)

    with pytest.warns(
        UserWarning, match="memory ran out with 3 tasks at once: from here on 1 are held"
    ):
        table = evaluate(learner._replace(adapt=hungry), theta, tasks, on_query(loss))
    assert (
        len(calls) == 1 + TASKS
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


def test_what_a_run_itself_scored_is_not_mixed_in():
    steps = validated(
        run_of(60, scores=torch.tensor([[10.0, 99.0]] * 9)), lambda meta: -meta["p"], every=20
    )
    assert list(steps)[-1].scores.tolist() == [[20, -20], [40, -40], [60, -60]]


def test_the_first_of_equals_is_the_best():
    assert list(validated(run_of(60), lambda meta: torch.tensor(0.5), every=20))[-1].best["p"] == 20

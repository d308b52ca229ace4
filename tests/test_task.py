import pytest
import torch
from torch.func import vmap

from mamlkit.machine import seeded
from mamlkit.task import Data, Family, Task, sample, validate
from mamlkit.trees import tree_map
from tests.oracles import QUERIES, SHOTS, TASKS

FAMILY = Family(
    lambda generator, tasks: torch.randn(tasks, 2, generator=generator),
    lambda noise: Task(
        Data(noise.expand(SHOTS, 2), noise.sum().expand(SHOTS)),
        Data(noise.expand(QUERIES, 2), noise.sum().expand(QUERIES)),
    ),
)


def task(x=(SHOTS, 2), y=(SHOTS, 1), query_x=(QUERIES, 2), query_y=(QUERIES, 1)):
    return Task(Data(torch.ones(x), torch.ones(y)), Data(torch.ones(query_x), torch.ones(query_y)))


def test_a_task_passes_through_vmap_as_what_it_is():
    batch = tree_map(lambda t: t.expand(TASKS, *t.shape), task())
    out = vmap(lambda t: t)(batch)
    assert (
        isinstance(out, Task)
        and isinstance(out.support, Data)
        and out.query.x.shape == (TASKS, QUERIES, 2)
    )


def test_sample_gives_every_tensor_a_tasks_axis():
    drawn = sample(FAMILY, seeded(0), TASKS)
    assert isinstance(drawn, Task)
    assert drawn.support.x.shape == (TASKS, SHOTS, 2) and drawn.support.y.shape == (TASKS, SHOTS)
    assert drawn.query.x.shape == (TASKS, QUERIES, 2) and drawn.query.y.shape == (TASKS, QUERIES)


def test_sample_makes_each_task_from_its_own_noise():
    drawn, noise = sample(FAMILY, seeded(0), TASKS), FAMILY.noise(seeded(0), TASKS)
    for i in range(TASKS):
        alone = FAMILY.make(noise[i])
        assert torch.equal(drawn.support.x[i], alone.support.x) and torch.equal(
            drawn.query.y[i], alone.query.y
        )


def test_the_generator_alone_decides_what_is_sampled():
    first, again, other = (sample(FAMILY, seeded(seed), TASKS).support.x for seed in (0, 0, 1))
    torch.manual_seed(5)
    assert torch.equal(first, again) and not torch.equal(first, other)
    state = torch.get_rng_state()
    sample(FAMILY, seeded(0), TASKS)
    assert torch.equal(state, torch.get_rng_state()), "the global generator is not used"
    generator = seeded(0)
    assert not torch.equal(
        sample(FAMILY, generator, TASKS).support.x, sample(FAMILY, generator, TASKS).support.x
    )


@pytest.mark.parametrize("tasks", [0, -2])
def test_sampling_no_task_is_refused(tasks):
    with pytest.raises(ValueError, match=f"tasks is {tasks}: it must be 1 or more"):
        sample(FAMILY, seeded(0), tasks)


def test_validate_returns_the_task_itself():
    good = task()
    assert validate(good) is good
    steps = Task((good.support, good.support), good.query)
    assert validate(steps) is steps, "a plain tuple holds one batch per inner step"


@pytest.mark.parametrize(
    "bad, words",
    [
        (task(y=(4, 1)), r"support x \(6, 2\) and y \(4, 1\) differ in their number of examples"),
        (
            task(query_y=(4, 1)),
            r"query x \(7, 2\) and y \(4, 1\) differ in their number of examples",
        ),
        (
            task(query_x=(QUERIES, 3)),
            r"support x \(6, 2\) and query x \(7, 3\) hold inputs of different shapes",
        ),
        (task(x=(0, 2), y=(0, 1)), r"the support set is empty: a tensor of shape \(0, 2\)"),
        (
            task(query_x=(0, 2), query_y=(0, 1)),
            r"the query set is empty: a tensor of shape \(0, 2\)",
        ),
    ],
    ids=["support", "query", "inputs", "empty support", "empty query"],
)
def test_a_malformed_task_is_refused_naming_both_shapes(bad, words):
    with pytest.raises(ValueError, match=words):
        validate(bad)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["support", "query"])
@pytest.mark.parametrize("field", ["x", "y"])
def test_a_value_that_is_not_finite_is_refused_naming_its_set(part, field, value):
    bad = task()
    getattr(getattr(bad, part), field)[2] = value
    with pytest.raises(ValueError, match=f"the {part} set holds a value that is not finite"):
        validate(bad)


def test_every_batch_of_a_support_with_one_batch_per_step_is_checked():
    good, bad = task(), task(y=(4, 1))
    with pytest.raises(ValueError, match="support x .* differ in their number"):
        validate(Task((good.support, bad.support), good.query))
    with pytest.raises(ValueError, match="hold inputs of different shapes"):
        validate(Task((good.support, task(x=(SHOTS, 3)).support), good.query))


def test_integer_labels_are_fine():
    labels = Data(torch.ones(SHOTS, 2), torch.zeros(SHOTS, dtype=torch.long))
    validate(Task(labels, labels))


@pytest.mark.parametrize("tasks", [10**12, 2**62, 2**63 - 1])
def test_more_tasks_than_memory_holds_are_refused(tasks):
    with pytest.raises(ValueError, match=rf"^the noise of {tasks} tasks does not fit in memory"):
        sample(FAMILY, seeded(0), tasks)


def test_another_error_of_a_family_stays_what_it_is():
    broken = FAMILY._replace(noise=lambda generator, tasks: torch.ones(2, 3) @ torch.ones(2))
    with pytest.raises(RuntimeError, match="size mismatch"):
        sample(broken, seeded(0), 2)


def test_a_family_that_cannot_be_batched_is_refused_naming_its_function():
    def make(noise):
        return FAMILY.make(noise if noise[0] > 0 else -noise)

    with pytest.raises(ValueError, match=r"^the function make \(line \d+\) asks `if`.*torch.where"):
        sample(Family(FAMILY.noise, make), seeded(0), 2)

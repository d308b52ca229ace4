"""Oracle O2: the closed forms against the meta-gradient that the book computes."""

import pytest
import torch

from mamlkit.inner import inner_step
from mamlkit.probes import quadratic
from mamlkit.probes.quadratic import Quadratic, joint_optimum, maml_optimum, three_tasks
from mamlkit.task import Task
from mamlkit.variants.maml import maml


def random_tasks(seed, tasks=4, n=3):
    generator = torch.Generator().manual_seed(seed)
    B = torch.randn(tasks, n, n, generator=generator, dtype=torch.float64)
    A = B @ B.mT / n + 0.1 * torch.eye(n, dtype=torch.float64)
    return Quadratic(
        A / torch.linalg.eigvalsh(A).max(),
        torch.randn(tasks, n, generator=generator, dtype=torch.float64),
    )


def each(tasks):
    return [Quadratic(A, c) for A, c in zip(*tasks)]


def after(theta, tasks, alpha):
    """The mean loss after one inner step on each task."""
    stepped = [
        inner_step(theta, lambda p, task=task: quadratic.loss(p, task), alpha)
        for task in each(tasks)
    ]
    return sum(quadratic.loss(p, task) for p, task in zip(stepped, each(tasks))) / len(stepped)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("tasks", [random_tasks(0), random_tasks(1, 5, 2), three_tasks()])
def test_the_meta_gradient_vanishes_at_the_maml_optimum(tasks, alpha):
    learner = maml(quadratic.loss, alpha=alpha, steps=1)
    theta = maml_optimum(tasks, alpha)
    gradients = [learner.meta_grad(theta, Task(task, task))[0]["theta"] for task in each(tasks)]
    assert max(g.abs().max() for g in gradients) > 1e-3, (
        "each task alone pulls, only their sum is at rest"
    )
    assert sum(gradients).abs().max() < 1e-10


def test_the_maml_optimum_is_better_after_a_step_and_worse_before_it():
    for seed in range(5):
        tasks = random_tasks(seed)
        joint, best = joint_optimum(tasks), maml_optimum(tasks, 0.5)
        assert after(best, tasks, 0.5) < after(joint, tasks, 0.5)
        assert after(best, tasks, 0.0) > after(joint, tasks, 0.0)


def test_equal_curvatures_give_the_same_point_and_alpha_0_does_too():
    tasks = three_tasks(spread=1, anisotropy=1)
    torch.testing.assert_close(maml_optimum(tasks, 0.7), joint_optimum(tasks), rtol=0, atol=1e-12)
    torch.testing.assert_close(joint_optimum(tasks)["theta"], tasks.c.mean(0), rtol=0, atol=1e-12)
    tasks = random_tasks(3)
    torch.testing.assert_close(maml_optimum(tasks, 0.0), joint_optimum(tasks), rtol=0, atol=1e-12)
    assert (maml_optimum(tasks, 0.5)["theta"] - joint_optimum(tasks)["theta"]).norm() > 0.01


def test_three_tasks_have_the_curvatures_that_they_say():
    values = torch.linalg.eigvalsh(three_tasks(spread=4, anisotropy=3).A)
    torch.testing.assert_close(values[:, 1], torch.tensor([1, 0.5, 0.25], dtype=torch.float64))
    torch.testing.assert_close(
        values[:, 1] / values[:, 0], torch.full((3,), 3.0, dtype=torch.float64)
    )
    for bad in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="spread is .* 1 or more"):
            three_tasks(spread=bad)


def test_where_a_step_solves_every_task_there_is_no_best_start():
    with pytest.raises(ValueError, match="as good as any other"):
        maml_optimum(
            three_tasks(spread=1, anisotropy=1)._replace(
                A=torch.eye(2, dtype=torch.float64).expand(3, 2, 2)
            ),
            1.0,
        )

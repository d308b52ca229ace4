"""What first order leaves out is alpha H g, by a Hessian made otherwise, on tiny invented tasks."""

import pytest
import torch
from torch.func import hessian

from mamlkit.bank.experiment import last
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import mlp, normal
from mamlkit.studies import omitted
from mamlkit.task import Data, Task
from mamlkit.trees import ravel, tree_map
from mamlkit.variants.fomaml import fomaml

NET = mlp(3, 4, 2, activation=torch.tanh, weight=normal(0.7))
SMALL = omitted.cells("smoke")["connected-relu-0"]


def a_task(seed=0):
    g = seeded(seed)
    draw = lambda n: Data(torch.randn(n, 3, generator=g), torch.arange(n) % 2)
    return Task(draw(4), draw(5))


def test_the_omitted_part_is_alpha_times_the_hessian_times_g():
    theta, task, alpha = NET.init(seeded(1)), a_task(), 0.3
    sizes = dict.fromkeys(theta, alpha)
    numbers, second, g = omitted.omitted(NET, sizes, theta, task)
    vector, unravel = ravel(theta)
    loss = cross_entropy(NET.forward)
    H = hessian(lambda v: loss(unravel(v), task.support))(vector)
    flat, of_second = ravel(g)[0], ravel(second)[0]
    torch.testing.assert_close(flat - alpha * H @ flat, of_second, rtol=1e-4, atol=1e-6)
    assert numbers[0].item() == pytest.approx(
        (alpha * (H @ flat).norm() / flat.norm()).item(), 1e-3
    )
    assert numbers[3].item() == pytest.approx(
        (flat @ of_second / flat.norm() / of_second.norm()).item(), 1e-4
    )
    expected = fomaml(loss, alpha=alpha, steps=1).meta_grad(theta, task)[0]
    assert all(torch.equal(g[name], expected[name]) for name in g)


def test_a_network_that_is_linear_in_its_parameters_has_no_curvature_of_its_own():
    linear = mlp(3, 2, weight=normal(0.7))
    theta = linear.init(seeded(2))
    numbers, _, _ = omitted.omitted(linear, dict.fromkeys(theta, 0.5), theta, a_task())
    whole, of_loss, own = numbers[:3].tolist()
    assert own < 1e-5 and of_loss == pytest.approx(whole, rel=1e-4) and whole > 0.01


def test_what_does_not_adapt_leaves_nothing_out():
    theta = NET.init(seeded(1))
    numbers, second, g = omitted.omitted(NET, {}, theta, a_task())
    assert numbers[:3].abs().max() == 0 and numbers[3].item() == pytest.approx(1, abs=1e-6)


def test_over_tasks_is_the_mean_of_single_ones():
    theta, sizes = NET.init(seeded(1)), dict.fromkeys(NET.init(seeded(1)), 0.3)
    tasks = [a_task(0), a_task(1), a_task(2)]
    batch = tree_map(lambda *t: torch.stack(t), *tasks)
    numbers, of_mean = omitted.over_tasks(NET, sizes, theta, batch)
    single = [omitted.omitted(NET, sizes, theta, task) for task in tasks]
    torch.testing.assert_close(numbers, torch.stack([s[0] for s in single]).mean(0))
    second, g = (sum(ravel(s[i])[0] for s in single) / 3 for i in (1, 2))
    assert of_mean.item() == pytest.approx(((second - g).norm() / g.norm()).item(), 1e-4)


def test_the_paper_budget_has_every_network_with_every_activation_and_the_papers_step():
    cells = omitted.cells("paper")
    assert len(cells) == 9 and {s["alpha"] for s in cells.values()} == {0.4}
    assert {(s["network"], s["activation"]) for s in cells.values()} == {
        (n, a) for n in omitted.NETWORKS for a in omitted.ACTIVATIONS
    }
    assert {(s["iterations"], s["pause"], s["looks"]) for s in cells.values()} == {(100, 20, 100)}


def test_it_is_measured_at_the_start_and_at_every_pause_of_the_training():
    _, measured = omitted.measure(SMALL, None)
    assert measured["omitted"].shape == (3, 4 + 5) and measured["of the mean"].shape == (3,)
    net, tasks = omitted.network(SMALL), omitted.looked_at(SMALL, SMALL["looks"])
    theta = last(omitted.steps(SMALL)).meta
    sizes = {name: 0.4 for name in theta if not name.startswith("norm")}
    end, _ = omitted.over_tasks(net, sizes, theta, tasks)
    torch.testing.assert_close(measured["omitted"][-1], end)


def test_a_shorter_run_is_the_beginning_of_the_longer_one_and_another_seed_is_not():
    longer = SMALL | dict(iterations=6, pause=2)
    whole = last(omitted.steps(longer)).losses
    assert torch.equal(last(omitted.steps(longer, None, 4)).losses, whole[:4])
    assert not torch.equal(last(omitted.steps(longer | dict(seed=1), None, 4)).losses, whole[:4])

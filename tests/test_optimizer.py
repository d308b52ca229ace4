import pytest
import torch

from mamlkit.machine import seeded
from mamlkit.optimizer import adam, annealed, cosine, linear, sgd

pytestmark = pytest.mark.usefixtures("float64")


def gradient(x, i):
    """A curved loss that changes with the iteration."""
    return torch.sin((i + 1) * x) + 0.1 * x**3


@pytest.mark.parametrize(
    "settings", [{}, {"decay": (0.8, 0.95), "eps": 1e-3}, {"decay": (0.0, 0.999)}], ids=str
)
def test_adam_is_torchs_adam(settings):
    x = torch.randn(11, generator=seeded(0))
    leaf = x.clone().requires_grad_()
    theirs = torch.optim.Adam(
        [leaf], lr=0.03, betas=settings.get("decay", (0.9, 0.999)), eps=settings.get("eps", 1e-8)
    )
    ours = adam(0.03, **settings)
    state = ours.init(x)
    for i in range(50):
        leaf.grad = gradient(leaf.detach(), i)
        theirs.step()
        x, state = ours.update(gradient(x, i), state, x)
        assert (x - leaf.detach()).abs().max() < 1e-12, f"iteration {i}"
    assert state["count"] == 50


def test_sgd_is_a_step_against_the_gradient():
    x, g = torch.randn(2, 11, generator=seeded(0)).unbind()
    optimizer = sgd(0.3)
    moved, state = optimizer.update(g, optimizer.init(x), x)
    assert torch.equal(moved, x - 0.3 * g) and state == optimizer.init(x)


@pytest.mark.parametrize("make", [adam, sgd])
def test_an_update_changes_nothing_in_place(make):
    x, optimizer = torch.ones(5), make(0.1)
    state = optimizer.init(x)
    _, state = optimizer.update(torch.full((5,), 2.0), state, x)
    before = [t.clone() for t in (state.values() if state else ())]
    first, _ = optimizer.update(torch.full((5,), 3.0), state, x)
    again, _ = optimizer.update(torch.full((5,), 3.0), state, x)
    assert torch.equal(first, again) and (x == 1).all()
    assert all(torch.equal(a, b) for a, b in zip(before, state.values() if state else ()))


@pytest.mark.parametrize("make", [adam, sgd])
@pytest.mark.parametrize("beta", [0, -0.1, float("nan")])
def test_a_meta_step_size_that_is_not_above_0_is_refused(make, beta):
    with pytest.raises(ValueError, match=f"beta is {beta}: the meta step size must be above 0"):
        make(beta)


def test_adams_state_has_the_parameters_type():
    for dtype in (torch.float32, torch.float64):
        x = torch.ones(3, dtype=dtype)
        optimizer = adam(0.1)
        moved, state = optimizer.update(x, optimizer.init(x), x)
        assert moved.dtype == dtype and {t.dtype for t in state.values()} == {dtype}


def torchs(schedule, iterations, end, optimizer):
    """torch.optim's own schedules."""
    if schedule is cosine:
        return torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=iterations, eta_min=0.03 * end
        )
    return torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1.0, end_factor=end, total_iters=iterations
    )


@pytest.mark.parametrize("end", [0.0, 0.2])
@pytest.mark.parametrize("schedule", [cosine, linear])
@pytest.mark.parametrize(
    "make, theirs", [(adam, torch.optim.Adam), (sgd, torch.optim.SGD)], ids=["adam", "sgd"]
)
def test_annealed_is_torchs_schedule(make, theirs, schedule, end):
    x = torch.randn(11, generator=seeded(0))
    leaf = x.clone().requires_grad_()
    theirs = theirs([leaf], lr=0.03)
    scheduler = torchs(schedule, 20, end, theirs)
    ours = annealed(make(0.03), schedule(20, end))
    state = ours.init(x)
    for i in range(20):
        leaf.grad = gradient(leaf.detach(), i)
        theirs.step()
        scheduler.step()
        x, state = ours.update(gradient(x, i), state, x)
        assert (x - leaf.detach()).abs().max() < 1e-12, f"iteration {i}"
    assert isinstance(state, dict) and all(isinstance(s, torch.Tensor) for s in state.values()), (
        "a checkpoint holds it"
    )


@pytest.mark.parametrize("schedule", [cosine, linear])
def test_after_its_iterations_a_schedule_stays_at_its_end(schedule):
    at = schedule(20, 0.25)(torch.tensor([0.0, 10.0, 20.0, 21.0, 500.0]))
    assert (at - torch.tensor([1, 0.625, 0.25, 0.25, 0.25])).abs().max() < 1e-12


@pytest.mark.parametrize("beta", [float("inf"), 1j, "0.1", None, True, torch.tensor(float("nan"))])
@pytest.mark.parametrize("make", [adam, sgd])
def test_what_is_no_meta_step_size_is_refused(make, beta):
    with pytest.raises(ValueError, match="^beta is .*: the meta step size must be above 0 and fin"):
        make(beta)


@pytest.mark.parametrize(
    "settings",
    [{"decay": (0.9, 1.0)}, {"decay": (-0.1, 0.9)}, {"eps": -1.0}, {"eps": float("nan")}],
    ids=str,
)
def test_averages_that_never_forget_are_refused(settings):
    with pytest.raises(ValueError, match="^(decay|eps) is .*"):
        adam(0.1, **settings)


@pytest.mark.parametrize("schedule", [cosine, linear])
def test_what_is_no_schedule_is_refused(schedule):
    for iterations in (0, float("nan"), 2.5):
        with pytest.raises(ValueError, match=f"iterations is {iterations}: it must be"):
            schedule(iterations)
    for end in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"end is {end}: it must be a number from 0 to 1"):
            schedule(20, end)

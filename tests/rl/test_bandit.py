"""The bandit's numbers against sums over sequences and against what calculus gives by hand (oracles
O8 to O11)."""

from itertools import product

import pytest
import torch
from torch.autograd.functional import hessian

from mamlkit.rl.bandit import by_log, by_ratio, gradients, hessians, meta_gradient

pytestmark = pytest.mark.usefixtures("float64")
REWARD, THETA, ALPHA = (
    torch.tensor(v, dtype=torch.float64) for v in ([1.0, -0.5, 0.3], [0.2, -0.3, 0.1], 0.4)
)
R, ALPHA = REWARD, ALPHA.item()


def slope(theta):
    """The gradient of softmax(theta) . R, by hand."""
    p = theta.softmax(0)
    return p * (R - p @ R)


def curve(theta):
    p, g = theta.softmax(0), slope(theta)
    return torch.diag(g) - torch.outer(p, g) - torch.outer(g, p)


def adapted(theta, sequence):
    """One step up the mean of log pi times reward over a sequence of pulls, its gradient by hand:
    reward times (one-hot - pi)."""
    return theta + ALPHA * sum(R[a] * (torch.eye(3)[a] - theta.softmax(0)) for a in sequence) / len(
        sequence
    )


def value(theta, samples):
    """The expected reward after adaptation: a sum over all sequences."""
    p = theta.softmax(0)
    return sum(
        p[list(s)].prod() * (adapted(theta, s).softmax(0) @ R)
        for s in product(range(3), repeat=samples)
    )


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_exact_meta_gradient_is_that_of_the_sum_over_sequences(samples):
    numeric = torch.stack(
        [
            (value(THETA + d, samples) - value(THETA - d, samples)) / 2e-6
            for d in 1e-6 * torch.eye(3)
        ]
    )
    found = meta_gradient(R, THETA, alpha=ALPHA, samples=samples)
    assert (found.exact - numeric).abs().max() < 1e-9 and numeric.norm() > 0.1
    assert (found.estimated + found.missing - found.exact).abs().max() < 1e-12
    assert 0.01 < found.missing.norm() / found.exact.norm() < 0.5


def test_the_limit_of_endless_samples_is_calculus():
    expected = (torch.eye(3) + ALPHA * curve(THETA)) @ slope(THETA + ALPHA * slope(THETA))
    many = [meta_gradient(R, THETA, alpha=ALPHA, samples=k) for k in (1, 3, 9)]
    assert all((m.limit - expected).abs().max() < 1e-12 for m in many)
    away = [(m.exact - expected).norm().item() for m in many]
    assert away == sorted(away, reverse=True) and away[-1] < 0.3 * away[0]


def test_the_log_is_biased_for_ever_and_the_ratio_less_and_less():
    off = {
        inner: [
            (m.estimated - m.exact).norm() / m.exact.norm()
            for m in (meta_gradient(R, THETA, alpha=ALPHA, samples=k, inner=inner) for k in (1, 12))
        ]
        for inner in (by_log, by_ratio)
    }
    assert off[by_log][1] > 0.8 * off[by_log][0] > 0.01 and off[by_ratio][1] < 0.2 * off[by_log][1]


@pytest.mark.parametrize("loss", [by_log, by_ratio])
def test_both_losses_have_the_right_gradient(loss):
    exact, ours = gradients(R, THETA, loss)
    assert (exact - slope(THETA)).abs().max() < 1e-14 and (ours - exact).abs().max() < 1e-14


def test_only_the_ratio_has_the_right_hessian():
    exact, log = hessians(R, THETA, by_log)
    assert (exact - curve(THETA)).abs().max() < 1e-14
    p, scores = THETA.softmax(0), torch.eye(3) - THETA.softmax(0)
    outer = torch.einsum("a,ai,aj->ij", p * R, scores, scores)
    assert (log + outer - exact).abs().max() < 1e-14 and (log - exact).norm() > 0.5 * exact.norm()
    assert (hessians(R, THETA, by_ratio)[1] - exact).abs().max() < 1e-14
    assert (hessian(lambda t: t.softmax(0) @ R, THETA) - exact).abs().max() < 1e-14


def test_a_history_of_nothing_is_refused():
    with pytest.raises(ValueError, match="samples is 0: it must be 1 or more"):
        meta_gradient(R, THETA, alpha=ALPHA, samples=0)

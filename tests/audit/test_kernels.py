import torch

from mamlkit.audit import kernels as judges
from mamlkit.inner import inner_step
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.studies.sinusoid_methods import NET, waves
from mamlkit.trees import tree_map
from tests.audit.made_up import SEEDS, method


def probed(aligned, real, linear, falls):
    """By method: alignment, error after the real and the linear step, fall per distance."""
    noise = torch.linspace(-0.01, 0.01, 50)
    jitter = torch.linspace(0.99, 1.01, SEEDS)

    def of(m):
        columns = [torch.full((50,), real[m]), torch.full((50,), linear[m]), falls[m] + noise]
        return {
            "alignment": aligned[m] * jitter,
            "steps": torch.stack(columns, 1).expand(SEEDS, 50, 3) * jitter[:, None, None],
        }

    return {"maml": method(), "kernels": {m: of(m) for m in judges.MODELS}}


def made(maml=0.8, fomaml=0.8, ratio=4.0, first_order=4.0, fall=8.0):
    flat = dict.fromkeys(judges.MODELS, 0.5)
    return probed(
        {"maml": maml, "fomaml": fomaml, "pretrained": 0.3, "random": 0.05},
        flat,
        {"maml": 0.5 * ratio, "fomaml": 0.5 * first_order, "pretrained": 0.48, "random": 0.5},
        {"maml": fall, "fomaml": 9.0, "pretrained": 4.0, "random": 0.4},
    )


def test_turning_needs_three_tenths():
    assert judges.x001(made()).checks["turned"]
    assert not judges.x001(made(maml=0.5)).checks["turned"]


def test_a_kernel_step_leaves_the_same_error():
    assert judges.x002(made()).checks["no"]
    assert not judges.x002(made(ratio=1.1)).checks["no"]


def test_equal_ratios_take_an_equivalence_interval():
    assert judges.x003(made(first_order=4.1)).checks == {"same ratio": True, "turned too": True}
    assert not judges.x003(made(first_order=3.0)).checks["same ratio"]
    wide = made()
    wide["kernels"]["fomaml"]["steps"] = wide["kernels"]["fomaml"]["steps"].clone()
    wide["kernels"]["fomaml"]["steps"][..., 1] *= torch.tensor([0.5, 1, 1, 1, 1.6])[:, None]
    assert not judges.x003(wide).checks["same ratio"]
    assert not judges.x003(made(fomaml=0.4)).checks["turned too"]


def test_sensitivity_is_compared_wave_by_wave():
    assert judges.c010(made()).checks == {"above pretrained": True, "above random": True}
    assert judges.c010(made(fall=1.0)).checks == {"above pretrained": False, "above random": True}
    assert judges.c010({"maml": method()}) is None


def test_a_real_step_a_linear_one_and_a_distance():
    theta, tasks = NET.init(seeded(0)), waves(10, 3)
    found = judges.one_step(theta, tasks)
    assert found.shape == (3, 3)
    loss, first = mse(NET.forward), tree_map(lambda t: t[0], tasks)
    moved = inner_step(theta, lambda p: loss(p, first.support), 0.01)
    assert torch.allclose(found[0, 0], loss(moved, first.query), rtol=1e-4)
    far = sum((moved[k] - theta[k]).square().sum() for k in theta).sqrt()
    fall = (loss(theta, first.query) - loss(moved, first.query)) / far
    assert torch.allclose(found[0, 2], fall, rtol=1e-2, atol=1e-3)
    assert torch.allclose(found[:, 1], found[:, 0], rtol=1e-3)  # a random net's step is linear

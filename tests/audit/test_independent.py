import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.func import grad

from mamlkit.audit import independent
from mamlkit.audit.independent import (
    apart,
    convnet,
    omniglot,
    patches,
    sine_error,
    slope,
    unpatched,
)
from mamlkit.files import ROOT
from mamlkit.inner import inner_step
from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp, strided_convnet
from mamlkit.probes.finite_differences import double
from mamlkit.task import Data


def arrays(theta):
    return {name: p.numpy() for name, p in theta.items()}


def test_it_shares_no_line_with_the_package():
    text = (ROOT / "mamlkit" / "audit" / "independent.py").read_text(encoding="utf-8")
    assert not re.findall(r"^\s*(?:from|import) (?:mamlkit|torch)", text, re.MULTILINE)


def test_its_step_on_a_wave_is_the_packages():
    net = mlp(1, 40, 40, 1)
    theta = double(net.init(seeded(0)))
    x, y, query, truth = (torch.randn(n, 1, dtype=torch.double) for n in (5, 5, 9, 9))
    ours = sine_error(arrays(theta), *(t.numpy() for t in (x, y, query, truth)))
    moved = inner_step(theta, lambda p: mse(net.forward)(p, Data(x, y)), 0.01)
    theirs = [mse(net.forward)(p, Data(query, truth)).item() for p in (theta, moved)]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_its_convnet_and_gradient_are_the_packages():
    net = strided_convnet(5)
    theta = double(net.init(seeded(1)))
    theta |= {k: 0.1 * torch.randn_like(p) for k, p in theta.items() if "beta" in k}
    x, y = torch.rand(7, 1, 28, 28, dtype=torch.double), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    assert (
        np.abs(convnet(arrays(theta), x.numpy())[0] - net.forward(theta, x).numpy()).max() < 1e-12
    )
    theirs = grad(lambda p: cross_entropy(net.forward)(p, Data(x, y)))(theta)
    for name, g in slope(arrays(theta), x.numpy(), y.numpy()).items():
        assert np.abs(g - theirs[name].numpy()).max() < 1e-13, name


def test_patches_and_their_transpose_are_adjoint():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2, 3, 7, 7))
    back = draw.normal(size=patches(x).shape)
    assert np.sum(patches(x) * back) == pytest.approx(np.sum(x * unpatched(back, x.shape)))


def test_an_untrained_network_knows_a_fifth():
    drawn = [[np.random.default_rng(i).uniform(size=(28, 28)) for i in range(20)] for _ in range(9)]
    theta = arrays(double(strided_convnet(5).init(seeded(0))))
    assert abs(omniglot(theta, drawn, 8).mean() - 20) < 15


def test_intervals_that_do_not_meet_are_told():
    ours = np.array([0.9, 1.0, 1.1, 1.0])
    assert apart("a", ours, 1.05, 1.2) == (
        False,
        "a: 1 +- 0.08 agrees with the kept 1.05 to 1.2",
    )
    assert apart("a", ours, 1.2, 1.3)[0] and "DIFFERS" in apart("a", ours, 1.2, 1.3)[1]


DATA = Path(os.environ.get("MAMLKIT_DATA", "")) / "omniglot"


@pytest.mark.skipif(not DATA.is_dir(), reason="real Omniglot is not here (MAMLKIT_DATA)")
def test_the_banked_networks_read_again_agree_with_their_records():
    said = []
    assert independent.agree(said.append, waves=300, tasks=12), said
    assert len(said) >= 2


def test_a_record_that_is_wrong_is_found(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    for name in ("bank", "splits"):
        (tmp_path / name).symlink_to(ROOT / "data" / name)
    record = json.loads((ROOT / "data/claims/C026.paper.json").read_text(encoding="utf-8"))
    record["here"]["MSE after 1 step"] = {"value": 0.4, "low": 0.35, "high": 0.45}
    text = json.dumps(record)
    (tmp_path / "claims" / "C026.paper.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(independent, "DATA", tmp_path)
    monkeypatch.setattr(independent, "characters", lambda: (_ for _ in ()).throw(FileNotFoundError))
    said = []
    assert not independent.agree(said.append, waves=200)
    assert "DIFFERS" in said[-1] and said[0].startswith("Omniglot is not here")


def test_what_the_bank_counted_is_an_interval_in_percent(tmp_path):
    right = torch.zeros(3, 5, dtype=torch.int16)
    right[:, 4] = torch.tensor([3, 30, 12])  # of 2 classes with 15 queries each
    save_file({"measured/right.together": right}, tmp_path / "a.safetensors")
    low, high = independent.counted(tmp_path / "a.safetensors", way=2, steps=4, shots=5)
    assert (low + high) / 2 == pytest.approx(50)
    assert high - low == pytest.approx(2 * 1.96 * np.std([10, 100, 40], ddof=1) / 3**0.5)

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
    accuracies,
    apart,
    halved,
    network,
    patches,
    sine_error,
    slope,
    unpatched,
    upright,
)
from mamlkit.files import ROOT
from mamlkit.inner import inner_step
from mamlkit.losses import cross_entropy, mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp, pooled_convnet, strided_convnet
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


NETS = {  # of Table 1, and what they see
    "strided": (strided_convnet(5), (1, 28, 28)),
    "pooled": (pooled_convnet(5), (3, 84, 84)),
    "no conv": (mlp(784, 256, 128, 64, 64, 5, norm=True), (1, 28, 28)),
}


@pytest.mark.parametrize("name", NETS)
def test_its_nets_and_gradients_are_the_packages(name):
    net, shape = NETS[name]
    theta = double(net.init(seeded(1)))
    theta |= {k: 0.1 * torch.randn_like(p) for k, p in theta.items() if "beta" in k}
    x, y = torch.rand(7, *shape, dtype=torch.double), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    ours = network(arrays(theta), x.numpy())[0]
    np.testing.assert_allclose(ours, net.forward(theta, x).numpy(), rtol=1e-11, atol=1e-12)
    theirs = grad(lambda p: cross_entropy(net.forward)(p, Data(x, y)))(theta)
    found = slope(arrays(theta), x.numpy(), y.numpy())
    assert {*found} == {k for k in theta if "beta" not in k}
    for key, g in found.items():
        np.testing.assert_allclose(g, theirs[key].numpy(), rtol=1e-9, atol=1e-11, err_msg=key)


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_and_their_transpose_are_adjoint(stride):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2, 3, 7, 7))
    back = draw.normal(size=patches(x, stride).shape)
    ours = np.sum(x * unpatched(back, x.shape, stride))
    assert np.sum(patches(x, stride) * back) == pytest.approx(ours)


def test_the_largest_of_four_takes_the_derivative():
    x = np.arange(2 * 3 * 5 * 5.0).reshape(2, 3, 5, 5)
    out, back = halved(x)
    assert out.shape == (2, 3, 2, 2) and out[0, 0].tolist() == [[6, 8], [16, 18]]
    d = back(np.ones_like(out))
    assert d.sum() == out.size and (x[d == 1] == out.ravel()).all()


def test_an_untrained_network_knows_a_fifth():
    drawn = [[np.random.default_rng(i).uniform(size=(28, 28)) for i in range(20)] for _ in range(9)]
    theta = arrays(double(strided_convnet(5).init(seeded(0))))
    assert abs(accuracies(theta, drawn, 8).mean() - 20) < 15
    theta = arrays(double(pooled_convnet(5).init(seeded(0))))
    bytes_of = [[np.full((3, 84, 84), 12 * i + j, np.uint8) for j in range(16)] for i in range(6)]
    assert abs(accuracies(theta, bytes_of, 1, steps=1, seen=upright).mean() - 20) < 30


def test_intervals_that_do_not_meet_are_told():
    ours = np.array([0.9, 1.0, 1.1, 1.0])
    assert apart("a", ours, 1.05, 1.2) == (
        False,
        "a: 1 +- 0.08 agrees with the kept 1.05 to 1.2",
    )
    assert apart("a", ours, 1.2, 1.3)[0] and "DIFFERS" in apart("a", ours, 1.2, 1.3)[1]


DATA = Path(os.environ.get("MAMLKIT_DATA", ""))


@pytest.mark.parametrize(
    ("data", "cell"),
    [
        ("omniglot", "omniglot-5w1s-cpu/printed-*"),
        ("omniglot", "omniglot-noconv-5w5s/maml-*"),
        ("miniimagenet", "mini-5w1s-released/maml-*"),
    ],
)
def test_the_banked_networks_read_again_agree_with_their_records(data, cell):
    if not (DATA / data).is_dir():
        pytest.skip(f"real {data} is not here (MAMLKIT_DATA)")
    chosen, said = [n for n in independent.NETWORKS if n[0] == cell], []
    assert independent.agree(said.append, waves=300, tasks=12, networks=chosen), said
    assert len(said) >= 2 and not any("is not here" in words for words in said)


def test_every_network_that_is_kept_is_re_read():
    """But those that adapt a context vector."""
    kept = (ROOT / "data" / "bank").glob("*/*.safetensors")
    nets = {
        f"{file.parent.name}/{file.stem}"
        for file in kept
        if file.parent.name.startswith(("omniglot", "mini"))
        and "layer4.weight" in independent.weights(file)
        and "context" not in independent.weights(file)
    }
    read = {
        f"{file.parent.name}/{file.stem}"
        for cell, *_ in independent.NETWORKS
        for file in (ROOT / "data" / "bank").glob(f"{cell}.safetensors")
    }
    assert nets == read


def test_a_record_that_is_wrong_is_found(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    for name in ("bank", "splits"):
        (tmp_path / name).symlink_to(ROOT / "data" / name)
    record = json.loads((ROOT / "data/claims/C026.paper.json").read_text(encoding="utf-8"))
    record["here"]["MSE after 1 step"] = {"value": 0.4, "low": 0.35, "high": 0.45}
    text = json.dumps(record)
    (tmp_path / "claims" / "C026.paper.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(independent, "DATA", tmp_path)
    for read in ("characters", "photographs"):
        monkeypatch.setattr(independent, read, lambda: (_ for _ in ()).throw(FileNotFoundError))
    said = []
    assert not independent.agree(said.append, waves=200)
    assert "DIFFERS" in said[-1] and said[0].startswith("Omniglot is not here")
    assert said[1].startswith("miniImagenet is not here")


def test_what_the_bank_counted_is_an_interval_in_percent(tmp_path):
    right = torch.zeros(3, 5, dtype=torch.int16)
    right[:, 4] = torch.tensor([3, 30, 12])  # of 2 classes with 15 queries each
    save_file({"measured/right.together": right}, tmp_path / "a.safetensors")
    low, high = independent.counted(tmp_path / "a.safetensors", way=2, steps=4, shots=5)
    assert (low + high) / 2 == pytest.approx(50)
    assert high - low == pytest.approx(2 * 1.96 * np.std([10, 100, 40], ddof=1) / 3**0.5)

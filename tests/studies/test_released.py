"""The authors' checkpoint in our network: their variables are where they belong."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mamlkit.bank.experiment import beginning, fingerprint
from mamlkit.bank.tensorflow import read
from mamlkit.families import archive
from mamlkit.families.few_shot import few_shot
from mamlkit.inner import adapt, repeated
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, count, pooled_convnet
from mamlkit.studies import image_methods, released
from mamlkit.studies.image_measures import TEST
from mamlkit.studies.released import KNOWN, NAME, RELEASED, load, parameters
from mamlkit.task import sample
from mamlkit.trees import tree_map
from tests.bank.test_tensorflow import write


def variables(filters=6, ways=4, side=3):
    draw = np.random.default_rng(1)
    made = lambda *shape: draw.normal(size=shape).astype("<f4")
    named = {f"model/conv{i + 1}": made(3, 3, filters if i else 3, filters) for i in range(4)}
    named |= {f"model/{i}/beta": made(filters) for i in range(4)}
    named |= {f"model/Variable{f'_{i}' * (i > 0)}": made(filters) for i in range(4)}
    return named | {"model/w5": made(side**2 * filters, ways), "model/b5": made(ways)}


def theirs(named, x):
    """The authors' forward_conv, in numpy's order of axes: x (examples, height, width, 3)."""
    for i in range(4):
        kernel = torch.as_tensor(named[f"model/conv{i + 1}"])
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        height, width = x.shape[1:3]
        x = sum(
            padded[:, a : a + height, b : b + width] @ kernel[a, b]
            for a in range(3)
            for b in range(3)
        )
        x = x + torch.as_tensor(named[f"model/Variable{f'_{i}' * (i > 0)}"])
        x = (x - x.mean((0, 1, 2))) * torch.rsqrt(x.var((0, 1, 2), correction=0) + 1e-3)
        x = torch.relu(x + torch.as_tensor(named[f"model/{i}/beta"]))
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).amax((2, 4))
    return x.flatten(1) @ torch.as_tensor(named["model/w5"]) + torch.as_tensor(named["model/b5"])


def test_a_made_up_checkpoint_gives_the_outputs_of_the_authors_network(tmp_path):
    named = variables()
    params = parameters(read(write(tmp_path / "model", named)))
    net = pooled_convnet(4, filters=6, size=52)
    started = net.init(seeded(0))
    assert {k: p.shape for k, p in params.items()} == {k: p.shape for k, p in started.items()}
    assert list(params) == list(started)
    x = torch.rand(5, 52, 50, 3, generator=seeded(2))
    assert torch.allclose(net.forward(params, x.permute(0, 3, 1, 2)), theirs(named, x), atol=1e-4)


def test_another_network_is_refused():
    lacking = {k: torch.as_tensor(v) for k, v in variables().items() if k != "model/Variable_2"}
    with pytest.raises(ValueError, match="there is no variable model/Variable_2; there are model/"):
        parameters(lacking)
    strided = {k: torch.as_tensor(v) for k, v in variables(side=1).items()}
    with pytest.raises(
        ValueError, match="model/w5 has 6 features of 6 filters: only nets with max"
    ):
        parameters(strided)


def test_it_is_downloaded_once_and_only_whole(tmp_path, monkeypatch):
    monkeypatch.delenv("MAMLKIT_DATA", raising=False)
    monkeypatch.setattr(archive, "CACHE", tmp_path)
    made, asked = write(tmp_path / NAME, variables()), []

    def download(url, path, *, sha256, instead, timeout, progress):
        asked.append((url.rpartition("/")[2], sha256))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(made.with_name(path.name).read_bytes())

    monkeypatch.setattr(released.archive, "download", download)
    first = load()
    assert asked == list(KNOWN.items()) and all(len(digest) == 64 for _, digest in asked)
    assert torch.equal(load()["layer4.bias"], first["layer4.bias"]) and len(asked) == 2
    assert len(load(tmp_path)) == 14


def test_in_fives_each_batch_has_one_query_of_each_class():
    net = pooled_convnet(5, filters=4, size=16)
    params, x = net.init(seeded(0)), torch.rand(15, 3, 16, 16, generator=seeded(1))
    found = released.in_fives(net.forward, x)(params, x)
    for i in range(3):
        rows = [3 * label + i for label in range(5)]
        torch.testing.assert_close(found[rows], net.forward(params, x[rows]))
    assert (found - net.forward(params, x)).abs().max() > 0.01


@pytest.mark.usefixtures("float64")  # ten steps on noise multiply what float32 rounds
def test_it_is_tested_after_the_papers_steps(monkeypatch):
    """Ten steps of 0.05 on all but the norms' shifts. Losses tell more than one task's share."""
    g = seeded(3)
    photos = torch.randint(256, (7, 20, 3, 84, 84), dtype=torch.uint8, generator=g)
    monkeypatch.setattr(image_methods, "pictures", lambda *_: photos)
    monkeypatch.setattr(released, "accuracy", cross_entropy)
    net = pooled_convnet(5)
    params = net.init(g)
    found = released.tested(params, 1)
    tasks = few_shot(photos, way=5, shots=1, queries=15)
    support, query = tree_map(lambda t: t[0], sample(tasks, seeded(TEST), 1))
    loss, alpha = cross_entropy(net.forward), all_but_norms(params, 0.05)
    adapted = adapt(params, repeated(loss, support, 10), [alpha] * 10)[-1]
    in_fives = cross_entropy(released.in_fives(net.forward, support.x))
    both = torch.stack([loss(adapted, query), in_fives(adapted, query)])
    torch.testing.assert_close(found, both[None], rtol=1e-9, atol=0.0)


def test_what_is_printed_are_means_and_their_intervals(monkeypatch, capsys):
    monkeypatch.setattr(released, "load", lambda: {})
    monkeypatch.setattr(
        released, "tested", lambda params, tasks: torch.tensor([[0.2, 0.5], [0.6, 0.5]])
    )
    released.main(2)
    first, together, fives, apart = capsys.readouterr().out.splitlines()
    assert first.startswith("2 test tasks, 15 queries a class")
    assert together.startswith(" 40.00 ± 39.20 %") and fives.startswith(" 50.00 ± 0.00 %")
    assert apart.startswith(" 10.00 ± 39.20 %")


PLACES = [Path(os.environ.get("MAMLKIT_DATA", "")) / "released", archive.CACHE / "released"]


def test_the_released_file_itself():
    place = next((p for p in PLACES if (p / f"{NAME}.index").exists()), None)
    if place is None:
        pytest.skip("the authors' checkpoint is not here; mamlkit.studies.released.load gets it")
    params = load(place)
    assert count(params) == 32_773
    assert params["layer4.weight"].shape == (5, 800) and params["layer0.weight"].std() > 0.01


def test_the_bank_knows_it_by_losses_of_tasks_in_both_precisions(monkeypatch):
    g = seeded(4)
    photos = torch.randint(256, (7, 20, 3, 84, 84), dtype=torch.uint8, generator=g)
    monkeypatch.setattr(image_methods, "pictures", lambda *_: photos)
    params = pooled_convnet(5).init(g)
    monkeypatch.setattr(released, "load", lambda: params)
    setting = released.cells("paper")["maml-0"] | {"tests": 2}
    single, double = beginning(RELEASED, setting), fingerprint(RELEASED, setting)
    assert single.shape == double.shape == (setting["test"] + 1,)
    torch.testing.assert_close(single[:3], double[:3], rtol=1e-3, atol=0.0)
    tasks = sample(few_shot(photos, way=5, shots=1, queries=15), seeded(TEST), 2)
    loss = cross_entropy(pooled_convnet(5).forward)
    before = [loss(params, tree_map(lambda t: t[i], tasks.query)) for i in range(2)]
    torch.testing.assert_close(single[0].float(), torch.stack(before).mean())

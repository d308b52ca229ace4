"""Section 5.2 on the package: labels that say nothing teach nothing, and what notebook 02 keeps
stays what it was."""

import pytest
import torch

from mamlkit.bank.checkpoint import keep
from mamlkit.book import bank
from mamlkit.book import notebooks as book
from mamlkit.evaluate import evaluate, on_query
from mamlkit.families import glyphs
from mamlkit.families.few_shot import few_shot
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import all_but_norms, strided_convnet
from mamlkit.optimizer import adam
from mamlkit.task import Family, sample
from mamlkit.train import train
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from tests.episodes import mislabelled

WAY = 5


def shuffled_labels(family: Family) -> Family:
    """The same tasks, the labels of each support dealt out at random."""

    def noise(generator, tasks):
        return family.noise(generator, tasks), torch.rand(tasks, WAY, generator=generator)

    def make(drawn):
        task = family.make(drawn[0])
        return task._replace(support=task.support._replace(y=task.support.y[drawn[1].argsort()]))

    return Family(noise, make)


@pytest.mark.parametrize("variant", [maml, fomaml])
def test_with_shuffled_labels_it_is_right_by_chance(variant):
    """One drawing each: dealt out at random, the labels of the support tell nothing of the query's.
    With true ones it learns."""
    net = strided_convnet(WAY, filters=8)
    family = few_shot(glyphs.load(40, seed=1), way=WAY, shots=1, queries=4)
    found = {}
    for name, tasks in (("true", family), ("shuffled", shuffled_labels(family))):
        theta = net.init(seeded(0))
        learner = variant(cross_entropy(net.forward), alpha=all_but_norms(theta, 0.4), steps=1)
        *_, step = train(
            learner,
            theta,
            tasks,
            adam(0.01),
            generator=seeded(1),
            tasks=4,
            iterations=30,
            compiled=False,
        )
        test = sample(family, seeded(2), 200)
        test = mislabelled(test, seeded(3)) if name == "shuffled" else test
        found[name] = evaluate(learner, step.meta, test, on_query(accuracy(net.forward)))[:, 1]
    mean, half = found["shuffled"].mean(), 1.96 * found["shuffled"].std() / 200**0.5
    assert abs(mean - 1 / WAY) < half and half < 0.035
    assert found["true"].mean() - half > 1 / WAY + 0.05, (
        "or the shuffled labels would prove nothing"
    )


@pytest.fixture(scope="module")
def notebook():
    """Notebook 02 at the paper's budget, up to its results, with glyphs in the place of Omniglot's
    files."""
    patch = pytest.MonkeyPatch()
    patch.setattr(
        "mamlkit.families.omniglot.load", lambda split, **_: glyphs.load(20, seed=len(split))
    )
    path = next(p for p in book.notebooks() if p.stem == "02_classification")
    yield lambda **values: bank.plain(
        path, {"profile": "paper", "device": "cpu"} | values, until="seconds_of"
    )
    patch.undo()


def test_what_is_kept_is_taken_only_if_images_and_sizes_are_this_runs(
    notebook, tmp_path, monkeypatch
):
    monkeypatch.setenv("MAMLKIT_RESULTS", str(tmp_path))
    names, cell = notebook(), ("omniglot-5w1s-cpu", "printed")
    asks = names["told"](*cell, 0) | {"commit": "some"}
    assert asks["images"] == "omniglot" and asks["tasks"] == 8 and asks["iterations"] == 20_000
    for seed, change in enumerate(
        ({}, {"images": "glyphs"}, {"tasks": 32}, {"seed": 0}, {"beta": 1.0})
    ):
        keep(
            names["file"](*cell, seed),
            {"right.paper": torch.zeros(2, 11)},
            asks | {"seed": seed} | change,
        )
    assert [names["finished"](*cell, seed) for seed in range(6)] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]


def test_glyphs_at_the_papers_budget_are_named_so(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMLKIT_RESULTS", str(tmp_path))
    monkeypatch.setattr(
        glyphs,
        "load",
        lambda size, seed, device=None: torch.zeros(size, 20, 1, 28, 28, dtype=torch.uint8),
    )
    names = notebook(images="glyphs")
    assert names["told"]("omniglot-5w1s", "maml", 0)["images"] == "glyphs"
    assert names["file"]("omniglot-5w1s", "maml", 0).name == "glyphs-5w1s-maml-0.safetensors"


def test_at_the_papers_budget_nothing_stands_in_for_omniglot(notebook, monkeypatch):
    def gone(split, **_):
        raise ConnectionError("no network")

    monkeypatch.setattr("mamlkit.families.omniglot.load", gone)
    with pytest.raises(FileNotFoundError, match="nothing stands in for it.*no network"):
        notebook()


def test_every_result_that_is_committed_is_below_a_megabyte(notebook):
    """Sizes of what would be kept, from the networks and the numbers of tasks of a GPU."""
    from mamlkit.bank.checkpoint import light

    names = notebook()
    for setting, s in names["SETTINGS"].items():
        for method in set(names["GRADIENT"]) & set(names["methods"](setting)):
            params = names["METHODS"][method](s)[0].init(seeded(0))
            each = 1 if s["way"] * 15 < 256 else 2
            rows = 600 + 10_000 * (4 if setting.startswith("mini") else 3)
            beside = {
                "right": torch.empty(rows, names["STEPS"] + 1, each, dtype=torch.uint8),
                "scores": torch.empty(600, 2),
            }
            size = sum(
                t.numel() * t.element_size()
                for part in (light(params, beside), beside)
                for t in part.values()
            )
            assert size < 990_000, (setting, method, size)

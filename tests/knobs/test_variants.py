"""The live figure of notebook 06, without a browser: its curves are the learners', its cosines the
meta-gradients'."""

from functools import partial

import pytest
import torch

from mamlkit.knobs.variants import (
    GRID,
    Start,
    VariantKnobs,
    banked_starts,
    common,
    stretched,
)
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp, normal, with_context
from mamlkit.trees import dot
from mamlkit.variants.cavia import cavia
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml
from mamlkit.variants.meta_sgd import meta_sgd
from mamlkit.variants.reptile import reptile

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

NET = mlp(1, 8, 8, 1, weight=normal(0.4))
TOLD = with_context(NET, 2, shift="layer0.bias")
VARIANTS = {
    "maml": maml,
    "fomaml": fomaml,
    "meta_sgd": meta_sgd,
    "reptile": reptile,
    "cavia": cavia,
}


def learner(name, steps, times):
    return VARIANTS[name](
        mse((TOLD if name == "cavia" else NET).forward), alpha=0.05 * times, steps=steps
    )


def starts():
    nets = {name: TOLD if name == "cavia" else NET for name in VARIANTS}
    return {
        name: Start(
            name,
            partial(learner, name),
            learner(name, 1, 1.0).init(net.init(seeded(i))),
            net.forward,
        )
        for i, (name, net) in enumerate(nets.items())
    }


@pytest.fixture
def scene():
    return VariantKnobs(starts())


def test_learned_step_sizes_are_stretched_and_nothing_else():
    meta = {"w": torch.ones(2), "alpha/w": torch.full((2,), 0.1)}
    assert torch.equal(stretched(meta, 3.0)["w"], meta["w"]) and stretched(meta, 3.0)[
        "alpha/w"
    ].tolist() == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("times", [1.0, 2.0])
def test_a_curve_is_the_adapted_nets_from_its_own_start(scene, name, times):
    scene.set(variant=name, steps=3, times=times, shots=7)
    start = scene.starts[name]
    end = learner(name, 3, times).adapt(stretched(start.meta, times), scene.task().support)[-1]
    assert len(scene.task().support.x) == 7
    torch.testing.assert_close(
        torch.as_tensor(scene.artists["after"].get_ydata()), start.forward(end, GRID).squeeze(-1)
    )
    assert start.label in scene.title.get_text() and "3 steps" in scene.title.get_text()


def test_cosines_are_those_of_the_meta_gradients_at_mamls_start(scene):
    scene.set(steps=2, times=1.5)
    theta, task = scene.starts["maml"].meta, scene.task()
    exact = learner("maml", 2, 1.5).meta_grad(theta, task)[0]
    first = learner("fomaml", 2, 1.5).meta_grad(theta, task)[0]
    expected = dot(first, exact) / (dot(first, first) * dot(exact, exact)).sqrt()
    cosines = scene.outcome()[2]
    assert (
        cosines["fomaml"] == pytest.approx(expected.item(), abs=1e-5) and cosines["fomaml"] < 0.999
    )
    assert cosines["maml"] == pytest.approx(1, abs=1e-5) and cosines["meta_sgd"] == pytest.approx(
        1, abs=1e-5
    ), "Meta-SGD's own gradient is beside theta's"
    assert list(scene.artists["cosines"].get_xdata()) == [*cosines.values()]


def test_a_context_is_added_to_mamls_start():
    found = starts()
    meta = common(found["cavia"], found["maml"].meta, 1, 1.0)
    assert {"context", "context.weight"} < meta.keys() and all(
        torch.equal(meta[k], p) for k, p in found["maml"].meta.items()
    )


def test_the_banked_variants_open_with_maml():
    found = banked_starts()
    assert [*found][0] == "maml" and len(found) == 8
    scene = VariantKnobs(found, variant="cavia")
    assert "CAVIA" in scene.title.get_text()


def test_another_wave_and_back(scene):
    first = scene.title.get_text()
    scene.new_wave()
    assert scene.title.get_text() != first
    scene.set(variant="reptile", steps=9)
    scene.reset()
    assert scene.title.get_text() == first and scene.controls["variant"].value == "maml"
    scene.exercise()
    assert scene.title.get_text() == first and "maml 1.00" in scene.alt()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"steps": 0}, "steps is 0: it must be from 1 to 10"),
        ({"shots": 1}, "shots is 1"),
        ({"times": 5.0}, "times is 5.0"),
        ({"variant": "imaml"}, 'variant is "imaml"'),
    ],
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        VariantKnobs(starts(), **settings)

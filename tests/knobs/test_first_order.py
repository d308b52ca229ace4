"""The live figure of notebook 03, without a browser: its arrows and numbers are those of the two
meta-gradients."""

import time

import pytest
import torch

from mamlkit.knobs.first_order import ALPHAS, FirstOrderKnobs, compare
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp, normal
from mamlkit.probes.hessian import hessian_product
from mamlkit.trees import dot, tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

NET = mlp(1, 9, 7, 1, weight=normal(0.4))
NETWORKS = {"one": NET.init(seeded(0)), "another": NET.init(seeded(1))}


@pytest.fixture
def scene():
    return FirstOrderKnobs(NETWORKS, NET.forward)


def norm(tree):
    return dot(tree, tree).sqrt()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_numbers_are_those_of_the_two_meta_gradients(scene, network, steps):
    alpha = ALPHAS[24]
    scene.set(alpha=alpha, steps=steps, network=network)
    second, first = (
        variant(mse(NET.forward), alpha=alpha, steps=steps).meta_grad(
            NETWORKS[network], scene.task()
        )[0]
        for variant in (maml, fomaml)
    )
    now = scene.now()
    assert now["cosine"] == pytest.approx(
        (dot(second, first) / norm(second) / norm(first)).item(), abs=1e-4
    )
    assert now["cosine"] < 0.9999, "or this test could not tell them apart"
    left_out = norm(tree_map(torch.sub, first, second)) / norm(first)
    assert now["omitted"] == pytest.approx(left_out.item(), rel=1e-3)
    begin, end = scene.arrows["omitted"]._posA_posB
    drawn = torch.tensor(end) - torch.tensor(begin)
    length = torch.tensor(scene.arrows["fomaml"]._posA_posB[1]).norm()
    assert (drawn.norm() / length).item() == pytest.approx(left_out.item(), rel=1e-3)


def test_after_one_step_it_leaves_out_alpha_h_g(scene):
    theta, task, alpha = NETWORKS["one"], scene.task(), 0.03
    loss = mse(NET.forward)
    g = fomaml(loss, alpha=alpha, steps=1).meta_grad(theta, task)[0]
    product = hessian_product(lambda p: loss(p, task.support), theta, g)
    found = compare(NET.forward, theta, task, torch.tensor([alpha]), 1)["omitted"]
    assert found.item() == pytest.approx((alpha * norm(product) / norm(g)).item(), rel=1e-3)


def test_with_a_small_step_nothing_is_left_out_and_the_figure_says_what_it_shows(scene):
    scene.set(alpha=ALPHAS[0])
    assert scene.now()["cosine"] == pytest.approx(1, abs=1e-3) and scene.now()["omitted"] < 0.05
    assert "α 0.0001, 1 step: cosine 1.00" in scene.title.get_text()
    assert scene.title.get_text() in scene.alt() and "this wave" in scene.words.value
    dot_x, dot_y = scene.dots["cosine"].get_data()
    assert list(dot_x) == [ALPHAS[0]] and dot_y[0] == pytest.approx(scene.now()["cosine"], abs=1e-6)


def test_the_longer_arrow_has_length_one():
    for cosine, second in ((0.5, 3.0), (-0.2, 0.4), (1.0, 1.0)):
        first, other = FirstOrderKnobs.ends(dict(cosine=cosine, second=second))
        a, b = torch.tensor(first), torch.tensor(other)
        assert max(a.norm(), b.norm()).item() == pytest.approx(1)
        assert (b.norm() / a.norm()).item() == pytest.approx(second, rel=1e-5)
        assert (a @ b / a.norm() / b.norm()).item() == pytest.approx(cosine, abs=1e-5)


def test_a_diverged_step_is_said_in_words(scene):
    scene.networks["one"] = tree_map(lambda p: 1e4 * p, NETWORKS["one"])
    scene.known = None
    scene.set(alpha=ALPHAS[-1], steps=10)
    assert "diverge" in scene.title.get_text() and "diverged" in scene.words.value
    assert scene.png()


def test_another_wave_and_back(scene):
    first = scene.title.get_text()
    scene.new_wave()
    assert scene.title.get_text() != first
    scene.set(steps=7, alpha=ALPHAS[3], network="another")
    scene.exercise()
    assert scene.title.get_text() == first and scene.controls["network"].value == "one"


def test_it_answers_a_key_within_a_fifth_of_a_second():
    """Of processor time, with room for a slower one: others may run here."""
    net = mlp(1, 40, 40, 1)
    scene = FirstOrderKnobs({"the book's": net.init(seeded(0))}, net.forward)
    scene.set(steps=9)
    for control, value in (("steps", 10), ("alpha", ALPHAS[25])):
        begin = time.process_time()
        scene.controls[control].value = value
        assert time.process_time() - begin < 1.0


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"steps": 0}, "steps is 0: it must be from 1 to 10"),
        ({"alpha": 0.5}, "alpha is 0.5: it must be from 0.0001 to 0.1"),
        ({"alpha": 0.0}, "alpha is 0.0"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        FirstOrderKnobs(NETWORKS, NET.forward, **settings)

"""The live scene of section 5.3, without a browser."""

import pytest
import torch

from mamlkit.knobs.navigation import WalkKnobs, paths
from mamlkit.machine import seeded
from mamlkit.rl.baseline import experience
from mamlkit.rl.collect import collect, halved
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import rollout
from mamlkit.trees import tree_map

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

POLICY = gaussian(2, 2)
MODELS = {name: POLICY.init(seeded(i)) for i, name in enumerate(("maml", "pretrained"))}
ALPHAS = {"maml": 0.1, "pretrained": 0.5}


@pytest.fixture
def scene(monkeypatch):
    monkeypatch.setattr("mamlkit.knobs.navigation.Navigation", lambda: Navigation(horizon=9))
    return WalkKnobs(MODELS, alphas=ALPHAS, walks=5)


def test_an_update_is_the_step_that_training_takes(scene):
    """The same numbers as `collect`, which training calls, with the actions of the scene's
    generator."""
    scene.models, scene.known = {"pretrained": MODELS["pretrained"]}, None
    done = scene.outcome(2)["pretrained"]
    learner = halved(reinforce(POLICY), alpha=0.5)
    batches = []
    for k in (1, 2):
        _, (again,) = collect(
            scene.env,
            POLICY,
            learner,
            done[k - 1].params,
            scene.goal(),
            steps=0,
            rollouts=5,
            generator=seeded(k - 1),
        )
        assert torch.equal(again.action, done[k - 1].played.action)
        batches.append(tree_map(lambda t: t[0], experience(again)))
        after = learner(k).adapt(MODELS["pretrained"], tuple(batches))[-1]
        assert all(torch.allclose(after[n], done[k].params[n], atol=1e-6) for n in after)
    assert not torch.equal(done[1].params["layer1.weight"], done[2].params["layer1.weight"])


def test_policies_walk_side_by_side_each_by_its_own_parameters(scene):
    for done in scene.outcome(2).values():
        for walks in done:
            own = POLICY.forward(walks.params, walks.played.observation[0].flatten(0, 1))
            assert torch.allclose(own.mean, walks.played.old.mean[0].flatten(0, 1), atol=1e-6)


def test_a_click_moves_the_goal_and_forgets_what_was_learned(scene):
    from matplotlib.backend_bases import MouseEvent

    scene.set(updates=2)
    ax = scene.panels["maml"][0]
    MouseEvent(
        "button_press_event", scene.fig.canvas, *ax.transData.transform((0.2, -0.3)), 1
    )._process()
    assert (
        scene.goal()[0].tolist() == pytest.approx([0.2, -0.3], abs=0.01)
        and scene.controls["updates"].value == 0
    )
    assert scene.panels["pretrained"][1]["goal"].get_xydata()[0].tolist() == pytest.approx(
        [0.2, -0.3], abs=0.01
    )
    scene.place(3.0, -3.0)
    assert scene.goal()[0].tolist() == [0.5, -0.5]


def test_the_picture_follows(scene):
    scene.controls["updates"].value = 1
    lines, ends = paths(scene.outcome(1)["maml"][1].played)
    shown = scene.panels["maml"][1]
    assert torch.equal(torch.tensor(shown["ends"].get_xydata()).float(), ends) and len(
        shown["walks"].get_xydata()
    ) == len(lines)
    assert "After 1 update on 5 walks each" in scene.title.get_text()
    value = scene.outcome(1)["maml"][1].value
    assert (
        f"{value:.1f}" in scene.words.value
        and f"{value:.1f}" in scene.alt()
        and f"return {value:.1f}" in scene.panels["maml"][1]["return"].get_text()
    )
    scene.exercise()
    assert scene.controls["updates"].value == 0 and scene.seed == 0


def test_a_walk_ends_where_its_first_episode_does():
    played = rollout(
        Navigation(horizon=4),
        POLICY,
        {k: p[None] for k, p in MODELS["maml"].items()},
        torch.tensor([[0.3, 0.1]]),
        lanes=3,
        generator=seeded(2),
    )
    lines, ends = paths(played)
    assert (
        lines.shape == (3 * 5, 2)
        and lines.isnan().all(1).sum() == 3
        and torch.equal(ends[1], played.observation[0, 1, 3])
    )
    cut = played._replace(
        last=played.last.clone().index_put_(
            (torch.tensor(0), torch.tensor(1), torch.tensor(1)), torch.tensor(True)
        )
    )
    assert paths(cut)[0].shape == (3 * 5 - 2, 2)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(goal=(0.7, 0.0)), "goal is 0.7: it must be from -0.5 to 0.5"),
        (dict(walks=100), "walks is 100"),
        (dict(alphas={"maml": 0.1}), "alpha of pretrained is None"),
        (dict(models={"ours": MODELS["maml"]}), "no look for"),
    ],
)
def test_what_cannot_be_shown_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        WalkKnobs(**dict(models=MODELS, alphas=ALPHAS) | change)

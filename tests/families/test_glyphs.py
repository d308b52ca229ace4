"""Glyphs: characters that can be told apart, drawings that differ, and about as hard as Omniglot's
own."""

import pytest
import torch

from mamlkit.families.few_shot import few_shot
from mamlkit.families.glyphs import glyphs, load
from mamlkit.machine import precision, seeded
from mamlkit.task import sample

CLASSES, EXAMPLES = 150, 20


@pytest.fixture(scope="module")
def images():
    return load(CLASSES, seed=0, examples=EXAMPLES)


def nearest(images, **settings):
    """How often the nearest support image, pixel by pixel, is of the query's class: 1 shot, 1,000
    tasks."""
    tasks = sample(few_shot(images, shots=1, queries=1, **settings), seeded(0), 1000)
    return (
        (
            torch.cdist(tasks.query.x.flatten(2), tasks.support.x.flatten(2)).argmin(-1)
            == tasks.query.y
        )
        .double()
        .mean()
        .item()
    )


def test_they_are_shaped_as_omniglots(images):
    assert images.shape == (CLASSES, EXAMPLES, 1, 28, 28) and images.dtype == torch.uint8
    assert load(3, seed=0, examples=2, size=12).shape == (3, 2, 1, 12, 12)


def test_they_are_the_same_in_every_precision(float64):
    images = load(3, seed=0, examples=2)
    with precision(torch.float32):
        assert torch.equal(load(3, seed=0, examples=2), images)
    assert torch.get_default_dtype() == torch.float64


def test_ink_is_bright_and_as_much_as_omniglots(images):
    """Omniglot's mean at 28 x 28 is 0.084."""
    assert 0.05 < images.float().mean() / 255 < 0.11
    assert images.amax((-1, -2)).float().quantile(0.02) > 180 and (images == 0).float().mean() > 0.7
    edge = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], -1)
    assert (edge > 0).float().mean() < 0.05, "a character stands in the picture"


def test_ink_does_not_depend_on_the_size_of_the_picture():
    small, large = (load(30, seed=1, examples=4, size=size).float() for size in (28, 84))
    assert abs(small.mean() - large.mean()) < 0.1 * small.mean()
    assert (
        torch.nn.functional.avg_pool2d(large.flatten(0, 1), 3) - small.flatten(0, 1)
    ).abs().mean() < 0.25 * small.mean(), "the same drawings"


def test_they_are_about_as_hard_as_omniglot(images):
    """Pixel nearest neighbour on Omniglot's training characters, 5-way 1-shot: 0.44 upright, 0.45
    turned (1,500 tasks)."""
    assert 0.40 < nearest(images, way=5) < 0.60
    assert 0.40 < nearest(images, way=5, rotate=True) < 0.60


def test_a_character_is_nearer_to_itself_and_no_drawing_is_another(images):
    flat = images.flatten(2).float() / 255
    assert len({row.numpy().tobytes() for row in images.flatten(0, 1)}) == CLASSES * EXAMPLES
    spread = flat.var(1).sum(-1)
    between = flat.mean(1).var(0).sum()
    assert spread.min() > 5 and between > 3 * spread.mean() / EXAMPLES, (
        "drawings of one class would give a third of it"
    )


def test_the_seed_alone_decides_them():
    state = torch.get_rng_state()
    first, again, other = (load(6, seed=seed, examples=3) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not used"


def test_any_number_of_them():
    assert load(1, seed=0, examples=1).shape == (1, 1, 1, 28, 28)
    many = load(2_003, seed=0, examples=1)
    assert many.shape[0] == 2_003 and (many.amax((1, 2, 3, 4)) > 0).all()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"classes": 0}, "classes is 0: it must be 1 or more"),
        ({"examples": 0}, "examples is 0: it must be 1 or more"),
        ({"size": 7}, "size is 7: it must be 8 or more"),
        ({"seed": -1}, "seed is -1: it must be from 0 to"),
        ({"seed": 2**63}, "seed is 9223372036854775808: it must be from 0 to"),
        ({"examples": True}, "examples is True: it must be a whole number"),
        ({"device": "gpu"}, 'device "gpu" is unknown'),
        ({"classes": 2.5}, "classes is 2.5: it must be a whole number"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        load(**{"classes": 2, "seed": 0} | settings)


def test_a_task_turns_its_characters(images):
    family = glyphs(images, way=5, shots=1, queries=3)
    assert set(family.noise(seeded(0), 30).turns.flatten().tolist()) == {0, 1, 2, 3}
    tasks = sample(family, seeded(0), 3)
    assert tasks.support.x.shape == (3, 5, 1, 28, 28) and tasks.query.x.shape == (3, 15, 1, 28, 28)


@pytest.mark.parametrize("size", [{"classes": 10**12}, {"classes": 5, "examples": 10**12}])
def test_more_drawings_than_memory_holds_are_refused(size):
    with pytest.raises(ValueError, match="drawings, 28 x 28, do not fit in memory"):
        load(**size, seed=0)

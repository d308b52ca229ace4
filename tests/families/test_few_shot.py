"""N-way K-shot tasks: who is in them, in what order, and that nobody is in both sets."""

from math import comb

import pytest
import torch
from torch.func import vmap

from mamlkit.evaluate import evaluate, on_query
from mamlkit.families.few_shot import Draw, few_shot
from mamlkit.losses import accuracy, cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import strided_convnet
from mamlkit.optimizer import adam
from mamlkit.task import sample, validate
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.oracles import each

TASKS, CLASSES, EXAMPLES, CHANNELS, SIZE = 3, 7, 9, 2, 4
WAY, SHOTS, QUERIES = 5, 2, 4
SETTINGS = {"way": WAY, "shots": SHOTS, "queries": QUERIES}


def labelled(classes=CLASSES, examples=EXAMPLES, shape=(CHANNELS, SIZE, SIZE)):
    """Images that tell who they are: the first pixel of channel 0 is the class, of channel 1 the
    example; the rest is random."""
    images = torch.randint(0, 256, (classes, examples, *shape), generator=seeded(9)).to(torch.uint8)
    images[:, :, 0, 0, 0] = torch.arange(classes).unsqueeze(1)
    images[:, :, 1, 0, 0] = torch.arange(examples)
    return images


IMAGES = labelled()


def who(x):
    """Class and example of upright images."""
    return (255 * x[:, :2, 0, 0]).round().long().T


@pytest.mark.parametrize("rotate", [False, True])
def test_a_batch_has_the_axes_that_it_says(rotate):
    tasks = sample(few_shot(IMAGES, **SETTINGS, rotate=rotate), seeded(0), TASKS)
    for part, n in ((tasks.support, SHOTS), (tasks.query, QUERIES)):
        assert (
            part.x.shape == (TASKS, WAY * n, CHANNELS, SIZE, SIZE) and part.x.dtype == torch.float32
        )
        assert part.y.shape == (TASKS, WAY * n) and part.y.dtype == torch.int64
        assert 0 <= part.x.min() < 0.05 and 0.95 < part.x.max() <= 1
        assert torch.equal(part.y, torch.arange(WAY).repeat_interleave(n).expand(TASKS, -1)), (
            "grouped by class"
        )
    for task in each(tasks):
        validate(task)


def test_noise_is_integers_in_range():
    draw = few_shot(IMAGES, **SETTINGS, rotate=True).noise(seeded(0), TASKS)
    assert isinstance(draw, Draw) and all(not part.is_floating_point() for part in draw)
    assert draw.classes.shape == draw.turns.shape == (TASKS, WAY) and draw.examples.shape == (
        TASKS,
        WAY,
        SHOTS + QUERIES,
    )


def test_a_task_shows_the_images_that_were_drawn():
    draw = Draw(
        torch.tensor([4, 0, 6]),
        torch.tensor([[1, 3, 5], [8, 0, 2], [7, 6, 4]]),
        torch.tensor([0, 1, 3]),
    )
    task = few_shot(IMAGES, way=3, shots=2, queries=1, rotate=True).make(draw)
    both = (
        (255 * task.support.x).round().to(torch.uint8),
        (255 * task.query.x).round().to(torch.uint8),
    )
    for pictures, n, first in ((both[0], 2, 0), (both[1], 1, 2)):
        for label, (c, turns) in enumerate(((4, 0), (0, 1), (6, 3))):
            for i in range(n):
                expected = torch.rot90(IMAGES[c, draw.examples[label, first + i]], turns, (1, 2))
                assert torch.equal(pictures[label * n + i], expected)
    assert (task.support.x * 255 - (255 * task.support.x).round()).abs().max() < 1e-4, (
        "a 255th for each grey"
    )


def test_classes_differ_and_support_and_query_share_no_image():
    tasks = sample(few_shot(IMAGES, **SETTINGS), seeded(0), 300)
    for task in (tree_map(lambda t: t[i], tasks) for i in range(300)):
        (classes, examples), (query_classes, query_examples) = (
            who(task.support.x),
            who(task.query.x),
        )
        by_label = classes.view(WAY, SHOTS)
        assert (by_label == by_label[:, :1]).all() and len(set(by_label[:, 0].tolist())) == WAY
        assert torch.equal(query_classes.view(WAY, QUERIES)[:, 0], by_label[:, 0])
        seen = list(
            zip(
                classes.tolist() + query_classes.tolist(),
                examples.tolist() + query_examples.tolist(),
            )
        )
        assert len(set(seen)) == WAY * (SHOTS + QUERIES)


def test_every_image_of_a_class_can_be_used_at_once():
    draw = few_shot(IMAGES, way=CLASSES, shots=EXAMPLES - 1, queries=1).noise(seeded(0), 50)
    assert torch.equal(draw.classes.sort(-1).values, torch.arange(CLASSES).expand(50, -1))
    assert torch.equal(
        draw.examples.sort(-1).values, torch.arange(EXAMPLES).expand(50, CLASSES, -1)
    )


def test_classes_examples_and_turns_are_uniform_and_independent():
    """Chi-squared of each count: its mean is the number of cells, 5 standard deviations are
    allowed."""
    n = 40_000
    draw = few_shot(IMAGES, way=2, shots=1, queries=1, rotate=True).noise(seeded(0), n)
    ordered = draw.classes[:, 0] * CLASSES + draw.classes[:, 1]
    cells = {
        "pairs of classes": (ordered, CLASSES**2, 2 * comb(CLASSES, 2)),
        "pairs of examples": (
            draw.examples[:, 1, 0] * EXAMPLES + draw.examples[:, 1, 1],
            EXAMPLES**2,
            2 * comb(EXAMPLES, 2),
        ),
        "pairs of turns": (draw.turns[:, 0] * 4 + draw.turns[:, 1], 16, 16),
        "class and turn": (draw.classes[:, 0] * 4 + draw.turns[:, 0], CLASSES * 4, CLASSES * 4),
        "class and example": (
            draw.classes[:, 0] * EXAMPLES + draw.examples[:, 0, 0],
            CLASSES * EXAMPLES,
            CLASSES * EXAMPLES,
        ),
    }
    for name, (index, size, possible) in cells.items():
        counts = index.bincount(minlength=size)
        assert (counts > 0).sum() == possible, name
        statistic = ((counts[counts > 0] - n / possible) ** 2 / (n / possible)).sum()
        assert abs(statistic - (possible - 1)) < 5 * (2 * (possible - 1)) ** 0.5, name


def test_tasks_of_one_seed_have_the_same_classes_and_support_whatever_the_rest_is():
    plain = few_shot(IMAGES, **SETTINGS).noise(seeded(0), TASKS)
    turned = few_shot(IMAGES, **SETTINGS, rotate=True).noise(seeded(0), TASKS)
    more = few_shot(IMAGES, way=WAY, shots=SHOTS, queries=QUERIES + 3).noise(seeded(0), TASKS)
    shots = few_shot(IMAGES, way=WAY, shots=SHOTS + 1, queries=1).noise(seeded(0), TASKS)
    assert torch.equal(plain.classes, turned.classes) and torch.equal(
        plain.examples, turned.examples
    )
    assert (plain.turns == 0).all() and (turned.turns > 0).any()
    assert torch.equal(plain.classes, more.classes) and torch.equal(
        plain.examples, more.examples[..., : SHOTS + QUERIES]
    )
    assert torch.equal(plain.classes, shots.classes) and torch.equal(
        plain.examples[..., :SHOTS], shots.examples[..., :SHOTS]
    )


def test_the_generator_alone_decides_the_tasks_and_goes_on():
    family, state = few_shot(IMAGES, **SETTINGS, rotate=True), torch.get_rng_state()
    generator = seeded(0)
    first, second = (sample(family, generator, TASKS).support.x for _ in range(2))
    assert torch.equal(sample(family, seeded(0), TASKS).support.x, first) and not torch.equal(
        first, second
    )
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not used"


@pytest.mark.parametrize("rotate", [False, True])
def test_batched_is_looped(rotate):
    family = few_shot(IMAGES, **SETTINGS, rotate=rotate)
    draw = family.noise(seeded(0), TASKS)
    for i, task in enumerate(each(vmap(family.make)(draw))):
        alone = family.make(tree_map(lambda n: n[i], draw))
        for a, b in zip((*task.support, *task.query), (*alone.support, *alone.query)):
            assert torch.equal(a, b)


def test_making_a_task_changes_nothing():
    before, family = IMAGES.clone(), few_shot(IMAGES, **SETTINGS, rotate=True)
    draw = family.noise(seeded(0), 1)
    copy = tree_map(torch.clone, draw)
    task = family.make(tree_map(lambda n: n[0], draw))
    task.support.x.zero_()
    assert torch.equal(IMAGES, before) and all(torch.equal(a, b) for a, b in zip(draw, copy))


@pytest.mark.parametrize(
    "images, settings, words",
    [
        (
            IMAGES,
            {"way": 0},
            "way is 0: it must be from 1 to 7, the number of classes",
        ),
        (IMAGES, {"way": 8}, "way is 8: it must be from 1 to 7"),
        (IMAGES, {"way": 2.0}, "way is 2.0: it must be a whole number"),
        (IMAGES, {"way": True}, "way is True: it must be a whole number"),
        (IMAGES, {"way": "5"}, 'way is "5": it must be a whole number'),
        (IMAGES, {"rotate": "no"}, 'rotate is "no": it must be True or False'),
        (IMAGES.numpy(), {}, r"the images are an array of uint8 and shape \(7, 9"),
        (IMAGES.tolist(), {}, "the images are a list: torch.uint8"),
        (IMAGES, {"shots": 0}, "shots is 0: it must be from 1 to 9, the number of images of a"),
        (IMAGES, {"queries": -1}, "queries is -1: it must be from 1 to 9"),
        (IMAGES, {"queries": 8}, "2 shots and 8 queries need 10 images of a class, these have 9"),
        (
            IMAGES.float(),
            {},
            r"the images are a tensor of torch.float32 and shape \(7, 9, 2, 4, 4\): torch.uint8 "
            r"\(classes, examples, channels, height, width\) is needed",
        ),
        (IMAGES[0], {}, r"the images are a tensor of torch.uint8 and shape \(9, 2, 4, 4\)"),
        (
            IMAGES[..., :3],
            {"rotate": True},
            "images of 4 x 3 cannot be rotated by a quarter turn: they must be square",
        ),
    ],
    ids=str,
)
def test_what_the_images_cannot_give_is_refused(images, settings, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        few_shot(images, **SETTINGS | settings)


def test_what_a_cpu_draws_is_a_task_on_the_images_own_device():
    family = few_shot(IMAGES.to("meta"), **SETTINGS)
    drawn = family.noise(seeded(0), 2)
    assert {part.device.type for part in drawn} == {"meta"}


@pytest.mark.compiled
def test_a_compiled_task_is_the_eager_one():
    family = few_shot(IMAGES, **SETTINGS, rotate=True)
    draw = family.noise(seeded(0), TASKS)
    eager, compiled = (
        vmap(family.make)(draw),
        torch.compile(vmap(family.make), fullgraph=True)(draw),
    )
    for a, b in zip((*eager.support, *eager.query), (*compiled.support, *compiled.query)):
        assert a.dtype == b.dtype and a.shape == b.shape and (a - b).abs().max() < 1e-6


def test_a_network_learns_from_them():
    """Classes told apart by where their bar of ink is: after meta-training, one step is enough."""
    images = torch.randint(0, 40, (8, EXAMPLES, 1, 16, 16), generator=seeded(1)).to(torch.uint8)
    for c in range(8):
        images[c, :, :, :, 2 * c : 2 * c + 2] += 200
    net, family = strided_convnet(3, filters=8), few_shot(images, way=3, shots=1, queries=2)
    learner = maml(cross_entropy(net.forward), alpha=0.4, steps=1)
    *_, step = train(
        learner,
        learner.init(net.init(seeded(0))),
        family,
        adam(0.01),
        generator=seeded(2),
        tasks=4,
        iterations=150,
        compiled=False,
    )
    scores = evaluate(
        learner, step.meta, sample(family, seeded(3), 60), on_query(accuracy(net.forward))
    ).mean(0)
    assert scores[0] < 0.5 and scores[1] > 0.8, scores

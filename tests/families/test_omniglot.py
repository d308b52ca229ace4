"""Omniglot: the split that we publish, the images as they are, and every way in which a copy can be
wrong."""

import hashlib
import io
import json
import random
import sys

import numpy
import pytest
import torch

from mamlkit.families import archive, pictures
from mamlkit.families import omniglot as module
from mamlkit.families.omniglot import DRAWINGS, ORIGINAL, URL, ZIPS, load, omniglot
from mamlkit.files import ROOT
from mamlkit.machine import seeded
from mamlkit.task import sample
from tests.archives import REAL, elsewhere, image, left_behind, real, server, unpacked, zipped

SPLITS = json.loads((ROOT / "data" / "splits" / "omniglot.json").read_text())["splits"]
EVERY = sorted(name for names in SPLITS.values() for name in names)
SMALL = {
    "train": ["Alpha/character01", "Beta_(two)/character02"],
    "validation": ["Alpha/character02"],
    "test": ["Beta_(two)/character01"],
}


def test_the_splits_are_disjoint_and_of_the_sizes_that_the_authors_code_has():
    assert {split: len(names) for split, names in SPLITS.items()} == {
        "train": 1100,
        "validation": 100,
        "test": 423,
    }
    assert (
        len(EVERY) == len(set(EVERY)) == 1623 and len({name.split("/")[0] for name in EVERY}) == 50
    )
    assert all(archive.split_classes("omniglot", split) == names for split, names in SPLITS.items())


def test_the_splits_follow_from_the_rule():
    shuffled = EVERY.copy()
    random.Random(1).shuffle(shuffled)
    assert SPLITS == {
        "train": sorted(shuffled[:1100]),
        "validation": sorted(shuffled[1100:1200]),
        "test": sorted(shuffled[1200:]),
    }


def test_the_official_place_and_hashes():
    assert all(len(known) == 64 and int(known, 16) for known in module.KNOWN.values())
    assert URL == "https://github.com/brendenlake/omniglot/raw/master/python/" and ZIPS == (
        "images_background.zip",
        "images_evaluation.zip",
    )


@real("omniglot")
def test_the_real_omniglot_is_1623_characters_of_50_alphabets_drawn_20_times():
    with archive.opened(REAL / "omniglot", ".png") as files:
        characters = module._characters(files)
        assert sorted(characters) == EVERY, "nothing is missing and nothing is more"
        assert {len(drawings) for drawings in characters.values()} == {20}
        counts = [
            len({n.split("/")[0] for n in characters if f"{part}/" in characters[n][0][0]})
            for part in ("images_background", "images_evaluation")
        ]
    assert counts == [30, 20]


@real("omniglot")
def test_real_drawings_are_ink_on_nothing_and_smooth():
    images = module._decode(REAL / "omniglot", SPLITS["test"][:5], archive.quiet)
    assert images.shape == (5, 20, 1, 28, 28) and images.dtype == torch.uint8
    assert 0.03 < images.float().mean() / 255 < 0.2, "ink is bright and there is little of it"
    assert (images[..., 0, :] == 0).float().mean() > 0.8, "paper is 0"
    assert images.amax((-1, -2)).min() > 180 and 20 < len(images[0, 0].unique()), (
        "shades of grey, not the nearest pixel's black or white"
    )
    with archive.opened(REAL / "omniglot", ".png") as files:
        name, read = module._characters(files)[SPLITS["test"][3]][7]
        original = torch.from_numpy(
            numpy.array(pictures.picture(read(), name, 105).convert("L"))
        ).view(1, 1, 105, 105)
    area = torch.nn.functional.interpolate(255.0 - original, (28, 28), mode="area")[0]
    assert (images[3, 7] - area).abs().mean() < 8, "the same drawing, the same way up"


def drawings(splits=SMALL, mode="1", size=ORIGINAL, kind="PNG"):
    """{zip: {entry: bytes}} of a whole little Omniglot; Alpha is in the first zip, Beta in the
    second."""
    files = {name: {} for name in ZIPS}
    for i, name in enumerate(sorted(n for names in splits.values() for n in names)):
        zip_name = ZIPS[name.startswith("Beta")]
        for j in range(DRAWINGS):
            files[zip_name][f"{zip_name[:-4]}/{name}/{i:04}_{j + 1:02}.png"] = image(
                size, size, mode, kind, seed=100 * i + j
            )
    return files


WHOLE = drawings()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with both zips, to be damaged."""
    elsewhere(monkeypatch, tmp_path, "omniglot", SMALL)
    monkeypatch.setattr(module, "URL", "http://127.0.0.1:9/")
    for name, files in WHOLE.items():
        zipped(tmp_path / "copy" / name, files)
    return tmp_path / "copy"


def rewritten(place, change):
    """Writes both zips again, their files changed by change({entry: bytes}) in place."""
    for name, files in WHOLE.items():
        files = dict(files)
        change(files)
        zipped(place / name, files)


def test_zips_folders_and_a_mix_hold_the_same_images(place):
    images = load("train", root=place)
    assert (
        images.shape == (2, 20, 1, 28, 28)
        and len({row.numpy().tobytes() for row in images.view(40, -1)}) == 40
    )
    folder = unpacked(
        place.parent / "folder", {k: v for files in WHOLE.values() for k, v in files.items()}
    )
    assert torch.equal(load("train", root=folder), images)
    (place / ZIPS[0]).unlink()
    unpacked(place, WHOLE[ZIPS[0]])
    assert torch.equal(load("train", root=place), images)
    for name, files in WHOLE.items():
        zipped(folder / name, files)
    assert torch.equal(load("train", root=folder), images), "what is there twice counts once"


def test_each_split_has_its_own_classes(place):
    train, validation, test = (load(split, root=place) for split in SMALL)
    assert [len(t) for t in (train, validation, test)] == [2, 1, 1]
    assert (
        len({row.numpy().tobytes() for row in torch.cat([train, validation, test]).flatten(0, 1)})
        == 80
    )


def test_ink_is_255():
    """A black bar from column 40 to 64 of 105: columns 10.7 to 17.3 of 28, its edges softened."""
    from PIL import Image

    paper, file = Image.new("1", (105, 105), 1), io.BytesIO()
    paper.paste(0, (40, 0, 65, 105))
    paper.save(file, "PNG")
    pixels = numpy.asarray(module._pixels(file.getvalue(), "x"))
    assert pixels.shape == (1, 28, 28)
    pixels = pixels[0]
    assert pixels[:, :8].max() == 0 and pixels[:, 13:15].min() > 250 and pixels[:, 20:].max() == 0
    assert 0 < pixels[0, 10] < 255 and 0 < pixels[0, 17] < 255, "antialiased"


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda files: files.pop(next(iter(files))),
            "is not a whole Omniglot: 2 of 4 characters do not have 20 drawings, the first is "
            "Alpha/character01 with 19",
        ),
        (
            lambda files: [files.pop(k) for k in list(files) if "Alpha/character02" in k],
            "1 of 4 characters do not have 20 drawings, the first is Alpha/character02 with 0",
        ),
        (
            lambda files: files.clear(),
            "4 of 4 characters .* images_background.zip and images_evaluation.zip are needed",
        ),
        (
            lambda files: files.update({k: image(104, 105, "1") for k in files if "_07" in k}),
            "Alpha/character01/0000_07.png is 104 x 105 pixels: 105 x 105 is needed",
        ),
        (
            lambda files: files.update({k: b"no image" for k in files if "_07" in k}),
            "Alpha/character01/0000_07.png is not an image that can be read",
        ),
        (
            lambda files: files.update({k: files[k][:60] for k in files if "_07" in k}),
            "Alpha/character01/0000_07.png is not an image that can be read",
        ),
        (
            lambda files: files.update({"../evil.png": b""}),
            "images_background.zip is refused: its entry '../evil.png' points outside",
        ),
    ],
    ids=[
        "drawing missing",
        "character missing",
        "empty",
        "size",
        "no image",
        "truncated image",
        "outside",
    ],
)
def test_a_copy_that_is_not_whole_is_refused_and_nothing_is_kept(place, monkeypatch, change, words):
    rewritten(place, change)
    place.rename(place.parent / "omniglot")
    monkeypatch.setenv("MAMLKIT_DATA", str(place.parent))
    with pytest.raises(ValueError, match=words):
        load("train")
    assert not (archive.CACHE / "decoded").exists() and left_behind(place.parent) == []


def test_a_missing_or_truncated_zip_is_named(place):
    data = (place / ZIPS[1]).read_bytes()
    (place / ZIPS[1]).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="images_evaluation.zip is not a whole zip archive"):
        load("train", root=place)
    (place / ZIPS[1]).unlink()
    with pytest.raises(
        ValueError, match="2 of 4 characters do not have 20 drawings, the first is Beta_"
    ):
        load("train", root=place)


@pytest.fixture
def served(place, monkeypatch):
    """Both zips as a server hands them out, whose hashes are the known ones."""
    zips = {path.name: path.read_bytes() for path in place.iterdir()}
    known = {name: hashlib.sha256(data).hexdigest() for name, data in zips.items()}
    monkeypatch.setattr(module, "KNOWN", known)
    return zips


def test_it_is_downloaded_once_and_then_needs_no_network_no_zips_and_no_pillow(
    place, served, monkeypatch
):
    told = []

    def progress(items, total, label, *, done):
        told.append(label)
        return items

    with server(monkeypatch, served) as (url, asked):
        monkeypatch.setattr(module, "URL", url + "moved/")
        first = load("train", progress=progress)
        assert [a for a in asked if "moved" in a] == [f"/moved/{name}" for name in ZIPS]
        assert told == [
            "downloading images_background.zip (bytes)",
            "downloading images_evaluation.zip (bytes)",
            "decoding Omniglot",
        ]
        assert (
            torch.equal(first, load("train", root=place))
            and len(load("test")) == 1
            and len(asked) == 4
        )
    for path in (archive.CACHE / "omniglot").iterdir():
        path.unlink()
    (archive.CACHE / "omniglot").rmdir()
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert torch.equal(load("train"), first)
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        load("validation")
    with pytest.raises(
        ImportError, match=r"without Pillow: pip install 'mamlkit\[images\]', or bring .*decoded"
    ):
        load("validation", root=place)


@pytest.mark.parametrize(
    "how, why",
    [
        ("short", "bytes read"),
        ("stalled", "nothing came for 0.3 s"),
        ("absent", "404"),
        ("page", "what came has the SHA-256"),
    ],
)
def test_a_download_that_fails_names_the_url_and_the_way_out(place, served, monkeypatch, how, why):
    monkeypatch.setattr(archive, "TIMEOUT", 0.3)
    with server(monkeypatch, served) as (url, _):
        monkeypatch.setattr(module, "URL", f"{url}{how}/")
        with pytest.raises(
            ConnectionError,
            match=rf"{url}{how}/images_background.zip could not be downloaded \(.*{why}.*\): "
            "download the file in a browser and put it into .*cache/omniglot, or set MAMLKIT_DATA "
            "to the folder that holds omniglot/",
        ):
            load("train")
    assert [path for path in archive.CACHE.rglob("*") if path.is_file()] == []


def test_sixteen_bits_of_grey_are_the_same_drawing():
    from PIL import Image

    grey = numpy.random.default_rng(0).integers(0, 256, (105, 105), dtype=numpy.uint8)
    files = [io.BytesIO(), io.BytesIO()]
    Image.fromarray(grey).save(files[0], "PNG")
    Image.fromarray(grey.astype(numpy.uint16) * 257).save(files[1], "PNG")
    shallow, deep = (module._pixels(file.getvalue(), "x") for file in files)
    assert numpy.array_equal(shallow, deep) and len(numpy.unique(deep)) > 50


def test_a_task_turns_its_characters(place):
    images = load("train", root=place)
    family = omniglot(images, way=2, shots=1, queries=3)
    assert set(family.noise(seeded(0), 30).turns.flatten().tolist()) == {0, 1, 2, 3}
    tasks = sample(family, seeded(0), 3)
    assert tasks.support.x.shape == (3, 2, 1, 28, 28) and tasks.query.x.shape == (3, 6, 1, 28, 28)

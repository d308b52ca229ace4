"""MiniImagenet: Ravi & Larochelle's split, the shapes that readers' copies come in, and what is
said of partial ones."""

import csv
import io
import json
import sys
import zipfile

import pytest
import torch

from mamlkit.families import archive, pictures
from mamlkit.families import mini_imagenet as module
from mamlkit.families.mini_imagenet import load, mini_imagenet
from mamlkit.files import ROOT
from mamlkit.machine import seeded
from mamlkit.task import sample
from tests.archives import REAL, elsewhere, image, left_behind, real, unpacked, zipped

SPLITS = json.loads((ROOT / "data" / "splits" / "miniimagenet.json").read_text())["splits"]
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
SMALL = {"train": ["n01", "n02"], "validation": ["n03"], "test": ["n04"]}
PHOTOS = 3


def test_the_splits_are_disjoint_and_64_16_20():
    assert {split: len(names) for split, names in SPLITS.items()} == {
        "train": 64,
        "validation": 16,
        "test": 20,
    }
    assert len({name for names in SPLITS.values() for name in names}) == 100


@pytest.fixture(scope="module")
def originals():
    """The names of all real photographs."""
    with archive.opened(REAL / "miniimagenet", ".jpg") as files:
        return [name.split("/")[-3:] for name in files]


@real("miniimagenet")
@pytest.mark.parametrize("split", FOLDERS)
def test_the_lists_and_the_images_are_ravi_and_larochelles(split, originals):
    folder = FOLDERS[split]
    with open(REAL / "miniimagenet" / f"{folder}.csv") as file:
        rows = [(row["label"], row["filename"]) for row in csv.DictReader(file)]
    assert sorted({label for label, _ in rows}) == SPLITS[split] and len(rows) == len(
        set(rows)
    ) == 600 * len(SPLITS[split])
    assert sorted((label, name) for where, label, name in originals if where == folder) == sorted(
        rows
    )


@real("miniimagenet")
def test_a_real_photograph_is_84_x_84_in_colour():
    with archive.opened(REAL / "miniimagenet", ".jpg", ".csv") as files:
        photos = module._photos(files)
        assert {len(found) for found in photos.values()} == {600} and sorted(photos) == sorted(
            name for names in SPLITS.values() for name in names
        )
        images = pictures.decode(
            [photos[name][:4] for name in SPLITS["test"]], module._pixels, (3, 84, 84), label=""
        )
    mean = images.float().mean((0, 1, 3, 4)) / 255
    assert (
        torch.allclose(mean, torch.tensor([0.47, 0.45, 0.40]), atol=0.08)
        and mean[0] > mean[2] + 0.02
    ), "red before blue"


def photographs(kind="JPEG", width=84):
    """{"train/n01/name.jpg": bytes} of a whole little miniImagenet."""
    return {
        f"{FOLDERS[split]}/{label}/{label}{i:04}.jpg": image(
            width, 84, "RGB", kind, seed=10 * int(label[1:]) + i
        )
        for split, labels in SMALL.items()
        for label in labels
        for i in range(PHOTOS)
    }


WHOLE = photographs()


def listed(files=WHOLE):
    """The same as images/ with three CSVs."""
    flat = {f"images/{name.split('/')[-1]}": data for name, data in files.items()}
    for folder in FOLDERS.values():
        rows = [
            f"{name.split('/')[2]},{name.split('/')[1]}\n"
            for name in files
            if name.startswith(folder)
        ]
        flat[f"{folder}.csv"] = ("filename,label\n" + "".join(rows)).encode()
    return flat


@pytest.fixture
def folder(tmp_path, monkeypatch):
    elsewhere(monkeypatch, tmp_path, "miniimagenet", SMALL)
    monkeypatch.setattr(module, "PHOTOS", PHOTOS)
    return tmp_path


def in_zips(folder):
    for where in FOLDERS.values():
        zipped(
            folder / f"{where}.zip",
            {name: data for name, data in WHOLE.items() if name.startswith(where)},
        )


def in_halves(folder):
    for i in (0, 1):
        zipped(
            folder / f"train_{i + 1}of2.zip",
            {name: data for name, data in WHOLE.items() if name.startswith(f"train/n0{i + 1}")},
        )


LAYOUTS = {
    "folders": lambda folder: unpacked(folder, WHOLE),
    "zips": in_zips,
    "half zips": in_halves,
    "one zip": lambda folder: zipped(
        folder / "all.zip", {f"mini/{name}": data for name, data in WHOLE.items()}
    ),
    "images and lists": lambda folder: unpacked(folder, listed()),
    "images and lists in a zip": lambda folder: zipped(folder / "all.zip", listed()),
    "zipped images beside lists": lambda folder: (
        zipped(
            folder / "images.zip", {k.split("/")[-1]: v for k, v in listed().items() if ".jpg" in k}
        ),
        unpacked(folder, {k: v for k, v in listed().items() if ".csv" in k}),
    ),
    "folders and lists": lambda folder: unpacked(
        folder, WHOLE | {k: v for k, v in listed().items() if ".csv" in k}
    ),
    "twice": lambda folder: (unpacked(folder, WHOLE | listed()), in_zips(folder)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_shape_of_a_copy_gives_the_same_images(folder, layout):
    LAYOUTS[layout](folder / "copy")
    images = load("train", root=folder / "copy")
    assert images.shape == (2, PHOTOS, 3, 84, 84) and images.dtype == torch.uint8
    for c, label in enumerate(SMALL["train"]):
        for i in range(PHOTOS):
            assert torch.equal(
                images[c, i],
                torch.from_numpy(
                    module._pixels(WHOLE[f"train/{label}/{label}{i:04}.jpg"], "").copy()
                ),
            )
    if layout != "half zips":
        assert (
            len(load("validation", root=folder / "copy"))
            == len(load("test", root=folder / "copy"))
            == 1
        )


def test_a_zip_can_be_named_itself(folder):
    LAYOUTS["one zip"](folder / "copy")
    assert len(load("train", root=folder / "copy" / "all.zip")) == 2


def test_channels_are_red_green_blue(folder):
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (84, 84), (200, 100, 50)).save(file, "PNG")
    assert module._pixels(file.getvalue(), "x")[:, 3, 5].tolist() == [200, 100, 50]
    file = io.BytesIO()
    Image.new("L", (84, 84), 70).save(file, "PNG")
    assert module._pixels(file.getvalue(), "x")[:, 3, 5].tolist() == [70, 70, 70], (
        "a grey photograph"
    )


def test_without_a_copy_it_says_what_to_put_where(folder):
    with pytest.raises(
        FileNotFoundError,
        match=r"miniImagenet's validation split is not here, and ImageNet's terms do not let us "
        r"download it: put val/WNID/\*\.jpg .*into .*cache/miniimagenet, or set MAMLKIT_DATA to "
        r"the folder that holds miniimagenet/",
    ):
        load("validation")
    (folder / "empty").mkdir()
    with pytest.raises(
        FileNotFoundError,
        match=r"empty holds no photographs of it: miniImagenet's test split is not here",
    ):
        load("test", root=folder / "empty")


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda files: [files.pop(k) for k in list(files) if "n02" in k],
            "is a partial copy: 1 of the 2 classes of the train split are missing: n02$",
        ),
        (
            lambda files: files.pop("train/n02/n020001.jpg"),
            "is a partial copy: class n02 of the train split has 2 images, 3 are needed",
        ),
        (
            lambda files: files.update({"train/n02/n02more.jpg": b""}),
            "class n02 of the train split has 4 images, 3 are needed",
        ),
        (
            lambda files: files.update({"train/n02/n020001.jpg": image(84, 60, "RGB", "JPEG")}),
            r"n02/n020001\.jpg is 84 x 60 pixels: 84 x 84 is needed",
        ),
        (
            lambda files: files.update({"train/n02/n020001.jpg": b"no image"}),
            r"n02/n020001\.jpg is not an image that can be read",
        ),
        (
            lambda files: files.update(
                {"train/n02/n020001.jpg": files["train/n02/n020001.jpg"][:900]}
            ),
            r"n02/n020001\.jpg is not an image that can be read",
        ),
        (
            lambda files: files.update({"/etc/n020001.jpg": b""}),
            "all.zip is refused: its entry '/etc/n020001.jpg' points outside",
        ),
    ],
    ids=[
        "class missing",
        "image missing",
        "image too many",
        "size",
        "no image",
        "truncated",
        "outside",
    ],
)
def test_a_partial_or_damaged_copy_is_refused_and_nothing_is_kept(
    folder, monkeypatch, change, words
):
    files = dict(WHOLE)
    change(files)
    zipped(folder / "miniimagenet" / "all.zip", files)
    monkeypatch.setenv("MAMLKIT_DATA", str(folder))
    with pytest.raises(ValueError, match=words):
        load("train")
    assert not (folder / "cache").exists() and left_behind(folder) == []
    if "outside" not in words:
        assert len(load("test")) == 1, "the other splits are whole"


def test_lists_that_are_no_lists_are_refused(folder):
    unpacked(folder / "copy", listed() | {"train.csv": b"a,b\n1,2\n"})
    with pytest.raises(
        ValueError,
        match=r"train\.csv is not a list of images: its first line must be filename,label",
    ):
        load("train", root=folder / "copy")
    (folder / "copy" / "train.csv").unlink()
    with pytest.raises(
        FileNotFoundError, match="holds no photographs of it: miniImagenet's train split"
    ):
        load("train", root=folder / "copy")


def test_stray_lists_and_backslashes_do_no_harm(folder):
    stray = {"notes.csv": b"x;y\n", "log/train.csv": b"step,loss\n1,2\n"}
    unpacked(folder / "copy", WHOLE | stray)
    images = load("train", root=folder / "copy")
    unpacked(folder / "other", listed() | {"notes.csv": b"\xff\x00", "images/more.csv": b"a"})
    assert torch.equal(load("train", root=folder / "other"), images)
    with zipfile.ZipFile(folder / "w.zip", "w") as file:
        for name, data in WHOLE.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name.replace("/", "\\")
            file.writestr(entry, data)
    assert torch.equal(load("train", root=folder / "w.zip"), images)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_in_the_encodings_of_spreadsheets(folder, encoding):
    lists = {
        name: data.decode().encode(encoding) if name.endswith(".csv") else data
        for name, data in listed().items()
    }
    assert len(load("train", root=unpacked(folder / "copy", lists))) == 2


@pytest.mark.parametrize(
    "content, words",
    [
        ("filename,label\né.jpg,n01\n".encode("latin-1"), "is not UTF-8: save it as UTF-8"),
        (b"filename,label\nn010000.jpg\n", "is not a list of images"),
        (b"filename,label\nn010000.jpg,\n", "is not a list of images"),
        (b"", "is not a list of images"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"filename,label\nn040000.jpg,n01\n", "says that n040000.jpg is a n0."),
    ],
    ids=["latin-1", "short line", "no label", "empty", "half a letter", "contradiction"],
)
def test_lists_that_cannot_be_read_are_named(folder, content, words):
    unpacked(folder / "copy", listed() | {"train.csv": content})
    with pytest.raises(ValueError, match=rf"(train|test)\.csv {words}") as refusal:
        load("test", root=folder / "copy")
    assert type(refusal.value) is ValueError


def test_what_was_decoded_needs_neither_the_copy_nor_pillow(folder, monkeypatch):
    LAYOUTS["zips"](archive.CACHE / "miniimagenet")
    first = load("train")
    for path in (archive.CACHE / "miniimagenet").iterdir():
        path.unlink()
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert torch.equal(load("train"), first)


def test_a_task_keeps_its_photographs_upright(folder):
    unpacked(folder / "copy", WHOLE)
    images = load("train", root=folder / "copy")
    tasks = sample(mini_imagenet(images, way=2, shots=1, queries=2), seeded(0), 4)
    assert tasks.support.x.shape == (4, 2, 3, 84, 84) and tasks.query.x.shape == (4, 4, 3, 84, 84)
    known = {row.numpy().tobytes() for row in images.flatten(0, 1)}
    assert all(
        (255 * x).round().to(torch.uint8).numpy().tobytes() in known
        for x in tasks.query.x.flatten(0, 1)
    )

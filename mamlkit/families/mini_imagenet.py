"""MiniImagenet: the photographs of section 5.2, 600 of each of 100 classes (Ravi & Larochelle
2017)."""

from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from mamlkit.families import archive, pictures
from mamlkit.families.few_shot import few_shot
from mamlkit.task import Family

PHOTOS, SIZE = 600, 84
LISTS = ("train.csv", "val.csv", "test.csv")


def load(
    split: str,
    *,
    root: Path | str | None = None,
    device: torch.device | str = "cpu",
    progress=archive.quiet,
) -> Tensor:
    """The photographs of one split, uint8 (classes, 600, 3, 84, 84), channels red, green, blue.

    split: "train", "validation" or "test", 64, 16 and 20 classes (data/splits/miniimagenet.json,
    Ravi & Larochelle's lists; the paper's text says 64, 12 and 24: claim C044). The train split
    takes 813 MB. root: a copy of your own, else MAMLKIT_DATA/miniimagenet, else
    data/cache/miniimagenet. It holds SPLIT/WNID/*.jpg, or images/*.jpg with train.csv, val.csv and
    test.csv, or zips of either. It is never downloaded: ImageNet's terms do not allow it. progress:
    shows how far it is (`mamlkit.show.literate.progress`).
    Raises FileNotFoundError that says what to put where if there is no copy, and ValueError naming
    what is missing in a partial one, or the file that is not whole or not 84 x 84. Source: section
    5.2.
    """

    def read(place, classes):
        if place is None:
            raise FileNotFoundError(_needed(split))
        return _decode(place, split, classes, progress)

    return archive.load(
        "miniimagenet", split, (PHOTOS, 3, SIZE, SIZE), read, root=root, device=device
    )


def mini_imagenet(images: Tensor, *, way: int, shots: int, queries: int) -> Family:
    """Few-shot tasks on a split's photographs, upright: see `few_shot`."""
    return few_shot(images, way=way, shots=shots, queries=queries)


def _needed(split):
    folder = "val" if split == "validation" else split
    return (
        f"miniImagenet's {split} split is not here, and ImageNet's terms do not let us download "
        f"it: put {folder}/WNID/*.jpg ({SIZE} x {SIZE}, {PHOTOS} of a class), or images/ with "
        f"{', '.join(LISTS)}, or a zip of either, into {archive.CACHE / 'miniimagenet'}, or set "
        "MAMLKIT_DATA to the folder that holds miniimagenet/"
    )


def _decode(place, split, classes, progress):
    with archive.opened(place, ".jpg", ".jpeg", ".csv") as files:
        photos = _photos(files)
        missing = [name for name in classes if name not in photos]
        if len(missing) == len(classes):
            raise FileNotFoundError(f"{place} holds no photographs of it: {_needed(split)}")
        if missing:
            raise ValueError(
                f"{place} is a partial copy: {len(missing)} of the {len(classes)} classes of the "
                f"{split} split are missing: {', '.join(missing)}"
            )
        for name in classes:
            if len(photos[name]) != PHOTOS:
                raise ValueError(
                    f"{place} is a partial copy: class {name} of the {split} split has "
                    f"{len(photos[name])} images, {PHOTOS} are needed"
                )
        groups = [photos[name] for name in classes]
        return pictures.decode(
            groups,
            _pixels,
            (3, SIZE, SIZE),
            label=f"decoding miniImagenet, {split}",
            progress=progress,
        )


def _photos(files):
    """{WNID: [(file name, reader), ...]}, by folder, and by the lists for what lies in images/; a
    file that is there twice counts once, and so does a list."""
    images = {name: name.split("/") for name in files if not name.lower().endswith(".csv")}
    labels = {}
    if any(parts[-2:-1] == ["images"] for parts in images.values()):
        for name in files:
            if name.split("/")[-1] in LISTS:
                for file, label in archive.listed(files[name](), name):
                    if labels.setdefault(file, label) != label:
                        raise ValueError(
                            f"{name} says that {file} is a {label}, and another list that it is a "
                            f"{labels[file]}"
                        )
    photos = defaultdict(dict)
    for name, parts in images.items():
        *_, folder, file = ["", *parts]
        photos[labels.get(file, folder) if folder == "images" else folder][file] = (
            name,
            files[name],
        )
    return {label: [found[file] for file in sorted(found)] for label, found in photos.items()}


def _pixels(data, name):
    import numpy

    return numpy.asarray(pictures.picture(data, name, SIZE).convert("RGB")).transpose(2, 0, 1)

"""Omniglot: the characters of section 5.2, 20 drawings of each of 1,623 (Lake, Salakhutdinov &
Tenenbaum 2015)."""

from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from mamlkit.families import archive
from mamlkit.families.few_shot import few_shot
from mamlkit.task import Family

URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
ZIPS = ("images_background.zip", "images_evaluation.zip")
DRAWINGS, ORIGINAL, SIZE = 20, 105, 28


def load(
    split: str,
    *,
    root: Path | str | None = None,
    device: torch.device | str = "cpu",
    progress=archive.quiet,
) -> Tensor:
    """The drawings of one split, uint8 (classes, 20, 1, 28, 28): ink is 255, paper 0.

    split: "train", "validation" or "test", 1100, 100 and 423 characters irrespective of alphabet,
    listed in data/splits/omniglot.json by the authors' rule (shuffle with seed 1, then cut),
    applied to sorted names: theirs were in the order of the file system, so their own split is not
    known.
    root: the two official zips, or what they unpack to. Without it they are looked for in
    MAMLKIT_DATA/omniglot and data/cache/omniglot, and downloaded to the latter. progress: shows how
    far it is (`mamlkit.show.literate.progress`).

    The files hold black ink on white, 105 x 105, 1 bit. The authors' code inverts them as well (1 -
    image). It resizes the 1-bit images with Pillow, which then takes the nearest pixel although
    LANCZOS is asked for; here grey values are made first, so LANCZOS it is. Raises ValueError for a
    copy that is not complete or not whole, naming the file, and ConnectionError if the download
    fails. Source: section 5.2; claims C043, C045.
    """

    def read(place, classes):
        official = archive.CACHE / "omniglot"
        if place is None or place == official.resolve():
            _download(place := official, progress)
        return _decode(place, classes, progress)

    return archive.load(
        "omniglot", split, (DRAWINGS, 1, SIZE, SIZE), read, root=root, device=device
    )


def omniglot(images: Tensor, *, way: int, shots: int, queries: int) -> Family:
    """Few-shot tasks on a split's characters, each turned by a random multiple of 90 degrees: see
    `few_shot`."""
    return few_shot(images, way=way, shots=shots, queries=queries, rotate=True)


def _download(place, progress):
    for name in ZIPS:
        if not (place / name).exists() and not (place / name.removesuffix(".zip")).is_dir():
            archive.download(
                URL + name,
                place / name,
                check=_whole,
                timeout=archive.TIMEOUT,
                progress=progress,
                instead=f"download the file in a browser and put it into {place}, or set MAMLKIT_DATA to the "
                f"folder that holds omniglot/{name}",
            )


def _whole(path):
    """Raises ValueError unless every entry of the zip can be read and every character in it has all
    its drawings."""
    with archive.opened(path, ".png") as files:
        for read in files.values():
            read()
        lacking = {
            name: n
            for name, n in {name: len(found) for name, found in _characters(files).items()}.items()
            if n != DRAWINGS
        }
    if lacking or not files:
        raise ValueError(
            f"what came has no drawings, or not {DRAWINGS} of {', '.join(lacking) or 'any character'}"
        )


def _characters(files):
    """{"Alphabet/character01": [(file name, reader), ...]}, drawings in order; a file that is there
    twice counts once."""
    found = {"/".join(name.split("/")[-3:]): (name, read) for name, read in files.items()}
    characters = defaultdict(list)
    for name in sorted(found):
        characters[name.rpartition("/")[0]].append(found[name])
    return characters


def _decode(place, classes, progress):
    every = [
        name
        for split in ("train", "validation", "test")
        for name in archive.split_classes("omniglot", split)
    ]
    with archive.opened(place, ".png") as files:
        characters = _characters(files)
        wrong = [name for name in sorted(every) if len(characters[name]) != DRAWINGS]
        if wrong:
            raise ValueError(
                f"{place} is not a whole Omniglot: {len(wrong):,} of {len(every):,} characters do not have {DRAWINGS} "
                f"drawings, the first is {wrong[0]} with {len(characters[wrong[0]])}; {' and '.join(ZIPS)} are needed"
            )
        groups = [characters[name] for name in classes]
        return archive.decode(
            groups, _pixels, (1, SIZE, SIZE), label="decoding Omniglot", progress=progress
        )


def _pixels(data, name):
    image = archive.picture(data, name, ORIGINAL)
    from PIL import Image, ImageChops

    return ImageChops.invert(image.convert("L").resize((SIZE, SIZE), Image.Resampling.LANCZOS))

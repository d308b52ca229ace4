"""Omniglot: the characters of section 5.2, 20 drawings of each of 1,623 (Lake, Salakhutdinov &
Tenenbaum 2015)."""

from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from mamlkit.families import archive, pictures
from mamlkit.families.few_shot import few_shot
from mamlkit.task import Family

URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
# The SHA-256 of the official archives, of 9,464,212 and 6,462,886 bytes (tensorflow/datasets,
# url_checksums/omniglot.txt).
KNOWN = {
    "images_background.zip": "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
    "images_evaluation.zip": "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
}
ZIPS = tuple(KNOWN)
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
                sha256=KNOWN[name],
                timeout=archive.TIMEOUT,
                progress=progress,
                instead=f"download the file in a browser and put it into {place}, or set "
                f"MAMLKIT_DATA to the folder that holds omniglot/{name}",
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
                f"{place} is not a whole Omniglot: {len(wrong):,} of {len(every):,} characters do "
                f"not have {DRAWINGS} drawings, the first is {wrong[0]} with "
                f"{len(characters[wrong[0]])}; {' and '.join(ZIPS)} are needed"
            )
        groups = [characters[name] for name in classes]
        return pictures.decode(
            groups, _pixels, (1, SIZE, SIZE), label="decoding Omniglot", progress=progress
        )


def _pixels(data, name):
    image = pictures.picture(data, name, ORIGINAL).convert("L")
    import numpy
    from PIL import Image

    return 255 - numpy.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS))[None]

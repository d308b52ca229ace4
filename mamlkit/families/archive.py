"""Labelled images on disk: read from folders and zips, decoded once, downloaded whole or not at
all."""

import csv
import hashlib
import json
import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mamlkit import files
from mamlkit.boundary import said
from mamlkit.files import ROOT, SHIPPED
from mamlkit.machine import choose_device

CACHE = ROOT / "data" / "cache"
SPLITS = SHIPPED / "splits"
TIMEOUT = 20.0  # seconds that a server may be silent
LIMIT = 16 * 2**20  # bytes of one file: an image or a list of images is far smaller

Reader = Callable[[], bytes]


def quiet(
    items: Iterable[int], total: int, label: str, *, done: Callable[[int], int]
) -> Iterable[int]:
    """Shows nothing. Where a loader takes `progress`, hand it `mamlkit.show.literate.progress`,
    which shows a bar."""
    return items


def split_classes(name: str, split: str) -> list[str]:
    """The class names of one split, from data/splits/NAME.json. Raises ValueError for a split that
    it does not have, and for a file that is damaged."""
    if not isinstance(split, str):
        raise ValueError(f"split is {said(split)}: it must be a word")
    path = SPLITS / f"{name}.json"
    splits = files.read_json(path).get("splits")
    if not isinstance(splits, dict) or not all(map(_names, splits.values())):
        raise ValueError(f'{path} is damaged: it has no "splits" with a list of names for each')
    if split not in splits:
        raise ValueError(f'split "{split}" is unknown; {name} has {", ".join(splits)}')
    return splits[split]


def _names(value):
    return isinstance(value, list) and value and all(isinstance(name, str) for name in value)


def load(
    name: str,
    split: str,
    shape: tuple[int, ...],
    read: Callable[[Path | None, list[str]], Tensor],
    *,
    root: Path | str | None,
    device: torch.device | str,
) -> Tensor:
    """The images of one split, uint8 (classes, *shape), classes in the order of
    data/splits/NAME.json.

    They are looked for in `root`, else in the folder NAME of MAMLKIT_DATA, else in data/cache/NAME,
    and decoded by `read(place or None, class names)`. Without `root`, what was decoded is kept in
    data/cache/decoded with its own digest and that of the files it was made from, and read from
    there the next time, also on a machine that has nothing else: neither Pillow nor the original
    files. Where a digest differs, the images are decoded anew. Raises FileNotFoundError for a
    `root` that is not here, and ValueError for a MAMLKIT_DATA or a device of that kind.
    """
    device = choose_device(str(device))
    classes = split_classes(name, split)
    if root is not None:
        root = files.at_home(root)
        if not files.present(root):
            raise FileNotFoundError(
                f"{files.shown(root)} is not here: root must be a folder or a zip with the images "
                f"of {name}"
            )
        return read(root, classes).to(device)
    place, decoded = _find(name), CACHE / "decoded" / f"{name}-{split}.safetensors"
    source = place and identity(place)
    images = _recall(decoded, source, classes, (len(classes), *shape))
    if images is None:
        images = read(place, classes)
        now = _find(name)
        now = now and identity(now)
        if source in (None, now):  # else the files changed meanwhile: decoded anew the next time
            _remember(decoded, now, classes, images)
    return images.to(device)


def _find(name):
    """The folder of a data set, None if it is not here."""
    places = [CACHE / name]
    if given := os.environ.get("MAMLKIT_DATA"):
        places.insert(0, _data(given) / name)
    return next((place.resolve() for place in places if place.exists()), None)


def _data(given):
    """MAMLKIT_DATA as a folder. Raises ValueError if it is none, or holds no data set."""
    known = " or ".join(f"{path.stem}/" for path in sorted(SPLITS.glob("*.json")))
    folder = files.at_home(given)
    if not folder.is_dir():
        raise ValueError(f"MAMLKIT_DATA is {given}, which is no folder: it must hold {known}")
    if not any((folder / path.stem).exists() for path in SPLITS.glob("*.json")):
        raise ValueError(f"MAMLKIT_DATA is {given}, which does not hold {known}")
    return folder


def identity(place: Path) -> str | None:
    """What tells one copy of a data set from another, as hex digits: the bytes of zips, and name,
    size and times of other files. None for a folder without files."""
    digest, found = hashlib.sha256(), False
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file():
            about = path.stat()
            known = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            if path == place or path.suffix.lower() == ".zip":
                with path.open("rb") as file:
                    known = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(repr((path.relative_to(place).as_posix(), known)).encode())
            found = True
    return digest.hexdigest() if found else None


def _recall(path, source, classes, shape) -> Tensor | None:
    """What was decoded before, if it is whole, of these classes, and from these files or there are
    no others to read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about, images = file.metadata() or {}, file.get_slice("images")
            if "digest" not in about:  # made by an older version
                return None
            if json.loads(about["classes"]) != classes or source not in (None, about["source"]):
                return None
            if tuple(images.get_shape()) == shape and images.get_dtype() == "U8":
                images = file.get_tensor("images")
                if _digest(images) == about["digest"]:
                    return images
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        pass
    warnings.warn(f"{path} is damaged: it is made anew", stacklevel=4)
    return None


def _digest(images: Tensor) -> str:
    return hashlib.sha256(images.numpy().data).hexdigest()


def _remember(path, source, classes, images):
    about = {"classes": json.dumps(classes), "source": str(source), "digest": _digest(images)}
    try:
        files.write(path, lambda fresh: save_file({"images": images}, fresh, about))
    except (OSError, SafetensorError) as error:  # a full disk: the images are there all the same
        warnings.warn(
            f"{path} cannot be kept ({error}): the images are decoded anew the next time",
            stacklevel=4,
        )


@contextmanager
def opened(place: Path, *suffixes: str) -> Iterator[dict[str, Reader]]:
    """The files of a folder or of a zip that end so: name -> a function that reads it. Nothing is
    unpacked.

    The zips in a folder count as folders. Raises ValueError naming the zip if it is not whole, and
    naming the entry if one points outside, is there twice or is larger than `LIMIT`; reading raises
    it for an entry that is damaged.
    """
    found = {}
    with ExitStack() as stack:
        below = sorted(place.rglob("*")) if place.is_dir() else []
        for path in below:
            name = path.relative_to(place).as_posix()
            if _wanted(name, suffixes) and path.is_file():
                _limited(path, path.stat().st_size)
                found[name] = path.read_bytes
        for path in [p for p in below if _is_zip(p, place)] if place.is_dir() else [place]:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
            except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
                raise ValueError(
                    f"{path} is not a whole zip archive ({error}): get it anew"
                ) from None
            inside = set()
            for entry in archive.infolist():
                name = entry.filename.replace("\\", "/")  # as some tools on Windows write it
                if name in inside:
                    raise ValueError(
                        f"{path} is refused: it has two entries {said(name)}, and only one can be "
                        "right"
                    )
                inside.add(name)
                if _points_outside(name, entry):
                    raise ValueError(
                        f"{path} is refused: its entry {entry.filename!r} points outside the "
                        "archive"
                    )
                if _wanted(name, suffixes):
                    _limited(f"{path}/{name}", entry.file_size)
                    found[f"{path.stem}/{name}"] = _reader(path, archive, entry)
        yield found


def _wanted(name, suffixes):
    file = name.split("/")[-1]
    return file.lower().endswith(suffixes) and "__MACOSX" not in name and not file.startswith(".")


def _is_zip(path, place):
    return path.parent == place and _wanted(path.name, ".zip") and path.is_file()


def _limited(name, size):
    if size > LIMIT:
        raise ValueError(
            f"{name} is refused: it has {size:,} bytes, and a file of a data set at most {LIMIT:,}"
        )


def _points_outside(name, entry):
    parts = name.split("/")
    return (
        ".." in parts
        or parts[0] == ""
        or ":" in parts[0]
        or stat.S_ISLNK(entry.external_attr >> 16)
    )


def _reader(path, archive, entry):
    def read():
        try:
            return archive.read(entry)
        # BadZipFile, zlib.error, EOFError, RuntimeError (encrypted), NotImplementedError ...
        except Exception as error:
            raise ValueError(
                f"{path} is damaged: its entry {entry.filename} cannot be read ({error}); "
                "get it anew"
            ) from None

    return read


def listed(data: bytes, name: str) -> list[tuple[str, str]]:
    """The (file, label) of each line of a list of images. Raises ValueError naming it for another
    file."""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8: save it as UTF-8") from None
    try:
        rows = [(row["filename"], row["label"]) for row in csv.DictReader(text.splitlines())]
    except (csv.Error, KeyError):
        rows = []
    if not rows or not all(file and label for file, label in rows):
        raise ValueError(
            f"{name} is not a list of images: its first line must be filename,label and a line "
            "must stand for each image"
        )
    return rows


def download(
    url: str, path: Path, *, sha256: str, instead: str, timeout: float, progress=quiet
) -> None:
    """Downloads `url` to `path`: the whole file whose SHA-256 is known, or nothing.

    instead: what the reader can do when the download fails. timeout: seconds that the server may be
    silent. Raises ConnectionError naming the URL, the reason and `instead`.
    """
    try:
        from pooch import HTTPDownloader, file_hash
    except ImportError:
        raise ImportError(
            f"nothing can be downloaded without pooch (pip install 'mamlkit[images]'): {instead}"
        ) from None

    def fetch(fresh):
        bar = _Bar(progress, f"downloading {path.name} (bytes)")
        # pooch takes any object with tqdm's functions, and annotates a bool
        HTTPDownloader(bar, 1 << 16, timeout=timeout)(  # pyright: ignore[reportArgumentType]
            url, str(fresh), None
        )
        if (came := file_hash(str(fresh))) != sha256:
            raise ValueError(f"what came has the SHA-256 {came}, not {sha256}")

    try:
        files.write(path, fetch)
    except (OSError, ValueError) as error:
        reason = f"nothing came for {timeout:g} s" if "timed out" in str(error) else str(error)
        raise ConnectionError(f"{url} could not be downloaded ({reason}): {instead}") from None


class _Bar:
    """Tells `progress`, which goes over items, what pooch tells its progress bar."""

    def __init__(self, progress, label):
        self.progress, self.label = progress, label
        self.total, self.now, self.told, self.shown = 0, 0, 0, None

    def update(self, count):
        self.now = min(self.now + count, self.total)
        if self.shown is None:
            self.shown = iter(self.progress(self._counts(), self.total, self.label, done=int))
        if self.now > self.told:
            self.told = self.now
            next(self.shown, None)

    def reset(self):
        self.now = 0

    def close(self):
        for _ in self.shown or ():
            pass

    def _counts(self):
        told = -1
        while told < self.total:
            told = self.told
            yield told

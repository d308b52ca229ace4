"""Labelled images on disk: read from folders and zips, decoded once, downloaded whole or not at
all."""

import json
import os
import stat
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mamlkit.machine import ROOT

CACHE = ROOT / "data" / "cache"
SPLITS = ROOT / "data" / "splits"
TIMEOUT = 20.0  # seconds that a server may be silent

Reader = Callable[[], bytes]


def quiet(
    items: Iterable[int], total: int, label: str, *, done: Callable[[int], int]
) -> Iterable[int]:
    """Shows nothing. Where a loader takes `progress`, hand it `mamlkit.show.literate.progress`,
    which shows a bar."""
    return items


def split_classes(name: str, split: str) -> list[str]:
    """The class names of one split, from data/splits/NAME.json. Raises ValueError for a split that
    it does not have."""
    splits = json.loads((SPLITS / f"{name}.json").read_text())["splits"]
    if split not in splits:
        raise ValueError(f'split "{split}" is unknown; {name} has {", ".join(splits)}')
    return splits[split]


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
    data/cache/decoded and read from there the next time, also on a machine that has nothing else:
    neither Pillow nor the original files.
    """
    classes = split_classes(name, split)
    if root is not None:
        if not Path(root).exists():
            raise FileNotFoundError(
                f"{root} is not here: root must be a folder or a zip with the images of {name}"
            )
        return read(Path(root), classes).to(device)
    place, decoded = _find(name), CACHE / "decoded" / f"{name}-{split}.safetensors"
    images = _recall(decoded, place, classes, (len(classes), *shape))
    if images is None:
        images = read(place, classes)
        _remember(decoded, place or _find(name), classes, images)
    return images.to(device)


def _find(name):
    places = [Path(os.environ["MAMLKIT_DATA"]) / name] if os.environ.get("MAMLKIT_DATA") else []
    return next((place.resolve() for place in (*places, CACHE / name) if place.exists()), None)


def _recall(path, place, classes, shape) -> Tensor | None:
    """What was decoded before, if it is whole, of these classes, and from this place or there is no
    other to read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about, images = file.metadata(), file.get_slice("images")
            if json.loads(about["classes"]) != classes or (place and about["place"] != str(place)):
                return None
            if tuple(images.get_shape()) == shape and images.get_dtype() == "U8":
                return file.get_tensor("images")
    except (SafetensorError, KeyError, TypeError, ValueError):
        pass
    warnings.warn(f"{path} is damaged: it is made anew", stacklevel=4)
    return None


def _remember(path, place, classes, images):
    fresh = _fresh(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(
                {"images": images}, fresh, {"classes": json.dumps(classes), "place": str(place)}
            )
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:  # a full disk: the images are there all the same
        warnings.warn(
            f"{path} cannot be kept ({error}): the images are decoded anew the next time",
            stacklevel=4,
        )


def _fresh(path):
    return path.with_name(f"{path.name}.{os.getpid()}.new")


@contextmanager
def opened(place: Path, *suffixes: str) -> Iterator[dict[str, Reader]]:
    """The files of a folder or of a zip that end so: name -> a function that reads it. Nothing is
    unpacked.

    The zips in a folder count as folders. Raises ValueError naming the zip if it is not whole, and
    naming the entry if one points outside; reading raises it for an entry that is damaged.
    """

    def wanted(name):
        return (
            name.lower().endswith(suffixes)
            and "__MACOSX" not in name
            and not name.split("/")[-1].startswith(".")
        )

    found = {}
    with ExitStack() as stack:
        if place.is_dir():
            found |= {
                path.relative_to(place).as_posix(): path.read_bytes
                for path in sorted(place.rglob("*"))
                if wanted(path.relative_to(place).as_posix()) and path.is_file()
            }
        for path in sorted(place.glob("*.zip")) if place.is_dir() else [place]:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
            except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
                raise ValueError(
                    f"{path} is not a whole zip archive ({error}): get it anew"
                ) from None
            for entry in archive.infolist():
                if _points_outside(entry):
                    raise ValueError(
                        f"{path} is refused: its entry {entry.filename!r} points outside the archive"
                    )
                if wanted(entry.filename):
                    found[f"{path.stem}/{entry.filename}"] = _reader(path, archive, entry)
        yield found


def _points_outside(entry):
    parts = entry.filename.replace("\\", "/").split("/")
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
                f"{path} is damaged: its entry {entry.filename} cannot be read ({error}); get it anew"
            ) from None

    return read


def picture(data: bytes, name: str, size: int):
    """The Pillow image in `data`, whole, and `size` pixels wide and high. Raises ValueError naming
    it otherwise."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "images cannot be decoded without Pillow: install it, or bring data/cache/decoded from a machine that "
            "has it"
        ) from None
    try:
        image = Image.open(BytesIO(data))
        fits = image.size == (size, size)
        if fits:
            image.load()
    except Exception as error:  # Pillow's decoders raise almost anything on damaged bytes
        raise ValueError(
            f"{name} is not an image that can be read ({type(error).__name__})"
        ) from None
    if not fits:
        raise ValueError(
            f"{name} is {image.width} x {image.height} pixels: {size} x {size} is needed"
        )
    return image


def decode(
    groups: list[list[tuple[str, Reader]]],
    pixels: Callable[[bytes, str], object],
    shape: tuple[int, ...],
    *,
    label: str,
    progress=quiet,
) -> Tensor:
    """uint8 (classes, examples, *shape): every file of every group through `pixels(bytes, name)`,
    an array of `shape`."""
    images = torch.empty(len(groups), len(groups[0]), *shape, dtype=torch.uint8)
    into = images.numpy()

    def counts():
        for i, group in enumerate(groups):
            for j, (name, read) in enumerate(group):
                into[i, j] = pixels(read(), name)
            yield (i + 1) * len(group)

    deque(progress(counts(), images[:, :, 0, 0, 0].numel(), label, done=int), maxlen=0)
    return images


def download(
    url: str,
    path: Path,
    *,
    check: Callable[[Path], object],
    instead: str,
    timeout: float,
    progress=quiet,
) -> None:
    """Downloads `url` to `path`: the whole file, approved by `check(file)`, or nothing.

    check: raises ValueError if what came is not what was asked for. instead: what the reader can do
    when the download fails. timeout: seconds that the server may be silent. Raises ConnectionError
    naming the URL, the reason and `instead`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _fresh(path)
    try:
        with urlopen(url, timeout=timeout) as response, open(fresh, "wb") as file:
            total = int(response.headers.get("Content-Length") or 0)

            def counts():
                while block := response.read1(1 << 16):
                    file.write(block)
                    yield file.tell()

            deque(progress(counts(), total, f"downloading {path.name} (bytes)", done=int), maxlen=0)
            if file.tell() < total:
                raise ValueError(f"{file.tell():,} of {total:,} bytes came")
        check(fresh)
        fresh.replace(path)
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error).replace(str(fresh), "what came") or type(error).__name__
        reason = f"nothing came for {timeout:g} s" if "timed out" in reason else reason
        raise ConnectionError(f"{url} could not be downloaded ({reason}): {instead}") from None
    finally:
        fresh.unlink(missing_ok=True)

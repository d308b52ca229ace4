"""Images of your own as few-shot tasks: a folder or a zip, any sizes, grey or colour, classes of
unequal numbers."""

import pickle
from collections import defaultdict
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlkit.boundary import finite, said, whole
from mamlkit.families import archive, pictures
from mamlkit.families.few_shot import few_shot
from mamlkit.files import at_home, present, shown
from mamlkit.machine import choose_device, seeded
from mamlkit.task import Family

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
PICKLES = (".pkl", ".pickle")
Groups = dict[str, list[tuple[str, Callable[[], Any]]]]  # class: (name, reads bytes or an array)


class Images(NamedTuple):
    """Labelled images. pixels: uint8 (classes, most, channels, size, size), `most` being the number
    of the largest class; smaller ones are filled up with zeros, which are never drawn. counts:
    (classes,), how many images each class has. names: of the classes, in that order."""

    pixels: Tensor
    counts: Tensor
    names: tuple[str, ...]


def load(
    root: Path | str,
    split: str | None = None,
    *,
    size: int = 84,
    channels: int = 3,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress=archive.quiet,
) -> Images:
    """The images of one split of a folder or zip, or of all of it.

    root: holds CLASS/*.png (or .jpg, .gif, .webp, ...). split: by folder, SPLIT/CLASS/*.png; by a
    list SPLIT.csv, whose first line is filename,label; or by `fractions`, e.g. {"train": 0.6,
    "test": 0.4}, in an order that `seed` decides: shares of the classes, each of which is in one
    split with all its images, as test tasks are of unseen classes. Without a split all classes are
    loaded. The usual pickle caches of miniImagenet, *SPLIT.pkl, are read as well, by an unpickler
    that makes arrays and refuses all else. size: pixels, width and height, 4096 at most; of another
    image the middle square is taken and resized. channels: 1 grey, 3 red, green, blue. progress:
    shows how far it is (`mamlkit.show.literate.progress`).

    Raises FileNotFoundError for a `root` that is not here, and ValueError naming what is wrong: a
    split that is not there, a file that is no image, a list that names another file, a pickle
    that holds more than arrays.

    >>> import tempfile
    >>> from PIL import Image
    >>> place = Path(tempfile.mkdtemp())
    >>> for kind, count in ("cat", 3), ("dog", 2):
    ...     (place / kind).mkdir()
    ...     for i in range(count):
    ...         Image.new("RGB", (40 + i, 30)).save(place / kind / f"{i}.png")
    >>> images = load(place, size=32)
    >>> images.pixels.shape, images.counts.tolist(), images.names
    (torch.Size([2, 3, 3, 32, 32]), [3, 2], ('cat', 'dog'))
    >>> family = folder(images, way=2, shots=1, queries=1)
    """
    whole("size", size, 1, 4096)
    if isinstance(channels, bool) or not (isinstance(channels, Integral) and channels in (1, 3)):
        raise ValueError(
            f"channels is {said(channels)}: it must be 1, grey, or 3, red, green and blue"
        )
    if not (split is None or isinstance(split, str) and split):
        raise ValueError(f"split is {said(split)}: it must be a word, or None for all classes")
    if not (fractions is None or isinstance(fractions, Mapping) and fractions):
        raise ValueError(
            f"fractions is {said(fractions)}: it must name the share of each split, e.g. "
            '{"train": 0.6, "test": 0.4}'
        )
    if not callable(progress):
        raise ValueError(
            f"progress is {said(progress)}: it must be a function, as "
            "mamlkit.show.literate.progress is"
        )
    place = at_home(root)
    if not present(place):
        raise FileNotFoundError(
            f"{shown(place)} is not here: root must be a folder or a zip with images"
        )
    if fractions is not None and split not in fractions:
        raise ValueError(f"split is {said(split)}: fractions has {', '.join(map(str, fractions))}")
    whole_split = None if fractions is not None else split
    if cache := _cache(place, whole_split):
        groups = _chosen(_pickled(cache), split, fractions, seed)
        return _decoded(groups, size, channels, choose_device(str(device)), progress)
    with archive.opened(place, *SUFFIXES, ".csv") as files:
        groups = _chosen(_classes(files, place, whole_split), split, fractions, seed)
        return _decoded(groups, size, channels, choose_device(str(device)), progress)


def folder(images: Images, *, way: int, shots: int, queries: int, rotate: bool = False) -> Family:
    """Few-shot tasks on them, see `few_shot`. Raises ValueError naming a class that has too few."""
    if not isinstance(images, Images):
        raise ValueError(
            f"images is {said(images)}: it must be Images, which mamlkit.families.folder.load(path)"
            " reads from a folder or a zip"
        )
    least = int(images.counts.argmin())
    if isinstance(shots, int) and isinstance(queries, int):
        if (have := int(images.counts[least])) < shots + queries:
            raise ValueError(
                f"the class {images.names[least]} has {have} images, and {shots} shots and "
                f"{queries} queries need {shots + queries}: ask for fewer, or take the class away"
            )
    numbers = dict(way=way, shots=shots, queries=queries)
    return few_shot(images.pixels, **numbers, rotate=rotate, counts=images.counts)


# Which images there are


def _called(split: str) -> tuple[str, ...]:
    """What a split is called on disks."""
    return (split, "val") if split == "validation" else (split,)


def _classes(files: dict[str, archive.Reader], place: Path, split: str | None) -> Groups:
    """Every image by its class: the folder that it lies in, below the split's."""
    images = {name: read for name, read in files.items() if not name.lower().endswith(".csv")}
    if split is not None and (listed := _list(files, split)):
        return _labelled(images, *listed)
    groups = defaultdict(list)
    for name in sorted(images):
        above = name.split("/")[:-1]
        if place.is_file():
            above = above[1:]  # the zip's own name
        if split is not None:
            named = [i for i, part in enumerate(above) if part in _called(split)]
            if not named:
                continue
            above = above[named[0] + 1 :]
        if above:
            groups["/".join(above)].append((name, images[name]))
    if not groups:
        where = shown(place) if split is None else f"{shown(place)} as split {said(split)}"
        below = "CLASS" if split is None else shown(f"{split}/CLASS")
        raise ValueError(
            f"there are no images in {where}: they are looked for as {below}/*{SUFFIXES[0]} "
            f"({', '.join(SUFFIXES[1:])})"
            + ("" if split is None else f", by a list {shown(split)}.csv, or by fractions=...")
        )
    return groups


def _list(files, split):
    """The list of a split, (its name, its lines), if there is one."""
    for name in files:
        if name.split("/")[-1].lower() in [f"{called}.csv" for called in _called(split)]:
            return name, archive.listed(files[name](), name)
    return None


def _labelled(images, name, lines) -> Groups:
    """The images that a list names, by its labels: by path, or by file name where that is one."""
    by_file = defaultdict(list)
    for path in images:
        parts = path.split("/")
        for i in range(len(parts)):
            by_file["/".join(parts[i:])].append(path)
    groups, labels = defaultdict(list), {}
    for file, label in lines:
        found = [file] if file in images else by_file[file]
        if len(found) != 1:
            raise ValueError(
                f"{name} names {file}, which is there {len(found)} times: once is right"
            )
        if found[0] in labels:
            raise ValueError(
                f"{name} names {file} twice, as {labels[found[0]]} and as {label}: once is right"
            )
        labels[found[0]] = label
        groups[label].append((found[0], images[found[0]]))
    return groups


def _chosen(groups: Groups, split, fractions, seed) -> Groups:
    """The classes of a split by fractions, or all, in the order of their names."""
    names = sorted(groups)
    if fractions is not None:
        shares = list(fractions.values())
        if not all(finite(s) and s > 0 for s in shares) or sum(shares) > 1 + 1e-9:
            raise ValueError(
                f"the fractions are {dict(fractions)}: they are shares of the classes, above 0, "
                "and at most 1 together"
            )
        before = list(fractions).index(split)
        first, end = (round(sum(shares[:n]) * len(names)) for n in (before, before + 1))
        order = torch.randperm(len(names), generator=seeded(seed)).tolist()
        names = sorted(names[i] for i in order[first:end])
        if not names:
            raise ValueError(
                f'split "{split}" is empty: {fractions[split]:g} of {_number(groups)} is less than '
                "one class, and fractions share out whole classes, not the images of a class"
            )
    return {name: groups[name] for name in names}


def _number(groups: Groups) -> str:
    return f"{len(groups)} class{'es' * (len(groups) != 1)}"


# Their pixels


def _decoded(groups: Groups, size, channels, device, progress) -> Images:
    counts = [len(group) for group in groups.values()]
    pixels = torch.zeros(len(groups), max(counts), channels, size, size, dtype=torch.uint8)
    into, total = pixels.numpy(), sum(counts)

    def places():
        done = 0
        for i, group in enumerate(groups.values()):
            for j, (name, read) in enumerate(group):
                into[i, j] = _pixels(read(), name, size, channels)
            yield (done := done + len(group))

    for _ in progress(places(), total, "decoding images", done=int):
        pass
    return Images(pixels.to(device), torch.tensor(counts, device=device), tuple(groups))


def _pixels(data, name, size, channels):
    """uint8 (channels, size, size) of an image file's bytes, or of an array (height, width, 3)."""
    import numpy

    if isinstance(data, numpy.ndarray):
        if channels == 3 and data.shape[:2] == (size, size):
            return data.transpose(2, 0, 1)
        image = pictures.from_array(data)
    else:
        image = pictures.upright(pictures.picture(data, name))
    array = numpy.asarray(pictures.square(image.convert("L" if channels == 1 else "RGB"), size))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


# The pickle caches of miniImagenet


def _cache(place: Path, split: str | None) -> Path | None:
    """The pickle at `place`, or the one in it whose name ends as a split's does."""
    if place.is_file():
        return place if place.suffix.lower() in PICKLES else None
    if split is None:
        return None
    fitting = [
        path
        for path in sorted(place.iterdir())
        if path.suffix.lower() in PICKLES and path.is_file() and path.stem.endswith(_called(split))
    ]
    return fitting[0] if fitting else None


class _Arrays(pickle.Unpickler):
    """Makes numpy arrays, dicts, lists, texts and numbers, and nothing else: an ordinary unpickler
    runs whatever code a file names."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy

        def latin(data):
            return data.encode("latin1") if isinstance(data, str) else data

        allowed = {
            "numpy.ndarray": numpy.ndarray,
            "numpy.dtype": numpy.dtype,
            "numpy.core.multiarray._reconstruct": lambda _, shape, dtype: numpy.ndarray(
                (0,), dtype
            ),
            "numpy.core.multiarray.scalar": lambda dtype, data: numpy.frombuffer(
                latin(data), dtype
            )[0],
            "numpy.core.numeric._frombuffer": lambda data, dtype, shape, order: numpy.frombuffer(
                data, dtype
            ).reshape(shape, order=order),
            "_codecs.encode": lambda text, _: latin(text),  # Python 3's bytes, for Python 2
        }
        asked = f"{module.replace('numpy._core', 'numpy.core')}.{name}"
        if asked not in allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only arrays are read")
        return allowed[asked]


def _pickled(path: Path) -> Groups:
    """What a cache holds: "image_data" (images, height, width, 3) and "class_dict", the indices of
    each class; or "data" and "labels", one for each image."""
    import numpy

    try:
        with path.open("rb") as file:
            found = _Arrays(file, encoding="latin1").load()
    except Exception as error:  # damaged bytes raise almost anything
        raise ValueError(f"{path} is refused: {error or type(error).__name__}") from None
    keys = {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}
    images, classes = keys.get("image_data", keys.get("data")), keys.get("class_dict")
    if isinstance(labels := keys.get("labels"), list | numpy.ndarray) and classes is None:
        classes = defaultdict(list)
        for i, label in enumerate(labels):
            classes[label].append(i)
    if not (
        isinstance(images, numpy.ndarray)
        and isinstance(classes, dict)
        and classes
        and images.dtype == numpy.uint8
        and images.shape[3:] == (3,)
    ):
        raise ValueError(
            f'{path} holds no images: "image_data", uint8 (images, height, width, 3), and '
            '"class_dict" are needed, or "data" and "labels"'
        )

    def one(name, i):
        if isinstance(i, bool) or not hasattr(i, "__index__") or not 0 <= i < len(images):
            raise ValueError(f"{path}: the class {name} has an image {i!r}, of {len(images)}")
        return f"{path.name}[{i}]", lambda: images[i]

    return {
        str(name): [one(name, i) for i in numpy.asarray(numbers).ravel()]
        for name, numbers in classes.items()
        if len(numbers)
    }

"""Image files as pixels: every bit depth and colour mode is read right, or refused by name."""

from collections import deque
from collections.abc import Callable
from io import BytesIO

import torch
from torch import Tensor

from mamlkit.families.archive import CACHE, Reader, quiet

GREY, COLOUR, DEEP = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "CMYK"), ("I;16", "I;16B")


def picture(data: bytes, name: str, size: int | None = None):
    """The Pillow image in `data`, whole, with 8 bits a channel; `size` pixels wide and high, if
    that is given.

    16-bit grey values are scaled to 0..255. Raises ValueError naming the file if it is no image,
    of another size, transparent anywhere, a film, or of a mode whose range is not known.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "images cannot be decoded without Pillow: pip install 'mamlkit[images]', or bring "
            f"{CACHE / 'decoded'} from a machine that has it"
        ) from None
    try:
        image = Image.open(BytesIO(data))
        fits = size is None or image.size == (size, size)
        if fits:
            Image.open(BytesIO(data)).verify()  # the check sums, which `load` does not all ask
            image.load()
    except Exception as error:  # Pillow's decoders raise almost anything on damaged bytes
        raise ValueError(
            f"{name} is not an image that can be read ({type(error).__name__})"
        ) from None
    if not fits:
        raise ValueError(
            f"{name} is {image.width} x {image.height} pixels: {size} x {size} is needed"
        )
    return _eight_bits(image, name)


def _eight_bits(image, name):
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise ValueError(f"{name} holds {image.n_frames} pictures: one is needed")
    if image.mode not in GREY + COLOUR + DEEP:
        raise ValueError(
            f'{name} has pixels of mode "{image.mode}": grey of up to 16 bits, or colours of '
            "8 bits, are needed"
        )
    if image.has_transparency_data and (
        image.mode in DEEP or image.convert("RGBA").getchannel("A").getextrema()[0] < 255
    ):
        raise ValueError(f"{name} is transparent in places: save it without transparency")
    if image.mode not in DEEP:
        return image
    import numpy
    from PIL import Image

    grey = (numpy.asarray(image).astype(numpy.uint32) + 128) // 257  # 65535 is 255
    return Image.fromarray(grey.astype(numpy.uint8))


def upright(image):
    """The image as a camera held it: its Exif says by how many quarter turns."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def square(image, size: int):
    """The middle square of an image, resized to `size` pixels a side (LANCZOS)."""
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    middle = image.crop((left, top, left + side, top + side))
    return middle.resize((size, size), Image.Resampling.LANCZOS)


def from_array(array):
    """The image whose pixels are uint8 (height, width, 3)."""
    from PIL import Image

    return Image.fromarray(array)


def decode(
    groups: list[list[tuple[str, Reader]]],
    pixels: Callable[[bytes, str], object],
    shape: tuple[int, ...],
    *,
    label: str,
    progress=quiet,
) -> Tensor:
    """uint8 (classes, examples, *shape): every file of every group through `pixels(bytes, name)`.

    pixels: returns a uint8 array of `shape`. Raises ValueError if there is nothing to decode, if
    the classes have different numbers of images, or for an array of another kind.
    """
    import numpy

    if not groups or not groups[0]:
        raise ValueError(f"{label}: there are no images")
    for group in groups:
        if len(group) != len(groups[0]):
            first = group[0][0] if group else "nothing"
            raise ValueError(
                f"{label}: the class of {first} has {len(group)} images and that of "
                f"{groups[0][0][0]} has {len(groups[0])}: every class needs as many"
            )
    images = torch.empty(len(groups), len(groups[0]), *shape, dtype=torch.uint8)
    into = images.numpy()

    def counts():
        for i, group in enumerate(groups):
            for j, (name, read) in enumerate(group):
                array = numpy.asarray(pixels(read(), name))
                if array.shape != shape or array.dtype != numpy.uint8:
                    raise ValueError(
                        f"{name} became {array.dtype} of shape {array.shape}: uint8 of shape "
                        f"{shape} is needed"
                    )
                into[i, j] = array
            yield (i + 1) * len(group)

    deque(progress(counts(), len(groups) * len(groups[0]), label, done=int), maxlen=0)
    return images

"""Pictures: every bit depth and colour mode is read right or refused, and arrays fit."""

import io

import numpy
import pytest
import torch
from PIL import Image

from mamlkit.families.pictures import decode, picture
from tests.archives import image

SHADES = numpy.arange(81, dtype=numpy.uint8).reshape(9, 9) * 3


def saved(picture, kind="PNG", **settings):
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def test_a_picture_is_whole_and_of_its_size():
    data = image(9, 9, "L")
    assert picture(data, "x.png", 9).size == (9, 9)
    for bad in (b"", b"no image", data[: len(data) // 2], data[:-30]):
        with pytest.raises(ValueError, match=r"a/x\.png is not an image that can be read"):
            picture(bad, "a/x.png", 9)
    with pytest.raises(ValueError, match=r"a/x\.png is 7 x 9 pixels: 9 x 9 is needed"):
        picture(image(7, 9, "L"), "a/x.png", 9)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_of_grey_are_scaled(order):
    deep = Image.fromarray((SHADES.astype("u2") * 257).astype(order))
    for kind in ("PNG", "TIFF"):
        found = picture(saved(deep, kind), "x", 9)
        assert numpy.array_equal(numpy.asarray(found.convert("L")), SHADES)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_lower_depth_is_read(bits):
    """A palette of greys, saved with so many bits a pixel."""
    few = SHADES % 2**bits if bits < 8 else SHADES
    paletted = Image.fromarray(few, "P")
    step = 255 // (2**bits - 1)
    paletted.putpalette([min(255, step * i) for i in range(2**bits) for _ in range(3)])
    found = picture(saved(paletted, bits=bits), "x", 9).convert("L")
    assert numpy.array_equal(numpy.asarray(found), few * step)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_shows_the_same_shades(mode):
    grey = Image.fromarray(SHADES)
    changed = grey.quantize(256) if mode == "P" else grey.convert("RGB").convert(mode)
    data = saved(changed, "TIFF" if mode == "CMYK" else "PNG")
    expected = grey.convert("1").convert("L") if mode == "1" else grey
    found = numpy.asarray(picture(data, "x", 9).convert("L")).astype(int)
    assert abs(found - numpy.asarray(expected)).max() <= 1


def transparent(mode):
    colour = Image.fromarray(SHADES).convert(mode)
    colour.putpixel((3, 4), (10, 0) if mode == "LA" else (10, 10, 10, 0))
    return saved(colour)


@pytest.mark.parametrize(
    "data, words",
    [
        (transparent("RGBA"), "is transparent in places"),
        (transparent("LA"), "is transparent in places"),
        (saved(Image.fromarray(SHADES), transparency=30), "is transparent in places"),
        (saved(Image.fromarray(SHADES.astype("i4")), "TIFF"), 'has pixels of mode "I"'),
        (saved(Image.fromarray(SHADES.astype("f4")), "TIFF"), 'has pixels of mode "F"'),
        (
            saved(
                Image.fromarray(SHADES), save_all=True, append_images=[Image.fromarray(SHADES + 1)]
            ),
            "holds 2 pictures: one is needed",
        ),
    ],
    ids=["RGBA", "LA", "transparent grey", "whole numbers", "floats", "film"],
)
def test_what_has_no_one_reading_is_refused(data, words):
    with pytest.raises(ValueError, match=f"^a/x.png {words}"):
        picture(data, "a/x.png", 9)


def filled(data, name):
    return numpy.full((1, 4, 5), data[0] + (name != f"{data[0]:02}"), numpy.uint8)


def groups(*lengths):
    return [
        [(f"{i}{j}", lambda i=i, j=j: bytes([10 * i + j])) for j in range(n)]
        for i, n in enumerate(lengths)
    ]


def test_decoded_images_are_where_they_belong_and_progress_is_told():
    told = []

    def progress(items, total, label, *, done):
        for item in items:
            told.append((label, done(item), total))
            yield item

    images = decode(groups(3, 3), filled, (1, 4, 5), label="decoding", progress=progress)
    assert images.shape == (2, 3, 1, 4, 5) and images.dtype == torch.uint8
    assert (
        images[:, :, 0, 3, 4].tolist()
        == images[:, :, 0, 0, 0].tolist()
        == [[0, 1, 2], [10, 11, 12]]
    )
    assert told == [("decoding", 3, 6), ("decoding", 6, 6)]


@pytest.mark.parametrize(
    "lengths, words",
    [
        ((3, 2), "the class of 10 has 2 images and that of 00 has 3: every class needs as many"),
        ((2, 3), "the class of 10 has 3 images and that of 00 has 2"),
        ((2, 0), "the class of nothing has 0 images"),
        ((0, 2), "there are no images"),
        ((), "there are no images"),
    ],
)
def test_classes_of_unequal_length_are_refused(lengths, words):
    with pytest.raises(ValueError, match=f"^toy: {words}"):
        decode(groups(*lengths), filled, (1, 4, 5), label="toy")


@pytest.mark.parametrize(
    "array", [7, numpy.zeros((4, 5), "u1"), numpy.zeros((1, 4, 5), "f4"), numpy.zeros((1, 4, 5))]
)
def test_pixels_of_another_kind_are_never_broadcast_or_cast(array):
    with pytest.raises(ValueError, match=r"^00 became .*: uint8 of shape \(1, 4, 5\) is needed"):
        decode(groups(1), lambda data, name: array, (1, 4, 5), label="toy")

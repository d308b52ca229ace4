"""A folder of one's own images: any sizes, grey or colour, unequal classes, three ways to split."""

import io
import os
import pickle

import numpy
import pytest
import torch
from PIL import Image

from mamlkit.families.few_shot import few_shot
from mamlkit.families.folder import folder, load
from mamlkit.machine import seeded
from mamlkit.task import sample
from tests.archives import image, unpacked, zipped

COUNTS = {"ant": 4, "bee": 7, "cow": 5}
FILES = {
    f"{name}/{i}.png": image(20 + i, 31 - i, mode, seed=100 * k + i)
    for k, ((name, count), mode) in enumerate(zip(COUNTS.items(), ("L", "RGB", "1")))
    for i in range(count)
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", [unpacked, zipped])
def test_every_image_of_every_class_in_one_size(tmp_path, make, channels):
    place = make(tmp_path / "pictures.zip", FILES)
    images = load(place, size=12, channels=channels)
    assert images.names == tuple(COUNTS) and images.counts.tolist() == [*COUNTS.values()]
    assert images.pixels.shape == (3, 7, channels, 12, 12) and images.pixels.dtype == torch.uint8
    assert not images.pixels[0, 4:].any() and images.pixels[1].flatten(1).any(1).all()
    whole = Image.open(io.BytesIO(FILES["bee/2.png"])).convert("L" if channels == 1 else "RGB")
    middle = whole.crop((0, 3, 22, 25)).resize((12, 12), Image.Resampling.LANCZOS)  # of 22 x 29
    expected = torch.as_tensor(numpy.array(middle)).reshape(12, 12, channels).movedim(2, 0)
    assert (images.pixels[1, 2].int() - expected.int()).abs().max() <= 1


def test_a_photo_stands_upright(tmp_path):
    """A camera that was turned says so in Exif."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    half = Image.new("L", (16, 16))
    half.paste(255, (0, 0, 16, 8))  # bright above
    half.save(file, "png", exif=exif)
    (pixels,) = load(unpacked(tmp_path, {"a/1.png": file.getvalue()}), size=16, channels=1).pixels
    assert pixels[0, 0, :, -1].eq(255).all() and pixels[0, 0, :, 0].eq(0).all()  # bright right


def test_tasks_never_show_what_is_not_there(tmp_path):
    """No black filling is ever drawn, and no image stands twice in a task."""
    images = load(unpacked(tmp_path, FILES), size=8, channels=1)
    tasks = sample(folder(images, way=2, shots=1, queries=3), seeded(0), 200)
    assert tasks.support.x.shape == (200, 2, 1, 8, 8) and tasks.query.x.shape == (200, 6, 1, 8, 8)
    x = torch.cat([tasks.support.x, tasks.query.x], 1).flatten(2)
    assert x.any(-1).all()
    assert all(len(task.unique(dim=0)) == 8 for task in x)
    seen = {tuple((255 * picture).byte().tolist()) for picture in x.flatten(0, 1)}
    assert len(seen) == sum(COUNTS.values()), "every image comes up"


def test_equal_counts_make_few_shots_own_tasks(tmp_path):
    pixels = torch.randint(256, (4, 6, 3, 5, 5), dtype=torch.uint8, generator=seeded(1))
    settings = dict(way=3, shots=2, queries=3, rotate=True)
    counted = few_shot(pixels, **settings, counts=torch.full((4,), 6))
    a, b = (sample(f, seeded(2), 9) for f in (few_shot(pixels, **settings), counted))
    assert torch.equal(a.support.x, b.support.x) and torch.equal(a.query.x, b.query.x)


@pytest.mark.parametrize(
    "counts", [torch.tensor([6, 6, 6]), torch.tensor([6, 6, 6, 7]), torch.tensor([6, 6, 6, 4]),
               torch.full((4,), 6.0), [6, 6, 6, 6]],
    ids=["three", "seven", "too few", "floats", "a list"],
)  # fmt: skip
def test_counts_that_the_images_do_not_have_are_refused(counts):
    pixels = torch.zeros(4, 6, 1, 5, 5, dtype=torch.uint8)
    with pytest.raises(ValueError, match="counts must be 4 whole numbers.* from 5 to 6"):
        few_shot(pixels, way=3, shots=2, queries=3, counts=counts)


def test_splits_by_folder(tmp_path):
    place = unpacked(tmp_path, {f"val/{name}": data for name, data in FILES.items()})
    zipped(place / "train.zip", {"big/dog/1.png": image(9, 9, "L"), "cat/1.png": image(9, 9, "L")})
    assert load(place, "validation", size=8).names == tuple(COUNTS)
    assert load(place, "train", size=8).names == ("big/dog", "cat")
    with pytest.raises(ValueError, match='no images in .* as split "test": .* test/CLASS/'):
        load(place, "test", size=8)


def test_splits_by_lists(tmp_path):
    lists = {
        "train.csv": b"filename,label\n0.png,small\nbee/1.png,large\n",
        "val.csv": b"filename,label\nimages/cow/2.png,horned\n",
        "lost.csv": b"filename,label\nnobody.png,x\n",
        "twice.csv": b"filename,label\n2.png,x\n",
    }
    named = {f"images/{k}": v for k, v in FILES.items() if k in ("ant/0.png", "bee/1.png")}
    named |= {f"images/{k}": v for k, v in FILES.items() if k in ("bee/2.png", "cow/2.png")}
    place = unpacked(tmp_path, named | lists)
    found = load(place, "train", size=8)
    assert found.names == ("large", "small") and found.counts.tolist() == [1, 1]
    assert load(place, "validation", size=8).names == ("horned",)
    for split, times in ("lost", 0), ("twice", 2):
        with pytest.raises(ValueError, match=f"names .*png, which is there {times} times"):
            load(place, split, size=8)


@pytest.mark.parametrize("again", [b"images/ant/0.png,small", b"ant/0.png,large"])
def test_an_image_that_a_list_names_twice_is_refused(tmp_path, again):
    """It would stand in support and query, or be of two classes."""
    lines = b"filename,label\nant/0.png,small\n" + again
    files = {"images/ant/0.png": FILES["ant/0.png"], "train.csv": lines}
    with pytest.raises(ValueError, match="names .*0.png twice, as small and as (small|large): "):
        load(unpacked(tmp_path, files), "train", size=8)


@pytest.mark.parametrize("images", ["pictures", 5, None, torch.zeros(2, 3, 1, 8, 8)])
def test_what_is_no_images_is_refused_with_the_function_that_reads_them(images):
    with pytest.raises(ValueError, match=r"^images is .*folder\.load\(path\) reads"):
        folder(images, way=2, shots=1, queries=1)


def test_splits_by_fraction(tmp_path):
    place = unpacked(tmp_path, {f"class{i}/1.png": image(8, 8, "L", seed=i) for i in range(10)})
    shares = {"train": 0.5, "validation": 0.2, "test": 0.3}
    names = [load(place, s, size=8, fractions=shares).names for s in shares]
    assert [len(n) for n in names] == [5, 2, 3] and len(set(sum(names, ()))) == 10
    assert names[0] == load(place, "train", size=8, fractions=shares).names
    assert names[0] != load(place, "train", size=8, fractions=shares, seed=1).names
    refused = {
        'split is "dev": fractions has train, validation, test': ("dev", shares),
        "shares of the classes, above 0, and at most 1 together": ("a", {"a": 0.8, "b": 0.3}),
        'split "b" is empty: 0.01 of 10 classes is less than one class, and fractions share': (
            "b",
            {"a": 0.9, "b": 0.01},
        ),
    }
    for words, (split, fractions) in refused.items():
        with pytest.raises(ValueError, match=words):
            load(place, split, size=8, fractions=fractions)


def test_refusals(tmp_path):
    place = unpacked(tmp_path, FILES)
    with pytest.raises(FileNotFoundError, match="nowhere is not here"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="channels is 2: it must be 1, grey, or 3"):
        load(place, channels=2)
    with pytest.raises(ValueError, match="size is 0: it must be from 1 to 4096"):
        load(place, size=0)
    images = load(place, size=8)
    with pytest.raises(ValueError, match="the class ant has 4 images, and 2 shots and 3 queries"):
        folder(images, way=2, shots=2, queries=3)
    (place / "ant" / "9.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="ant/9.png is not an image that can be read"):
        load(place, size=8)


# The pickle caches of miniImagenet


def cache(**changes):
    pixels = numpy.random.default_rng(0).integers(0, 256, (7, 9, 9, 3), dtype=numpy.uint8)
    classes = {"n02": [4, 5, 6], "n01": [0, 1, 2, 3]}
    return {"image_data": pixels, "class_dict": classes} | changes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_usual_pickle_cache_is_read(tmp_path, protocol):
    told = cache(class_dict={"n02": numpy.array([4, 5, 6]), "n01": [numpy.int64(0), 1, 2, 3]})
    (tmp_path / "mini-imagenet-cache-val.pkl").write_bytes(pickle.dumps(told, protocol))
    found = load(tmp_path, "validation", size=9)
    assert found.names == ("n01", "n02") and found.counts.tolist() == [4, 3]
    expected = torch.as_tensor(told["image_data"]).permute(0, 3, 1, 2)
    assert torch.equal(found.pixels[0], expected[:4])
    assert torch.equal(found.pixels[1, :3], expected[4:])
    grey = load(tmp_path / "mini-imagenet-cache-val.pkl", size=5, channels=1)
    assert grey.pixels.shape == (2, 4, 1, 5, 5)


PYTHON_2 = (  # what pickle.dumps({"image_data": ..., "class_dict": {"n01": [0, 1]}}, 2) is there
    b"\x80\x02}(U\nimage_datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    b"K\x00\x85U\x01b\x87R(K\x01(K\x02K\x01K\x02K\x03tcnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x0c%btb"
    b"U\nclass_dict}U\x03n01]K\x00aK\x01asu." % bytes(range(200, 212))
)


def test_a_cache_of_python_2_is_read(tmp_path):
    """Python 2 wrote bytes as text; an array's own are among them."""
    (tmp_path / "train.pkl").write_bytes(PYTHON_2)
    found = load(tmp_path / "train.pkl", size=1)
    assert found.names == ("n01",) and found.counts.tolist() == [2]
    assert load(tmp_path, "train", size=1, channels=1).pixels.shape == (1, 2, 1, 1, 1)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/mamlkit-was-here",)


@pytest.mark.parametrize(
    "content, words",
    [
        (
            pickle.dumps(cache(extra=Evil())),
            r"it names (posix|nt).system, and only arrays are read",
        ),
        (pickle.dumps(torch.zeros(2)), "it names torch.* and only arrays are read"),
        (pickle.dumps(cache())[:-50], "is refused"),
        (b"", "is refused"),
        (pickle.dumps([1, 2]), "holds no images"),
        (pickle.dumps(cache(image_data=[1])), "holds no images"),
        (pickle.dumps(cache(class_dict={"n01": [7]})), "the class n01 has an image .*7.*, of 7"),
        (pickle.dumps(cache(class_dict={"n01": [-1]})), "the class n01 has an image .*-1.*, of 7"),
        (pickle.dumps(cache(class_dict={"n01": [0.5]})), "the class n01 has an image .*0.5"),
    ],
    ids=["code", "a tensor", "cut", "empty", "a list", "no array", "beyond", "before", "a half"],
)
def test_a_pickle_that_holds_anything_else_is_refused(tmp_path, content, words):
    (tmp_path / "train.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load(tmp_path, "train", size=9)
    assert not os.path.exists("/tmp/mamlkit-was-here")


def test_data_and_labels_are_read_as_well(tmp_path):
    told = {"data": cache()["image_data"], "labels": [3, 3, 8, 8, 8, 3, 3]}
    (tmp_path / "train.pickle").write_bytes(pickle.dumps(told))
    assert load(tmp_path, "train", size=9).counts.tolist() == [4, 3]


@pytest.mark.parametrize(
    "root, settings, words",
    [
        (None, {}, "None is no path: a folder or a file is needed"),
        (3, {}, "3 is no path"),
        ("", {}, '"" is no path'),
        (".", {"size": 10**9}, "size is 1000000000: it must be from 1 to 4096"),
        (".", {"channels": True}, "channels is True: it must be 1"),
    ],
)
def test_what_is_no_place_and_no_picture_is_refused_in_one_sentence(root, settings, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        load(root, **settings)

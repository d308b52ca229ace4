"""Archives: what is damaged or points outside is refused by name, and nothing half-written
stays."""

import stat
import time
import zipfile

import pytest
import torch

from mamlkit.families import archive
from tests.archives import elsewhere, image, left_behind, server, unpacked, zipped

FILES = {"a/one.png": b"1", "a/b/Two.PNG": b"22", "c/three.png": b"333"}


def read(place, *suffixes):
    with archive.opened(place, *(suffixes or (".png",))) as files:
        return {name: get() for name, get in files.items()}


def test_a_folder_a_zip_and_zips_in_a_folder_hold_the_same_files(tmp_path):
    assert read(unpacked(tmp_path / "folder", FILES)) == FILES
    assert read(zipped(tmp_path / "z.zip", FILES)) == {
        f"z/{name}": data for name, data in FILES.items()
    }
    zipped(tmp_path / "folder" / "more.zip", {"d/four.png": b"4444"})
    assert read(tmp_path / "folder") == FILES | {"more/d/four.png": b"4444"}


def test_other_files_and_what_a_mac_adds_are_left_out(tmp_path):
    extra = {"readme.txt": b"", "__MACOSX/a/._one.png": b"", "a/.hidden.png": b"", "list.csv": b"x"}
    for place in (
        zipped(tmp_path / "z.zip", FILES | extra),
        unpacked(tmp_path / "folder", FILES | extra),
    ):
        assert len(read(place)) == 3 and len(read(place, ".png", ".csv")) == 4


@pytest.mark.parametrize("length", [0, 10, -1, -30, 60])
def test_a_truncated_zip_is_refused_by_name(tmp_path, length):
    path = zipped(tmp_path / "z.zip", FILES)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"z\.zip is not a whole zip archive .*: get it anew"):
        read(path)


def test_an_entry_that_is_damaged_is_refused_by_name(tmp_path):
    path = zipped(tmp_path / "z.zip", {"a/one.png": b"0123456789"})
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
    with pytest.raises(
        ValueError, match=r"z\.zip is damaged: its entry a/one\.png cannot be read .*CRC"
    ):
        read(path)


@pytest.mark.parametrize(
    "name",
    [
        "../one.png",
        "a/../../one.png",
        "/etc/one.png",
        "..\\one.png",
        "\\one.png",
        "C:\\one.png",
        "c:/one.png",
        "../notes.txt",
    ],
)
def test_an_entry_that_points_outside_is_refused(tmp_path, name):
    path = zipped(tmp_path / "z.zip", {"fine.png": b"", name: b""})
    with pytest.raises(
        ValueError, match=r"z\.zip is refused: its entry .* points outside the archive"
    ):
        read(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["z.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="its entry 'a/link.png' points outside"):
        read(tmp_path / "z.zip")


def test_names_with_dots_are_fine(tmp_path):
    files = {"a..b/one..png": b"1", "..a/.../c.png": b"2"}
    assert len(read(zipped(tmp_path / "z.zip", files))) == 2


def test_a_picture_is_whole_and_of_its_size():
    data = image(9, 9, "L")
    assert archive.picture(data, "x.png", 9).size == (9, 9)
    for bad in (b"", b"no image", data[: len(data) // 2], data[:-30]):
        with pytest.raises(ValueError, match=r"a/x\.png is not an image that can be read"):
            archive.picture(bad, "a/x.png", 9)
    with pytest.raises(ValueError, match=r"a/x\.png is 7 x 9 pixels: 9 x 9 is needed"):
        archive.picture(image(7, 9, "L"), "a/x.png", 9)


def test_decoded_images_are_where_they_belong_and_progress_is_told():
    told = []

    def progress(items, total, label, *, done):
        for item in items:
            told.append((label, done(item), total))
            yield item

    groups = [
        [(f"{i}{j}", lambda i=i, j=j: bytes([10 * i + j])) for j in range(3)] for i in range(2)
    ]
    images = archive.decode(
        groups,
        lambda data, name: data[0] + (name != f"{data[0]:02}"),
        (1, 4, 5),
        label="decoding",
        progress=progress,
    )
    assert images.shape == (2, 3, 1, 4, 5) and images.dtype == torch.uint8
    assert (
        images[:, :, 0, 3, 4].tolist()
        == images[:, :, 0, 0, 0].tolist()
        == [[0, 1, 2], [10, 11, 12]]
    )
    assert told == [("decoding", 3, 6), ("decoding", 6, 6)]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A data set of two classes; what the loader was asked to read stands in the list."""
    elsewhere(monkeypatch, tmp_path, "toy", {"train": ["a", "b"], "test": ["c"]})
    asked = []

    def load(split="train", root=None, value=7, shape=(3, 1, 4, 5)):
        def reading(place, classes):
            asked.append((place, classes))
            return torch.full((len(classes), *shape), value, dtype=torch.uint8)

        return archive.load("toy", split, shape, reading, root=root, device="cpu")

    return load, asked, tmp_path


def test_where_images_are_looked_for(toy, monkeypatch):
    load, asked, folder = toy
    load("test")
    (folder / "cache" / "toy").mkdir()
    load()
    monkeypatch.setenv("MAMLKIT_DATA", str(folder / "data"))
    (folder / "data" / "toy").mkdir(parents=True)
    load()
    (folder / "own").mkdir()
    load(root=folder / "own")
    assert asked == [
        (None, ["c"]),
        (folder / "cache" / "toy", ["a", "b"]),
        (folder / "data" / "toy", ["a", "b"]),
        (folder / "own", ["a", "b"]),
    ]


def test_what_was_decoded_is_kept_for_its_place_and_for_a_machine_without_any(toy, monkeypatch):
    load, asked, folder = toy
    (folder / "cache" / "toy").mkdir(parents=True)
    first = load(value=7)
    assert torch.equal(load(value=8), first) and len(asked) == 1
    (folder / "cache" / "toy").rename(folder / "gone")
    assert torch.equal(load(value=8), first) and len(asked) == 1, "the decoded file is enough"
    monkeypatch.setenv("MAMLKIT_DATA", str(folder / "data"))
    (folder / "data" / "toy").mkdir(parents=True)
    assert (load(value=9) == 9).all() and len(asked) == 2, "another copy is another"
    assert (
        (load(root=folder / "gone", value=10) == 10).all()
        and (load(value=11) == 9).all()
        and len(asked) == 3
    ), "root is read each time and not kept"
    assert left_behind(folder) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: b"x" * len(data),
        lambda data: data.replace(b"images", b"imagez"),
    ],
    ids=["empty", "short", "garbage", "other name"],
)
def test_a_damaged_decoded_file_is_made_anew(toy, damage):
    load, asked, folder = toy
    first = load()
    path = folder / "cache" / "decoded" / "toy-train.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="toy-train.safetensors is damaged: it is made anew"):
        assert torch.equal(load(), first)
    assert len(asked) == 2 and torch.equal(load(), first) and len(asked) == 2


def test_a_decoded_file_of_other_classes_or_shape_is_not_used(toy):
    load, asked, folder = toy
    load()
    unpacked(folder / "splits", {"toy.json": b'{"splits": {"train": ["a", "x"]}}'})
    load()
    assert len(asked) == 2
    with pytest.warns(UserWarning, match="is damaged"):
        assert load(shape=(3, 1, 5, 4)).shape == (2, 3, 1, 5, 4)


def test_images_that_cannot_be_kept_are_there_all_the_same(toy):
    load, asked, folder = toy
    unpacked(folder / "cache", {"decoded": b"a file where a folder should be"})
    with pytest.warns(UserWarning, match="toy-train.safetensors cannot be kept"):
        assert (load() == 7).all()


def test_unknown_splits_and_roots_are_refused(toy):
    load, _, folder = toy
    with pytest.raises(ValueError, match='split "val" is unknown; toy has train, test'):
        load("val")
    with pytest.raises(
        FileNotFoundError,
        match="nowhere is not here: root must be a folder or a zip with the images of toy",
    ):
        load(root=folder / "nowhere")


DATA = bytes(range(256)) * 1000


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    def accept(path):
        if path.read_bytes() != DATA:
            raise ValueError("what came is no zip")

    with server(monkeypatch, {"z.zip": DATA}) as (url, asked):

        def fetch(how, **settings):
            archive.download(
                f"{url}{how}/z.zip",
                tmp_path / "deep" / "z.zip",
                check=accept,
                instead="set MAMLKIT_DATA",
                timeout=0.4,
                **settings,
            )

        yield fetch, tmp_path / "deep" / "z.zip"


@pytest.mark.parametrize("how", ["whole", "moved"])
def test_a_download_is_the_whole_file(fetch, how):
    told = []

    def progress(items, total, label, *, done):
        for item in items:
            told.append((done(item), total, label))
            yield item

    fetch[0](how, progress=progress)
    assert fetch[1].read_bytes() == DATA and left_behind(fetch[1].parent) == []
    assert told[-1] == (len(DATA), len(DATA), "downloading z.zip (bytes)") and [
        t[0] for t in told
    ] == sorted({t[0] for t in told})


@pytest.mark.parametrize(
    "how, why",
    [
        ("short", "128,000 of 256,000 bytes came"),
        ("stalled", r"nothing came for 0\.4 s"),
        ("silent", r"nothing came for 0\.4 s"),
        ("absent", "HTTP Error 404: Not Found"),
        ("page", "what came is no zip"),
    ],
)
def test_a_download_that_fails_says_what_to_do_and_leaves_nothing(fetch, how, why):
    begin = time.monotonic()
    with pytest.raises(
        ConnectionError,
        match=rf"http://127\.0\.0\.1:\d+/{how}/z\.zip could not be downloaded \({why}\): set MAMLKIT_DATA",
    ):
        fetch[0](how)
    assert time.monotonic() - begin < 10 and list(fetch[1].parent.iterdir()) == []


def test_a_download_that_fails_leaves_the_file_that_was_there(fetch):
    fetch[0]("whole")
    with pytest.raises(ConnectionError):
        fetch[0]("short")
    assert fetch[1].read_bytes() == DATA


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    with server(monkeypatch, {}) as (url, _):
        pass
    with pytest.raises(
        ConnectionError, match=r"z\.zip could not be downloaded \(.*refused.*\): do that"
    ):
        archive.download(
            f"{url}whole/z.zip", tmp_path / "z.zip", check=print, instead="do that", timeout=5
        )
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(fetch):
    def progress(items, total, label, *, done):
        for item in items:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch[0]("whole", progress=progress)
    assert list(fetch[1].parent.iterdir()) == []

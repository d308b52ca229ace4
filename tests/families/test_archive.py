"""Archives: what is damaged or points outside is refused by name, and nothing half-written
stays."""

import hashlib
import os
import stat
import time
import warnings
import zipfile

import pytest
import torch

from mamlkit.families import archive
from tests.archives import elsewhere, left_behind, server, unpacked, zipped

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


def test_backslashes_are_slashes(tmp_path):
    """As some tools on Windows write them."""
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in FILES:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.replace("/", "\\")
            file.writestr(entry, FILES[name])
    assert read(path) == {f"z/{name}": data for name, data in FILES.items()}


def test_what_is_far_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/bomb.png", bytes(3 * 2**20))
    monkeypatch.setattr(archive, "LIMIT", 2**20)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it is read"))
    with pytest.raises(ValueError, match=r"z\.zip/a/bomb\.png is refused: it has 3,145,728 bytes"):
        read(tmp_path / "z.zip")
    unpacked(tmp_path / "folder", {"bomb.png": bytes(2**20 + 1)})
    with pytest.raises(ValueError, match=r"bomb\.png is refused: it has 1,048,577 bytes"):
        read(tmp_path / "folder")


def test_zips_of_any_case_count_and_folders_called_so_do_not(tmp_path):
    zipped(tmp_path / "A.ZIP", FILES)
    unpacked(tmp_path / "folder.zip", {"four.png": b"4"})
    unpacked(tmp_path, {"._A.zip": b"what a Mac adds"})
    assert sorted(read(tmp_path)) == [
        *(f"A/{name}" for name in sorted(FILES)),
        "folder.zip/four.png",
    ]


def test_names_with_dots_are_fine(tmp_path):
    files = {"a..b/one..png": b"1", "..a/.../c.png": b"2"}
    assert len(read(zipped(tmp_path / "z.zip", files))) == 2


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
    unpacked(folder / "data" / "toy", {"one.png": b"1"})
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
    unpacked(folder / "cache" / "toy", {"one.png": b"1"})
    first = load(value=7)
    assert torch.equal(load(value=8), first) and len(asked) == 1
    (folder / "cache" / "toy").rename(folder / "gone")
    assert torch.equal(load(value=8), first) and len(asked) == 1, "the decoded file is enough"
    monkeypatch.setenv("MAMLKIT_DATA", str(folder / "data"))
    unpacked(folder / "data" / "toy", {"one.png": b"2"})
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


def test_every_flipped_byte_of_a_decoded_file_is_noticed(toy):
    load, asked, folder = toy
    first = load()
    path = folder / "cache" / "decoded" / "toy-train.safetensors"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert torch.equal(load(), first), place


def test_other_files_in_the_same_place_are_decoded_anew(toy):
    """A zip by its bytes, also where size and time are the same; a loose file by size and time."""
    load, asked, folder = toy
    place = unpacked(folder / "cache" / "toy", {"a.zip": b"one", "b/one.png": b"1"})
    assert (load(value=1) == 1).all() and (load(value=2) == 1).all()
    before = (place / "a.zip").stat()
    (place / "a.zip").write_bytes(b"two")
    os.utime(place / "a.zip", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (load(value=2) == 2).all() and (load(value=3) == 2).all()
    (place / "b" / "one.png").write_bytes(b"2")
    assert (load(value=3) == 3).all() and len(asked) == 3


def test_files_that_change_while_they_are_decoded_are_decoded_again(toy):
    load, asked, folder = toy
    place = unpacked(folder / "cache" / "toy", {"a.zip": b"one"})

    def reading(_, classes):
        (place / "a.zip").write_bytes(b"two")
        return torch.zeros(len(classes), 3, 1, 4, 5, dtype=torch.uint8)

    archive.load("toy", "train", (3, 1, 4, 5), reading, root=None, device="cpu")
    assert (load(value=5) == 5).all()


def test_a_kill_while_images_are_kept_is_tidied(toy):
    load, asked, folder = toy
    unpacked(folder / "cache" / "decoded", {".toy-train.safetensors.999999999.tmp": b"half"})
    load()
    assert [p.name for p in (folder / "cache" / "decoded").iterdir()] == ["toy-train.safetensors"]


@pytest.mark.parametrize(
    "value, words",
    [
        ("{folder}/nowhere", "nowhere, which is no folder: it must hold toy/"),
        ("~nobody/data", "~nobody/data, which is no folder"),
        ("{folder}/splits/toy.json", r"toy\.json, which is no folder"),
        ("{folder}/splits", "splits, which does not hold toy/"),
    ],
)
def test_a_wrong_MAMLKIT_DATA_is_refused(toy, monkeypatch, value, words):
    load, _, folder = toy
    load()
    monkeypatch.setenv("MAMLKIT_DATA", value.format(folder=folder))
    with pytest.raises(ValueError, match=f"^MAMLKIT_DATA is .*{words}"):
        load()


def test_a_home_is_expanded(toy, monkeypatch):
    load, asked, folder = toy
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("MAMLKIT_DATA", "~/data")
    (folder / "data" / "toy").mkdir(parents=True)
    load()
    load(root="~/data")
    assert [place for place, _ in asked] == [folder / "data" / "toy", folder / "data"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"splits": 3}', b"\xff\xfe", b'{"a": 1}'])
def test_a_damaged_list_of_classes_is_named(toy, content):
    load, _, folder = toy
    unpacked(folder / "splits", {"toy.json": content})
    with pytest.raises(ValueError, match=r"toy\.json is damaged") as refusal:
        load()
    assert type(refusal.value) is ValueError


def test_a_device_that_is_not_here_is_refused_before_anything_is_read(toy):
    _, asked, _ = toy
    with pytest.raises(ValueError, match='device "gpu" is unknown'):
        archive.load("toy", "train", (1,), pytest.fail, root=None, device="gpu")


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
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    with server(monkeypatch, {"z.zip": DATA}) as (url, asked):

        def fetch(how, **settings):
            archive.download(
                f"{url}{how}/z.zip",
                tmp_path / "deep" / "z.zip",
                sha256=SHA256,
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
        ("short", ".*128000 bytes read, 128000 more expected.*"),
        ("stalled", r"nothing came for 0\.4 s"),
        ("silent", r"nothing came for 0\.4 s"),
        ("absent", "404 Client Error: Not Found .*"),
        ("page", f"what came has the SHA-256 [0-9a-f]{{64}}, not {SHA256}"),
    ],
)
def test_a_download_that_fails_says_what_to_do_and_leaves_nothing(fetch, how, why):
    begin = time.monotonic()
    with pytest.raises(
        ConnectionError,
        match=rf"http://127\.0\.0\.1:\d+/{how}/z\.zip could not be downloaded \({why}\): set MAM",
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
            f"{url}whole/z.zip", tmp_path / "z.zip", sha256=SHA256, instead="do that", timeout=5
        )
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(fetch):
    def progress(items, total, label, *, done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch[0]("whole", progress=progress)
    assert list(fetch[1].parent.iterdir()) == []

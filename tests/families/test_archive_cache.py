"""Where images are looked for, and what was decoded before: it is whole and of the same files, or
it is made anew."""

import os
import warnings

import pytest
import torch

from mamlkit.families import archive
from tests.archives import elsewhere, left_behind, unpacked


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

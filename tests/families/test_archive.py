"""Archives: what is damaged or points outside is refused by name, and nothing half-written
stays."""

import hashlib
import stat
import time
import zipfile

import pytest

from mamlkit.families import archive
from tests.archives import left_behind, server, unpacked, zipped

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


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a/1.png", "a/1.png"), ("a/1.png", "a\\1.png")])
def test_two_entries_of_one_name_are_refused(tmp_path, names):
    """One of them would be taken, whichever."""
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        for name in names:
            file.writestr(name, name)
    with pytest.raises(ValueError, match=r'z\.zip is refused: it has two entries "a/1.png", and'):
        read(tmp_path / "z.zip")


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
                timeout=0.4 if how in ("stalled", "silent") else 30.0,
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
    assert time.monotonic() - begin < 25 and list(fetch[1].parent.iterdir()) == []


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


@pytest.mark.parametrize("split", [None, ["train"], 5])
def test_a_split_is_a_word(split):
    with pytest.raises(ValueError, match="^split is .*: it must be a word"):
        archive.split_classes("omniglot", split)

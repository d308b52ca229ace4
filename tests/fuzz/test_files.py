"""Files that had an accident: what was undamaged is given, or one sentence names the file."""

import json
import random
import shutil

import numpy
import pytest
import torch

from mamlkit.audit import claims
from mamlkit.book import notebooks as book
from mamlkit.book import sweep
from mamlkit.families import archive, mini_imagenet, omniglot
from mamlkit.families.pictures import picture
from mamlkit.files import ROOT
from tests.archives import elsewhere, image, unpacked, zipped
from tests.fuzz.rule import answer, count, damaged
from tests.small_notebooks import OTHER, write

SPLITS = {
    "train": ["A/character01", "A/character02"],
    "test": ["B/character01"],
    "validation": ["B/character02"],
}


@pytest.fixture(params=["zips", "folders"])
def letters(request, tmp_path, monkeypatch):
    """A small Omniglot in MAMLKIT_DATA, and one of its files."""
    elsewhere(monkeypatch, tmp_path, "omniglot", SPLITS)
    files = {
        f"{name}/{j:02}.png": image(105, 105, "1", seed=j + 20 * i)
        for i, name in enumerate(n for names in SPLITS.values() for n in names)
        for j in range(20)
    }
    place = tmp_path / "data" / "omniglot"
    if request.param == "zips":
        for letter, zip_name in zip("AB", omniglot.ZIPS):
            some = {k: v for k, v in files.items() if k.startswith(letter)}
            zipped(place / zip_name, {f"{zip_name[:-4]}/{k}": v for k, v in some.items()})
    else:
        unpacked(place, files)
    monkeypatch.setenv("MAMLKIT_DATA", str(tmp_path / "data"))
    return place, next(p for p in sorted(place.rglob("*")) if p.is_file())


def test_damaged_archives_give_the_same_images_or_a_sentence(letters):
    place, path = letters
    rng, whole, right = random.Random(0), path.read_bytes(), omniglot.load("train")
    wrong = []
    for _ in range(count(60)):
        bad = damaged(whole, rng)
        path.write_bytes(bad)
        kind, told = answer(lambda: omniglot.load("train"), path.name, "character", place.name)
        if kind == "failure" or kind == "taken" and not torch.equal(told, right):
            wrong.append((kind, str(told)[:200]))
    assert not wrong, wrong[:3]


def test_damaged_decoded_images_are_made_anew(letters):
    rng, right = random.Random(1), omniglot.load("train")
    path = archive.CACHE / "decoded" / "omniglot-train.safetensors"
    whole = path.read_bytes()
    for _ in range(count(40)):
        path.write_bytes(damaged(whole, rng))
        kind, told = answer(lambda: omniglot.load("train"))
        assert kind == "taken" and torch.equal(told, right), told


def test_damaged_lists_of_classes(letters):
    rng, path = random.Random(2), archive.SPLITS / "omniglot.json"
    whole, wrong = path.read_bytes(), []
    for _ in range(count(60)):
        bad = damaged(whole, rng)
        path.write_bytes(bad)
        kind, told = answer(lambda: archive.split_classes("omniglot", "train"), path.name, "split")
        if kind == "failure" or kind == "taken" and told != json.loads(bad)["splits"]["train"]:
            wrong.append(told)
    assert not wrong, wrong[:3]


def test_damaged_lists_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_imagenet, "PHOTOS", 2)
    elsewhere(monkeypatch, tmp_path, "miniimagenet", {"train": ["n01", "n02"]})
    files = {
        f"images/{c}{i}.jpg": image(84, 84, "RGB", "JPEG") for c in ("n01", "n02") for i in (1, 2)
    }
    rows = "".join(f"{name[7:]},{name[7:10]}\n" for name in files)
    whole = f"filename,label\n{rows}".encode()
    place = unpacked(tmp_path / "copy", files | {"train.csv": whole})
    rng, right = random.Random(3), mini_imagenet.load("train", root=place)
    for _ in range(count(60)):
        (place / "train.csv").write_bytes(damaged(whole, rng))
        kind, told = answer(
            lambda: mini_imagenet.load("train", root=place), "train.csv", "n01", "n02", "copy"
        )
        assert kind == "refused" or kind == "taken" and torch.equal(told, right), told


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_damaged_pictures(mode):
    """PNG carries check sums: no accident changes a pixel silently."""
    rng, whole = random.Random(mode), image(20, 20, mode)
    right = numpy.asarray(picture(whole, "x.png", 20).convert("RGB"))
    for _ in range(count(80)):
        bad = damaged(whole, rng)
        kind, told = answer(lambda: picture(bad, "x.png", 20).convert("RGB"), "x.png")
        same = kind == "taken" and numpy.array_equal(numpy.asarray(told), right)
        assert kind == "refused" or same, (told, bad)


@pytest.fixture
def audit(tmp_path, monkeypatch):
    """The ledger and two records, in a place of their own."""
    (tmp_path / "claims").mkdir()
    shutil.copy(ROOT / "data" / "ledger.json", tmp_path)
    for path in sorted((ROOT / "data" / "claims").glob("*.paper.json"))[:2]:
        shutil.copy(path, tmp_path / "claims")
    monkeypatch.setattr(claims, "BANK", tmp_path)
    return tmp_path


def test_damaged_records_are_never_published(audit):
    """Accidents in free text cannot be told; id, checks and verdict are what they were."""
    rng, path = random.Random(4), next((audit / "claims").iterdir())
    whole = path.read_bytes()
    right = json.loads(whole)
    known, again, wrong = claims.ledger(), claims._again, []
    for _ in range(count(150)):
        path.write_bytes(damaged(whole, rng))
        names = (path.name, "claim")
        kind, told = answer(lambda: claims.believed(path, "paper", known, again), *names)
        if kind == "failure":
            wrong.append(told)
        elif kind == "taken" and any(told[k] != right[k] for k in ("id", "verdict", "checks")):
            same = told["verdict"] == again(known[told["id"]], told)
            wrong += [] if same and told["id"] == right["id"] else [told]
    assert not wrong, wrong[:3]


def test_a_damaged_ledger(audit):
    rng, path = random.Random(5), audit / "ledger.json"
    whole = path.read_bytes()
    ids, wrong = [entry["id"] for entry in json.loads(whole)], []
    for _ in range(count(25)):
        path.write_bytes(damaged(whole, rng))
        kind, told = answer(claims.ledger, "ledger.json")
        if kind == "failure" or kind == "taken" and len(told) != len(ids):
            wrong.append(str(told)[:200])
    assert not wrong, wrong[:3]


def test_damaged_results_of_a_sweep_are_run_again(tmp_path):
    row = {"parameters": {"seed": 0}, "status": "done", "seconds": 1.5, "folder": "abc"}
    row |= {"verdicts": "1 partial", "error": None}
    rng, path = random.Random(6), tmp_path / "result.json"
    for _ in range(count(150)):
        path.write_bytes(damaged(json.dumps(row).encode(), rng))
        kind, told = answer(lambda: sweep._done(path))
        assert kind == "taken" and (told == {} or sweep.table([told])), told


def test_damaged_notebooks_are_never_overwritten_as_if_untouched(tmp_path):
    path = write(tmp_path, _00_a=OTHER) / "00_a.py"
    target = book.publish(path, book.read(path))
    rng, whole = random.Random(7), target.read_bytes()
    cells = book.written(json.loads(whole))
    for _ in range(count(60)):
        target.write_bytes(bad := damaged(whole, rng))
        assert answer(lambda: book.expected_seconds(path, "quick"))[0] == "taken"
        kind, told = answer(lambda: book.untouched(path), "00_a.ipynb")
        assert kind == "refused" or kind == "taken" and book.written(json.loads(bad)) == cells, told

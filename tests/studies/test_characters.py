"""Omniglot where it can be had; glyphs never under its name."""

import pytest
import torch

from mamlkit.families import glyphs, omniglot
from mamlkit.studies.characters import characters

SIZES = {"train": 3, "test": 2}


@pytest.fixture
def offline(monkeypatch):
    def refused(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(omniglot, "load", refused)


def is_invented(drawn):
    return all(
        torch.equal(drawn[split], glyphs.load(size, seed=size)) for split, size in SIZES.items()
    ) and [*drawn] == [*SIZES]


def test_glyphs_are_given_when_asked_for_and_never_looked_for_elsewhere(offline):
    told = []
    name, drawn = characters("glyphs", SIZES, tell=told.append)
    assert name == "glyphs" and is_invented(drawn) and not told


def test_omniglot_is_its_splits_under_its_name(monkeypatch):
    monkeypatch.setattr(omniglot, "load", lambda split, **how: (split, how["device"]))
    for kind in ("auto", "omniglot"):
        assert characters(kind, SIZES, device="meta") == (
            "omniglot",
            {"train": ("train", "meta"), "test": ("test", "meta")},
        )


def test_without_it_glyphs_stand_in_and_the_reader_is_told(offline):
    told = []
    name, drawn = characters("auto", SIZES, tell=told.append)
    assert name == "glyphs" and is_invented(drawn)
    assert (
        len(told) == 1
        and "not here (no network)" in told[0]
        and "says anything about Omniglot" in told[0]
    )


def test_nothing_stands_in_where_omniglot_is_asked_for(offline):
    with pytest.raises(
        FileNotFoundError,
        match="asked for, and nothing stands in for it; it is not here: no network",
    ):
        characters("omniglot", SIZES)


def test_a_copy_that_is_broken_is_no_missing_one(monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("truncated")

    monkeypatch.setattr(omniglot, "load", broken)
    with pytest.raises(ValueError, match="truncated"):
        characters("auto", SIZES)


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match='"runes": it must be auto, omniglot or glyphs'):
        characters("runes", SIZES)


def test_two_splits_of_one_size_are_refused():
    with pytest.raises(
        ValueError, match="'train': 5, 'test': 5}: glyphs are drawn from a seed that is the size"
    ):
        characters("glyphs", {"train": 5, "test": 5})

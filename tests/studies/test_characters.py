"""Omniglot where it can be had; glyphs never under its name."""

import pytest

from mamlkit.families import omniglot
from mamlkit.studies.characters import alphabet
from mamlkit.studies.image_methods import pictures


@pytest.fixture(autouse=True)
def fresh():
    pictures.cache_clear()
    yield
    pictures.cache_clear()


@pytest.fixture
def offline(monkeypatch):
    def refused(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(omniglot, "load", refused)


def test_glyphs_are_given_when_asked_for_and_nothing_is_said(offline):
    told = []
    assert alphabet("glyphs", told.append) == "glyphs" and not told


@pytest.mark.parametrize("kind", ["auto", "omniglot"])
def test_omniglot_is_taken_where_it_is(monkeypatch, kind):
    monkeypatch.setattr(omniglot, "load", lambda split, device: split)
    told = []
    assert alphabet(kind, told.append) == "omniglot" and not told


def test_where_omniglot_cannot_be_had_glyphs_stand_in_and_it_is_said(offline):
    told = []
    assert alphabet("auto", told.append) == "glyphs"
    assert len(told) == 1 and "no network" in told[0] and "invented glyphs" in told[0]


def test_nothing_stands_in_for_omniglot_where_it_is_asked_for(offline):
    with pytest.raises(FileNotFoundError, match="nothing stands in for it.*no network"):
        alphabet("omniglot")


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match='images "mnist" are unknown.*auto, omniglot, glyphs'):
        alphabet("mnist")

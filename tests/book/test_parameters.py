"""Parameters are refused in one sentence that says what is allowed, or come out in their types."""

import pytest

from mamlkit.book.parameters import allowed, check, parameters
from tests.small_notebooks import GOOD, write


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return parameters(write(tmp_path_factory.mktemp("book"), _00_good=GOOD) / "00_good.py")


def test_the_parameters_cell_is_the_interface(known):
    assert {p.name: p.type for p in known.values()} == {
        "profile": "str",
        "seed": "int",
        "device": "str",
        "alpha": "float",
        "shots": "int",
        "live": "bool",
    }
    assert (
        str(known["shots"]) == "shots: int = 10  (support examples, the paper's K; from 1 to 1000)"
    )


def test_values_come_in_their_types(known):
    given = {
        "seed": "3",
        "alpha": "1",
        "profile": "smoke",
        "live": "false",
        "device": "cpu",
        "shots": "1000",
    }
    values = check("00_good", known, given)
    assert values == {
        "seed": 3,
        "alpha": 1.0,
        "profile": "smoke",
        "live": False,
        "device": "cpu",
        "shots": 1000,
    }
    assert type(values["alpha"]) is float


@pytest.mark.parametrize(
    "given, sentence",
    [
        (
            "sed=3",
            '00_good has no parameter "sed"; its parameters are profile (str), seed (int), '
            "device (str), alpha (float), shots (int), live (bool)",
        ),
        ("seed=1e3", "seed=1e3 is refused: seed must be a whole number, 0 or more"),
        ("seed=true", "seed=true is refused: seed must be a whole number, 0 or more"),
        ("seed=-1", "seed=-1 is refused: seed must be a whole number, 0 or more"),
        (
            f"seed={2**63}",
            f"seed={2**63} is refused: seed must be a whole number, 0 or more, and smaller than "
            "2**63",
        ),
        ("alpha=-1", "alpha=-1 is refused: alpha must be a number, above 0"),
        ("alpha=0", "alpha=0 is refused: alpha must be a number, above 0"),
        ("alpha=nan", "alpha=nan is refused: alpha must be a number, above 0"),
        ("alpha=inf", "alpha=inf is refused: alpha must be a number, above 0"),
        ("shots=0", "shots=0 is refused: shots must be a whole number, from 1 to 1000"),
        ("shots=1001", "shots=1001 is refused: shots must be a whole number, from 1 to 1000"),
        ("profile=fast", "profile=fast is refused: profile must be one of smoke, quick, paper"),
        ("live=yes", "live=yes is refused: live must be true or false"),
        (
            "device=gpu",
            'device "gpu" is unknown; allowed are "auto", "cpu", "cuda" and "cuda:0", '
            '"cuda:1", ...',
        ),
    ],
)
def test_refusals(known, given, sentence):
    with pytest.raises(ValueError) as refusal:
        check("00_good", known, dict([given.split("=")]))
    assert str(refusal.value) == sentence


def test_words_that_say_no_range_are_an_error_of_the_notebook():
    with pytest.raises(ValueError, match='"at most 3" says no range; it must be "one of a, b, c"'):
        allowed("at most 3")
    assert allowed("one of 5, 10")(10) and not allowed("one of 5, 10")(7)

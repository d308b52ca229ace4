"""What is counted and quoted of section 5.2: judges that pass and judges that fail."""

import pytest

from mamlkit.audit.claims import ledger
from mamlkit.audit.images_counted import JUDGES, Counted, evidence
from mamlkit.audit.table1 import TABLE1, above, above_own_table, over_lstm

GOOD = Counted(
    omniglot={"train": 1200, "validation": 0, "test": 423},
    alphabets=50,
    drawings=20,
    mini={"train": 64, "validation": 12, "test": 24},
    turns=[25.0] * 4,
    twice=False,
    hidden=64,
    parameters={
        "MAML": 1,
        "matching, basic": 2,
        "matching, full context": 3,
        "MAML, miniImagenet": 4,
        "meta-learner LSTM, miniImagenet, at least": 5,
    },
    table={
        "omniglot-5w1s": {"maml": 99.0, "matching": 98.0, "prototypical": 98.0},
        "omniglot-noconv-5w1s": {"maml": 99.0, "mann": 98.0},
        "mini-5w1s": {"maml": 60.0, "fomaml": 59.0, "lstm": 40.0},
        "mini-5w5s": {"maml": 60.0, "fomaml": 59.0, "lstm": 40.0},
    },
)
WORSE = {
    c: {m: 50.0 if m in ("maml", "fomaml") else 60.0 for m in v} for c, v in GOOD.table.items()
}
BAD = Counted(
    omniglot={"train": 1100, "validation": 90, "test": 222},
    alphabets=49,
    drawings=19,
    mini={"train": 63, "validation": 16, "test": 20},
    turns=[20.0, 30.0, 25.0, 25.0],
    twice=True,
    hidden=256,
    parameters=dict(zip(GOOD.parameters, (9, 2, 3, 9, 5), strict=True)),
    table=WORSE,
)


@pytest.mark.parametrize("claim", JUDGES)
def test_made_up_counts_decide(claim):
    for counted, passed in ((GOOD, True), (BAD, False)):
        found = JUDGES[claim](counted)
        assert found.checks.keys() == ledger()[claim]["checks"].keys()
        assert set(found.checks.values()) == {passed}, claim
        assert found.why.endswith(".")


def test_drawings_are_counted_where_omniglot_is():
    assert JUDGES["C043"](GOOD._replace(drawings=None)) is None


def test_the_counts_of_this_book():
    found = evidence()
    assert found.omniglot == {"train": 1100, "validation": 100, "test": 423}
    assert found.mini == {"train": 64, "validation": 16, "test": 20}
    assert found.parameters["MAML"] == 112_005 and found.hidden == 64
    assert sum(found.turns) == pytest.approx(100, abs=1e-3)


def test_the_quoted_table_is_the_papers():
    assert above_own_table() and not above("prototypical") and above("matching") and above("mann")
    assert TABLE1["mini-5w1s"]["maml"] == 48.70 and TABLE1["omniglot-20w1s"]["maml"] == 95.8
    assert over_lstm()["1-shot"] == pytest.approx((5.26, 2.61))

"""The audit holds together: verdicts follow from checks; ledger, judges, bank, pages agree."""

import json
import re
from html.parser import HTMLParser

import pytest

from mamlkit.audit import bench, claims
from mamlkit.audit.claims import (
    BANK,
    KINDS,
    MARKS,
    VERDICTS,
    Cards,
    card,
    claim,
    counts,
    kind,
    ledger,
    makers,
    verdict,
    worded,
)
from mamlkit.files import ROOT
from mamlkit.studies.catalogue import experiments

NOTEBOOKS = ROOT / "notebooks"
UNTESTABLE = ("opinion", "history", "metadata")


def entry(**changes):
    return {
        "id": "T001",
        "kind": "shape",
        "checks": {"a": "", "b": "", "c": ""},
        "decisive": [],
        "otherwise": "refuted as stated",
        "seeds": 5,
        "budget": "paper",
    } | changes


def checks(a=True, b=True, c=True):
    return {"a": a, "b": b, "c": c}


# Verdicts
# --------------------------------------------------------------------------------------------------

NONE = checks(False, False, False)
SMALL = {"share": 0.08}


@pytest.mark.parametrize(
    ("changes", "found", "how", "expected"),
    [
        # enough seeds, the paper's budget
        ({}, checks(), {}, "reproduced"),
        ({}, checks(), {"seeds": 8}, "reproduced"),
        ({}, checks(b=False), {}, "partial"),
        ({}, checks(a=False, b=False), {}, "partial"),
        ({}, NONE, {}, "refuted as stated"),
        ({"otherwise": "not reproduced"}, NONE, {}, "not reproduced"),
        # a decisive check
        ({"decisive": ["b"]}, checks(b=False), {}, "refuted as stated"),
        (
            {"decisive": ["b"], "otherwise": "not reproduced"},
            checks(b=False),
            {},
            "not reproduced",
        ),
        ({"decisive": ["b"]}, checks(a=False), {}, "partial"),
        ({"decisive": ["b"]}, checks(a=False, c=False), {}, "partial"),
        ({"decisive": ["a", "b"]}, checks(a=False), {}, "refuted as stated"),
        # fewer seeds; a smaller budget supports and never refutes
        ({}, checks(), {"seeds": 4}, "partial"),
        ({}, checks(), SMALL, "partial"),
        ({}, checks(b=False), SMALL, "not tested"),
        ({}, NONE, SMALL, "not tested"),
        ({"decisive": ["b"]}, checks(b=False), SMALL, "not tested"),
        ({"budget": "any"}, checks(), SMALL, "reproduced"),
        ({"budget": "any"}, checks(), SMALL | {"seeds": 4}, "partial"),
        ({"budget": "any"}, NONE, SMALL, "refuted as stated"),
        # a check of the budget itself
        ({"enough": "c"}, checks(), {}, "reproduced"),
        ({"enough": "c"}, checks(c=False), {}, "partial"),
        ({"enough": "c"}, checks(b=False, c=False), {}, "not tested"),
        ({"enough": "c"}, NONE, {}, "not tested"),
        ({"enough": "c"}, checks(a=False), {}, "partial"),
        ({"enough": "c"}, checks(False, False), {}, "refuted as stated"),
        ({"enough": "c", "decisive": ["a"]}, checks(a=False), {}, "refuted as stated"),
        # a count, which needs no training
        ({"exact": ["b"]}, checks(b=False), SMALL, "partial"),
        ({"exact": ["b"]}, checks(a=False, b=False), SMALL, "not tested"),
        ({"exact": ["b"]}, checks(a=False), SMALL, "not tested"),
        ({"exact": ["b"], "decisive": ["b"]}, checks(b=False), SMALL, "refuted as stated"),
        # a question of ours has an answer, whatever it is
        ({"kind": "question"}, checks(), {}, "answered"),
        ({"kind": "question"}, NONE, {}, "answered"),
        ({"kind": "question"}, NONE, SMALL, "answered"),
        ({"kind": "question", "enough": "c"}, checks(c=False), {}, "not tested"),
        # what tests nothing
        ({"checks": {}}, {}, {}, "not tested"),
        *[({"kind": k, "checks": {}}, {}, {}, "not testable") for k in UNTESTABLE],
    ],
)
def test_the_verdict_is_what_the_criterion_gives(changes, found, how, expected):
    assert verdict(entry(**changes), found, **{"seeds": 5} | how) == expected


@pytest.mark.parametrize(
    "found", [{}, {"a": True, "b": True}, checks() | {"d": True}, {"a": True, "b": True, "C": True}]
)
def test_other_checks_than_the_criterions_are_refused_naming_both(found):
    with pytest.raises(ValueError) as refusal:
        verdict(entry(), found, seeds=5)
    for words in ("T001", str(["a", "b", "c"]), str(list(found))):
        assert words in str(refusal.value)


def test_every_verdict_has_a_mark_of_its_own():
    assert set(MARKS) == set(VERDICTS) and len(set(MARKS.values())) == len(MARKS)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "X001", "kind": "question"}, "question"),
        ({"id": "S101", "kind": "shape"}, "secondary"),
        ({"id": "C104", "kind": "number", "evidence": "document"}, "document"),
        ({"id": "C012", "kind": "property", "evidence": "exact"}, "exact"),
        ({"id": "C026", "kind": "number", "share": 1.0}, "measured"),
        ({"id": "C026", "kind": "number"}, "open"),
        ({"id": "C039", "kind": "shape", "provenance": {}}, "measured"),  # of before shares
        ({"id": "C050", "kind": "number", "share": 0.083}, "smaller"),
    ],
)
def test_what_stands_behind_a_verdict_is_counted_apart(row, expected):
    assert kind(row) == expected
    said = counts([row | {"verdict": "partial"}])
    assert f"| {KINDS[expected]} | 1 |" in said


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"verdict": "reproduced"}, "✔ reproduced"),
        ({"verdict": "answered", "answer": "no", "share": 0.1}, "▸ answered: no"),
        ({"verdict": "partial", "share": 0.083}, "◐ partial at 8.3 % of the paper's budget"),
        ({"verdict": "partial", "amended": "x"}, "◐ partial (criterion amended)"),
        ({"verdict": "partial", "checks": {"a": True}}, "◐ partial, 1 of 3 trainings"),
        (
            {"verdict": "partial", "checks": {"a": True, "b": False}, "enough": "b", "share": 0.1},
            "◐ partial, 1 of 3 trainings at 10 % of the paper's budget",
        ),
        ({"verdict": "partial", "checks": {"a": True, "b": False}}, "◐ partial"),
    ],
)
def test_a_verdict_in_words_says_what_it_rests_on_and_that_it_was_amended(row, words):
    failed = {"seeds": 3, "checks": {"a": False}, "provenance": {"seeds": [0]}}
    assert worded(failed | row) == words


# Cards
# --------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Words and tags of a piece of HTML; every tag closed."""

    def __init__(self, html):
        super().__init__()
        self.words, self.tags, self.open = "", [], []
        self.feed(html)
        assert not self.open, f"{self.open} not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


NASTY = "<script>alert('x')</script> & <b>5 < 10</b>"


def test_a_card_holds_everything_and_escapes_it():
    row = dict(
        id="C026",
        quote=NASTY,
        source=NASTY,
        why=NASTY,
        criterion=NASTY,
        amended=NASTY,
        protocol=NASTY,
        checks={NASTY: False, "other": True},
        verdict="partial",
        share=0.25,
        seeds=3,
        paper={"MSE after 1 step": 0.67},
        here={"MSE after 1 step": {"value": 0.7, "low": 0.6, "high": 0.8}, NASTY: NASTY},
        provenance={
            "commit": "abc",
            "command": NASTY,
            "seeds": [0, 1, 2],
            "trained": {"x": {"command": NASTY, "commits": ["def"], "devices": [], "seconds": 5}},
        },
    )
    page = Page(card(row))
    assert "script" not in page.tags and page.words.count(NASTY) == 11
    for words in ("0.7 [0.6, 0.8]", "0.67", "◐ partial at 25 %", "✘", "✔", "0, 1, 2", "def"):
        assert words in page.words


def test_claims_show_themselves_as_cards_and_as_lines():
    shown = claim("C026", "S303")
    assert isinstance(shown, Cards) and [r["id"] for r in shown.rows] == ["C026", "S303"]
    page = Page(shown._repr_html_())
    assert page.words.index("C026") < page.words.index("S303") and page.tags.count("details") == 2
    assert re.match(r"C026 \S+ .*: .+\nS303 – not testable: ", repr(shown))
    with pytest.raises(ValueError, match="claim C999 is not in data/ledger.json"):
        claim("C026", "C999")


# The list
# --------------------------------------------------------------------------------------------------


def test_untested_claims_stand_in_the_list_with_the_command_that_tests_them():
    rows = {row["id"]: row for row in claims.standing({})}
    assert list(rows) == list(ledger())
    assert rows["C026"]["verdict"] == "not tested"
    assert "python -m mamlkit bank --only" in rows["C026"]["why"]
    assert rows["S303"]["verdict"] == "not testable"
    assert rows["S303"]["why"] == ledger()["S303"]["reason"]


def test_what_makes_a_records_evidence_is_something_that_the_bank_knows():
    known = {*experiments(), *(path.stem for path in NOTEBOOKS.glob("*.py"))}
    assert {name for e in ledger().values() for name in makers(e)} <= known


def test_the_table_has_a_row_for_every_claim_and_counts_them_all():
    head, _, rows = claims.table().partition("\n\n")
    numbers = [int(n) for n in re.findall(r"\| (\d+) (?=\|)", head)]
    assert sum(numbers) == len(ledger())
    lines = rows.split("\n")
    assert len(lines) == 2 + len(ledger())
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)


# The ledger
# --------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_well_formed():
    ids = [e["id"] for e in json.loads((BANK / "ledger.json").read_text(encoding="utf-8"))]
    assert len(ids) == len(set(ids)) >= 160
    assert all(re.fullmatch(r"[CSX]\d{3}", i) for i in ids)


FIELDS = ("id", "section", "where", "quote", "kind", "paper", "criterion", "checks", "decisive")
FIELDS += ("otherwise", "seeds", "budget", "notebook")
OPTIONAL = {"reason", "amended", "experiment", "enough", "exact", "evidence", "answers"}


@pytest.mark.parametrize("name", ledger())
def test_an_entry_of_the_ledger_is_well_formed(name):
    e = ledger()[name]
    assert set(e) - OPTIONAL == set(FIELDS)
    assert all(e[k].strip() for k in ("section", "where", "quote", "kind"))
    assert e["otherwise"] in ("not reproduced", "refuted as stated")
    assert e["budget"] in ("any", "paper") and e["seeds"] >= 1
    assert (e["kind"] == "question") == (len(e.get("answers", ())) == 2)
    assert e.get("evidence", "exact") in ("exact", "document")
    named = [*e["decisive"], *e.get("exact", ()), *([e["enough"]] if "enough" in e else [])]
    assert set(named) <= set(e["checks"])
    assert all(isinstance(v, (int, float)) and v != 0 for v in e["paper"].values()), (
        "the forest plot divides by them"
    )
    assert (NOTEBOOKS / f"{e['notebook']}.py").exists()
    if claims.testable(e):
        assert e["checks"] and all(text.strip() for text in e["checks"].values())
        assert e["criterion"].strip()
    else:
        assert not e["checks"] and e["reason"].strip()


# Judges and pages
# --------------------------------------------------------------------------------------------------

JUDGES = {name: module for module in bench.modules() for name in module.JUDGES}


def test_every_claim_has_one_judge():
    judged = [name for module in bench.modules() for name in module.JUDGES]
    assert len(judged) == len(set(judged)), "a claim with two judges"
    open_ = {c for c, e in ledger().items() if claims.testable(e) and "reason" not in e} - set(
        judged
    )
    assert not open_, "claims that nobody judges"
    assert set(judged) <= {c for c, e in ledger().items() if claims.testable(e)}


def test_every_claim_stands_on_one_page_and_once():
    where = {}
    for path in sorted(NOTEBOOKS.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for call in re.findall(r"\bclaim\(([^()]*)\)", text):
            for name in re.findall(r"[CSX]\d{3}", call):
                where.setdefault(name, []).append(path.stem)
    assert not {name: at for name, at in where.items() if len(at) > 1}, "claims shown twice"
    assert set(where) == set(ledger()), sorted(set(ledger()) ^ set(where))


# The bank
# --------------------------------------------------------------------------------------------------


def strictly(text):
    """JSON without NaN or infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


# Its trainings were not kept when the record was made:
# `bank --only sinusoid-wider` makes them again, and `judge` then writes the record.
NOT_BANKED = {"C039"}


@pytest.mark.parametrize("file", sorted((BANK / "claims").glob("*")), ids=lambda file: file.name)
def test_every_banked_record_is_what_the_ledger_and_its_checks_make_of_it(file):
    content = strictly(file.read_text(encoding="utf-8"))
    asked = ledger()[content["id"]]
    assert file.name == f"{content['id']}.paper.json" and content["profile"] == "paper"
    for key in ("criterion", "quote", "paper"):
        assert content[key] == asked[key], f"the ledger's {key} is another: judge it again"
    made = content["provenance"]
    share = content.get("share", 1.0)
    assert content["verdict"] == verdict(
        asked, content["checks"], seeds=len(made["seeds"]), share=share
    )
    if "share" not in content:  # of before the judges: its trainings are not banked again yet
        assert file.name.split(".")[0] in NOT_BANKED and made["command"]
        return
    assert content.get("amended") == asked.get("amended")
    assert bool(content.get("answer")) == (content["verdict"] == "answered")
    assert re.fullmatch(r"[0-9a-f]{10}", made["commit"]), "a record names a clean commit"
    assert made["command"] == "python -m mamlkit judge" and made["device"]
    assert content["why"].strip()
    Page(card(content))


def test_no_mean_over_a_cap_is_printed():
    """A mean of squared errors above a few waves' variance is the share at the cap times it."""
    for file in sorted((BANK / "claims").glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        numbers = [content["why"], *map(str, content["here"].values())]
        found = [text for text in numbers if re.search(r"\d(\.\d+)?e\+0?[3-9]", text)]
        assert not found, f"{file.name}: {found}"


def test_the_list_of_claims_is_the_banks():
    shown = (BANK / "CLAIMS.md").read_text(encoding="utf-8")
    assert claims.table() in shown, "data/CLAIMS.md is stale: run `make notebooks`"

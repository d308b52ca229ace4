"""The audit holds together: verdicts follow from checks, records are whole, and ledger, notebooks,
bank and README agree."""

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mamlkit.audit import claims
from mamlkit.audit.claims import (
    BANK,
    MARKS,
    VERDICTS,
    Record,
    Table,
    card,
    ledger,
    makers,
    record,
    verdict,
)
from mamlkit.audit.intervals import Interval
from mamlkit.bank.provenance import commit, describe
from mamlkit.book.bank import SKIPPED, cells, units
from mamlkit.machine import ROOT

NOTEBOOKS = ROOT / "notebooks"
UNTESTABLE = ("opinion", "history", "metadata")
nan, inf = float("nan"), float("inf")


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
# -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "found", "profile", "seeds", "expected"),
    [
        # enough seeds, the paper's budget
        ({}, checks(), "paper", 5, "reproduced"),
        ({}, checks(), "paper", 8, "reproduced"),
        ({}, checks(b=False), "paper", 5, "partial"),
        ({}, checks(a=False, b=False), "paper", 5, "partial"),
        ({}, checks(False, False, False), "paper", 5, "refuted as stated"),
        (
            {"otherwise": "not reproduced"},
            checks(False, False, False),
            "paper",
            5,
            "not reproduced",
        ),
        # a decisive check
        ({"decisive": ["b"]}, checks(b=False), "paper", 5, "refuted as stated"),
        (
            {"decisive": ["b"], "otherwise": "not reproduced"},
            checks(b=False),
            "paper",
            5,
            "not reproduced",
        ),
        ({"decisive": ["b"]}, checks(a=False), "paper", 5, "partial"),
        ({"decisive": ["b"]}, checks(a=False, c=False), "paper", 5, "partial"),
        ({"decisive": ["a", "b"]}, checks(a=False), "paper", 5, "refuted as stated"),
        # fewer seeds, a smaller budget
        ({}, checks(), "paper", 4, "partial"),
        ({}, checks(), "quick", 5, "partial"),
        ({}, checks(), "quick", 1, "partial"),
        ({}, checks(b=False), "quick", 1, "not tested"),
        ({"budget": "any"}, checks(), "quick", 5, "reproduced"),
        ({"budget": "any"}, checks(), "quick", 4, "partial"),
        ({"budget": "any", "seeds": 1}, checks(), "quick", 1, "reproduced"),
        ({}, checks(False, False, False), "quick", 1, "not tested"),
        # a check of the budget itself: too little of it supports and never refutes
        ({"enough": "c"}, checks(), "paper", 5, "reproduced"),
        ({"enough": "c"}, checks(c=False), "paper", 5, "partial"),
        ({"enough": "c"}, checks(b=False, c=False), "paper", 5, "not tested"),
        ({"enough": "c"}, checks(False, False, False), "paper", 5, "not tested"),
        ({"enough": "c"}, checks(a=False), "paper", 5, "partial"),
        ({"enough": "c"}, checks(False, False), "paper", 5, "refuted as stated"),
        ({"enough": "c", "decisive": ["a"]}, checks(a=False), "paper", 5, "refuted as stated"),
        ({"enough": "c"}, checks(), "quick", 5, "partial"),
        # what tests nothing
        ({}, checks(), "smoke", 5, "not tested"),
        ({"budget": "any", "seeds": 1}, checks(), "smoke", 1, "not tested"),
        ({"decisive": ["a"]}, checks(a=False), "smoke", 5, "not tested"),
        ({"checks": {}}, {}, "paper", 5, "not tested"),
        *[
            ({"kind": kind, "checks": {}}, {}, profile, 5, "not testable")
            for kind in UNTESTABLE
            for profile in ("smoke", "paper")
        ],
    ],
)
def test_the_verdict_is_what_the_criterion_gives(changes, found, profile, seeds, expected):
    assert verdict(entry(**changes), found, profile=profile, seeds=seeds) == expected


def test_one_check_is_either_won_or_lost():
    one = entry(checks={"a": ""})
    assert [verdict(one, {"a": won}, profile="paper", seeds=5) for won in (True, False)] == [
        "reproduced",
        "refuted as stated",
    ]


@pytest.mark.parametrize(
    "found", [{}, {"a": True, "b": True}, checks() | {"d": True}, {"a": True, "b": True, "C": True}]
)
@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_other_checks_than_the_criterions_are_refused_naming_both(found, profile):
    with pytest.raises(ValueError) as refusal:
        verdict(entry(), found, profile=profile, seeds=5)
    assert (
        "T001" in str(refusal.value)
        and str(["a", "b", "c"]) in str(refusal.value)
        and str(list(found)) in str(refusal.value)
    )


def test_every_verdict_has_a_mark_of_its_own():
    assert set(MARKS) == set(VERDICTS) and len(set(MARKS.values())) == len(VERDICTS)


# Records
# --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A run whose records go to tmp_path / "results"."""
    monkeypatch.setenv("MAMLKIT_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("MAMLKIT_COMMAND", "python -m mamlkit bank --only 01_sinusoids")
    return claims.begin("01_sinusoids", "quick", range(3), "cpu")


def some_record(run, here=None, **changes):
    return record(
        run,
        "C026",
        **{
            "checks": {"one step": True},
            "here": here or {"MSE after 1 step": Interval(0.7, 0.6, 0.8)},
            "why": 'it is < 0.8 & "near" 0.67.',
            "protocol": "5 < 10",
        }
        | changes,
    )


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_record_is_one_strict_json_file_where_the_runner_wants_it(run, tmp_path):
    made = some_record(
        run,
        {
            "MSE after 1 step": Interval(0.7, nan, nan),
            "diverged": inf,
            "lost": -inf,
            "not there": nan,
            "word": "é",
            "count": 3,
            "held": True,
        },
    )
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [
        "results/claims/C026.quick.json"
    ]
    content = strictly((tmp_path / "results/claims/C026.quick.json").read_text())
    assert content == made.content
    assert content["here"] == {
        "MSE after 1 step": {"value": 0.7, "low": None, "high": None},
        "diverged": None,
        "lost": None,
        "not there": None,
        "word": "é",
        "count": 3,
        "held": True,
    }


def test_a_record_says_what_was_asked_and_what_was_found(run):
    content, asked = some_record(run).content, ledger()["C026"]
    assert {k: content[k] for k in ("quote", "paper", "criterion")} == {
        k: asked[k] for k in ("quote", "paper", "criterion")
    }
    assert asked["section"] in content["source"] and asked["where"] in content["source"]
    assert (
        content["id"] == "C026"
        and content["profile"] == "quick"
        and content["checks"] == {"one step": True}
    )
    assert content["verdict"] == "partial" and content["protocol"] == "5 < 10"


def test_checks_may_be_any_truth_and_are_recorded_as_true_or_false(run):
    import numpy
    import torch

    for truth in (torch.tensor(True), numpy.bool_(True), 1):
        assert some_record(run, checks={"one step": truth}).content["checks"]["one step"] is True
    for lie in (torch.tensor(False), numpy.bool_(False), 0):
        assert some_record(run, checks={"one step": lie}).content["checks"]["one step"] is False


def test_a_record_carries_its_whole_provenance(run):
    made = some_record(run).content["provenance"]
    assert set(made) == {
        "commit",
        "command",
        "notebook",
        "seeds",
        "device",
        "python",
        "torch",
        "numpy",
        "seconds",
        "date",
    }
    assert (
        made["commit"] == commit()
        and made["command"] == "python -m mamlkit bank --only 01_sinusoids"
    )
    assert made["notebook"] == "01_sinusoids" and made["seeds"] == [0, 1, 2]
    assert {k: made[k] for k in describe("cpu")} == describe("cpu")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", made["date"])


def test_seconds_are_those_since_the_notebook_began(run):
    assert some_record(run).content["provenance"]["seconds"] < 60
    assert some_record(run._replace(started=run.started - 1000)).content["provenance"][
        "seconds"
    ] == pytest.approx(1000, abs=60)


def test_by_hand_the_command_is_the_notebook(run, monkeypatch):
    monkeypatch.delenv("MAMLKIT_COMMAND")
    assert (
        some_record(run).content["provenance"]["command"] == "interactive: notebooks/01_sinusoids"
    )


def test_a_banked_record_names_what_trains_its_own_experiments_whoever_judged_it(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MAMLKIT_RESULTS", str(tmp_path))
    monkeypatch.setenv("MAMLKIT_COMMAND", "python -m mamlkit bank --only another")
    said = {}
    for profile in ("paper", "quick"):
        run = claims.begin("05_locomotion", profile, [0, 1, 2], "cpu")
        said[profile] = claims.record(
            run, "X013", checks={"it gains": True}, here={}, why="so"
        ).content["provenance"]["command"]
    assert said == {
        "paper": "python -m mamlkit bank --only cheetah-direction-half",
        "quick": "python -m mamlkit bank --only another",
    }


def test_without_a_runner_records_go_to_the_cache_and_never_to_the_bank(monkeypatch):
    monkeypatch.delenv("MAMLKIT_RESULTS", raising=False)
    assert claims.results() == ROOT / "data" / "cache" / "results" != BANK


def test_the_seeds_of_the_run_count_and_so_does_its_profile(run):
    assert (
        some_record(run._replace(profile="paper", seeds=[0, 1, 2, 3, 4])).content["verdict"]
        == "reproduced"
    )
    assert (
        some_record(run._replace(profile="paper", seeds=[0, 1, 2, 3])).content["verdict"]
        == "partial"
    )
    assert some_record(run._replace(profile="smoke")).content["verdict"] == "not tested"


def test_a_record_is_replaced_whole(run, tmp_path, monkeypatch):
    """A kill while the second record is written leaves the first as it was."""
    some_record(run)
    file = tmp_path / "results/claims/C026.quick.json"
    before, write = file.read_text(), Path.write_text

    def half(self, text, *args):
        write(self, text[: len(text) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        some_record(run, why="another")
    assert file.read_text() == before


def test_profiles_stand_side_by_side_and_are_read_apart(run, tmp_path):
    some_record(run), some_record(run._replace(profile="smoke"))
    assert claims.read("quick", tmp_path / "results")["C026"]["profile"] == "quick"
    assert claims.read("smoke", tmp_path / "results")["C026"]["verdict"] == "not tested"
    assert claims.read("paper", tmp_path / "results") == {}


def test_a_claim_that_is_not_in_the_ledger_and_a_check_that_is_not_in_its_criterion_are_refused(
    run, tmp_path
):
    with pytest.raises((KeyError, ValueError), match="C999"):
        record(run, "C999", checks={}, here={}, why="")
    with pytest.raises(ValueError, match="one step"):
        some_record(run, checks={"two steps": True})
    assert not list(tmp_path.rglob("*.json"))


# What the reader sees
# -------------------------------------------------------------------------------------------------


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


def nasty(run):
    content = some_record(
        run, {"MSE after 1 step": Interval(0.7, 0.6, 0.8), NASTY: NASTY}, why=NASTY, protocol=NASTY
    ).content
    return content | {
        "quote": NASTY,
        "source": NASTY,
        "criterion": NASTY,
        "checks": {NASTY: False},
        "provenance": content["provenance"] | {"command": NASTY},
    }


def test_a_card_holds_everything_and_escapes_it(run):
    page = Page(card(nasty(run)))
    assert "script" not in page.tags and page.words.count(NASTY) == 9
    assert (
        "0.7 [0.6, 0.8]" in page.words
        and "0.67" in page.words
        and "◐ partial" in page.words
        and "at quick" in page.words
        and "✘" in page.words
    )
    assert str([0, 1, 2]) in page.words


def test_a_table_of_records_escapes_what_it_shows(run):
    page = Page(Table([Record(nasty(run)), some_record(run)])._repr_html_())
    assert "script" not in page.tags and page.words.count(NASTY) == 2 and page.tags.count("tr") == 3
    assert 'it is < 0.8 & "near" 0.67.' in page.words


def test_without_html_a_record_is_one_line(run):
    made = some_record(run)
    assert repr(made) == 'C026 partial (quick): it is < 0.8 & "near" 0.67.'
    assert repr(Table([made, made])) == f"{made!r}\n{made!r}"
    assert made._repr_html_() == card(made.content, made.banked)


def test_a_quick_record_shows_the_banked_verdict_beside_its_own(run):
    made = some_record(run)
    assert made.banked["profile"] == "paper" and made.banked["verdict"] == "reproduced"
    words = Page(made._repr_html_()).words
    assert (
        "partial at quick" in words
        and "at the paper's budget: ✔ reproduced" in words
        and made.banked["why"] in words
    )
    assert f"✔\xa0reproduced: {made.banked['why']}" in Page(Table([made])._repr_html_()).words


@pytest.mark.parametrize(
    "value",
    [
        nan,
        inf,
        Interval(nan, nan, nan),
        Interval(inf, nan, nan),
        Interval(inf, -inf, inf),
        Interval(1.0, 0.5, inf),
        Interval(0.5, nan, nan),
        3,
        True,
        "none",
        0.25,
        None,
    ],
    ids=str,
)
def test_a_card_can_show_what_a_record_can_hold(run, value):
    """Diverged runs have means that are no numbers: they are recorded, so they must be shown."""
    assert (
        "MSE after 1 step"
        in Page(some_record(run, {"MSE after 1 step": value})._repr_html_()).words
    )


def test_untested_claims_stand_in_the_list_with_the_command_that_tests_them():
    rows = {row["id"]: row for row in claims.standing({})}
    assert list(rows) == list(ledger())
    assert (
        rows["C026"]["verdict"] == "not tested"
        and "python -m mamlkit bank --only 01_sinusoids" in rows["C026"]["why"]
    )
    assert (
        rows["S303"]["verdict"] == "not testable"
        and rows["S303"]["why"] == ledger()["S303"]["reason"]
    )
    assert rows["C002"]["verdict"] == "not tested" and rows["C002"]["why"].startswith(
        "waits for section 5.2"
    )
    assert (
        "`python -m mamlkit bank --only mini-5w1s --only mini-5w5s` makes it" in rows["C064"]["why"]
    )


def test_what_makes_a_records_evidence_is_something_that_the_bank_knows():
    known = {unit.name for path in NOTEBOOKS.glob("*.py") for unit in units(path)} | {
        path.stem for path in NOTEBOOKS.glob("*.py")
    }
    assert {name for e in ledger().values() for name in makers(e)} <= known


def test_a_record_takes_its_claims_place_in_the_list(run):
    made = some_record(run).content
    row = next(row for row in claims.standing({"C026": made}) if row["id"] == "C026")
    assert (
        {k: row[k] for k in made} == made
        and row["notebook"] == "01_sinusoids"
        and row["section"] == "Section 5.1"
    )


def test_the_table_counts_the_verdicts_and_has_a_row_for_every_claim(run, tmp_path, monkeypatch):
    some_record(run._replace(profile="paper", seeds=[*range(5)]), why="a | b\nc")
    asked = ledger()
    monkeypatch.setattr(claims, "ledger", lambda: asked)
    monkeypatch.setattr(claims, "BANK", tmp_path / "results")
    head, _, *lines = claims.table().split("\n")
    assert f"{len(asked)} claims" in head and "1 reproduced" in head
    assert sum(map(int, re.findall(r"(\d+) (?:" + "|".join(VERDICTS) + ")", head))) == len(asked)
    assert len(lines) == 2 + len(asked) and all(
        len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines
    )
    assert (
        "| C026 | MAML is able to quickly adapt with only 5 datapoints | ✔ reproduced | a \\| b c |"
        in lines
    )


# The ledger
# -----------------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_well_formed():
    ids = [e["id"] for e in json.loads((BANK / "ledger.json").read_text())]
    assert len(ids) == len(set(ids)) > 50 and all(re.fullmatch(r"[CSX]\d{3}", i) for i in ids)


def test_the_ledger_holds_the_claims_that_the_issue_asks_for():
    numbers = {
        "C": [1, 2, 3, *range(5, 9), *range(10, 20), *range(24, 43)],
        "X": [1, 2, 3],
        "S": [*range(101, 106), 111, 113, 114, *range(201, 205), 214, 220, *range(301, 305)],
    }
    asked = {f"{letter}{n:03d}" for letter, ns in numbers.items() for n in ns}
    assert asked <= set(ledger()), sorted(asked - set(ledger()))


@pytest.mark.parametrize("claim", ledger())
def test_an_entry_of_the_ledger_is_well_formed(claim):
    e = ledger()[claim]
    assert set(e) - {"reason", "amended", "experiment", "enough"} == {
        "id",
        "section",
        "where",
        "quote",
        "kind",
        "paper",
        "criterion",
        "checks",
        "decisive",
        "otherwise",
        "seeds",
        "budget",
        "notebook",
    }
    assert all(e[k].strip() for k in ("section", "where", "quote", "kind"))
    assert (
        e["otherwise"] in ("not reproduced", "refuted as stated")
        and e["budget"] in ("any", "paper")
        and e["seeds"] >= 1
    )
    assert {*e["decisive"], *([e["enough"]] if "enough" in e else [])} <= set(e["checks"])
    assert all(isinstance(v, (int, float)) and v > 0 for v in e["paper"].values()), (
        "the forest plot divides by them"
    )
    assert (NOTEBOOKS / f"{e['notebook']}.py").exists()
    if e["kind"] in UNTESTABLE:
        assert not e["checks"] and e["reason"].strip()
    else:
        assert (
            e["checks"]
            and all(text.strip() for text in e["checks"].values())
            and e["criterion"].strip()
        )


# The notebooks
# --------------------------------------------------------------------------------------------------------


def recorded(path):
    """The claims that a notebook records, in the cells that `mamlkit bank` runs too: {id: source of
    the call}."""
    found = {}
    for cell in cells(path.read_text()):
        if cell.tags & SKIPPED:
            assert "record(" not in cell.source, (
                f"{path.name}, line {cell.line}: bank skips this cell, so nothing is recorded in it"
            )
            continue
        tree = ast.parse(
            "\n".join(
                line if not line.startswith(("%", "!")) else "pass"
                for line in cell.source.split("\n")
            )
        )
        loops = [g for node in ast.walk(tree) for g in getattr(node, "generators", [])] + [
            n for n in ast.walk(tree) if isinstance(n, ast.For)
        ]
        for call in ast.walk(tree):
            if (
                isinstance(call, ast.Call)
                and getattr(call.func, "id", getattr(call.func, "attr", "")) == "record"
            ):
                claim = call.args[1]
                if isinstance(claim, ast.Constant):
                    ids = [claim.value]
                # record(run, c, ...) for c in ("C003", "S301"): the nearest loop around the call
                else:
                    around = [
                        g
                        for g in loops
                        if isinstance(g.target, ast.Name) and g.target.id == claim.id
                    ]
                    around = [
                        n
                        for n in ast.walk(tree)
                        if any(g in getattr(n, "generators", [n]) for g in around)
                        and call in ast.walk(n)
                    ]
                    assert len(around) == 1, (
                        f"{path.name}: which claims does `{ast.unparse(call)[:60]}` record?"
                    )
                    loop = next(
                        g
                        for g in getattr(around[0], "generators", around)
                        if g in loops and g.target.id == claim.id
                    )
                    ids = list(ast.literal_eval(loop.iter))
                for i in ids:
                    assert i not in found, (
                        f"{path.name} records {i} twice: the second record replaces the first"
                    )
                    found[i] = ast.unparse(call)
    return found


RECORDED = {path.stem: recorded(path) for path in sorted(NOTEBOOKS.glob("*.py"))}


def test_the_reader_of_notebooks_finds_records_in_all_their_forms(tmp_path):
    notebook = tmp_path / "n.py"
    notebook.write_text(
        '# %% [markdown]\n# record(run, "C900")\n# %%\nrecord(run, "C901", checks={})\nTable([*[record(r, c) for c in ("C902", "S903")], claims.record(r, "C904")])\n'
        'for c in ["C905"]:\n    record(r, c)\n# %%\n[record(r, c) for c in ("C906", "C907") if c]\n'
    )
    assert sorted(recorded(notebook)) == ["C901", "C902", "C904", "C905", "C906", "C907", "S903"]


def test_every_claim_that_a_notebook_records_is_in_the_ledger_under_its_name():
    for notebook, found in RECORDED.items():
        for claim in found:
            assert claim in ledger(), f"{notebook} records {claim}, which is not in the ledger"
            assert ledger()[claim]["notebook"] == notebook, (
                f"{notebook} records {claim}, which the ledger gives to {ledger()[claim]['notebook']}"
            )


def test_every_testable_claim_is_recorded_by_the_notebook_that_the_ledger_names():
    testable = {
        c: e["notebook"]
        for c, e in ledger().items()
        if e["kind"] not in UNTESTABLE and "reason" not in e
    }
    assert len(testable) > 40
    assert not {c: n for c, n in testable.items() if c not in RECORDED[n]}


# The bank and README
# --------------------------------------------------------------------------------------------------


def test_every_banked_record_is_what_the_ledger_and_its_checks_make_of_it():
    for file in sorted((BANK / "claims").glob("*.json")):
        content = strictly(file.read_text())
        asked = ledger()[content["id"]]
        assert file.name == f"{content['id']}.paper.json" and content["profile"] == "paper", (
            f"{file.name}: only the paper's budget is banked"
        )
        for key in ("criterion", "quote", "paper"):
            assert content[key] == asked[key], (
                f"{file.name}: the ledger's {key} is another: bank it again"
            )
        made = content["provenance"]
        assert content["verdict"] == verdict(
            asked, content["checks"], profile="paper", seeds=len(made["seeds"])
        ), file.name
        assert made["notebook"] == asked["notebook"] and content["why"].strip(), file.name
        assert (
            re.fullmatch(r"[0-9a-f]{10}\+?", made["commit"])
            and made["command"].strip()
            and made["device"]
        ), file.name
        Page(card(content))


def test_readme_shows_the_table_that_the_bank_gives():
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"<!-- claims:begin -->\n(.*?)\n?<!-- claims:end -->", readme, re.DOTALL)
    assert shown, "README.md has no place for the claims"
    assert shown[1].strip() == claims.table().strip(), (
        "README's table is not the bank's: generate it again"
    )

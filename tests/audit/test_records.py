"""Records and ledger: whatever does not hold when it is asked again is refused by the file's
name."""

import json

import pytest

from mamlkit.audit import claims
from mamlkit.audit.records import believed, entries
from mamlkit.files import ROOT

ENTRY = {
    "id": "C001",
    "kind": "number",
    "section": "5.1",
    "quote": "q",
    "paper": {},
    "checks": {"low": "below 1", "high": "above 0"},
}
RECORD = {
    "id": "C001",
    "profile": "paper",
    "quote": "q",
    "paper": {},
    "here": {"x": 1},
    "criterion": "c",
    "checks": {"low": True, "high": False},
    "verdict": "partial",
    "why": "x is 1.",
    "provenance": {"seeds": [0]},
}


def again(entry, record):
    if record["checks"].keys() != entry["checks"].keys():
        raise ValueError("other checks")
    passed = list(record["checks"].values())
    return "reproduced" if all(passed) else "partial"


def written(folder, content, name="C001.paper.json"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def read(path):
    return believed(path, "paper", {"C001": ENTRY}, again)


def test_a_record_that_holds_is_believed(tmp_path):
    assert read(written(tmp_path, RECORD)) == RECORD


@pytest.mark.parametrize(
    "change, words",
    [
        ({"verdict": "reproduced"}, 'says "reproduced", and its checks give "partial": judge it'),
        ({"verdict": "splendid"}, 'says "splendid", and its checks give "partial"'),
        ({"checks": {"low": True, "high": True}}, 'says "partial", and its checks give "reprod'),
        ({"checks": {"low": True, "high": "no"}}, 'its check "high" is neither true nor false'),
        ({"checks": {"low": True}}, "is refused: other checks"),
        ({"id": "C002"}, r"says that it is the record C002\.paper: its name must be the same"),
        ({"profile": "quick"}, r"says that it is the record C001\.quick"),
        ({"why": "  "}, "is refused: it does not say why"),
        ({"why": None}, 'is damaged: it has no "why" of type str'),
        ({"here": []}, 'is damaged: it has no "here" of type dict'),
        ({"provenance": {}}, "its provenance names no seeds"),
    ],
    ids=str,
)
def test_a_record_that_does_not_hold_is_refused_by_name(tmp_path, change, words):
    with pytest.raises(ValueError, match=rf"C001\.paper\.json.* {words}") as refusal:
        read(written(tmp_path, RECORD | change))
    assert "\n" not in str(refusal.value)


def test_a_record_of_no_claim_is_refused(tmp_path):
    path = written(tmp_path, RECORD | {"id": "C999"}, "C999.paper.json")
    with pytest.raises(ValueError, match=r"C999\.paper\.json is refused: C999 is no claim"):
        read(path)


@pytest.mark.parametrize("missing", RECORD)
def test_nothing_may_be_missing(tmp_path, missing):
    content = {name: value for name, value in RECORD.items() if name != missing}
    with pytest.raises(ValueError, match=f'is damaged: it has no "{missing}"'):
        read(written(tmp_path, content))


DAMAGED = [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"a": 1', b"[" * 100_000]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damage_is_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"C001\.paper\.json is damaged") as refusal:
        read(written(tmp_path, content))
    assert type(refusal.value) is ValueError
    with pytest.raises(ValueError, match=r"ledger\.json(: entry 1)? is damaged"):
        entries(written(tmp_path, content, "ledger.json"))


@pytest.mark.parametrize(
    "content, words",
    [
        ([ENTRY, ENTRY], "has the claim C001 twice: one of them must go"),
        ([ENTRY, 3], ": entry 2 is damaged: it is no object"),
        ([{**ENTRY, "checks": None}], ': entry 1 is damaged: it has no "checks" of type dict'),
        ([{**ENTRY, "id": 1}], ': entry 1 is damaged: it has no "id" of type str'),
    ],
    ids=range(4),
)
def test_a_ledger_is_whole_and_names_each_claim_once(tmp_path, content, words):
    with pytest.raises(ValueError, match=rf"ledger\.json ?{words}"):
        entries(written(tmp_path, content, "ledger.json"))


def test_the_committed_ones_hold():
    assert len(claims.ledger()) == len(json.loads((ROOT / "data" / "ledger.json").read_bytes()))
    assert len(claims.read("paper")) == len(list((ROOT / "data" / "claims").glob("*.paper.json")))


def test_readme_publishes_no_record_that_does_not_hold(tmp_path, monkeypatch, capsys):
    from mamlkit.__main__ import main
    from mamlkit.audit.pages import BEGIN, END

    first = next(iter(sorted((ROOT / "data" / "claims").glob("*.paper.json"))))
    record = json.loads(first.read_text(encoding="utf-8"))
    record["verdict"] = "partial" if record["verdict"] != "partial" else "reproduced"
    (tmp_path / "claims").mkdir()
    (tmp_path / "ledger.json").write_bytes((ROOT / "data" / "ledger.json").read_bytes())
    written(tmp_path / "claims", record, first.name)
    monkeypatch.setattr(claims, "BANK", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    assert main(["readme", "--file", str(readme)]) == 2
    assert f"{first.name} says " in capsys.readouterr().err
    assert readme.read_text() == f"{BEGIN}\n{END}\n"

"""What lies in `data/ledger.json` and `data/claims` is believed only after it was asked again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mamlkit.files import read_json

# What every entry of the ledger and every record has.
ENTRY = {"id": str, "kind": str, "section": str, "quote": str, "paper": dict, "checks": dict}
RECORD = {
    "id": str,
    "profile": str,
    "quote": str,
    "paper": dict,
    "here": dict,
    "criterion": str,
    "checks": dict,
    "verdict": str,
    "why": str,
    "provenance": dict,
}


def entries(path: Path) -> dict[str, dict]:
    """The claims of a ledger by id, in its order.

    Raises ValueError naming the file for one that is damaged, and naming the claim for an id that
    stands twice or an entry that lacks something.
    """
    found = {}
    for number, entry in enumerate(read_json(path, list), 1):
        _complete(f"{path}: entry {number}", entry, ENTRY)
        if entry["id"] in found:
            raise ValueError(f"{path} has the claim {entry['id']} twice: one of them must go")
        found[entry["id"]] = entry
    return found


def believed(
    path: Path,
    profile: str,
    ledger: Mapping[str, dict],
    again: Callable[[Mapping, Mapping], str],
) -> dict[str, Any]:
    """The record in a file called ID.PROFILE.json, asked again.

    again: from a claim of the ledger and a record to the verdict that the criterion gives. Raises
    ValueError naming the file if it is damaged, is called otherwise than it says, has no reason, or
    has another verdict than its checks give.
    """
    record, named = read_json(path), path.name.split(".")[0]
    _complete(str(path), record, RECORD)
    if (record["id"], record["profile"]) != (named, profile):
        raise ValueError(
            f"{path} says that it is the record {record['id']}.{record['profile']}: its name must "
            "be the same"
        )
    if named not in ledger:
        raise ValueError(f"{path} is refused: {named} is no claim of the ledger")
    if not record["why"].strip():
        raise ValueError(f"{path} is refused: it does not say why")
    if wrong := [name for name, passed in record["checks"].items() if not isinstance(passed, bool)]:
        raise ValueError(f'{path} is refused: its check "{wrong[0]}" is neither true nor false')
    if not isinstance(record["provenance"].get("seeds"), list):
        raise ValueError(f"{path} is refused: its provenance names no seeds")
    try:
        verdict = again(ledger[named], record)
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None
    if verdict != record["verdict"]:
        raise ValueError(
            f'{path} says "{record["verdict"]}", and its checks give "{verdict}": judge it anew'
        )
    return record


def _complete(name, value, wanted):
    if not isinstance(value, dict):
        raise ValueError(f"{name} is damaged: it is no object")
    for key, kind in wanted.items():
        if not isinstance(value.get(key), kind):
            raise ValueError(f'{name} is damaged: it has no "{key}" of type {kind.__name__}')

"""Claims that other claims decide: judged last, from the verdicts that these have got."""

from collections.abc import Mapping

from mamlkit.audit.claims import BANK
from mamlkit.audit.judging import Finding
from mamlkit.files import read_json

THREE = {"regression": "C026", "classification": "C050", "reinforcement learning": "C100"}


def evidence() -> dict[str, Mapping]:
    """The records of the claims that others hang on."""
    files = {claim: BANK / "claims" / f"{claim}.paper.json" for claim in THREE.values()}
    return {claim: read_json(file) for claim, file in files.items() if file.exists()}


def three_kinds(records: Mapping[str, Mapping]) -> Finding | None:
    """C002: MAML works for three kinds of problems where one claim of each is reproduced."""
    if not records.keys() >= {*THREE.values()}:
        return None
    verdicts = {name: records[claim]["verdict"] for name, claim in THREE.items()}
    seeds = [{*records[claim]["provenance"]["seeds"]} for claim in THREE.values()]
    trained = [name for r in records.values() for name in r["provenance"]["trained"]]
    return Finding(
        {name: verdict == "reproduced" for name, verdict in verdicts.items()},
        {f"{THREE[name]}, {name}": verdict for name, verdict in verdicts.items()},
        "; ".join(f"{name} ({THREE[name]}) is {verdict}" for name, verdict in verdicts.items())
        + ".",
        "the verdicts of these three claims: " + ", ".join(THREE.values()),
        sorted(set.intersection(*seeds)),
        tuple(dict.fromkeys(trained)),
    )


JUDGES = {"C002": three_kinds, "S220": three_kinds}

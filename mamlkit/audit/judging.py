"""A judge is a function from evidence to a finding; this file turns findings into records."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """What a judge found. checks: each check of the criterion, passed or not. here: our numbers by
    label (a number, an `Interval` or words); a label that the ledger's paper numbers share is
    drawn beside them. why: one sentence with numbers. protocol: how they were measured. seeds:
    which trainings stand behind it. experiments: the bank's experiments that were read.
    """

    checks: Mapping[str, bool]
    here: Mapping[str, Any]
    why: str
    protocol: str = ""
    seeds: Iterable[int] = (0,)
    experiments: tuple[str, ...] = ()


# None: what the claim needs is not banked.
Judge = Callable[[Any], Finding | None]

"""The profile: one dial that says how much is run, never what."""

from typing import TypeVar

PROFILES = ("smoke", "quick", "paper")
T = TypeVar("T")


def budget(profile: str, *, smoke: T, quick: T, paper: T) -> T:
    """The budget of `profile`: "smoke" (does it run? seconds), "quick" (shows the phenomenon on two
    cores, minutes) or "paper" (the paper's own). A profile changes sizes and counts, never the
    method or the protocol.

    Raises ValueError for another profile.
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        from mamlkit.boundary import said  # torch comes with it

        raise ValueError(f"profile {said(profile)} is unknown; allowed are {', '.join(PROFILES)}")
    return {"smoke": smoke, "quick": quick, "paper": paper}[profile]

"""Some kills at random moments; `python -m tests.fuzz.kills 1000` makes more."""

import pytest

from tests.fuzz.kills import Campaign, tally
from tests.fuzz.rule import count
from tests.fuzz.victims import JOBS


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    made = Campaign(tmp_path_factory.mktemp("kills"), seed=0)
    yield made
    made.host.close()


@pytest.mark.parametrize("job", [job for job in JOBS if job != "compiled"])
def test_a_job_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(campaign, job):
    """Nothing is cut, nobody stays behind, the end is the same bit for bit, nothing else is left.
    A compiled training takes too long for here, and is done like any other by the long option."""
    for _ in range(count(1)):
        campaign.story(job, 8 if job == "train" else 2)
    assert not campaign.wrong
    assert campaign.kills[job] or campaign.host.hit is False


def test_pieces_add_up():
    lines = [
        {"kills": {"train": 9, "bank": 2}, "wrong": []},
        {
            "kills": {"bank": 3},
            "wrong": [["leftover", "bank", "/x", ["a.tmp"]], ["odd", "", "", ""]],
        },
    ]
    assert tally(lines) == (
        "14 kills in 2 stories (train 9, compiled 0, bank 5, judge 0, run 0, grid 0): "
        "0 lost, 1 leftover, 0 orphan, 1 odd"
    )

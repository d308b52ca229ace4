"""What chapter 6 shows is what the results say."""

import pytest
import torch

from mamlkit.audit import variants_tables as tables
from tests.audit.made_up_variants import classes, evidence, parts, result, searched


def test_the_middle_of_some_values():
    assert tables.middle([3.0, 1.0, 2.0]) == 2.0 and tables.middle([4.0, 1.0]) == 1.0
    assert tables.clipped({"a": [1e6, 1.0]}) == {"a": [20.0, 1.0]}
    assert tables.in_words({"maml": [0.5], "imaml": [2.0, 1.0, 3.0]}, " %") == (
        "MAML 0.50 %, iMAML 2.00 %"
    )


def test_parts_and_gains_are_by_seed():
    found = tables.parts(parts(5.0))
    assert found["none"] == [90.0, 91.0, 92.0] and found["cosine"] == [95.0, 96.0, 97.0]
    assert tables.parts({"none-0": parts(5.0)["none-0"]}) == {"none": [90.0]}
    e = evidence(classes=classes(-2.0))
    gains = tables.by_classes(e, "omniglot", "means")
    assert [gain[0] for gain in gains] == pytest.approx([10.0, 8.0, 6.0])
    assert tables.levels(e, "omniglot", "means") == "80 80 80"


def test_costs_are_at_one_length_or_at_all():
    lengths, mib = [1, 5], {m: [1.0, 2.0 + i] for i, m in enumerate(tables.VARIANTS)}
    e = evidence(
        costs={
            f"{m}-0": result(dict(method=m, lengths=lengths), {"MiB": v, "cosine": 0.5})
            for m, v in mib.items()
        }
    )
    assert tables.costs(e, "MiB") == mib
    assert tables.costs(e, "MiB", 5)["fomaml"] == [3.0]
    assert tables.costs(e, "cosine")["maml"] == [0.5]


def test_searched_errors_are_after_the_searched_steps_and_usual_ones_after_as_many():
    waves = {
        f"{m}-0": result(dict(method=m), {"K=10": torch.arange(22.0).view(2, 11)})
        for m in tables.VARIANTS
    }
    e = evidence(searched=searched(-0.4), waves=waves)
    for i, m in enumerate(tables.VARIANTS):
        assert tables.usual(e)[m] == [i + 1.0]  # the curve of these is their step
        assert len(tables.searched(e)[m]) == 5 and max(tables.searched(e)[m]) < 9
    (row,) = (x for x in tables.searched_table(e).splitlines() if x.startswith("| CAVIA"))
    assert row.split("|")[3:6] == [" 8 ", " 0.818 ", " 8.000 "]

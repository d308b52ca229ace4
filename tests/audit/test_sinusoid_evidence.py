import math

import torch

from mamlkit.audit.intervals import Interval
from mamlkit.audit.sinusoid_evidence import TABLE2, figure3, high, low, needs, share
from tests.audit.made_up import SEEDS, falling, method, summary


def test_a_share_is_counted_over_all_seeds():
    found = share(torch.tensor([3, 0, 1]), torch.tensor([100, 100, 200]))
    assert found.value == 0.01 and 0.002 < found.low < 0.01 < found.high < 0.03


def test_the_share_of_the_diverged_grows_with_the_steps():
    lost = torch.arange(11).expand(SEEDS, -1)
    maml = method(summary("K=5", falling(3.0, 0.6, 0.3), tasks=100) | {"K=5 lost": lost})
    assert maml.lost("K=5").value == 0.1 and maml.lost("K=5", 3).value == 0.03


def test_a_p_value_is_that_of_students_test():
    from scipy import stats

    sample = torch.linspace(-1, 1.5, 40).double()
    maml = method(summary("t", [1.0, 1.0], tasks=40))
    maml.tests["t change"] = sample.mean().expand(SEEDS, 1)
    maml.tests["t change error"] = (sample.std() / 40**0.5).expand(SEEDS, 1)
    right = stats.ttest_1samp(sample.numpy(), 0).pvalue
    assert all(math.isclose(p[0], right) for p in maml.pvalues("t"))


def test_one_seed_has_no_interval():
    alone = Interval(2.0, float("nan"), float("nan"))
    assert (low(alone), high(alone)) == (2.0, 2.0)
    assert (low(Interval(2.0, 1.0, 3.0)), high(Interval(2.0, 1.0, 3.0))) == (1.0, 3.0)


def test_a_judge_without_its_networks_is_silent():
    asked = needs("a", "b")(lambda e: "said")
    assert asked({"a": 1}) is None and asked({"a": 1, "b": 2}) == "said"


def test_figure_3_draws_the_oracle_before_any_step():
    tests = [summary(f"K={k}", falling(3.0, 0.6, 0.3)) for k in (5, 10, 20)]
    lines = figure3({name: method(*tests) for name in ("maml", "pretrained", "oracle")})
    assert lines[10]["oracle"].shape == (SEEDS, 11) and (lines[10]["oracle"] > 2.9).all()
    assert TABLE2[5]["maml"][1] == 0.67


def test_networks_of_other_seeds_are_not_compared():
    asked = needs("maml", "pretrained")(lambda e: "said")
    five = method()
    assert asked({"maml": five, "pretrained": five}) == "said"
    assert asked({"maml": five, "pretrained": five._replace(seeds=[0, 1])}) is None
    averages = needs("maml", "average l2")(lambda e: "said")
    assert averages({"maml": five, "average l2": five._replace(seeds=[0, 1, 2])}) == "said"

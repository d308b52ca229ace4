"""The bandit on which every history is counted."""

from mamlkit.studies.navigation_bandit import counted


def test_the_missing_term_is_all_that_the_meta_gradient_misses():
    found = counted((1, 2, 4))
    assert found.inner["log"] < 1e-12 and found.with_missing < 1e-12
    assert all(0.07 < error < 0.09 for error in found.meta["log"]), "more pulls do not mend it"
    assert found.hessian["log"] > 1 > 1e-12 > found.hessian["ratio"]
    assert found.meta["ratio"][2] < found.meta["ratio"][0]
    assert found.limit[2] < found.limit[0]

"""First-order MAML: Finn, Abbeel & Levine 2017, section 5.2, "a first-order approximation"."""

from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner, unrolled


def fomaml(loss, *, alpha, steps) -> Learner:
    """MAML with the second derivatives omitted: the meta-gradient is the query gradient at the
    adapted theta'.

    Same call as `maml`; only `first_order=True` differs. Source: section 5.2, Table 1, "MAML, first
    order approx.".
    """

    def inner(theta, support):
        return adapt(theta, repeated(loss, support, steps), [alpha] * steps, first_order=True)

    return unrolled(loss, inner)

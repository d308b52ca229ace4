"""A policy that is told its task by a vector, which alone adapts: appendix C.2, Table 4."""

from mamlkit.nets import Net, with_context
from mamlkit.rl.policy import Policy


def in_context(policy: Policy, size: int) -> Policy:
    """The same policy, its first layer given `size` more inputs: the context, params["context"]
    (size,), zeros at first; see `with_context`.

    To adapt the context alone, name it: alpha={"context": a}. All else is meta-learned, the
    context's start as well. policy: one whose first layer is called layer0, as `gaussian` makes.
    size: 5 in the authors' code; 1 or more. Raises ValueError for a size below 1.
    """
    net = with_context(Net(policy.init, policy.forward), size, shift="layer0.bias")
    return policy._replace(init=net.init, forward=net.forward)

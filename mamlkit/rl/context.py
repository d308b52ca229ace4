"""A policy that is told its task by a vector, which alone adapts: appendix C.2, Table 4."""

from mamlkit.boundary import whole
from mamlkit.nets import normal
from mamlkit.rl.policy import Policy


def in_context(policy: Policy, size: int) -> Policy:
    """The same policy, its first layer given `size` more inputs: the context, params["context"]
    (size,), zeros at first.

    To adapt the context alone, name it: alpha={"context": a}. All else is meta-learned, the
    context's start as well. policy: one whose first layer is called layer0, as `gaussian` makes.
    size: 5 in the authors' code; 1 or more. "context.weight" (units, size) starts normal, its
    variance 1 / size. Raises ValueError for a size below 1.
    """
    whole("size", size)

    def init(generator):
        params = policy.init(generator)
        weight = normal(size**-0.5)(generator, (len(params["layer0.bias"]), size))
        return {"context": weight.new_zeros(size), "context.weight": weight} | params

    def forward(params, observation):
        # more inputs that are the same at every step are one more bias
        moved = params["layer0.bias"] + params["context.weight"] @ params["context"]
        return policy.forward(params | {"layer0.bias": moved}, observation)

    return policy._replace(init=init, forward=forward)

"""Fine-tuning with Adam: a stronger opponent than the paper's, for the pretrained baseline of section 5.1."""

from torch.func import grad

from mamlkit.optimizer import adam
from mamlkit.trees import ravel


def fine_tune(loss, *, alpha, steps):
    """An `adapt` function that takes `steps` Adam steps of size `alpha` on the support: (theta, support) -> path."""

    def path(theta, support):
        vector, unravel = ravel(theta)
        optimizer = adam(alpha)
        state, visited = optimizer.init(vector), [theta]
        for _ in range(steps):
            gradient = grad(lambda v: loss(unravel(v), support))(vector)
            vector, state = optimizer.update(gradient, state, vector)
            visited.append(unravel(vector))
        return visited

    return path

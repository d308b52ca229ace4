"""Fine-tuning with Adam: a stronger opponent than the paper's, for the pretrained baseline of section 5.1."""

from mamlkit.inner import adapt_with, repeated
from mamlkit.optimizer import adam


def fine_tune(loss, *, alpha, steps):
    """An `adapt` function that takes `steps` Adam steps of size `alpha` on the support: (theta, support) -> path."""
    return lambda theta, support: adapt_with(adam)(theta, repeated(loss, support, steps), [alpha] * steps)

"""One file, one distribution over tasks: sinusoid, omniglot, mini_imagenet, glyphs, and folder, of
your own images; few_shot and minibatches make tasks of any.

>>> from mamlkit.families.sinusoid import sinusoid
"""

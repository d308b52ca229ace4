"""One file, one method, a function of its name: anil, cavia, fomaml, imaml, maml, mamlpp, meta_sgd,
reptile.

>>> from mamlkit.variants.meta_sgd import meta_sgd
"""

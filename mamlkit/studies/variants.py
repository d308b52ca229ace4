"""Chapter 6 as experiments, in the order of their value: eight variants on one inner loop."""

from mamlkit.bank.experiment import Experiment
from mamlkit.studies import variants_classes as classes
from mamlkit.studies import variants_costs as costs
from mamlkit.studies import variants_images as images
from mamlkit.studies import variants_search as search
from mamlkit.studies import variants_waves as waves
from mamlkit.studies.published_reptile import REPTILE_KEPT

EXPERIMENTS: tuple[Experiment, ...] = (
    waves.WAVES,
    costs.COSTS,  # at a start that `WAVES` has trained
    waves.ALPHA_CPU,
    waves.ALPHA,
    search.SEARCH,
    search.SEARCHED,  # at what `SEARCH` chose
    images.OMNIGLOT_CPU,
    images.PARTS_CPU,
    images.PARTS_LONGER,
    images.REPTILE_CPU,
    classes.CLASSES_CPU,
    images.PARTS_PAPER,
    classes.CLASSES_PAPER,
    images.OMNIGLOT,
    images.REPTILE,
    REPTILE_KEPT,
)

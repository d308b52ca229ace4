"""The nearest-neighbour baseline of Table 1: nothing is learned from the support, it is looked
at."""

from torch import Tensor

from mamlkit.baselines.episodic import best_of_class, recall, squared_euclidean
from mamlkit.nets import Net

pixels = Net(lambda generator: {}, lambda params, x, reference=None: x.flatten(1))


def nearest_neighbour(body: Net, *, ways: int, distance=squared_euclidean) -> Net:
    """A query is of the class of its nearest support example; the logit of a class is minus the
    distance to it.

    body: `pixels`, or a body whose parameters come from a classifier of all training classes (Ravi
    & Larochelle's baseline; `pretrain`). distance: (queries, features), (examples, features) ->
    (queries, examples); on features minus the cosine is usual. forward: images -> (queries, ways),
    see mamlkit/episodic.py.
    """

    def forward(params, x, reference=None) -> Tensor:
        theta, support = recall(params)
        a, b = (body.forward(theta, images, reference=reference) for images in (x, support.x))
        return best_of_class(-distance(a, b), support.y, ways)

    return Net(body.init, forward)

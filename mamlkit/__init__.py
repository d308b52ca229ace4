"""The executable, audited edition of Finn, Abbeel & Levine 2017, Model-Agnostic Meta-Learning for
Fast Adaptation of Deep Networks.

An algorithm is a value made of pure functions. It is written for one task, and `vmap` batches it.

>>> from mamlkit.families.sinusoid import sinusoid
>>> from mamlkit.losses import mse
>>> from mamlkit.machine import seeded
>>> from mamlkit.nets import mlp
>>> from mamlkit.optimizer import adam
>>> from mamlkit.train import train
>>> from mamlkit.variants.maml import maml
>>> net, g = mlp(1, 40, 40, 1), seeded(0)
>>> learner = maml(mse(net.forward), alpha=0.01, steps=1)
>>> size = dict(tasks=25, iterations=2)
>>> for step in train(learner, net.init(g), sinusoid(), adam(0.001), generator=g, **size):
...     print(step.iteration)
2

A function stands in the file of its name, `from mamlkit.variants.maml import maml`; `from_module`
is in `nets`, `accuracy` in `losses`, `Data`, `Task`, `Family` in `task`, `on_query` in `evaluate`.

The paper, at the top of the package:

- `task`, `learner`, `inner`: what a task, a learner and an inner step are
- `train`, `evaluate`: the outer loop of Algorithm 1, and how well a learner adapts
- `nets`, `layers`, `modules`, `sequence`: the paper's networks, and `from_module` for any other
- `losses`, `optimizer`, `solve`, `trees`: losses, outer optimizers, linear systems, parameters
- `boundary`, `files`, `machine`, `memory`, `runners`: what may come in, files, devices and seeds

The rooms, each a folder:

- `variants`: one file, one method: MAML, FOMAML, Reptile, Meta-SGD, MAML++, iMAML, ANIL, CAVIA
- `families`: one file, one p(T): sinusoids, Omniglot, miniImagenet, a folder of your own images
- `baselines`: what MAML is compared with
- `rl`: section 5.3: environments, policies, TRPO, the outer loop of Algorithm 3
- `probes`: what looks at an algorithm: tangent kernel, Hessian, finite differences, operations
- `bank`: experiments as values, checkpoints, and how a result is known
- `scale`: one training over ranks, experiments over workers, and what that costs
- `studies`, `audit`: the experiments of each section; the claims, and the functions that judge them
- `show`, `knobs`, `book`: figures, live scenes, notebooks as files

A wheel holds all of that code. Notebooks, banked results and the claims' records need a clone.
"""

__version__ = "0.1.0"

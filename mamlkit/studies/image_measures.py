"""What is measured of a trained network of section 5.2: test tasks under four protocols."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mamlkit.baselines.protocols import one_by_one, support_only, together, under
from mamlkit.evaluate import evaluate, on_query
from mamlkit.learner import Learner
from mamlkit.losses import accuracy
from mamlkit.machine import seeded
from mamlkit.studies.image_methods import Method, adapting, family
from mamlkit.task import Family, sample
from mamlkit.trees import Params, tree_flatten

Setting = Mapping[str, Any]
TEST, VALIDATION = 10_000, 20_000  # the seeds that draw test and validation tasks
QUERIES = 15  # a class, except under the paper's protocol
PROTOCOLS = {  # which examples normalise the queries, and of how many tasks one is tested
    "paper": (together, 1), "together": (together, 1),
    "support only": (support_only, 4), "one by one": (one_by_one, 20),
}  # fmt: skip
SAID = {
    "paper": "as many queries as shots, normalised together",
    "together": "15 queries a class, normalised together",
    "support only": "15 queries a class, normalised by the support's statistics",
    "one by one": "15 queries a class, each normalised alone with the support",
}


def queries(setting: Setting, protocol: str) -> int:
    """How many queries a class has: the paper tests with as many as shots."""
    return setting["shots"] if protocol == "paper" else QUERIES


def in_parts(learner, meta, tasks_of, metric, seed: int, n: int, device="cpu") -> Tensor:
    """`evaluate` on n tasks, drawn a hundred at a time so that memory stays small.

    They are drawn on the CPU, so that they are the same on every device.

    n: below 100 or a multiple of it. Returns (n, steps + 1).
    """
    generator, each = seeded(seed), min(100, n)
    chunk = at_once(each, tasks_of) if torch.device(device).type == "cuda" else 1
    return torch.cat(
        [
            evaluate(learner, meta, sample(tasks_of, generator, each), metric, chunk=chunk)
            for _ in range(n // each)
        ]
    )


def at_once(tasks: int, family: Family) -> int:
    """How many tasks a GPU holds at once: as many as are made of 64 MiB. A CPU convolves one
    faster."""
    size = sum(t.numel() for t in tree_flatten(sample(family, seeded(0), 1))[0]) * 4
    return max(1, min(tasks, 2**26 // size))


def right(
    setting: Setting,
    how: Method,
    meta: Params,
    protocol: str,
    *,
    tasks: int | None = None,
    split: str = "test",
    device: str = "cpu",
) -> Tensor:
    """How many queries of each task are named rightly after each step: (tasks, steps + 1).

    protocol: one of `PROTOCOLS`. tasks: how many (None: as the setting says; 600 under the paper's
    protocol, a quarter and a twentieth under the slow ones).
    """
    normalised, part = PROTOCOLS[protocol]
    n = tasks or max(2, setting["tests"] // part)
    n = min(n, 600) if protocol == "paper" else n
    each = queries(setting, protocol)
    metric = under(normalised, accuracy, how.net.forward)
    drawn = family(setting, split, each, device)
    found = in_parts(how.adapts[0], meta, drawn, metric, TEST, n // 100 * 100 or n, device)
    return (found * setting["way"] * each).round().to(torch.int16).cpu()


def score(setting: Setting, net, adapts: Learner, meta: Params, *, device: str = "cpu") -> Tensor:
    """Accuracy on validation tasks after the steps of the paper's evaluation: what checkpoints and
    tunings are chosen by."""
    at_test = adapting(lambda m, s: adapts.adapt(m, s)[: setting["test"] + 1][-1:])
    drawn = family(setting, "validation", QUERIES, device)
    metric = on_query(accuracy(net.forward))
    return in_parts(at_test, meta, drawn, metric, VALIDATION, setting["validation"], device).mean()

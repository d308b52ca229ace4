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
from mamlkit.studies.image_methods import GRADIENT, METHODS, Method, family, features
from mamlkit.task import sample
from mamlkit.train import Step
from mamlkit.trees import Params

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

    n: below 100 or a multiple of it. Returns (n, steps + 1).
    """
    generator, each = seeded(seed, device), min(100, n)
    chunk = 25 if torch.device(device).type == "cuda" else 1  # a CPU convolves one task faster
    return torch.cat(
        [
            evaluate(learner, meta, sample(tasks_of, generator, each), metric, chunk=chunk)
            for _ in range(n // each)
        ]
    )


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
    return (found * setting["way"] * each).round().to(torch.int16)


def score(setting: Setting, net, adapts: Learner, meta: Params, *, device: str = "cpu") -> Tensor:
    """Accuracy on validation tasks after the steps of the paper's evaluation: what checkpoints and
    tunings are chosen by."""
    at_test = Learner(
        adapts.init, lambda m, s: adapts.adapt(m, s)[: setting["test"] + 1][-1:], None
    )
    drawn = family(setting, "validation", QUERIES, device)
    metric = on_query(accuracy(net.forward))
    return in_parts(at_test, meta, drawn, metric, VALIDATION, setting["validation"], device).mean()


def measure(setting: Setting, step: Step, device: str = "cpu") -> tuple[Params, dict[str, Tensor]]:
    """The parameters of a gradient method, and how many test queries are right: of each protocol
    `right.<protocol>`, and of a classifier's features `features.<protocol>`."""
    best, how = step.best or step.meta, METHODS[setting["method"]](setting)
    if len(how.adapts) > 1:
        by_validation = [score(setting, how.net, a, best, device=device) for a in how.adapts]
        chosen = int(torch.stack(by_validation).argmax())
        how = how._replace(adapts=(how.adapts[chosen],))
    normless = setting["method"] in ("mann", "pixels") or setting["tests"] < 100
    names = ("paper", "together") if normless else tuple(PROTOCOLS)
    found = {f"right.{n}": right(setting, how, best, n, device=device) for n in names}
    if setting["method"] == "fine-tuned":
        nearest = features(setting)
        found |= {f"features.{n}": right(setting, nearest, best, n, device=device) for n in names}
    if setting["images"] == "miniimagenet" and setting["method"] in GRADIENT:
        found["right.training classes"] = right(
            setting, how, best, "together", split="train", device=device
        )
    return (best if setting["method"] in GRADIENT else {}), {"scores": step.scores} | found

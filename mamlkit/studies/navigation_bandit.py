"""The meta-gradient of section 5.3 on a bandit with three arms, where every history is counted."""

from typing import NamedTuple

import torch
from torch import Tensor

from mamlkit.rl import bandit

REWARD, LOGITS = (1.0, -0.5, 0.3), (0.2, -0.3, 0.1)  # one bandit: another has other errors
PULLS, ALPHA = (1, 2, 3, 5, 8, 12, 20), 0.4
LOSSES = {"log": bandit.by_log, "ratio": bandit.by_ratio}  # of section 5.3; pi / pi_old


class Counted(NamedTuple):
    """Errors of averages over all histories. meta: by inner loss, the meta-gradient's for each
    number of pulls, as a share of its size. inner: the inner gradient's. hessian: the Hessian's,
    as a share of its size. with_missing: of estimate and missing term together. limit: how far the
    exact meta-gradient is from that of endless pulls, for each number, as a share."""

    meta: dict[str, list[float]]
    inner: dict[str, float]
    hessian: dict[str, float]
    with_missing: float
    limit: list[float]


def counted(pulls: tuple[int, ...] = PULLS) -> Counted:
    """Counts them in double precision; seconds."""
    reward, logits = (torch.tensor(v, dtype=torch.double) for v in (REWARD, LOGITS))
    found = {
        name: [
            bandit.meta_gradient(reward, logits, alpha=ALPHA, samples=n, inner=loss) for n in pulls
        ]
        for name, loss in LOSSES.items()
    }
    meta = {
        name: [_size(m.estimated - m.exact) / _size(m.exact) for m in all_]
        for name, all_ in found.items()
    }
    gradients = {n: bandit.gradients(reward, logits, loss) for n, loss in LOSSES.items()}
    hessians = {n: bandit.hessians(reward, logits, loss) for n, loss in LOSSES.items()}
    return Counted(
        meta,
        {name: _size(ours - exact) for name, (exact, ours) in gradients.items()},
        {name: _size(ours - exact) / _size(exact) for name, (exact, ours) in hessians.items()},
        max(_size(m.estimated + m.missing - m.exact) for m in found["log"]),
        [_size(m.exact - m.limit) / _size(m.limit) for m in found["log"]],
    )


def _size(vector: Tensor) -> float:
    return vector.norm().item()

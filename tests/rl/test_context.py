"""The context is what the first layer sees beside the observation, and nothing else adapts."""

import pytest
import torch
from torch.nn import functional as F

from mamlkit.machine import seeded
from mamlkit.rl.context import in_context
from mamlkit.rl.objectives import reinforce
from mamlkit.variants.maml import maml
from tests.oracles import same
from tests.rl.worlds import played, small

pytestmark = pytest.mark.usefixtures("float64")
TOLD = in_context(small(), 3)


def test_it_is_a_net_with_more_inputs():
    params = TOLD.init(seeded(1)) | {"context": torch.tensor([0.5, -1.0, 2.0])}
    observation = torch.randn(6, 2, generator=seeded(2))
    seen = torch.cat([observation, params["context"].expand(6, 3)], 1)
    wide = params | {
        "layer0.weight": torch.cat([params["layer0.weight"], params["context.weight"]], 1)
    }
    hidden = torch.tanh(F.linear(seen, wide["layer0.weight"], wide["layer0.bias"]))
    hidden = torch.tanh(F.linear(hidden, wide["layer1.weight"], wide["layer1.bias"]))
    by_hand = F.linear(hidden, wide["layer2.weight"], wide["layer2.bias"])
    assert (TOLD.forward(params, observation).mean - by_hand).abs().max() < 1e-14


def test_at_first_it_says_nothing_and_then_it_alone_moves():
    _, policy, theta, batch = played(policy=TOLD)
    start = TOLD.init(seeded(0))
    assert same(
        TOLD.forward(start, torch.ones(4, 2))._asdict(),
        small().forward(start, torch.ones(4, 2))._asdict(),
    )
    support = tuple(type(b)(*(t[0] for t in b)) for b in batch.support)
    after = maml(reinforce(policy), alpha={"context": 0.3}, steps=1).adapt(theta, support)[-1]
    assert [k for k in theta if not torch.equal(theta[k], after[k])] == ["context"]


def test_a_context_of_nothing_is_refused():
    with pytest.raises(ValueError, match="size is 0: it must be 1 or more"):
        in_context(small(), 0)

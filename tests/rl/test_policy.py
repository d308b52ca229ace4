import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.func import vmap
from torch.nn import functional as F

from mamlkit.machine import seeded
from mamlkit.nets import count, with_context
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import FLOOR, Gaussian, gaussian
from mamlkit.variants.maml import maml
from tests.oracles import same
from tests.rl.worlds import played, small

pytestmark = pytest.mark.usefixtures("float64")
TOLD = with_context(small(), 3, shift="layer0.bias")


def distributions(seed, steps=6, actions=3):
    generator = seeded(seed)
    return Gaussian(
        torch.randn(steps, actions, generator=generator),
        0.4 * torch.randn(steps, actions, generator=generator),
    )


def torchs(dist):
    return Independent(Normal(dist.mean, dist.log_std.exp()), 1)


def test_it_is_the_net_of_section_5_3():
    params = gaussian(2, 2).init(seeded(0))
    assert count(params) == 10_604 and count(gaussian(20, 6).init(seeded(0))) == 12_812
    assert torch.equal(params["log_std"], torch.zeros(2)) and params["layer1.weight"].shape == (
        100,
        100,
    )
    assert (
        params["layer1.weight"].abs().max()
        <= (6 / 200) ** 0.5
        < 1.01 * params["layer1.weight"].abs().max()
    ), "Xavier"


def test_log_probabilities_and_divergences_are_torchs():
    policy, old, new = gaussian(2, 3), distributions(0), distributions(1)
    action = torch.randn(6, 3, generator=seeded(2))
    assert (policy.log_prob(old, action) - torchs(old).log_prob(action)).abs().max() < 1e-12
    assert (policy.kl(old, new) - kl_divergence(torchs(old), torchs(new))).abs().max() < 1e-12
    assert policy.kl(old, old).abs().max() < 1e-14


def test_actions_are_drawn_from_the_distribution_with_the_generator():
    policy, dist = (
        gaussian(2, 2),
        Gaussian(
            torch.tensor([1.0, -2.0]).expand(100_000, 2),
            torch.tensor([0.5, 0.1]).log().expand(100_000, 2),
        ),
    )
    state = torch.get_rng_state()
    drawn = policy.draw(dist, seeded(0))
    assert (drawn.mean(0) - torch.tensor([1.0, -2.0])).abs().max() < 0.01 and (
        drawn.std(0) - torch.tensor([0.5, 0.1])
    ).abs().max() < 0.005
    assert torch.equal(drawn, policy.draw(dist, seeded(0))) and torch.equal(
        torch.get_rng_state(), state
    )


def test_the_log_std_is_a_parameter_with_a_floor():
    policy = gaussian(2, 3, hidden=(4,), std=0.25)
    params = policy.init(seeded(0))
    assert params["log_std"].exp().tolist() == pytest.approx([0.25] * 3)
    low = policy.forward(
        params | {"log_std": torch.tensor([0.3, -50.0, 0.0])}, torch.zeros(5, 2)
    ).log_std
    assert low.shape == (5, 3) and low[0].tolist() == pytest.approx([0.3, FLOOR, 0.0])


def test_batched_is_looped():
    policy = gaussian(2, 3, hidden=(4, 5))
    each = [policy.init(seeded(i)) for i in range(4)]
    seen = torch.randn(4, 6, 2, generator=seeded(9))
    together = vmap(policy.forward)({k: torch.stack([p[k] for p in each]) for k in each[0]}, seen)
    for i, params in enumerate(each):
        assert (together.mean[i] - policy.forward(params, seen[i]).mean).abs().max() < 1e-12


def test_with_a_context_it_is_a_net_with_more_inputs():
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


def test_a_context_says_nothing_at_first_and_then_it_alone_moves():
    _, policy, theta, batch = played(policy=TOLD)
    start = TOLD.init(seeded(0))
    assert same(
        TOLD.forward(start, torch.ones(4, 2))._asdict(),
        small().forward(start, torch.ones(4, 2))._asdict(),
    )
    support = tuple(type(b)(*(t[0] for t in b)) for b in batch.support)
    after = maml(reinforce(policy), alpha={"context": 0.3}, steps=1).adapt(theta, support)[-1]
    assert [k for k in theta if not torch.equal(theta[k], after[k])] == ["context"]


@pytest.mark.parametrize("std", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_std_is_refused(std):
    with pytest.raises(
        ValueError, match=f"std is {std}: a standard deviation must be a finite number above 0"
    ):
        gaussian(2, 2, std=std)

"""Attention by hand; claim C068's two parameter counts; full context embeddings one example at a
time."""

from math import exp, log

import pytest
import torch

from mamlkit.baselines.episodic import episodic
from mamlkit.baselines.matching import full_context, matching
from mamlkit.losses import cross_entropy
from mamlkit.machine import seeded
from mamlkit.nets import Net, count, he, mlp, strided_body, strided_convnet
from mamlkit.sequence import lstm_step
from tests.episodes import learned, toy

flat = Net(lambda generator: {}, lambda params, x, reference=None: x)


def test_probabilities_are_attention_summed_over_the_examples_of_a_class():
    support = {
        "support.x": torch.tensor([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]]),
        "support.y": torch.tensor([1, 0, 1]),
    }
    out = matching(flat, ways=2).forward(support, torch.tensor([[5.0, 0.0]]))  # cosines 1, 0, -1
    everything = exp(1) + exp(0) + exp(-1)
    assert out[0].tolist() == pytest.approx(
        [log(1 / everything), log((exp(1) + exp(-1)) / everything)], rel=1e-5
    )


@pytest.mark.usefixtures("float64")
def test_only_directions_count():
    x = torch.randn(6, 3, generator=seeded(0))
    y, query, net = (
        torch.tensor([0, 1, 0, 1, 1, 0]),
        torch.randn(4, 3, generator=seeded(1)),
        matching(flat, ways=2),
    )
    out = net.forward({"support.x": x, "support.y": y}, query)
    other = net.forward(
        {"support.x": x * torch.arange(1.0, 7)[:, None], "support.y": y}, 0.3 * query
    )
    assert (out - other).abs().max() < 1e-12 and (out.exp().sum(-1) - 1).abs().max() < 1e-12


def test_claim_c068_the_basic_variant_has_fewer_parameters_than_maml_and_full_context_has_more():
    """The ledger counts 111,424 for the body: ours less the 256 convolution biases, which batch
    norm cancels."""
    params = matching(strided_body(), ways=5).init(seeded(0))
    basic, full = (
        count(params),
        count(full_context(strided_body(), features=64, ways=5, steps=3).init(seeded(0))),
    )
    assert (basic, full) == (111_680, 111_680 + 115_456)
    assert basic - count({k: p for k, p in params.items() if k.endswith(".bias")}) == 111_424
    assert basic < count(strided_convnet(5).init(seeded(0))) < full


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("steps", [1, 3])
def test_full_context_is_its_equations(steps):
    """Appendix A of Vinyals et al., one example after another."""
    net, n = full_context(flat, features=3, ways=2, steps=steps), 5
    theta = {
        k: p + 0.1 * torch.randn(p.shape, generator=seeded(2))
        for k, p in net.init(seeded(0)).items()
    }
    x, y, queries = (
        torch.randn(n, 3, generator=seeded(1)),
        torch.tensor([0, 1, 0, 1, 1]),
        torch.randn(4, 3, generator=seeded(3)),
    )
    out = net.forward(theta | {"support.x": x, "support.y": y}, queries)
    there, back = [(torch.zeros(3), torch.zeros(3))], [(torch.zeros(3), torch.zeros(3))]
    for i in range(n):
        there.append(lstm_step(theta, "there", x[i], there[-1]))
        back.append(lstm_step(theta, "back", x[n - 1 - i], back[-1]))
    g = [x[i] + there[1 + i][0] + back[n - i][0] for i in range(n)]
    for q, query in enumerate(queries):
        h, c = torch.zeros(3), torch.zeros(3)
        for _ in range(steps):
            weights = torch.softmax(torch.stack([h @ gi for gi in g]), 0)
            read = sum(w * gi for w, gi in zip(weights, g))
            h, c = lstm_step(theta, "read", torch.cat([query, read]), (h, c))
            h = h + query
        weights = torch.softmax(torch.stack([torch.cosine_similarity(h, gi, dim=0) for gi in g]), 0)
        expected = [sum(w for w, c in zip(weights.tolist(), y) if c == k) for k in (0, 1)]
        assert out[q].exp().tolist() == pytest.approx(expected, rel=1e-9)


BUILD = {
    "basic": matching,
    "full context": lambda body, ways: full_context(body, features=6, ways=ways, steps=2),
}


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_it_learns_which_pixels_matter(build):
    family = toy(ways=3, shots=2, queries=4, shape=(1, 1, 8), spread=0.2, nuisance=4.0)
    net = build(mlp(8, 16, 6, weight=he), ways=3)
    before, after, blind = learned(
        episodic(cross_entropy(net.forward)), net, family, iterations=100
    )
    assert before < 0.5 and after > 0.8 and abs(blind - 1 / 3) < 0.06

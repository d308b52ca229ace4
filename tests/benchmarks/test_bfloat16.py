"""The net whose convolutions change precision is the paper's net."""

import torch

from mamlkit.machine import seeded
from mamlkit.nets import strided_convnet
from tests.benchmarks.bfloat16 import convnet, half, single


def test_it_is_the_papers_net_and_bfloat16_is_near_it_but_not_the_same():
    net = strided_convnet(5)
    theta, x = net.init(seeded(0)), torch.rand(6, 1, 28, 28, generator=seeded(1))
    expected = net.forward(theta, x)
    assert (convnet(single).forward(theta, x) - expected).abs().max() < 1e-4
    gap = (convnet(half).forward(theta, x) - expected).abs().max()
    assert 1e-4 < gap < 0.2 * expected.abs().max()

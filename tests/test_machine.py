import re

import pytest
import torch

from mamlkit.machine import choose_device, seeded


@pytest.mark.parametrize(
    "name, gpus, device",
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_is_chosen_by_name(monkeypatch, name, gpus, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize(
    "name, gpus, words",
    [
        (
            "cuda",
            0,
            'device "cuda" is not here: this machine has no CUDA devices; "auto" or "cpu" work',
        ),
        ("cuda:0", 0, 'device "cuda:0" is not here: this machine has no CUDA devices'),
        ("cuda:1", 1, 'device "cuda:1" is not here: this machine has 1 CUDA device;'),
        ("cuda:2", 2, 'device "cuda:2" is not here: this machine has 2 CUDA devices;'),
        (
            "gpu",
            2,
            'device "gpu" is unknown; allowed are "auto", "cpu", "cuda" and "cuda:0", "cuda:1"',
        ),
        ("cuda:x", 2, 'device "cuda:x" is unknown'),
        ("", 0, 'device "" is unknown'),
    ],
)
def test_a_device_that_is_not_here_is_refused_naming_what_works(monkeypatch, name, gpus, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=re.escape(words)):
        choose_device(name)


def test_a_seeded_generator_draws_its_seed_and_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    first, again, other = (torch.rand(5, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert seeded(3).device == torch.device("cpu") and torch.equal(state, torch.get_rng_state())

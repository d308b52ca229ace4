"""What every experiment of the book keeps to."""

import pickle

import pytest
import torch

from mamlkit.studies.catalogue import experiments, find

ALL = experiments()


@pytest.mark.parametrize("name", ALL)
def test_a_training_is_on_the_device_that_is_asked_for(name):
    """On a GPU where there is one; elsewhere torch says that there is none."""
    cells = [*(ALL[name].cells("smoke", 1) or ALL[name].cells("paper", 1)).values()]
    setting = next((s for s in cells if s.get("iterations")), cells[0])
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="(?i)cuda"):
            next(iter(ALL[name].steps(setting, None, 1, "cuda")))
    elif "begins_with" not in setting:  # that needs another experiment's results
        step = next(iter(ALL[name].steps(setting, None, 1, "cuda")))
        assert all(p.is_cuda for p in step.meta.values())


@pytest.mark.parametrize("name", ALL)
def test_an_experiment_can_be_told_to_another_process(name):
    assert pickle.loads(pickle.dumps(ALL[name])).name == name


def test_an_experiment_is_found_by_its_name():
    assert [e.name for e in find(["navigation", "sinusoid"])] == ["sinusoid", "navigation"]
    assert [e.name for e in find([])] == [*ALL] and len(ALL) > 40
    with pytest.raises(ValueError, match='experiment "sine" is unknown; there are sinusoid, '):
        find(["navigation", "sine"])

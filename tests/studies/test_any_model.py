import pytest
import torch

from mamlkit.bank.experiment import last
from mamlkit.machine import seeded
from mamlkit.studies import any_model as study
from mamlkit.task import Data, sample


@pytest.mark.parametrize("cell", study.cells("smoke"))
def test_every_trial_trains_and_is_measured(cell):
    setting = study.cells("smoke")[cell]
    step = last(study.steps(setting, None, 2))
    assert len(step.losses) == 2 and step.losses.isfinite().all()
    params, measured = study.measure(setting, step)
    assert measured["held out"].shape == (20, 2) and measured["held out"].isfinite().all()
    assert study.cost(setting) > 0


def test_the_policys_actions_are_its_own():
    forward = lambda params, x: params["mean"] * x
    params = {"mean": torch.tensor(2.0, requires_grad=True)}
    noise, goal = torch.tensor([[-1.0], [0.0], [1.0]]), torch.full((3, 1), 3.0)
    loss = study.reinforce(forward)(params, Data(noise, goal))
    (gradient,) = torch.autograd.grad(loss, [params["mean"]])
    assert gradient < 0  # more of the mean brings the actions nearer to the goal
    on_actions = study.surrogate(forward)(params, Data(noise + 2.0, goal))
    assert torch.equal(loss, on_actions)


def test_the_signs_are_those_of_the_wave():
    drawn = study.WAVES.noise(seeded(0), 3)
    task = sample(study.signs(), seeded(0), 3)
    y = drawn.amplitude[:, None, None] * torch.sin(drawn.support_x - drawn.phase[:, None, None])
    assert torch.equal(task.support.y, (y[..., 0] > 0).long())


def test_the_shift_of_batch_norm_does_not_adapt():
    trial = study.TRIALS["ConvNet with batch norm"]()
    names = trial.net.init(seeded(0)).keys()
    assert {n for n in names if "beta" in n} == names - trial.alpha.keys() != set()

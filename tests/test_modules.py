"""Torch modules as nets: what torch differentiates wrongly is refused, and what can work works."""

import copy
import random
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from mamlkit.inner import inner_step
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import from_module
from mamlkit.optimizer import adam
from mamlkit.task import Data, Task
from mamlkit.train import train
from mamlkit.variants.maml import maml
from tests.oracles import after_adaptation, derivative_gap, each, fixed, gap, same, trained_gradient

SEQUENCE = (8, 4)


class Last(nn.Module):
    """The last output of a recurrent layer."""

    def __init__(self, layer, width):
        super().__init__()
        self.layer, self.out = layer, nn.Linear(width, 3)

    def forward(self, x):
        return self.out(self.layer(x)[0][:, -1])


class Stepped(nn.Module):
    """A recurrent cell, called at every step."""

    def __init__(self, cell):
        super().__init__()
        self.cell, self.out = cell, nn.Linear(5, 3)

    def forward(self, x):
        state = None
        for now in x.unbind(1):
            state = self.cell(now, state)
        return self.out(state[0] if isinstance(state, tuple) else state)


class Residual(nn.Module):
    """A block as torchvision's resnet18 has it."""

    def __init__(self, channels, width, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.relu = norm(width), norm(width), nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride), norm(width))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


def resnet(norm=nn.BatchNorm2d):
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, 2, 3),
        norm(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        Residual(4, 4, 1, norm),
        Residual(4, 8, 2, norm),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


class Fourier(nn.Module):
    """Random features that are kept as a constant buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("waves", torch.randn(4, 6))
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.sin(x @ self.waves))


WORKING = {
    "weights as they are": (lambda: nn.Linear(4, 3), (4,)),
    "rnn": (lambda: Last(nn.RNN(4, 5, batch_first=True), 5), SEQUENCE),
    "rnn, relu": (lambda: Last(nn.RNN(4, 5, nonlinearity="relu", batch_first=True), 5), SEQUENCE),
    "gru": (lambda: Last(nn.GRU(4, 5, 2, batch_first=True, bidirectional=True), 10), SEQUENCE),
    "lstm": (lambda: Last(nn.LSTM(4, 5, 2, batch_first=True), 5), SEQUENCE),
    "lstm, projected": (lambda: Last(nn.LSTM(4, 5, proj_size=2, batch_first=True), 2), SEQUENCE),
    "lstm, no bias": (lambda: Last(nn.LSTM(4, 5, bias=False, batch_first=True), 5), SEQUENCE),
    "rnn cell": (lambda: Stepped(nn.RNNCell(4, 5)), SEQUENCE),
    "gru cell": (lambda: Stepped(nn.GRUCell(4, 5)), SEQUENCE),
    "lstm cell": (lambda: Stepped(nn.LSTMCell(4, 5)), SEQUENCE),
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0),
        SEQUENCE,
    ),
    "attention, eval": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval(),
        SEQUENCE,
    ),
    "dropout, eval": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout()).eval(), (4,)),
    "dropout of nothing": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.0)), (4,)),
    "constant buffer": (Fourier, (4,)),
    "batch statistics": (
        lambda: resnet(partial(nn.BatchNorm2d, track_running_stats=False)),
        (3, 32, 32),
    ),
    "group norm": (lambda: resnet(partial(nn.GroupNorm, 2)), (3, 32, 32)),
    "fixed statistics": (lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval(), (4,)),
}


def data(shape, outputs, seed=0):
    draw = partial(torch.randn, generator=seeded(seed))
    part = lambda n: Data(draw(3, n, *shape), draw(3, n, *outputs))
    return Task(part(5), part(6))


@pytest.mark.parametrize("name", WORKING)
def test_a_module_that_works_has_the_meta_gradient_of_finite_differences(name, float64):
    build, shape = WORKING[name]
    net = from_module(build)
    params = net.init(seeded(0))
    tasks = data(shape, net.forward(params, torch.zeros(4, *shape)).shape[1:])
    loss = mse(net.forward)
    learner = maml(loss, alpha=0.1, steps=2)
    value = lambda p: sum(after_adaptation(learner, loss, task)(p) for task in each(tasks)) / 3
    assert derivative_gap(value, params, trained_gradient(learner, params, tasks)) < 1e-5


@pytest.mark.parametrize("name", [name for name in WORKING if "eval" not in name])
def test_a_net_computes_what_its_module_does(name, float64):
    build, shape = WORKING[name]
    net, x = from_module(build), torch.randn(6, *shape, generator=seeded(1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build()
    params = {k: p.detach() for k, p in module.named_parameters()}
    assert (net.forward(params, x) - module(x)).abs().max() < 1e-10


class Stopped(nn.Module):
    """What torch differentiates is half of the derivative."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return (self.w.detach() * self.w * x).sum(-1, keepdim=True)


class Odd(nn.Module):
    """A linear layer that a function is made of."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(4, 3), function

    def forward(self, x):
        return self.function(self.layer, x)


def no_grad(module):
    return torch.no_grad()(module.forward)


class Moving(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        self.mean += 0.1 * x.mean(0)
        return self.out(x - self.mean)


ONE = nn.GRU(4, 5)


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: weight_norm(nn.Linear(4, 3)), "differentiates ParametrizedLinear wrongly"),
        (lambda: nn.utils.weight_norm(nn.Linear(4, 3)), "differentiates Linear wrongly"),
        (
            lambda: nn.Sequential(nn.Linear(4, 40), nn.Tanh(), weight_norm(nn.Linear(40, 3))),
            "differentiates Sequential wrongly",
        ),
        (lambda: spectral_norm(nn.Linear(4, 3)), r"changes its buffers .*_u"),
        (Moving, r"changes its buffers \['mean'\] when it runs: .* only hold constants"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout()), r"\(Dropout\): .* dropout 0 or"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.RReLU()), "draws random numbers"),
        (lambda: Last(nn.LSTM(4, 5, 2, dropout=0.5), 5), "draws random numbers"),
        (lambda: Odd(lambda m, x: m(x) * random.random()), "gives other outputs when it is called"),
        (lambda: Odd(lambda m, x: no_grad(m)(x)), "wrongly: once differentiated it is"),
        (lambda: nn.LazyLinear(3), 'parameter "weight" of LazyLinear has no shape yet'),
        (lambda: nn.Linear(4, 3, dtype=torch.complex64), "it must be real"),
        (lambda: nn.Linear(4, 3, device="meta"), "on a device that holds numbers"),
        (lambda: nn.GRU(4, 5), "GRU returns a tuple: .* wrap the module"),
        (nn.Linear(4, 3), "takes a function that makes the module, got a module Linear"),
        (nn.Linear, "takes a function that makes the module, got the class Linear: write"),
        (lambda: ONE, "makes the same GRU at every call: it must make a new one"),
        (lambda: "net", 'the function makes "net": it must make a torch.nn.Module'),
        (resnet, "and 18 others: use batch statistics, .*track_running_stats=False.*GroupNorm"),
    ],
)
def test_a_module_that_cannot_work_is_refused_with_the_remedy(build, words):
    with pytest.raises(ValueError, match=words) as refusal:
        from_module(build)
    assert "\n" not in str(refusal.value)


def test_a_module_whose_inputs_cannot_be_guessed_is_checked_at_its_first_inputs():
    net = from_module(Stopped)
    params = net.init(seeded(0))
    with pytest.raises(ValueError, match="differentiates Stopped wrongly"):
        next(
            train(
                maml(mse(net.forward), alpha=0.1, steps=1),
                params,
                fixed(data((3,), (1,))),
                adam(0.1),
                generator=seeded(0),
                tasks=3,
                iterations=1,
            )
        )
    assert torch.equal(
        from_module(Stopped, derivatives=0).forward(params, torch.ones(2, 3)),
        torch.full((2, 1), 3.0),
    )


def test_what_has_a_first_derivative_only_serves_first_order_methods():
    build = lambda: weight_norm(nn.Linear(4, 3))
    assert len(from_module(build, derivatives=1).init(seeded(0))) == 3
    with pytest.raises(ValueError, match="wrongly: once differentiated"):
        net = from_module(Stopped, derivatives=1)
        net.forward(net.init(seeded(0)), torch.ones(4, 3))


def test_a_frozen_layer_stays_as_it_is():
    def build():
        module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        module[0].requires_grad_(False)
        return module

    net = from_module(build)
    params, tasks = net.init(seeded(0)), data((4,), (3,))
    loss = mse(net.forward)
    stepped = inner_step(params, lambda p: loss(p, each(tasks)[0].support), 0.1)
    *_, step = train(
        maml(loss, alpha=0.1, steps=2),
        params,
        fixed(tasks),
        adam(0.1),
        generator=seeded(0),
        tasks=3,
        iterations=4,
    )
    for after in (stepped, step.meta):
        for name, p in after.items():
            assert torch.equal(p, params[name]) == name.startswith("0."), name


def test_a_module_that_is_refused_as_it_is_not_new_is_left_as_it_was():
    with pytest.raises(ValueError):
        from_module(lambda: ONE)
    assert ONE.weight_hh_l0.dtype == torch.float32 and "forward" not in vars(ONE)


def test_a_module_is_tried_once_and_leaves_the_global_generator_alone(monkeypatch):
    import mamlkit.modules as modules

    tries, state = [], torch.get_rng_state()
    honest = modules._try
    monkeypatch.setattr(modules, "_try", lambda *args: tries.append(1) or honest(*args))
    net = from_module(lambda: nn.Linear(4, 3))
    params = net.init(seeded(0))
    for _ in range(3):
        net.forward(params, torch.zeros(2, 4))
    assert len(tries) == 1 and torch.equal(torch.get_rng_state(), state)
    assert same(params, net.init(seeded(0))) and gap(params, net.init(seeded(1))) > 0.01


@pytest.mark.parametrize("x", [torch.zeros(2, 5), torch.zeros(2, 4, dtype=torch.float64)])
def test_inputs_that_a_module_does_not_take_are_refused_naming_them(x):
    net = from_module(lambda: nn.Linear(4, 3))
    with pytest.raises(ValueError, match=f"Linear does not take a tensor of {x.dtype}"):
        net.forward(net.init(seeded(0)), x)


@pytest.mark.parametrize("make", [nn.BatchNorm1d, lambda n: nn.Sequential(nn.BatchNorm1d(n))])
def test_batch_norm_that_has_seen_nothing_is_warned_of_once(make):
    """What `.eval()` leaves of a fresh one is the identity."""
    fresh = lambda: nn.Sequential(nn.Linear(4, 3), make(3)).eval()
    with pytest.warns(UserWarning, match="in eval mode, .* 1.* normalises nothing; Batch") as said:
        from_module(fresh)
    assert len(said) == 1
    seen = fresh()
    seen.train()(torch.randn(5, 4, generator=seeded(0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_module(lambda: copy.deepcopy(seen.eval()))

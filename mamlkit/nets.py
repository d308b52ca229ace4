"""The paper's networks, and `from_module` for any other: a net is a pair of pure functions."""

from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mamlkit.boundary import a_function, inputs, random_numbers, whole
from mamlkit.layers import batch_norm, linear, padded_conv, pooled_norm, strided_conv
from mamlkit.modules import pure
from mamlkit.trees import Params


class Net(NamedTuple):
    """init: generator -> parameters, on the generator's device. forward: (parameters, inputs) ->
    outputs.

    A net with batch norm also takes `reference`, see `batch_norm`: forward(parameters, inputs,
    reference=n).
    """

    init: Callable[[Generator], Params]
    forward: Callable[..., Tensor]


RISING = {F.relu, torch.relu, torch.tanh, F.tanh, torch.sigmoid, F.sigmoid, F.softplus}
Filler = Callable[[Generator, tuple[int, ...]], Tensor]


def truncated_normal(std: float = 0.01) -> Filler:
    """Normal numbers cut at two standard deviations: the initialisation of the authors' fully
    connected nets."""

    def fill(generator, shape):
        tail = torch.special.ndtr(torch.tensor(-2.0, device=generator.device))
        u = torch.rand(shape, generator=generator, device=generator.device)
        return std * torch.special.ndtri(tail + (1 - 2 * tail) * u)

    return fill


def normal(std: float) -> Filler:
    """Normal numbers: std 1 is the authors' initialisation of a convolutional net's last layer."""
    return lambda generator, shape: std * torch.randn(
        shape, generator=generator, device=generator.device
    )


def he(generator: Generator, shape: tuple[int, ...]) -> Tensor:
    """He et al. 2015: normal, variance 2 / fan-in."""
    return normal(sqrt(2 / _fan_in(shape)))(generator, shape)


def xavier(generator: Generator, shape: tuple[int, ...]) -> Tensor:
    """Glorot & Bengio 2010, uniform: the initialisation of the authors' convolutions."""
    area = _fan_in(shape) // shape[1]
    bound = sqrt(6 / ((shape[0] + shape[1]) * area))
    return bound * (2 * torch.rand(shape, generator=generator, device=generator.device) - 1)


def _fan_in(shape):
    return torch.Size(shape[1:]).numel()


def _layers(generator, shapes, fillers, normed):
    """Weights, zero biases and, for the layers that are `normed`, zero betas."""
    random_numbers(generator)
    params = {}
    for i, (shape, fill) in enumerate(zip(shapes, fillers)):
        params[f"layer{i}.weight"] = fill(generator, shape)
        params[f"layer{i}.bias"] = torch.zeros(shape[0], device=generator.device)
        if i in normed:
            params[f"norm{i}.beta"] = torch.zeros(shape[0], device=generator.device)
    return params


def mlp(
    *sizes: int,
    activation: Callable[[Tensor], Tensor] = F.relu,
    weight: Filler = truncated_normal(),
    norm: bool = False,
) -> Net:
    """A fully connected net of the given layer sizes, inputs first.

    `mlp(1, 40, 40, 1)` is the sinusoid regressor (section 5.1; 1,761 parameters), `mlp(784, 256,
    128, 64, 64, 5, norm=True)` the non-convolutional Omniglot net (section 5.2; 247,109). weight:
    how weights start; biases start at 0. norm: batch normalisation before each activation, see
    `batch_norm`. forward: (examples, ...) -> (examples, sizes[-1]). Raises ValueError for fewer
    than two sizes or a size below 1.

    >>> net = mlp(1, 40, 40, 1)
    >>> count(net.init(torch.Generator().manual_seed(0)))
    1761
    """
    if len(sizes) < 2:
        raise ValueError(f"an mlp needs two or more layer sizes of 1 or more, got {sizes}")
    for size in sizes:
        whole("a layer's size", size)
    a_function("activation", activation, 1, "torch.tanh")
    a_function("weight", weight, 2, "mamlkit.nets.he")
    shapes = [(m, n) for n, m in zip(sizes, sizes[1:])]
    last = len(shapes) - 1

    def forward(params, x, reference=None):
        inputs(params, x)
        if x.ndim < 2 or x.shape[1:].numel() != sizes[0]:
            raise ValueError(
                f"this net takes {sizes[0]} numbers an example, (examples, {sizes[0]}), got inputs "
                f"of shape {tuple(x.shape)}"
            )
        x = x.flatten(1)
        for i in range(last):
            x = linear(x, params[f"layer{i}.weight"], params[f"layer{i}.bias"])
            x = activation(batch_norm(x, **_norm(params, i), reference=reference) if norm else x)
        return linear(x, params[f"layer{last}.weight"], params[f"layer{last}.bias"])

    return Net(
        lambda generator: _layers(
            generator, shapes, [weight] * len(shapes), range(last if norm else 0)
        ),
        forward,
    )


def _norm(params, i):
    """The parameters of normalisation layer i, by their names in `batch_norm`."""
    return {
        name: params[f"norm{i}.{name}"] for name in ("beta", "scale") if f"norm{i}.{name}" in params
    }


def scaled(net: Net) -> Net:
    """The same net with a learned scale in every batch norm, starting at 1: batch norm as Ioffe &
    Szegedy have it.

    The authors' code has none. The names are `norm0.scale`, ...; they stand behind the net's own
    parameters.
    """

    def init(generator):
        params = net.init(generator)
        return params | {
            k.replace(".beta", ".scale"): torch.ones_like(p)
            for k, p in params.items()
            if k.endswith(".beta")
        }

    return Net(init, net.forward)


def all_but_norms(params: Params, alpha: float) -> dict[str, float]:
    """The authors' alpha: one step size for everything but batch norm's own parameters, which are
    only meta-learned.

    Their code never steps the betas inside (cbfinn/maml#43). alpha: on the mean loss. Their
    classification loss is the number of ways times the mean cross-entropy, so their 0.4 (Omniglot
    5-way), 0.1 (20-way) and 0.01 (miniImagenet, 5-way) are 2.0, 2.0 and 0.05 here.
    """
    return {name: alpha for name in params if not name.startswith("norm")}


def strided_convnet(
    ways: int,
    *,
    filters: int = 64,
    channels: int = 1,
    activation: Callable[[Tensor], Tensor] = F.relu,
) -> Net:
    """The Omniglot net of section 5.2: four 3x3 convolutions of stride 2, batch norm, ReLU, mean
    over the last map.

    112,005 parameters at 5 ways, 112,980 at 20. forward: (examples, channels, height, width) ->
    (examples, ways).
    """
    return _with_head(
        strided_body(filters=filters, channels=channels, activation=activation), filters, ways
    )


def strided_body(
    *, filters: int = 64, channels: int = 1, activation: Callable[[Tensor], Tensor] = F.relu
) -> Net:
    """`strided_convnet` without its head: the 64 numbers of its last hidden layer, an embedding;
    111,680 parameters, 256 of them the biases that batch norm cancels.

    It reads the parameters of the whole net as well: the features of a trained classifier.
    forward: (examples, channels, height, width) -> (examples, filters).
    """

    def block(x, weight, bias, **norm):
        return activation(batch_norm(strided_conv(x, weight, bias), **norm))

    return _body(filters, channels, activation, block, lambda x: x.mean((2, 3)))


def pooled_convnet(
    ways: int,
    *,
    filters: int = 32,
    channels: int = 3,
    size: int = 84,
    activation: Callable[[Tensor], Tensor] = F.relu,
) -> Net:
    """The miniImagenet net of section 5.2: four 3x3 convolutions, batch norm, ReLU, 2x2
    max-pooling.

    32,773 parameters at 5 ways and 84x84 images. forward: (examples, channels, size, size) ->
    (examples, ways).
    """
    return _with_head(
        pooled_body(filters=filters, channels=channels, activation=activation),
        filters * (whole("size", size, 16) // 16) ** 2,
        ways,
    )


def pooled_body(
    *, filters: int = 32, channels: int = 3, activation: Callable[[Tensor], Tensor] = F.relu
) -> Net:
    """`pooled_convnet` without its head: 800 features of an 84x84 image.

    forward: (examples, channels, height, width) -> (examples, filters * (height // 16) * (width //
    16)).
    """

    def block(x, weight, bias, **norm):
        x = padded_conv(x, weight, bias)
        if activation in RISING:
            return activation(pooled_norm(x, **norm))
        return F.max_pool2d(activation(batch_norm(x, **norm)), 2)

    return _body(filters, channels, activation, block, lambda x: x.flatten(1))


def _body(filters, channels, activation, block, pool):
    a_function("activation", activation, 1, "torch.tanh")
    whole("filters", filters)
    whole("channels", channels)
    shapes = [(filters, channels, 3, 3), *[(filters, filters, 3, 3)] * 3]

    def forward(params, x, reference=None):
        inputs(params, x)
        if x.shape[1:2] != shapes[0][1:2] or x.ndim != 4:
            raise ValueError(
                f"this net takes images (examples, {shapes[0][1]}, height, width), got inputs of "
                f"shape {tuple(x.shape)}"
            )
        for i in range(4):
            own = (params[f"layer{i}.{name}"] for name in ("weight", "bias"))
            x = block(x, *own, **_norm(params, i), reference=reference)
        return pool(x)

    return Net(lambda generator: _layers(generator, shapes, [xavier] * 4, range(4)), forward)


def _with_head(body, features, ways):
    whole("ways", ways)

    def init(generator):
        params = body.init(generator)
        weight = normal(1.0)(generator, (ways, features))
        return params | {
            "layer4.weight": weight,
            "layer4.bias": torch.zeros(ways, device=generator.device),
        }

    def forward(params, x, reference=None):
        hidden, weight = body.forward(params, x, reference), params["layer4.weight"]
        if hidden.shape[1:] != weight.shape[1:]:
            raise ValueError(
                f"images of {x.shape[2]} x {x.shape[3]} give {hidden.shape[1]} features and this "
                f"net's head takes {weight.shape[1]}: pooled_convnet(ways, size=...) says the size"
            )
        return F.linear(hidden, weight, params["layer4.bias"])

    return Net(init, forward)


def from_module(build: Callable[[], nn.Module], *, derivatives: int = 2) -> Net:
    """Any `torch.nn.Module` as a net: `build()` makes it, its parameters become the dict.

    The module's own initialisation is used, seeded from the generator. A frozen layer stays as it
    is, buffers hold constants, and RNN, LSTM, GRU and attention layers work. derivatives: how often
    it will be differentiated, 2, or 1 by first-order methods only: so often it is held against
    finite differences, once; 0 asks nothing. Raises ValueError, with the remedy, for a module with
    running statistics or dropout, and for one that torch differentiates wrongly or not at all.

    >>> net = from_module(lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)))
    >>> params = net.init(torch.Generator().manual_seed(0))
    >>> net.forward(params, torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """
    module, forward = pure(build, derivatives)
    names = [name for name, _ in module.named_parameters()]

    def init(generator):
        random_numbers(generator)
        with torch.random.fork_rng():
            torch.manual_seed(
                int(torch.randint(2**62, (), generator=generator, device=generator.device))
            )
            fresh = dict(build().named_parameters())
        return {name: fresh[name].detach().to(generator.device) for name in names}

    return Net(init, forward)


def with_context(net: Any, size: int, *, shift: str) -> Any:
    """The same net, told which task it is on by a vector: params["context"] (size,), zeros at
    first.

    To adapt the context alone: alpha={"context": a}. net: a Net or a Policy. shift: the parameter,
    one number for each unit of a layer, that "context.weight" @ context is added to. With the first
    layer's bias it is as if the context stood beside the inputs, as in CAVIA's regressors and
    MAML's context vector (appendix C.2). Where batch norm follows, a bias does nothing: move a
    beta, e.g. "norm2.beta", as CAVIA's convolutional net does, here without the scale.
    "context.weight" (units, size) starts normal, its variance 1 / size. Raises ValueError for a
    size below 1, and `init` for a shift that is none.
    """
    whole("size", size)

    def init(generator):
        params = net.init(generator)
        if shift not in params or params[shift].ndim != 1:
            fit = [name for name, p in params.items() if p.ndim == 1]
            raise ValueError(f'"{shift}" is nothing that a context can move; these are: {fit}')
        weight = normal(size**-0.5)(generator, (len(params[shift]), size))
        context = {"context": weight.new_zeros(size), "context.weight": weight}
        return context | params  # the head stays last

    def forward(params, x):
        moved = params[shift] + params["context.weight"] @ params["context"]
        return net.forward(params | {shift: moved}, x)

    return net._replace(init=init, forward=forward)


def count(params: Params) -> int:
    """How many numbers the parameters hold."""
    return sum(p.numel() for p in params.values())

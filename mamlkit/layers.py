"""Layers composed so that they are right at second order: those of the paper's convolutional nets,
and torch's recurrent ones."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mamlkit.trees import plainly

EPSILON = 1e-3  # beside a variance: the authors'


def batch_norm(
    x: Tensor, beta: Tensor, scale: Tensor | None = None, *, reference: int | None = None
) -> Tensor:
    """Batch normalisation by the statistics of the batch itself, shift `beta`, no scale: the
    authors' code.

    x: (examples, channels, ...). scale: (channels,), see `scaled`. reference: the statistics are
    those of the first so many examples (None: of all), 1 or more: how queries are normalised by a
    support set that stands before them. Composed from mean and variance because the derivative of
    the native operator is wrong at second order when `vmap` stands inside a gradient and a scale is
    learned (pytorch/functorch#534).
    """
    if reference is not None and not 1 <= reference <= len(x):
        raise ValueError(
            f"reference is {reference}: it must be from 1 to {len(x)}, the number of examples"
        )
    # The native operator is fast where it is differentiated, and forward alone three times slower.
    # Channels last it adds up in single precision: 6e-4 off on large maps.
    recorded = x.requires_grad and torch.is_grad_enabled()
    if reference is None and recorded and plainly() and not x.is_cuda and x.is_contiguous():
        scale = torch.ones_like(beta) if scale is None else scale  # None fails at second order
        return torch.batch_norm(x, scale, beta, None, None, True, 0.0, EPSILON, False)
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1] + [1] * (x.ndim - 2)
    x = x - x[:reference].mean(axes, keepdim=True)  # two passes are faster than `var_mean`
    variance = x[:reference].square().mean(axes, keepdim=True)
    x = x * torch.rsqrt(variance + EPSILON)
    return (x if scale is None else x * scale.view(shape)) + beta.view(shape)


class _Moments(torch.autograd.Function):
    """Mean and variance of each channel: (examples, channels, height, width) -> two of (1,
    channels, 1, 1). Autograd's own way back takes four times as many passes over the map."""

    @staticmethod
    def forward(ctx, x):
        mean = x.mean((0, 2, 3), keepdim=True)
        ctx.save_for_backward(x, mean)
        return mean, (x - mean).square_().mean((0, 2, 3), keepdim=True)

    @staticmethod
    def backward(ctx, of_mean, of_variance):
        x, mean = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        slope = of_variance * (2 / n)
        return torch.addcmul(of_mean / n - slope * mean, x, slope)


def pooled_norm(
    x: Tensor, beta: Tensor, scale: Tensor | None = None, *, reference: int | None = None
) -> Tensor:
    """`batch_norm`, and of each 2x2 pool of the result the maximum.

    Without a learned scale normalising preserves order, so the maxima are taken first and only they
    are normalised, by the statistics of the whole map: the same function.
    """
    if scale is None and reference is None and plainly() and not x.is_cuda:
        mean, variance = _Moments.apply(x)
        shift = beta.view(1, -1, 1, 1)
        return (F.max_pool2d(x, 2) - mean) * torch.rsqrt(variance + EPSILON) + shift
    return F.max_pool2d(batch_norm(x, beta, scale, reference=reference), 2)


def padded_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of stride 1, padded by 1.

    x: (examples, in, height, width). weight: (out, in, 3, 3). bias: (out,). On a CPU the map of a
    task alone lies channels last: convolutions of many pixels and few channels are then twice as
    fast, and max-pooling seven times.
    """
    if plainly() and not x.is_cuda:
        x = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, bias, padding=1)


def strided_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of stride 2, padded by 1.

    x: (examples, in, height, width). weight: (out, in, 3, 3). bias: (out,). Compiled it is one
    matrix product, (positions, 9 in) by (9 in, out).
    """
    # Adapted weights differ by task, which makes F.conv2d a grouped convolution. On small maps a
    # compiled matrix product
    # is a quarter faster; at stride 2 the patches are 9/4 of the map (at stride 1 nine times).
    # Uncompiled, the patches cost more than they save.
    if not torch.compiler.is_compiling():
        return F.conv2d(x, weight, bias, stride=2, padding=1)
    examples, channels, height, width = x.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 2 * columns + 1 - width, 1, 2 * rows + 1 - height))
    pairs = x.reshape(
        examples, rows + 1, 2, columns + 1, 2, channels
    )  # row i of a patch is row i % 2 of a pair
    patches = torch.cat(
        [
            pairs[:, i // 2 : i // 2 + rows, i % 2, j // 2 : j // 2 + columns, j % 2]
            for i in range(3)
            for j in range(3)
        ],
        -1,
    )
    return (patches @ weight.permute(2, 3, 1, 0).flatten(0, 2) + bias).permute(0, 3, 1, 2)


def unfuse(module: nn.Module) -> nn.Module:
    """The module, whose recurrent layers compute with plain operations from here on; parameters and
    numbers are the same."""
    for child in module.modules():
        if isinstance(child, (nn.RNNBase, nn.RNNCellBase)):
            composed = _layer if isinstance(child, nn.RNNBase) else _cell
            child.forward = partial(composed, child)
    return module


def _step(layer, told: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
    """One step of a recurrent layer. told: the input times its weights. state: (h,) or (h, c)."""
    weight, bias = getattr(layer, f"weight_hh{suffix}"), getattr(layer, f"bias_hh{suffix}", None)
    h, recalled = state[0], F.linear(state[0], weight, bias)
    if isinstance(layer, (nn.LSTM, nn.LSTMCell)):
        write, forget, new, show = (told + recalled).chunk(4, -1)
        c = torch.sigmoid(forget) * state[1] + torch.sigmoid(write) * torch.tanh(new)
        h = torch.sigmoid(show) * torch.tanh(c)
        project = getattr(layer, f"weight_hr{suffix}", None)
        return (h if project is None else h @ project.T), c
    if isinstance(layer, (nn.GRU, nn.GRUCell)):
        reset, keep, new = told.chunk(3, -1)
        from_reset, from_keep, from_new = recalled.chunk(3, -1)
        new = torch.tanh(new + torch.sigmoid(reset + from_reset) * from_new)
        return (new + torch.sigmoid(keep + from_keep) * (h - new),)
    return ((torch.relu if layer.nonlinearity == "relu" else torch.tanh)(told + recalled),)


def _told(layer, x, suffix):
    weight, bias = getattr(layer, f"weight_ih{suffix}"), getattr(layer, f"bias_ih{suffix}", None)
    return F.linear(x, weight, bias)


def _layer(layer: nn.RNNBase, x: Tensor, state=None):
    """nn.RNN, nn.GRU and nn.LSTM: (outputs, last state), as torch's own."""
    if not isinstance(x, Tensor):
        raise ValueError("a packed sequence is refused here: give a padded tensor")
    alone, double = x.ndim == 2, isinstance(layer, nn.LSTM)
    x = x.unsqueeze(1) if alone else x.transpose(0, 1) if layer.batch_first else x
    directions = 2 if layer.bidirectional else 1
    if state is None:
        sizes = (layer.proj_size or layer.hidden_size, layer.hidden_size)[: 1 + double]
        rows = layer.num_layers * directions
        state = tuple(x.new_zeros(rows, x.shape[1], size) for size in sizes)
    else:
        state = state if double else (state,)
        state = tuple(s.unsqueeze(1) for s in state) if alone else state
    ends = []
    for i in range(layer.num_layers):
        sides = []
        for back in range(directions):
            suffix = f"_l{i}{'_reverse' * back}"
            now, seen = tuple(s[i * directions + back] for s in state), []
            for told in _told(layer, x.flip(0) if back else x, suffix).unbind():
                now = _step(layer, told, now, suffix)
                seen.append(now[0])
            sides.append(torch.stack(seen[::-1] if back else seen))
            ends.append(now)
        x = torch.cat(sides, -1)
        if i < layer.num_layers - 1 and layer.dropout:
            x = F.dropout(x, layer.dropout, layer.training)
    last = tuple(torch.stack(parts) for parts in zip(*ends))
    last = tuple(s.squeeze(1) for s in last) if alone else last
    out = x.squeeze(1) if alone else x.transpose(0, 1) if layer.batch_first else x
    return out, last if double else last[0]


def _cell(cell: nn.RNNCellBase, x: Tensor, state=None):
    """nn.RNNCell, nn.GRUCell and nn.LSTMCell: the next state."""
    double = isinstance(cell, nn.LSTMCell)
    zeros = x.new_zeros(*x.shape[:-1], cell.hidden_size)
    before = (zeros, zeros)[: 1 + double] if state is None else state if double else (state,)
    after = _step(cell, _told(cell, x, ""), before, "")
    return after if double else after[0]

"""Layers composed so that they are right at second order: those of the paper's convolutional nets,
and torch's recurrent ones."""

from functools import partial, reduce

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
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1] + [1] * (x.ndim - 2)
    if reference is None and plainly():
        if scale is None:
            return _Norm.apply(x, beta)
        return _Norm.apply(x, torch.zeros_like(beta)) * scale.view(shape) + beta.view(shape)
    x = x - x[:reference].mean(axes, keepdim=True)  # two passes are faster than `var_mean`
    variance = x[:reference].square().mean(axes, keepdim=True)
    x = x * torch.rsqrt(variance + EPSILON)
    return (x if scale is None else x * scale.view(shape)) + beta.view(shape)


class _Norm(torch.autograd.Function):
    """`batch_norm` of a task alone. What torch composes at second order takes three times as long,
    and channels last its mean and variance are of single precision's sums: 6e-4 off on large maps.
    """

    @staticmethod
    def forward(ctx, x, beta):
        y, mean, scale = _centred(x)
        ctx.save_for_backward(x, mean, scale)
        return y.mul_(scale).add_(beta.view_as(mean))

    @staticmethod
    def backward(ctx, g):
        return _NormBack.apply(g, *ctx.saved_tensors)


class _NormBack(torch.autograd.Function):
    """The way back through `_Norm`: g -> (the gradient of x, of beta). With z the normalised x and
    <> the mean over a channel they are scale * (g - <g> - <g z> z) and the sum of g."""

    @staticmethod
    def forward(ctx, g, x, mean, scale):
        of_x, *sums = _norm_back(g, x, mean, scale)
        ctx.save_for_backward(g, x, mean, scale, *sums)
        return of_x, sums[1]

    @staticmethod
    def backward(ctx, v, of_total):
        """The way back is linear in g and its own transpose. How it changes with x: times scale^2,
        <g> <v z> + <v> <g z> - <v z> g - <g z> v + (<g> <v> + 3 <g z> <v z> - <g v>) z."""
        g, x, mean, scale, *sums = ctx.saved_tensors
        if torch.is_grad_enabled():  # a third derivative is possible
            _, mean, scale = _centred(x)
            _, *sums = _norm_back(g, x, mean, scale)
        of_g, *more = _norm_back(v, x, mean, scale)
        n = x.numel() / mean.numel()
        gz, g_, vz, v_ = (total.view_as(mean) / n for total in (*sums, *more))
        gv = (g * v).mean([0, *range(2, x.ndim)], keepdim=True)
        slope = scale * (g_ * v_ + 3 * gz * vz - gv)
        of_x = (x * slope).add_(g_ * vz + v_ * gz - slope * mean)
        of_x.addcmul_(g, -vz).addcmul_(v, -gz).mul_(scale.square())
        return of_g.add_(of_total.view_as(mean)), of_x, None, None


def _centred(x):
    """(x - mean, mean, 1 / sqrt(variance + epsilon)) of each channel."""
    axes = [0, *range(2, x.ndim)]
    mean = x.mean(axes, keepdim=True)
    y = x - mean
    return y, mean, torch.rsqrt(y.square().mean(axes, keepdim=True) + EPSILON)


def _norm_back(g, x, mean, scale):
    """(scale * (g - <g> - <g z> z), the sums of g z, of g): torch's own, in one call."""
    mean, scale = (t.detach().flatten() for t in (mean, scale))  # torch takes both for x's
    ones = torch.ones_like(mean)  # None cannot be differentiated
    return torch.ops.aten.native_batch_norm_backward(
        g, x, ones, None, None, mean, scale, True, EPSILON, [True] * 3
    )


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
    if scale is None and reference is None and plainly():
        mean, variance = _Moments.apply(x)
        shift = beta.view(1, -1, 1, 1)
        return (F.max_pool2d(x, 2) - mean) * torch.rsqrt(variance + EPSILON) + shift
    return F.max_pool2d(batch_norm(x, beta, scale, reference=reference), 2)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The fully connected layer. x: (examples, in). weight: (out, in). bias: (out,).

    Compiled, one with a single input or output is written as products of numbers, which a compiler
    joins to what stands beside them; a matrix product would be a call of its own.
    """
    if torch.compiler.is_compiling() and weight.shape[1] == 1:
        return x * weight.T + bias
    if torch.compiler.is_compiling() and weight.shape[0] == 1:
        return (x * weight).sum(1, keepdim=True) + bias
    return F.linear(x, weight, bias)


def padded_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of stride 1, padded by 1.

    x: (examples, in, height, width). weight: (out, in, 3, 3). bias: (out,). The map of a task
    alone lies channels last: convolutions of many pixels and few channels are then twice as
    fast on a CPU, and max-pooling seven times.
    """
    return _conv(x, weight, bias, stride=1)


def _conv(x, weight, bias, stride):
    if not plainly():
        return F.conv2d(x, weight, bias, stride=stride, padding=1)
    if x.stride(1) != 1:  # asked of the strides: a map of one channel is contiguous in both ways
        x = x.clone(memory_format=torch.channels_last)
    return _Conv.apply(x, weight, bias, stride)


class _Conv(torch.autograd.Function):
    """The convolution of a task alone. At second order torch finds a gradient of weights by a
    convolution with kernels as large as maps, four times slower than what it does at first order,
    and that of the images, which nobody asks for."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride):
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride=stride, padding=1)

    @staticmethod
    def backward(ctx, g):
        return *_ConvBack.apply(g, *ctx.saved_tensors, ctx.stride, ctx.needs_input_grad[:3]), None


class _ConvBack(torch.autograd.Function):
    """The way back through `_Conv`: g -> those gradients of x, weights and bias that are asked."""

    @staticmethod
    def forward(ctx, g, x, weight, stride, asked):
        ctx.save_for_backward(g, x, weight)
        ctx.stride = stride
        ctx.set_materialize_grads(False)
        return _conv_back(g, x, weight, stride, asked)

    @staticmethod
    def backward(ctx, of_x, of_weight, of_bias):
        """The convolution is linear in x and in the weights, and so is the way back."""
        g, x, weight = ctx.saved_tensors
        to_g, to_x, to_weight = [], None, None
        if of_x is not None:
            to_g.append(F.conv2d(of_x, weight, stride=ctx.stride, padding=1))
            to_weight = _conv_back(g, of_x, weight, ctx.stride, (False, True, False))[1]
        if of_weight is not None:
            to_g.append(F.conv2d(x, of_weight, stride=ctx.stride, padding=1))
            asked = (ctx.needs_input_grad[1], False, False)
            to_x = _conv_back(g, x, of_weight, ctx.stride, asked)[0]
        if of_bias is not None:
            to_g.append(of_bias.view(-1, 1, 1).expand_as(g))
        return reduce(Tensor.add_, to_g), to_x, to_weight, None, None


def _conv_back(g, x, weight, stride, asked):
    """torch's gradients of a convolution: (of x, of weights, of bias), None where not asked."""
    return torch.ops.aten.convolution_backward(
        g, x, weight, [len(weight)], [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, list(asked)
    )


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
        return _conv(x, weight, bias, stride=2)
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

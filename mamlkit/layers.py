"""Layers of the paper's convolutional nets, composed so that they are right at second order."""

import torch
from torch import Tensor
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

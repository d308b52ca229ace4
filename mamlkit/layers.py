"""Layers of the paper's convolutional nets, composed so that they are right at second order."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
    variance, mean = torch.var_mean(x[:reference], axes, correction=0, keepdim=True)
    shape = [1, -1] + [1] * (x.ndim - 2)
    x = (x - mean) * torch.rsqrt(variance + 1e-3)
    return (x if scale is None else x * scale.view(shape)) + beta.view(shape)


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

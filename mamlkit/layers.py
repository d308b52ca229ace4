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


def conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution, padded by 1; on a GPU it is one matrix product.

    x: (examples, in, height, width). weight: (out, in, 3, 3). bias: (out,).
    """
    if x.is_cuda:
        return _product(x, weight, bias, 1)
    return F.conv2d(x, weight, bias, padding=1)


def strided_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of stride 2, padded by 1.

    x: (examples, in, height, width). weight: (out, in, 3, 3). bias: (out,). On a GPU, and compiled
    for a CPU, it is one matrix product, (positions, 9 in) by (9 in, out).
    """
    # Adapted weights differ by task, which makes F.conv2d a grouped convolution. cuDNN's are slow;
    # compiled for a CPU a matrix product is a quarter faster on small maps; at stride 2 the patches
    # are 9/4 of the map (at stride 1 nine times). Uncompiled, the patches cost more than they save.
    if x.is_cuda:
        return _product(x, weight, bias, 2)
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


def _product(x, weight, bias, stride):
    examples, _, height, width = x.shape
    rows, columns = ((size - 1) // stride + 1 for size in (height, width))
    y = Patches.apply(x, stride) @ weight.flatten(1).T + bias
    return y.view(examples, rows, columns, -1).permute(0, 3, 1, 2)


class Patches(torch.autograd.Function):
    """The 3x3 patches of images padded by 1: (examples, channels, height, width) and a stride ->
    (examples, rows * columns, 9 channels).

    It is linear, and its derivative is `Folded`, whose derivative it is in turn. torch's own
    `unfold` launches a kernel for every image, and its derivative has no rule for `vmap`.
    """

    @staticmethod
    def forward(x, stride):
        p = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, stride).unfold(3, 3, stride)
        examples, channels, rows, columns, *_ = p.shape
        return p.permute(0, 2, 3, 1, 4, 5).reshape(examples, rows * columns, channels * 9)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.stride = inputs
        ctx.image = tuple(x.shape[1:])

    @staticmethod
    def backward(ctx, *grads):
        return Folded.apply(grads[0], ctx.image, ctx.stride), None

    @staticmethod
    def vmap(info, in_dims, x, stride):
        x = x.movedim(in_dims[0], 0)
        return Patches.apply(x.flatten(0, 1), stride).unflatten(0, x.shape[:2]), 0


class Folded(torch.autograd.Function):
    """The adjoint of `Patches`: patches, an image's shape and a stride -> images, in which each
    pixel is the sum of its copies."""

    @staticmethod
    def forward(p, image, stride):
        channels, height, width = image
        rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
        p = p.view(len(p), rows, columns, channels, 3, 3).permute(0, 3, 1, 2, 4, 5)
        shape = (len(p), channels, rows, width + 2, 3)
        p = torch.ops.aten.unfold_backward(p, shape, 3, 3, stride)
        p = torch.ops.aten.unfold_backward(p, (*shape[:2], height + 2, width + 2), 2, 3, stride)
        return p[:, :, 1:-1, 1:-1]

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.stride = inputs[2]

    @staticmethod
    def backward(ctx, *grads):
        return Patches.apply(grads[0], ctx.stride), None, None

    @staticmethod
    def vmap(info, in_dims, p, image, stride):
        p = p.movedim(in_dims[0], 0)
        return Folded.apply(p.flatten(0, 1), image, stride).unflatten(0, p.shape[:2]), 0

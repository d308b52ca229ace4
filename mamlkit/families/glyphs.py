"""Glyphs: invented characters, for where there is no data and no network. Drawn from random
strokes, never twice the same."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mamlkit.boundary import whole
from mamlkit.families.few_shot import few_shot
from mamlkit.machine import choose_device, precision
from mamlkit.memory import installed
from mamlkit.task import Family

STROKES, DOTS = 4, 40  # strokes of a character at most, and dots of ink along each
NUMBER = (0.05, 0.35, 0.4, 0.2)  # how likely a character has 1, 2, 3 or 4 strokes
JOINED, STRAIGHT = 0.75, 0.4  # how likely a stroke starts on one before it, and that it is straight
# Standard deviations of a curve's bend, to one side and to both; a character is 2 wide or high.
BOW, SWING = 0.7, 0.4
# Standard deviations: how far a drawing moves each control point, each stroke, the whole,
POINT, STROKE, PLACE = 0.12, 0.1, 0.12
# and how much it is turned (radians), slanted and stretched (logarithm).
ANGLE, SLANT, STRETCH = 0.12, 0.15, 0.15
# Of the picture: how much a character fills, and the standard deviation of the pen's ink.
FILL, PEN = 0.62, 0.016
INK = 0.054  # so much that the middle of a line is nearly black


@precision(torch.float32)
def load(
    classes: int,
    *,
    seed: int,
    examples: int = 20,
    size: int = 28,
    device: torch.device | str = "cpu",
) -> Tensor:
    """`classes` characters, `examples` drawings of each: uint8 (classes, examples, 1, size, size),
    ink is 255, paper 0.

    A character is 1 to 4 curves, often joined. Each drawing of it has an unsteady hand, a slant,
    proportions and a place of its own. The same seed gives the same characters on every device and
    in every precision. Stands in for Omniglot where a machine has no data; not in the paper. Raises
    ValueError for numbers out of range.
    """
    for name, value, least in (
        ("classes", classes, 1),
        ("examples", examples, 1),
        ("size", size, 8),
        ("seed", seed, 0),
    ):
        whole(name, value, least, 2**63 - 1 if name == "seed" else None)
    if classes * examples * size**2 > installed():
        raise ValueError(
            f"{classes} classes of {examples} drawings, {size} x {size}, do not fit in memory"
        )
    device = choose_device(str(device))
    generator = Generator().manual_seed(seed)
    curves, drawn = _characters(classes, generator)
    images = torch.empty(classes, examples, 1, size, size, dtype=torch.uint8)
    for some in torch.arange(classes).split(
        max(1, 2_000 // examples)
    ):  # so many that memory stays small
        images[some, :, 0] = _inked(_by_hand(curves[some], examples, generator), drawn[some], size)
    return images.to(device)


def glyphs(images: Tensor, *, way: int, shots: int, queries: int) -> Family:
    """Few-shot tasks on glyphs, each turned by a random multiple of 90 degrees as Omniglot's are:
    see `few_shot`."""
    return few_shot(images, way=way, shots=shots, queries=queries, rotate=True)


def _characters(classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Control points of cubic curves (classes, STROKES, 4, 2), centred, the longer side from -1 to
    1; which are drawn."""

    def uniform(*shape):
        return torch.rand(classes, *shape, generator=generator)

    def normal(*shape):
        return torch.randn(classes, *shape, generator=generator)

    strokes, direction = [], torch.randint(4, (classes,), generator=generator)
    for before in range(STROKES):
        start = (
            torch.randint(3, (classes, 1, 2), generator=generator) - 1.0
        )  # on a grid, as letters are
        if before:
            other = torch.stack(strokes, 1)[
                torch.arange(classes), torch.randint(before, (classes,), generator=generator)
            ]
            joint = torch.randint(3, (classes, 1, 1), generator=generator) / 2
            start = torch.where(uniform(1, 1) < JOINED, _along(other, joint), start)
            direction = direction + torch.randint(
                1, 4, (classes,), generator=generator
            )  # of a stroke never that of the one before
        angle = torch.pi / 4 * direction
        length = (1.2 + uniform()) * (uniform() - 0.5).sign()
        end = start + (length * torch.stack([angle.cos(), angle.sin()])).T.unsqueeze(1)
        bent = uniform(1, 1) > STRAIGHT
        bow, swing = BOW * normal(1, 2) * bent, SWING * normal(1, 2) * bent
        strokes.append(
            torch.cat(
                [
                    start,
                    start.lerp(end, 1 / 3) + bow + swing,
                    start.lerp(end, 2 / 3) + bow - swing,
                    end,
                ],
                1,
            )
        )
    curves = torch.stack(strokes, 1)
    number = 1 + torch.multinomial(
        torch.tensor(NUMBER), classes, replacement=True, generator=generator
    )
    drawn = torch.arange(STROKES) < number.unsqueeze(1)
    dots = _along(curves, torch.linspace(0, 1, DOTS).unsqueeze(1))
    dots = torch.where(drawn[:, :, None, None], dots, dots[:, :1])
    low, high = dots.amin((1, 2)), dots.amax((1, 2))
    reach = (high - low).amax(1, keepdim=True) / 2
    return (curves - ((low + high) / 2)[:, None, None]) / reach[:, None, None], drawn


def _along(curves: Tensor, times: Tensor) -> Tensor:
    """Points (..., times, 2) of cubic Bezier curves (..., 4, 2) at times (..., times, 1) from 0 to
    1."""
    left = 1 - times
    return torch.cat([left**3, 3 * times * left**2, 3 * times**2 * left, times**3], -1) @ curves


def _by_hand(curves: Tensor, examples: int, generator: Generator) -> Tensor:
    """Dots (classes, examples, STROKES, DOTS, 2) of several drawings of each character, nearly all
    in [-1, 1]."""

    def normal(deviation, *shape):
        return deviation * torch.randn(len(curves), examples, *shape, generator=generator)

    points = curves.unsqueeze(1) + normal(POINT, STROKES, 4, 2) + normal(STROKE, STROKES, 1, 2)
    angle, slant = normal(ANGLE), normal(SLANT)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(
        -1, (2, 2)
    )
    shear = torch.stack(
        [torch.ones_like(slant), torch.zeros_like(slant), slant, torch.ones_like(slant)], -1
    ).unflatten(-1, (2, 2))
    stretch = torch.diag_embed(FILL * normal(STRETCH, 2).exp())
    points = points @ (shear @ stretch @ turn).unsqueeze(2) + normal(PLACE, 1, 1, 2)
    return _along(points, torch.linspace(0, 1, DOTS).unsqueeze(1))


def _inked(dots: Tensor, drawn: Tensor, size: int) -> Tensor:
    """Drawings (classes, examples, size, size), uint8: each dot's ink falls on the four pixels
    around it, and spreads."""
    step = (dots[..., 1:, :] - dots[..., :-1, :]).norm(dim=-1)
    amount = (
        (F.pad(step, (0, 1)) + F.pad(step, (1, 0))) / 2 * drawn[:, None, :, None]
    )  # a slow pen leaves no more ink
    at = ((dots + 1) / 2 * size - 0.5).flatten(2, 3)
    corner = at.floor()
    part, corner = at - corner, corner.long()
    ink = torch.zeros(*at.shape[:2], size * size)
    for right in (0, 1):
        for down in (0, 1):
            x, y = corner[..., 0] + right, corner[..., 1] + down
            share = (
                (part[..., 0] - 1 + right).abs()
                * (part[..., 1] - 1 + down).abs()
                * amount.flatten(2)
            )
            inside = (0 <= x) & (x < size) & (0 <= y) & (y < size)
            ink.scatter_add_(2, (y * size + x) * inside, share * inside)
    pen = PEN * size
    reach = torch.arange(-round(3 * pen) - 1, round(3 * pen) + 2)
    blur = torch.exp(-((reach / pen) ** 2) / 2)
    ink = ink.view(-1, 1, size, size)
    for kernel in (blur.view(1, 1, 1, -1), blur.view(1, 1, -1, 1)):
        ink = F.conv2d(ink, kernel / blur.sum(), padding="same")
    return (
        (255 * (1 - torch.exp(-INK * size**2 * ink)))
        .round()
        .to(torch.uint8)
        .view(*at.shape[:2], size, size)
    )

"""What a reader draws becomes an image like Omniglot's."""

from typing import Any

import torch
from torch import Tensor

SIZE = 28  # pixels of an image's side
# Measured on Omniglot's 28 x 28 drawings: a stroke is 1.4 to 1.6 pixels wide (middle half), the
# longer side of a drawing
# 11 to 24 pixels (5 % to 95 %), and its middle within 2.5 pixels of the image's.
PEN, LEAST, MOST = 1.5, 11, 24
GROW = 2  # a drawing is enlarged this often at most: a dot stays a dot

Strokes = list[
    list[list[float]]
]  # strokes of points (x, y), from 0 to 1, from the upper left corner


def picture(strokes: Strokes) -> Tensor:
    """What a net trained on Omniglot is used to: strokes -> an image (1, 28, 28) in [0, 1], ink 1,
    paper 0.

    A drawing is put in the middle, by its bounding box, since Omniglot's are and a net with strides
    is not indifferent to place; its longer side is brought into 11 to 24 pixels, doubled at most.
    The pen is 1.5 pixels wide whatever the scale. No strokes make an empty image. Raises ValueError
    for what is not a list of strokes.
    """
    lines: Any = strokes
    try:
        lines = [torch.tensor(stroke, dtype=torch.float32) for stroke in strokes]
        points = torch.cat([torch.empty(0, 2), *lines])
    except (TypeError, ValueError, RuntimeError):
        points = torch.full((1, 2), float("nan"))
    if not ((0 <= points) & (points <= 1)).all() or any(line.ndim != 2 for line in lines):
        raise ValueError(
            "a drawing is a list of strokes, a stroke is a list of points (x, y) with numbers from"
            f" 0 to 1; got {str(lines)[:60]}"
        )
    if not len(points):
        return torch.zeros(1, SIZE, SIZE)
    low, high = points.amin(0), points.amax(0)
    extent = float((high - low).max()) * SIZE
    scale = min(min(max(extent, LEAST - PEN), MOST - PEN) / max(extent, 1e-6), GROW)
    lines = [(line - (low + high) / 2) * SIZE * scale + SIZE / 2 for line in lines]
    start = torch.cat([line[:-1] if len(line) > 1 else line for line in lines])
    way = torch.cat([line[1:] if len(line) > 1 else line for line in lines]) - start
    pixel = torch.stack(
        torch.meshgrid(*[torch.arange(SIZE) + 0.5] * 2, indexing="xy"), -1
    ).unsqueeze(-2)  # (row, column, 1, 2)
    along = ((pixel - start) * way).sum(-1) / (way * way).sum(-1).clamp(min=1e-9)
    away = (pixel - start - along.clamp(0, 1).unsqueeze(-1) * way).norm(dim=-1).amin(-1)
    return (PEN / 2 + 0.5 - away).clamp(0, 1).unsqueeze(0)

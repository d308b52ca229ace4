"""The characters of section 5.2's tasks: Omniglot's, or invented ones where they cannot be had."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mamlkit.families import archive, glyphs, omniglot


def characters(
    kind: str,
    sizes: Mapping[str, int],
    *,
    device: torch.device | str = "cpu",
    progress=archive.quiet,
    tell: Callable[[str], None] = print,
) -> tuple[str, dict[str, Tensor]]:
    """Which alphabet it is, "omniglot" or "glyphs", and its drawings by split, as `load` of either
    gives them.

    kind: "omniglot", "glyphs", or "auto": Omniglot where it can be had, else glyphs. sizes: the
    splits, and how many glyphs each would have; Omniglot's have 1100, 100 and 423. progress: see
    `omniglot.load`. tell: is called with a sentence where glyphs stand in for Omniglot.
    Raises FileNotFoundError if "omniglot" cannot be had, ValueError for another kind and for two
    splits of one size, which would be the same glyphs.
    """
    if kind not in ("auto", "omniglot", "glyphs"):
        raise ValueError(
            f'the characters are asked for as "{kind}": it must be auto, omniglot or glyphs'
        )
    if len({*sizes.values()}) < len(sizes):
        raise ValueError(
            f"the splits' sizes are {dict(sizes)}: glyphs are drawn from a seed that is the size, so all must differ"
        )
    if kind != "glyphs":
        try:
            return "omniglot", {
                split: omniglot.load(split, device=device, progress=progress) for split in sizes
            }
        except OSError as reason:
            if kind == "omniglot":
                raise FileNotFoundError(
                    f"Omniglot is asked for, and nothing stands in for it; it is not here: {reason}"
                ) from None
            tell(
                f"Omniglot is not here ({reason}): **invented glyphs** stand in for it, and nothing below says anything about Omniglot."
            )
    return "glyphs", {
        split: glyphs.load(size, seed=size, device=device) for split, size in sizes.items()
    }

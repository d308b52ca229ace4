"""The characters of section 5.2's tasks: Omniglot's, or invented ones where they cannot be had."""

from collections.abc import Callable

from mamlkit.studies.image_methods import pictures

KINDS = ("auto", "omniglot", "glyphs")


def alphabet(kind: str, tell: Callable[[str], None] = print) -> str:
    """Which characters there are, "omniglot" or "glyphs": a setting's `images`.

    kind: one of these, or "auto": Omniglot where it can be had, else glyphs. tell: is called with
    a sentence where glyphs stand in for Omniglot. Raises FileNotFoundError if "omniglot" cannot be
    had, ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f'images "{kind}" are unknown; allowed are {", ".join(KINDS)}')
    if kind == "glyphs":
        return kind
    try:
        pictures("omniglot", "train")
        return "omniglot"
    except OSError as reason:
        if kind == "omniglot":
            raise FileNotFoundError(
                f"Omniglot is asked for, and nothing stands in for it; it is not here: {reason}"
            ) from None
        tell(
            f"Omniglot is not here ({reason}): **invented glyphs** stand in for it, and nothing "
            "below says anything about Omniglot."
        )
        return "glyphs"

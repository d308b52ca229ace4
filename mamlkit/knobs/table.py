"""The small table under a live figure."""

from mamlkit.show.plots import GROUND, INK


def table(
    caption: str, head: list[str], rows: dict[str, list[str]], *, chosen: int | None = None
) -> str:
    """A small table on the book's ground. rows: name -> cells, one cell being as wide as all.
    chosen: the column to mark."""
    ground = f"background:{GROUND};color:{INK}"
    columns = len(head) - 1

    def cells(tag, texts):
        if len(texts) < columns:
            return f'<td colspan="{columns}" style="text-align:center">{texts[0]}</td>'
        marks = [
            "background:#dddcd4;font-weight:bold" if i == chosen else "" for i in range(columns)
        ]
        return "".join(
            f'<{tag} style="padding:0 2px;text-align:right;{mark}">{text}</{tag}>'
            for mark, text in zip(marks, texts)
        )

    def row(name, tag, texts, scope):
        return (
            f'<tr><th scope="{scope}" style="text-align:left">{name}</th>{cells(tag, texts)}</tr>'
        )

    lines = [
        row(head[0], "th", head[1:], "col"),
        *(row(name, "td", texts, "row") for name, texts in rows.items()),
    ]
    return (
        '<table style="width:560px;table-layout:fixed;border-collapse:collapse;'
        f'font-size:12px;line-height:1.6;{ground}"><caption'
        ' style="caption-side:top;text-align:left;padding:0'
        f' 2px;{ground}">{caption}</caption><colgroup><col'
        f' style="width:6.5em"></colgroup>{"".join(lines)}</table>'
    )

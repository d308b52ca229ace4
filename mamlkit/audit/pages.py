"""What is generated from the records: README's count, the list of all claims, and its picture."""

import io
from pathlib import Path

from mamlkit.audit.claims import BANK, counts, read, standing, table
from mamlkit.audit.scoreboard import squares
from mamlkit.files import write

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"
HEAD = """# All claims

Written by `python -m mamlkit readme` from the records in `data/claims`.

"""


def publish(readme: Path) -> None:
    """Writes data/CLAIMS.md, data/claims.png and the count between the two marks of a README.

    Raises ValueError if the README does not have each mark once, in order.
    """
    try:
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{readme} is not UTF-8 ({error.reason}): save it as UTF-8") from None
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(
            f"{readme} must have one line {BEGIN} and after it one line {END}; the count of the "
            "claims goes between them"
        )
    rows = standing(read("paper"))
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    write(BANK / "CLAIMS.md", f"{HEAD}{table()}\n")
    write(BANK / "claims.png", picture(rows))
    write(readme, f"{head}{BEGIN}\n{counts(rows)}\n{tail}")


def picture(rows) -> bytes:
    """The squares of all claims as a PNG."""
    import matplotlib.pyplot as plt

    held = sum(row["verdict"] in ("reproduced", "answered") for row in rows)
    fig = squares(rows, f"{len(rows)} claims, a square each: {held} hold or are answered")
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=110, metadata={"Software": None})
    plt.close(fig)
    return file.getvalue()

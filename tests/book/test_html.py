"""What a page shows of a notebook: equations that a browser draws by itself."""

import nbformat.v4 as v4

from mamlkit.book.html import html

LINES = r"""$$
\begin{aligned}
\theta' &= \theta - \alpha g \\
\theta &\leftarrow \theta - \beta h
\end{aligned}
$$"""


def test_equations_of_several_lines_are_tables():
    """MathML draws their lines one below the other; without a table it shows each "&"."""
    for text in (LINES, LINES.replace("$$", "").strip(), "As $a$ says: " + LINES):
        page = html(v4.new_notebook(cells=[v4.new_markdown_cell(text)]), "equations")
        body = page.partition("<body")[2]
        assert body.count("<mtr>") == 2, body[-2000:]
        assert "<mi>&</mi>" not in body and "aligned" not in body

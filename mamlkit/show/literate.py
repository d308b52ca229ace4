"""The bridge between text and code: the source that runs shown beside its equation, sentences made
from results, figures with alt text, and progress that a person sees wherever the notebook runs.

Everything here also works where there is no IPython and no matplotlib: then it prints, or says
nothing.
"""

import ast
import inspect
import io
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TypeVar

from mamlkit import files
from mamlkit.bank.process import heard
from mamlkit.show.plots import GROUND, INK, tidy

T = TypeVar("T")
OFTEN = 0.25  # seconds between two writings of the progress file


def in_notebook() -> bool:
    """Is a Jupyter kernel there to display to?"""
    return (
        "IPython" in sys.modules
        and type(sys.modules["IPython"].get_ipython()).__name__ == "ZMQInteractiveShell"
    )


def show(*definitions: Callable) -> None:
    """Displays the installed source of functions or classes: the code that is read is the code that
    runs."""
    source = "\n\n".join(textwrap.dedent(inspect.getsource(d)).rstrip() for d in definitions)
    if in_notebook():
        from IPython.display import HTML, display
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        # With a ground and an ink of its own, also of the <pre>: a page may be dark.
        own = f"background:{GROUND};color:{INK}"
        box = f"{own};padding:.4em .8em;overflow-x:auto"
        pre = f"{own};margin:0;white-space:pre-wrap;font:12px/1.45 monospace"
        how = HtmlFormatter(noclasses=True, nobackground=True, cssstyles=box, prestyles=pre)
        display(HTML(highlight(source, PythonLexer(), how)))


def side_by_side(*definitions: Callable) -> None:
    """Displays the installed source of functions beside each other, their docstrings left out: what
    differs meets the eye."""
    if in_notebook():
        from IPython.display import HTML, display

        box = (
            "flex:1 1 30em;margin:0;padding:.5em .8em;border-left:3px solid #0072B2;"
            "overflow-x:auto;font-size:12px;line-height:1.45"
        )
        parts = "".join(
            f'<pre style="{box}">{escape(_without_docstring(d))}</pre>' for d in definitions
        )
        display(HTML(f'<div style="display:flex;flex-wrap:wrap;gap:.6em 1em">{parts}</div>'))


def _without_docstring(definition) -> str:
    """The source of a function without its docstrings, and those of the functions in it."""
    text = textwrap.dedent(inspect.getsource(definition)).rstrip()
    nodes = [
        n
        for n in ast.walk(ast.parse(text))
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(n) is not None
    ]
    said = {
        line
        for n in nodes
        for line in range(n.body[0].lineno, (n.body[0].end_lineno or n.body[0].lineno) + 1)
    }
    lines = [line for i, line in enumerate(text.splitlines(), 1) if i not in said]
    return "\n".join(
        line
        for line, before in zip(lines, ["", *lines])
        if line.strip() or not before.rstrip().endswith(":")
    )


def say(text: str) -> None:
    """Displays a sentence (Markdown) whose numbers come from results, so that it cannot go
    stale."""
    if in_notebook():
        from IPython.display import Markdown, display

        display(Markdown(textwrap.dedent(text).strip()))
    else:
        print(textwrap.dedent(text).strip(), flush=True)


def figure(fig, alt: str) -> None:
    """Displays a matplotlib figure as a picture with alt text, and closes it. alt: what the figure
    shows, one or two sentences."""
    picture = _picture(fig, alt)
    if in_notebook():
        from IPython import display

        display.display(picture)


def _picture(fig, alt):
    """The figure as a small PNG with alt text and its title, so that what it says can be read
    (outside a notebook: nothing, but it has been drawn); it is closed."""
    import matplotlib.pyplot as plt
    from PIL import Image

    tidy(fig)
    title = fig.get_suptitle().strip()
    large, small = io.BytesIO(), io.BytesIO()
    fig.savefig(large, format="png", dpi=110)
    plt.close(fig)
    Image.open(large).convert("RGB").quantize(96).save(
        small, "png", optimize=True
    )  # a notebook stays under 1 MB
    if in_notebook():
        from IPython import display

        about = {"title": title} if title else None
        return display.Image(small.getvalue(), format="png", alt=alt, embed=True, metadata=about)


def interactive(widget, still: str) -> None:
    """Displays a widget where a kernel stays to answer it, and `still` (HTML) where the page will
    be read without one."""
    if in_notebook():
        from IPython.display import HTML, display

        display(HTML(still) if os.environ.get("MAMLKIT_HEADLESS") else widget)


def watch(
    items: Iterable[T], picture: Callable[[T], object], alt: str, *, every: float = 1.0
) -> Iterator[T]:
    """Passes `items` on and, where somebody watches a notebook run, shows `picture(item)` anew
    about every second.

    picture: item -> matplotlib figure. alt: what it shows. The picture goes when the items end:
    what is to stay is drawn afterwards.
    """
    if not in_notebook() or os.environ.get("MAMLKIT_HEADLESS"):
        yield from items
        return
    from IPython.display import HTML, display

    place = display(HTML(""), display_id=True)
    assert place is not None  # because of display_id
    shown = time.monotonic()
    try:
        for item in items:
            if time.monotonic() - shown >= every:
                place.update(_picture(picture(item), alt))
                shown = time.monotonic()
            yield item
    finally:
        place.update(HTML(""))


def progress(
    items: Iterable[T],
    total: int,
    label: str,
    *,
    done: Callable[[T], int] | None = None,
    note: Callable[[T], str] = lambda item: "",
) -> Iterator[T]:
    """Passes `items` on and shows how far they are: a bar in Jupyter, a line now and then in a
    terminal or log.

    total: how many there will be. done: how many are done after an item (without it, items are
    counted). note: a few words about the last item, e.g. its loss; before it what mamlkit logs,
    e.g. that it compiles. A headless runner reads the same from MAMLKIT_PROGRESS.
    """
    place = _show_progress(label)
    begin = clock = time.monotonic()
    first = now = 0
    for count, item in enumerate(
        heard(items, lambda words: place(now, total, None, words, True)), 1
    ):
        now = done(item) if done else count
        if (
            count == 1 and done
            # a resumed run starts in the middle, and a first item waits for a compiler: neither
            # predicts
        ):
            first, clock = now, time.monotonic()
        left = (time.monotonic() - clock) / (now - first) * (total - now) if now > first else None
        place(now, total, left, note(item))
        yield item
    place(None, total, 0.0, f"{time.monotonic() - begin:.0f} s")


def _show_progress(label: str) -> Callable:
    """How progress reaches the reader here: a file for the headless runner, a bar in Jupyter, else
    lines on stderr."""
    last = [-OFTEN]
    if path := os.environ.get("MAMLKIT_PROGRESS"):

        def place(now, total, left, note, at_once=False):
            state = {
                "label": label,
                "done": total if now is None else now,
                "total": total,
                "left": left,
                "note": note,
            }
            if now is None or at_once or time.monotonic() - last[0] >= OFTEN:
                last[0] = time.monotonic()
                with suppress(OSError):  # a full disk ends no training for want of a bar
                    files.write(Path(path), json.dumps(state))

        return place
    if in_notebook():
        from tqdm.notebook import tqdm

        bar = tqdm(desc=label, leave=True)

        def place(now, total, left, note, at_once=False):
            bar.total = total
            bar.n = total if now is None else now
            bar.set_postfix_str(note, refresh=True)
            if now is None:
                bar.close()

        return place
    last = [0.0]

    def place(now, total, left, note, at_once=False):
        if now is None or at_once or time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            eta = "" if left is None or now is None else f"  {left:.0f} s left"
            print(
                f"{label}  {total if now is None else now:,}/{total:,}{eta}  {note}",
                file=sys.stderr,
                flush=True,
            )

    return place

"""Text, code and progress reach the reader in Jupyter, in a terminal, in a log, and where nothing
is installed."""

import inspect
import json
import logging
import os
import re
import subprocess
import sys
import types
from html import unescape

import pytest

from mamlkit.inner import adapt, inner_step
from mamlkit.show import literate
from mamlkit.show.literate import figure, in_notebook, interactive, progress, say, show, watch
from mamlkit.show.plots import GROUND, INK, canvas


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to: clock[0] is now."""
    now = [1000.0]
    monkeypatch.setattr(literate.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def told(monkeypatch, tmp_path):
    """What a headless runner reads."""
    monkeypatch.setenv("MAMLKIT_PROGRESS", str(tmp_path / "progress.json"))
    return lambda: json.loads((tmp_path / "progress.json").read_text())


@pytest.fixture
def page(monkeypatch):
    """What a notebook displays."""
    import IPython.display

    shown = []
    monkeypatch.setattr(literate, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    return shown


# Progress
# --------------------------------------------------------------------------------------------------


def test_items_pass_through_unchanged_and_one_at_a_time(told):
    made, items = [], [object() for _ in range(3)]

    def source():
        for item in items:
            made.append(item)
            yield item

    seen = progress(source(), 3, "label")
    assert made == [] and next(seen) is items[0] and made == items[:1]
    assert [*seen] == items[1:]


def test_the_file_is_written_a_few_times_a_second_and_at_the_end(monkeypatch, tmp_path, clock):
    """Each writing goes to the disk: ten thousand quick items must not wait for it."""
    written = []
    monkeypatch.setenv("MAMLKIT_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(literate.files, "write", lambda path, text: written.append(text))
    for _ in progress(range(1_000), 1_000, "quick"):
        clock[0] += 0.01
    assert 30 <= len(written) <= 45 and '"done": 1000' in written[-1]


def test_a_full_disk_ends_no_training(monkeypatch, tmp_path):
    monkeypatch.setenv("MAMLKIT_PROGRESS", str(tmp_path / "file" / "progress.json"))
    (tmp_path / "file").write_text("in the way")
    assert list(progress(range(3), 3, "x")) == [0, 1, 2]


def test_an_error_in_the_middle_is_the_readers_to_see(told):
    def source():
        yield 1
        raise FloatingPointError("layer0.weight")

    with pytest.raises(FloatingPointError, match="layer0"):
        list(progress(source(), 9, "label"))
    assert told()["done"] == 1


def test_the_runner_reads_label_counts_seconds_left_and_note(told, clock, tmp_path):
    states = []

    def source():
        for i in range(4):
            clock[0] += 2.0
            yield i

    for _ in progress(source(), 4, "MAML, seed 3", note=lambda i: f"loss {i}.5"):
        states.append(told())
    assert states == [
        {
            "label": "MAML, seed 3",
            "done": i + 1,
            "total": 4,
            "left": 2.0 * (3 - i),
            "note": f"loss {i}.5",
        }
        for i in range(4)
    ]
    assert told() == {"label": "MAML, seed 3", "done": 4, "total": 4, "left": 0.0, "note": "8 s"}
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]


def run_of(clock, dones, seconds, first=None):
    """Items that arrive `seconds` apart, the first after `first` seconds: each says how much is
    done."""
    for i, done in enumerate(dones):
        clock[0] += seconds if i or first is None else first
        yield done


def test_the_past_of_a_resumed_run_does_not_rule_its_seconds_left(told, clock):
    """900 of 1,000 were done by another process; 10 take 1 s here, so 90 more take 9 s, and not a
    tenth of a second."""
    left = [
        told()["left"]
        for _ in progress(
            run_of(clock, range(900, 1001, 10), 1.0, first=0.0), 1000, "x", done=lambda d: d
        )
    ]
    assert left[0] is None, "after the first item nothing is known yet"
    assert left[1:] == pytest.approx([9.0 - i for i in range(10)])


def test_seconds_left_are_right_from_the_second_item_on_when_the_speed_is_steady(told, clock):
    left = [
        told()["left"]
        for _ in progress(run_of(clock, range(100, 1001, 100), 3.0), 1000, "x", done=lambda d: d)
    ]
    assert left[1:] == pytest.approx([3.0 * (10 - i) for i in range(2, 11)])


def test_a_slow_first_item_does_not_rule_the_seconds_left(told, clock):
    """The first block compiles for 30 s; those after it take 1 s each."""
    left = [
        told()["left"]
        for _ in progress(
            run_of(clock, range(100, 1001, 100), 1.0, first=30.0), 1000, "x", done=lambda d: d
        )
    ]
    assert left[1] == pytest.approx(8.0)


def test_in_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end(monkeypatch, clock, capsys):
    monkeypatch.delenv("MAMLKIT_PROGRESS", raising=False)
    for _ in progress(
        run_of(clock, range(1, 1001), 0.125), 1000, "MAML", note=lambda d: f"loss {d}"
    ):
        pass
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == "" and 12 <= len(lines) <= 14, "125 s of work, a line every 10 s"
    assert lines[-1].startswith("MAML  1,000/1,000") and lines[-1].endswith("125 s")
    assert lines[1] == "MAML  82/1,000  115 s left  loss 82"


def test_what_the_package_logs_is_said_at_once_where_the_run_is(monkeypatch, capsys):
    monkeypatch.delenv("MAMLKIT_PROGRESS", raising=False)
    log = logging.getLogger("mamlkit.runners")

    def steps():
        yield 1
        log.info("compiling (%d s last time)", 69)
        log.info("compiled in %d s", 70)
        yield 2

    for _ in progress(steps(), 2, "MAML"):
        log.info("what a reader logs between two steps is theirs")
    one, compiling, compiled, last = capsys.readouterr().err.splitlines()
    assert compiling == "MAML  1/2  compiling (69 s last time)"
    assert compiled == "MAML  1/2  compiled in 70 s" and last.startswith("MAML  2/2")
    assert not logging.getLogger("mamlkit").handlers


def test_nothing_to_do_is_done(told):
    assert list(progress([], 0, "nothing")) == [] and told()["done"] == 0


# Without a notebook
# --------------------------------------------------------------------------------------------------

BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("IPython", "matplotlib", "ipywidgets", "tqdm", "torch", "PIL"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from mamlkit.show.literate import in_notebook, interactive, progress, say, show
assert not in_notebook()
say('''
    The error is 0.67,
      indented.
    ''')
show(say, progress)
interactive(object(), "<p>still</p>")
assert list(progress(iter("abc"), 3, "letters", note=str.upper)) == ["a", "b", "c"]
"""


def test_it_works_where_neither_ipython_nor_matplotlib_is_installed(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAMLKIT_")}
    done = subprocess.run(
        [sys.executable, "-c", BARE], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The error is 0.67,\n  indented.\n"
    assert done.stderr.splitlines()[0] == "letters  1/3  0 s left  A" and done.stderr.splitlines()[
        -1
    ].startswith("letters  3/3")


def test_a_sentence_is_printed_and_code_and_widgets_are_not(capsys):
    say("**0.67**"), show(inner_step), interactive(object(), "<p></p>")
    assert capsys.readouterr() == ("**0.67**\n", "")


@pytest.mark.parametrize(
    ("shell", "expected"),
    [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False), ("NoneType", False)],
)
def test_only_a_jupyter_kernel_is_a_notebook(monkeypatch, shell, expected):
    monkeypatch.setitem(
        sys.modules, "IPython", types.SimpleNamespace(get_ipython=type(shell, (), {}))
    )
    assert in_notebook() is expected


# In a notebook
# --------------------------------------------------------------------------------------------------


def text_of(code):
    """What a reader sees of displayed code."""
    assert type(code).__name__ == "HTML"
    return unescape(re.sub(r"<.*?>", "", code.data)).rstrip()


def test_the_code_shown_is_the_code_that_runs(page):
    show(inner_step, adapt)
    (code,) = page
    both = inspect.getsource(inner_step).rstrip() + "\n\n" + inspect.getsource(adapt).rstrip()
    assert text_of(code) == both
    for box in ("<div", "<pre"):  # a page's own rules for <pre> make it dark on a dark page
        (style,) = re.findall(rf'{box}[^>]*style="([^"]*)"', code.data)
        assert f"background:{GROUND};color:{INK}" in style, "readable on a dark page too"
    assert "white-space:pre-wrap" in code.data and "<style" not in code.data


def test_code_shown_from_inside_a_class_is_not_indented(page):
    class Outer:
        def method(self):
            return 1

    show(Outer.method)
    assert text_of(page[0]).startswith("def method(self):\n    return 1")


def test_code_side_by_side_is_without_docstrings(page):
    literate.side_by_side(inner_step, adapt)
    (shown,) = page
    assert (
        shown.data.count("<pre") == 2
        and "Algorithm 1" not in shown.data
        and "ValueError" in inspect.getsource(adapt)
    )
    assert (
        "def inner_step(" in shown.data
        and "alphas = step_sizes(params, alpha)" in shown.data
        and "-&gt; Params" in shown.data
    )


def test_a_sentence_is_markdown(page):
    say("\n    The error is **0.67**.\n    ")
    assert type(page[0]).__name__ == "Markdown" and page[0].data == "The error is **0.67**."


def test_a_figure_is_a_picture_with_alt_text_and_is_closed(page):
    import matplotlib.pyplot as plt

    fig, ax = canvas("A message")
    ax.plot([1, 2], [3, 4])
    figure(fig, "A line from 3 to 4.")
    (picture,) = page
    assert (
        picture.alt == "A line from 3 to 4."
        and picture.data.startswith(b"\x89PNG")
        and picture.embed
    )
    assert not plt.fignum_exists(fig.number)


def test_a_figure_is_closed_where_nobody_sees_it(capsys):
    import matplotlib.pyplot as plt

    fig, _ = canvas("A message")
    figure(fig, "Nothing.")
    assert not plt.fignum_exists(fig.number) and capsys.readouterr() == ("", "")


def test_a_widget_stands_where_a_kernel_answers_it_and_its_still_picture_elsewhere(
    page, monkeypatch
):
    widget = object()
    monkeypatch.delenv("MAMLKIT_HEADLESS", raising=False)
    interactive(widget, "<p>still</p>")
    monkeypatch.setenv("MAMLKIT_HEADLESS", "1")
    interactive(widget, "<p>still</p>")
    assert page[0] is widget and page[1].data == "<p>still</p>"


def test_a_run_is_watched_while_it_goes_and_the_picture_goes_with_it(page, monkeypatch):
    import IPython.display
    import matplotlib.pyplot as plt

    plt.close("all")  # what other tests left open
    placed = []
    monkeypatch.delenv("MAMLKIT_HEADLESS", raising=False)
    monkeypatch.setattr(
        IPython.display,
        "display",
        lambda item, display_id: types.SimpleNamespace(update=placed.append),
    )
    assert list(watch([3, 4, 5], lambda n: canvas(f"loss {n}")[0], "A loss.", every=0.0)) == [
        3,
        4,
        5,
    ]
    assert [getattr(p, "alt", None) for p in placed] == ["A loss."] * 3 + [None] and placed[
        -1
    ].data == ""
    assert placed[0].data != placed[1].data and plt.get_fignums() == []
    placed.clear()
    assert (
        list(watch([3, 4, 5], lambda n: canvas(f"loss {n}")[0], "A loss.", every=60.0)) == [3, 4, 5]
        and len(placed) == 1
    )


def test_a_run_that_stops_with_an_error_takes_its_picture_away(page, monkeypatch):
    import IPython.display

    def failing():
        yield 1
        raise FloatingPointError("not finite")

    placed = []
    monkeypatch.delenv("MAMLKIT_HEADLESS", raising=False)
    monkeypatch.setattr(
        IPython.display,
        "display",
        lambda item, display_id: types.SimpleNamespace(update=placed.append),
    )
    with pytest.raises(FloatingPointError, match="not finite"):
        list(watch(failing(), lambda n: canvas("loss")[0], "A loss.", every=60.0))
    assert [p.data for p in placed] == [""]


@pytest.mark.parametrize("headless", [True, False])
def test_nothing_is_drawn_where_nobody_watches(page, monkeypatch, headless):
    if headless:
        monkeypatch.setenv("MAMLKIT_HEADLESS", "1")
    else:
        monkeypatch.setattr(literate, "in_notebook", lambda: False)
    assert list(watch([3, 4], lambda n: 1 / 0, "Never.", every=0.0)) == [3, 4] and page == []

"""What every knob shares: where it shows what, and that no error is lost."""

import io

import pytest

from mamlkit.knobs import base as knobs
from mamlkit.knobs.base import Knobs, slider
from mamlkit.knobs.table import table
from mamlkit.show import plots

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")


class Slope(Knobs):
    """The smallest knob: a line whose slope is the slider's value. A slope of 3 cannot be drawn."""

    def __init__(self):
        controls = {"slope": slider("slope", 1.0, 0.0, 2.0, 0.5)}
        self.assemble(controls, [controls["slope"]], "Look.")

    def figure(self):
        from matplotlib.figure import Figure

        fig = Figure(figsize=(2, 2), layout="constrained", facecolor=plots.GROUND)
        self.line = fig.subplots().plot([0, 1], [0, 1])[0]
        return fig, [knobs.headline(fig), self.line]

    def update(self):
        if self.controls["slope"].value == 1.5:
            raise ValueError("1.5 is < no slope")
        self.line.set_ydata([0, self.controls["slope"].value])
        self.redraw()

    def alt(self):
        return f'A line of slope {self.controls["slope"].value} "here".'


def pixels(knob):
    from PIL import Image

    return Image.open(io.BytesIO(knob.png())).tobytes()


def test_the_picture_follows_and_reset_brings_it_back():
    knob = Slope()
    first = pixels(knob)
    knob.controls["slope"].value = 2.0
    assert pixels(knob) != first and list(knob.line.get_ydata()) == [0, 2.0]
    knob.reset()
    assert pixels(knob) == first


def test_a_player_moves_its_slider_between_its_ends(monkeypatch):
    import ipywidgets as W

    linked, control = [], slider("steps", 3, 1, 7, 1)
    monkeypatch.setattr(W, "jslink", lambda *ends: linked.append(ends))
    label, play = Slope().player("play the steps", control, 250).children
    assert linked == [((play, "value"), (control, "value"))]
    assert (play.min, play.max, play.value, play.interval) == (1, 7, 3, 250)
    assert label.value == play.tooltip == "play the steps"


def test_a_row_of_buttons_does_what_each_says():
    done, knob = [], Slope()
    first, second = knob.buttons({"one": lambda: done.append(1), "two": knob.reset}).children
    knob.controls["slope"].value = 2.0
    first.click()
    second.click()
    assert done == [1] and knob.controls["slope"].value == 1.0
    assert [b.description for b in (first, second)] == ["one", "two"]


def test_an_error_in_a_callback_is_raised_and_said():
    knob = Slope()
    with pytest.raises(ValueError, match="no slope"):
        knob.controls["slope"].value = 1.5
    assert 'role="alert"' in knob.trouble.value and "1.5 is &lt; no slope" in knob.trouble.value
    knob.reset()
    knob.controls["slope"].value = 0.5
    assert knob.trouble.value == ""


def test_a_slider_refuses_what_is_out_of_range_or_not_whole():
    with pytest.raises(ValueError, match="alpha is 3: it must be from 0 to 2"):
        slider("step size", 3, 0, 2, 0.1, name="alpha")
    with pytest.raises(ValueError, match="steps is nan"):
        slider("steps", float("nan"), 0, 2, 0.1)
    with pytest.raises(ValueError, match="K is 1.5: it must be a whole number"):
        slider("K", 1.5, 1, 20, 1)
    assert slider("K", 5.0, 1, 20, 1).value == 5


def test_outside_a_notebook_nothing_is_built():
    knobs.present(lambda: pytest.fail("built although nobody can see it"))


def test_headless_every_control_is_tried_and_a_picture_with_alt_text_and_a_note_is_shown(
    monkeypatch,
):
    import comm

    figures, notes, makers = [], [], []
    monkeypatch.setattr(knobs, "in_notebook", lambda: True)
    monkeypatch.setattr(knobs, "figure", lambda fig, alt: figures.append((fig, alt)))
    monkeypatch.setattr(knobs, "say", notes.append)
    monkeypatch.setenv("MAMLKIT_HEADLESS", "1")

    class Watched(Slope):
        def update(self):
            self.seen = getattr(self, "seen", []) + [self.controls["slope"].value]
            makers.append(comm.create_comm)

    create = comm.create_comm
    built = []
    knobs.present(lambda: built.append(Watched()) or built[0])
    assert set(built[0].seen) == {0.0, 1.0, 2.0}, "both ends and the first state"
    assert built[0].controls["slope"].value == 1.0
    assert figures == [(built[0].fig, 'A line of slope 1.0 "here".')] and "make lab" in notes[0]
    assert set(makers) == {comm.DummyComm} and comm.create_comm is create, (
        "a headless notebook keeps no widget"
    )

    class Broken(Slope):
        def update(self):
            if self.controls["slope"].value == 2.0:
                raise RuntimeError("at the end of the slider")

    with pytest.raises(RuntimeError, match="end of the slider"):
        knobs.present(Broken)
    assert comm.create_comm is create


@pytest.mark.parametrize("ipympl", [True, False])
def test_alive_the_widget_is_shown_with_a_picture_for_those_without_a_kernel(monkeypatch, ipympl):
    import sys

    from IPython import display

    shown = []
    monkeypatch.setattr(knobs, "in_notebook", lambda: True)
    monkeypatch.delenv("MAMLKIT_HEADLESS", raising=False)
    monkeypatch.setattr(display, "display", lambda bundle, **how: shown.append((bundle, how)))
    if not ipympl:
        monkeypatch.setitem(sys.modules, "ipympl.backend_nbagg", None)
    built = []
    knobs.present(lambda: built.append(Slope()) or built[0])
    ((bundle, how),) = shown
    assert (
        bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == built[0].widget.model_id
    )
    assert bundle["image/png"] and how == {
        "metadata": {"image/png": {"alt": built[0].alt()}},
        "raw": True,
    }
    assert (built[0].image is None) == ipympl
    if not ipympl:
        before = built[0].image.value
        built[0].controls["slope"].value = 2.0
        assert (
            built[0].image.value != before
            and 'alt="A line of slope 2.0 &quot;here&quot;."' in built[0].image.value
        )


def test_only_what_moves_is_drawn_anew(monkeypatch):
    """The live canvas after a change shows the same pixels as a whole drawing does."""
    import numpy as np

    pytest.importorskip("ipympl")
    monkeypatch.setattr(knobs, "in_notebook", lambda: True)
    monkeypatch.delenv("MAMLKIT_HEADLESS", raising=False)
    knob = Slope()
    knob.fig.canvas.draw()
    whole = []
    monkeypatch.setattr(knob.fig, "draw", lambda renderer: whole.append(renderer))
    knob.controls["slope"].value = 0.5
    quick = np.array(knob.fig.canvas.buffer_rgba())
    monkeypatch.undo()
    assert not whole
    knob.fig.canvas.draw()
    assert (quick == np.array(knob.fig.canvas.buffer_rgba())).all()


def test_a_picture_that_the_page_drops_leaves_nothing_behind(monkeypatch):
    """Each picture is whole: a busy page drops those that the next one overtakes."""
    import numpy as np
    from PIL import Image

    pytest.importorskip("ipympl")
    monkeypatch.setattr(knobs, "in_notebook", lambda: True)
    monkeypatch.delenv("MAMLKIT_HEADLESS", raising=False)
    knob, sent = Slope(), []
    knob.fig.canvas.syncing_data_url = False  # as soon as there is a page
    monkeypatch.setattr(
        knob.fig.canvas, "send", lambda content, buffers=None: sent.extend(buffers or [])
    )
    knob.fig.canvas.draw()
    for slope in (0.5, 2.0, 1.0):
        knob.controls["slope"].value = slope
    assert len(sent) == 4
    seen = np.array(Image.open(io.BytesIO(sent[-1])))
    assert (seen == np.array(knob.fig.canvas.buffer_rgba())).all()


def test_a_table_marks_one_column_and_lets_one_cell_span_all():
    text = table("Errors", ["step", "0", "1"], {"MAML": ["a", "b"], "oracle": ["never"]}, chosen=1)
    assert text.count('font-weight:bold">') == 2 and 'colspan="2"' in text and "<caption" in text
    assert plots.GROUND in text and plots.INK in text, "legible on a dark page too"

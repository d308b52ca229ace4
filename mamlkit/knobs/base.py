"""What every knob of the book shares: a figure beside its controls, alive where a kernel answers, a
picture elsewhere.

ipywidgets, ipympl and matplotlib are imported where they are used: what trains needs none of them.
"""

import base64
import html
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mamlkit.show.literate import figure, in_notebook, say
from mamlkit.show.plots import INK

# Of a column of controls: beside a figure of 5.6 inches it fits a window of 1280 pixels with Lab's
# sidebar open.
WIDE = "270px"
NOTE = (
    "*A picture: the first state of a live figure. `make lab` opens the book where its sliders"
    " move.*"
)


def slider(
    label: str,
    value: float,
    low: float,
    high: float,
    step: float,
    *,
    form: str = ".2f",
    name: str | None = None,
):
    """A slider with its label; whole numbers if `step` is one. Raises ValueError if `value` is not
    in [low, high]."""
    import ipywidgets as W

    if not low <= value <= high:
        raise ValueError(f"{name or label} is {value}: it must be from {low} to {high}")
    whole = isinstance(step, int)
    if whole and value != int(value):
        raise ValueError(f"{name or label} is {value}: it must be a whole number")
    make = W.IntSlider if whole else W.FloatSlider
    return make(
        int(value) if whole else value,
        min=low,
        max=high,
        step=step,
        description=label,
        readout_format="d" if whole else form,
        style={"description_width": "5.8em"},
        layout={"width": WIDE},
    )


def headline(fig):
    """The figure's title, a text that may change; its place is kept when the figure is laid out."""
    fig.suptitle(" ", fontsize=11, fontweight="bold")
    # it belongs to an axes since a figure's own moving artists are left out when the figure is
    # saved
    return fig.axes[0].text(
        0.01,
        0.985,
        " ",
        transform=fig.transFigure,
        va="top",
        fontsize=11,
        fontweight="bold",
        color=INK,
        in_layout=False,
    )


class Knobs:
    """A figure that follows its controls.

    A subclass makes the controls, calls `assemble`, and defines `figure()`, which makes the figure
    and the artists in it that move, `update()`, which brings everything in line with the controls,
    and `alt()`, which says what the figure shows now. The figure is drawn once; after that only
    what moves is drawn anew, on the ground that stays.
    """

    widget: Any  # ipywidgets' are not typed
    fig: Any = None  # of those that are drawn by matplotlib

    def figure(self) -> tuple[Any, list]:
        """The empty figure, and its artists that change."""
        raise NotImplementedError

    def update(self) -> None:
        """Computes what the controls ask for, and shows it."""
        raise NotImplementedError

    def alt(self) -> str:
        """What the figure shows, in words."""
        raise NotImplementedError

    def assemble(self, controls: dict, column: list, look: str) -> None:
        """controls: name -> slider. column: what stands beside the figure. look: one sentence on
        what to look for."""
        import ipywidgets as W

        self.controls = controls
        self.fig, self.moving = fig, moving = self.figure()
        self.start = {name: control.value for name, control in controls.items()}
        self.quiet, self.ground = False, None
        for artist in moving:
            artist.set_animated(True)
        self.words, self.trouble = W.HTML(), W.HTML()
        picture = self._picture()
        beside = W.HBox([W.VBox([picture, self.words]), W.VBox(column)])
        beside.layout = {"flex_flow": "row wrap", "align_items": "flex-start"}
        self.widget = W.VBox([W.HTML(f"<b>{look}</b>"), beside, self.trouble])
        for control in controls.values():
            control.observe(self._follow, "value")
        fig.draw_without_rendering()
        fig.set_layout_engine("none")  # nothing jumps, and a drawing costs half the time
        fig.canvas.mpl_connect("draw_event", self._drawn)
        self.update()

    def _picture(self):
        """The widget that shows the figure: ipympl's canvas, or, without ipympl, a picture that is
        sent anew."""
        import ipywidgets as W
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.image = None
        if alive():
            try:
                from ipympl.backend_nbagg import Canvas, FigureManager

                canvas = _whole(Canvas)(self.fig)
                FigureManager(canvas, 0)
                for part in ("header_visible", "footer_visible", "toolbar_visible", "resizable"):
                    setattr(canvas, part, False)
                return canvas
            except ImportError:
                pass
        FigureCanvasAgg(self.fig)
        self.image = W.HTML()
        return self.image

    def _drawn(self, event) -> None:
        """After a whole drawing: keep the ground, draw what moves on it."""
        if not self.fig.canvas.is_saving():
            self.ground = self.fig.canvas.copy_from_bbox(self.fig.bbox)
            for artist in self.moving:
                self.fig.draw_artist(artist)

    def redraw(self) -> None:
        """Draws what moves. Before the first drawing, and where nobody looks, there is nothing to
        do."""
        if self.image is not None:
            if alive():
                self.image.value = (
                    f'<img alt="{html.escape(self.alt())}"'
                    f' src="data:image/png;base64,{self.png64()}">'
                )
        elif self.ground is not None:
            self.fig.canvas.restore_region(self.ground)
            for artist in self.moving:
                self.fig.draw_artist(artist)
            self.fig.canvas.blit()

    def png(self) -> bytes:
        """The figure as it is now."""
        picture = io.BytesIO()
        self.fig.savefig(picture, format="png", dpi=100)
        return picture.getvalue()

    def png64(self) -> str:
        """The figure as a PNG, base64 for a page."""
        return base64.b64encode(self.png()).decode()

    def set(self, **values) -> None:
        """Moves several controls and follows once."""
        self.quiet = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self.quiet = False
        self.update()

    def reset(self) -> None:
        """Back to the first state."""
        self.set(**self.start)

    def _follow(self, change) -> None:
        if not self.quiet:
            self.attempt(lambda: self.moved(change.owner))

    def moved(self, control) -> None:
        """A reader moved one control."""
        self.update()

    def attempt(self, action) -> None:
        """Does what a reader asked; if it fails, says so below the figure too, since Jupyter hides
        errors of callbacks."""
        try:
            action()
            self.trouble.value = ""
        except Exception as error:
            self.trouble.value = (
                f'<span role="alert">This state cannot be shown: {html.escape(str(error))}</span>'
            )
            raise

    def button(self, label: str, action):
        """A button that does `action`."""
        import ipywidgets as W

        button = W.Button(description=label, tooltip=label, layout={"width": "auto"})
        button.on_click(lambda _: self.attempt(action))
        return button

    def buttons(self, actions: dict[str, Callable[[], None]]):
        """A row of buttons, by their labels."""
        import ipywidgets as W

        return W.HBox([self.button(label, action) for label, action in actions.items()])

    def player(self, label: str, control, interval: int):
        """A row with a button that moves a slider by itself, every `interval` milliseconds."""
        import ipywidgets as W

        ends = dict(min=control.min, max=control.max)
        play = W.Play(value=control.value, interval=interval, tooltip=label, **ends)
        W.jslink((play, "value"), (control, "value"))
        return W.HBox([W.Label(label), play])

    def exercise(self) -> None:
        """Moves every control to its ends and back: an error in what they do stops a headless
        run."""
        for name, control in self.controls.items():
            ends = getattr(control, "options", None) or (control.min, control.max)
            for value in (*ends, self.start[name]):
                control.value = value
        self.reset()

    def show(self) -> None:
        """Displays the live figure, with a picture for those who read the saved notebook without a
        kernel."""
        from IPython.display import display

        bundle = self.widget._repr_mimebundle_() | {"image/png": self.png64()}
        display(bundle, metadata={"image/png": {"alt": self.alt()}}, raw=True)
        self._answer_beside_other_cells()

    def _answer_beside_other_cells(self) -> None:
        """Draws the figure, and lets it answer, while later cells run.

        JupyterLab sends what a reader does to a thread beside the one that runs cells. But
        ipykernel leads it to where a widget last spoke from: the cell that made it, so that after
        "run all" a scene would stay empty until the last cell had ended. Here the widgets forget
        that; and as the page's first words to the canvas are on that way already, it is told to
        draw without them.
        """
        from comm import get_comm_manager

        canvas: Any = getattr(self.fig, "canvas", None)
        if hasattr(canvas, "_handle_message"):  # ipympl's
            canvas._handle_message(canvas, {"type": "initialized"}, [])
            canvas.draw_idle()
        for channel in get_comm_manager().comms.values():
            vars(channel).pop("_reply_subshell_id", None)


def _whole(canvas: type) -> type:
    """ipympl's canvas sends what differs from its last picture, and a busy page drops a picture
    that the next one overtakes: pieces of an older state would stay. This one sends all of it."""

    class Whole(canvas):
        def get_diff_image(self):
            self._force_full = True
            return super().get_diff_image()

    return Whole


class WaveKnobs(Knobs):
    """Knobs on a wave that `seed` draws."""

    seed = first_seed = 0

    def new_wave(self) -> None:
        """Another wave and other points."""
        self.seed += 1
        self.update()

    def reset(self) -> None:
        self.seed = self.first_seed
        super().reset()

    def exercise(self) -> None:
        self.new_wave()
        super().exercise()


def present(build: Callable[[], Knobs]) -> None:
    """Shows the knobs that `build` makes; headless, tries all of them, then shows the first state
    as a picture with a note.

    Outside notebooks there is nothing to see, and nothing is done.
    """
    if not in_notebook():
        return
    if alive():
        build().show()
        return
    with _unheard():
        knobs = build()
        knobs.exercise()
    figure(knobs.fig, knobs.alt())
    say(NOTE)


@contextmanager
def _unheard() -> Iterator[None]:
    """Widgets made here send nothing, so that the notebook does not keep a hundred kilobytes about
    sliders nobody sees."""
    import comm

    create, comm.create_comm = comm.create_comm, comm.DummyComm
    try:
        yield
    finally:
        comm.create_comm = create


def alive() -> bool:
    """Does somebody look? In a notebook, and not in a headless run."""
    return in_notebook() and not os.environ.get("MAMLKIT_HEADLESS")


@contextmanager
def one_thread():
    """A net this small is slower on more threads, seven times where others use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

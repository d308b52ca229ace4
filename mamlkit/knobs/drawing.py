"""The knob of section 5.2: draw five characters, take a gradient step, and see what the model makes
of a sixth drawing.

The page's side is in drawing.js and drawing.css: it keeps the strokes and shows what this file
answers.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mamlkit.inner import Alpha, adapt, repeated
from mamlkit.knobs.base import Knobs, headline, one_thread, present, slider
from mamlkit.knobs.strokes import PEN, SIZE, Strokes, picture
from mamlkit.losses import cross_entropy
from mamlkit.show.plots import GROUND, INK, LOOKS, QUIET, style
from mamlkit.task import Data
from mamlkit.trees import Params, tree_map

WAY, STEPS = 5, 10  # classes; gradient steps at most
NORMALISED = (
    "Batch norm takes its statistics from the batch: the new drawing is normalised together with"
    " the five, as the sixth image beside them."
)


def drawing_pads(
    forward: Callable[[Params, Tensor], Tensor],
    theta: Params,
    *,
    alpha: Alpha,
    samples: Tensor,
    steps: int = 1,
) -> None:
    """Your own five characters, one drawing of each, and new drawings classified as you draw: live,
    or its first state.

    forward: (parameters, images (n, 1, 28, 28) in [0, 1], ink 1) -> logits (n, 5). theta:
    meta-trained parameters. alpha: the inner step size: a number, or a dict that names what adapts.
    steps: gradient steps shown, 0 to 10. samples: ready-made characters, uint8 (classes, drawings,
    1, 28, 28), ink 255, for readers who do not draw; five or more classes, two or more drawings of
    each: the first is a support image, the others are queries. They fill the pads at first, the new
    drawing being the first of five that is named wrongly before the steps and rightly after, if one
    is. It is normalised together with the five. Raises ValueError for what does not fit this.
    """
    present(lambda: DrawingPads(forward, theta, alpha=alpha, samples=samples, steps=steps))


class DrawingPads(Knobs):
    """Five support pads and one for the query. A pad holds what the reader drew, or a ready-made
    character, or nothing."""

    def __init__(self, forward, theta, *, alpha, samples, steps=1):
        import ipywidgets as W

        shape = tuple(samples.shape)
        enough = len(shape) == 5 and shape[0] >= WAY and shape[1] >= 2
        if samples.dtype != torch.uint8 or not enough or shape[2:] != (1, SIZE, SIZE):
            raise ValueError(
                f"samples are {samples.dtype} {shape}: they must be torch.uint8 (classes, drawings,"
                f" 1, {SIZE}, {SIZE}), {WAY} classes or more and 2 drawings or more"
            )
        self.theta, self.alpha = (
            tree_map(lambda p: p.detach().cpu().float() if isinstance(p, Tensor) else p, tree)
            for tree in (theta, alpha)
        )
        self.forward, self.loss, self.samples = forward, cross_entropy(forward), samples.cpu()
        logits = tuple(forward(self.theta, torch.zeros(WAY + 1, 1, SIZE, SIZE)).shape)
        if logits != (WAY + 1, WAY):
            raise ValueError(
                f"forward makes {logits} of {WAY + 1} images: one logit for each of {WAY} classes"
                " is needed"
            )
        blank = Data(torch.zeros(WAY, 1, SIZE, SIZE), torch.arange(WAY))
        adapt(self.theta, repeated(self.loss, blank, 1), [self.alpha])  # is alpha right?
        self.first = self.turn = 0
        self.support, self.path = None, []
        self.drawn: list[tuple[Any, Tensor | None]] = [(None, None)] * (WAY + 1)
        controls = {
            "steps": slider("steps", steps, 0, STEPS, 1),
            "characters": W.Dropdown(
                options=[*range(1, shape[0] // WAY + 1)],
                description="character set",
                style={"description_width": "7em"},
                layout={"width": "170px"},
            ),
        }
        column = [
            W.HTML("<b>Adapting to the five</b>"),
            controls["steps"],
            W.HTML("<b>Ready-made, without drawing</b>"),
            controls["characters"],
            self.button("next new drawing", self.next_query),
            W.HTML("<b>All pads</b>"),
            self.buttons({"clear all": self.clear, "reset": self.reset}),
        ]
        self.pads = _page()()
        self.pads.observe(lambda change: self.quiet or self.attempt(self.update), "ink")
        self.controls = controls
        self.first = self.turn = self._set_right()
        self.assemble(
            controls,
            column,
            "Draw your own five, then one of them once more. What does the first gradient step"
            " change?",
        )
        self.words.value = f'<div style="width:560px;line-height:1.4">{NORMALISED}</div>'

    def _picture(self):
        """The pads are the picture; the figure is for those who have no kernel."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(self.fig)
        return self.pads

    def ready(self) -> tuple[list[Tensor], int]:
        """The ready-made characters for the six pads, each uint8 (1, 28, 28), and the query's
        class, counted from 0."""
        chosen = self.samples[WAY * (self.controls["characters"].value - 1) :][:WAY]
        lap, place = divmod(self.turn, WAY)
        truth = int(torch.randperm(WAY, generator=torch.Generator().manual_seed(lap))[place])
        return [*chosen[:, 0], chosen[truth, 1 + lap % (chosen.shape[1] - 1)]], truth

    def images(self) -> list[Tensor | None]:
        """What the six pads hold, each (1, 28, 28) in [0, 1], or None if it is empty."""
        if len(self.pads.ink) != WAY + 1:
            raise ValueError(f"{len(self.pads.ink)} drawings came: there are {WAY + 1} pads")
        for i, strokes in enumerate(self.pads.ink):
            if strokes and strokes != self.drawn[i][0]:  # one pad at a time is drawn on
                self.drawn[i] = strokes, picture(strokes)
        return [
            ready / 255 if strokes is None else image if strokes else None
            for strokes, (_, image), ready in zip(self.pads.ink, self.drawn, self.ready()[0])
        ]

    def outcome(self, images: list[Tensor | None]) -> tuple[Tensor, Tensor] | None:
        """Probabilities (5,) of the query's classes before and after the steps; None while a pad is
        empty.

        The path of parameters is kept until a support drawing changes.
        """
        steps = self.controls["steps"].value
        full = [image for image in images if image is not None]
        if len(full) < len(images):
            return None
        support = torch.stack(full[:WAY])
        if self.support is None or not torch.equal(support, self.support):
            self.support, self.path = support, [self.theta]
        with one_thread(), torch.no_grad():
            if (more := steps + 1 - len(self.path)) > 0:
                self.path += adapt(
                    self.path[-1],
                    repeated(self.loss, Data(support, torch.arange(WAY)), more),
                    [self.alpha] * more,
                )[1:]
            batch = torch.stack(full)
            before, after = (
                self.forward(params, batch)[-1].softmax(-1)
                for params in (self.path[0], self.path[steps])
            )
        return before, after

    def update(self) -> None:
        images = self.images()
        found = self.outcome(images)
        message = self.message(images, found)
        shown = torch.stack(
            [torch.zeros(1, SIZE, SIZE) if image is None else image for image in images]
        )
        before, after = (
            [p if p == p else None for p in chances.tolist()]
            for chances in found or 2 * [torch.full((WAY,), float("nan"))]
        )
        with self.pads.hold_sync():  # one message
            self.pads.seen = (255 * shown).round().to(torch.uint8).numpy().tobytes()
            self.pads.state = {
                "message": message,
                "steps": _after(self.controls["steps"].value),
                "before": before,
                "after": after,
                "held": [
                    "empty" if image is None else "ready-made" if drawn is None else "drawn"
                    for image, drawn in zip(images, self.pads.ink)
                ],
            }
        self.title.set_text(message)
        for place, image in zip(self.places, shown):
            place.set_data(image.squeeze(0).numpy())
        for bars, chances in zip(self.bars, (before, after)):
            for (bar, number), chance in zip(bars, chances):
                bar.set_width(chance or 0)
                number.set_x((chance or 0) + 0.02)
                number.set_text("–" if chance is None else f"{chance:.2f}")

    def message(self, images, found) -> str:
        """What the pads say, in one or two sentences."""
        if empty := [str(i) for i, image in enumerate(images[:WAY], 1) if image is None]:
            return (
                f"Draw one character in each pad: {', '.join(empty)}"
                f" {'is' if len(empty) == 1 else 'are'} still empty."
            )
        if found is None:
            return "The model has its five drawings. Draw a new one below: which of the five is it?"
        (before, after), when = found, _after(self.controls["steps"].value)
        if not after.isfinite().all():
            return f"Nothing is left {when}: steps of this size diverge. Take fewer."
        guess, start, truth = int(after.argmax()), int(before.argmax()), self.ready()[1]
        said = (
            f"{when.capitalize()}: class {guess + 1} ({after[guess]:.2f}). Before: class"
            f" {start + 1} ({before[start]:.2f})."
        )
        known = self.pads.ink[WAY] is None and self.pads.ink[truth] is None  # both ready-made
        return f"{said} Truth: class {truth + 1}." if known else said

    def fill(self, ink: list[Strokes | None]) -> None:
        """Fills the six pads with strokes, nothing ([]) or, for None, the ready-made character."""
        self._put(ink)
        self.update()

    def _put(self, ink):
        self.quiet = True
        try:
            self.pads.ink = ink
        finally:
            self.quiet = False

    def moved(self, control) -> None:
        if control is self.controls["characters"]:
            self.turn = 0
            self.fill([None] * (WAY + 1))
        else:
            self.update()

    def _set_right(self) -> int:
        """Which ready-made query is the first of five that is named wrongly before the steps and
        rightly after; 0 if none is."""
        for self.turn in range(WAY):
            found = self.outcome([image / 255 for image in self.ready()[0]])
            assert found is not None  # no pad is empty
            before, after = (int(chances.argmax()) for chances in found)
            if before != self.ready()[1] == after:
                return self.turn
        return 0

    def next_query(self) -> None:
        """Another ready-made drawing for the query pad."""
        self.turn += 1
        self.fill([*self.pads.ink[:WAY], None])

    def clear(self) -> None:
        """Six empty pads."""
        self.fill([[]] * (WAY + 1))

    def reset(self) -> None:
        self.turn = self.first
        self._put([None] * (WAY + 1))
        super().reset()

    def exercise(self) -> None:
        self.clear()
        self.fill([[[[0.1 * i, 0.2], [0.7, 0.8]]] for i in range(WAY + 1)])
        for _ in range(WAY):
            self.next_query()
        super().exercise()

    def alt(self) -> str:
        images = self.images()
        found = self.outcome(images)
        said = (
            ""
            if found is None
            else " Probabilities of classes 1 to 5 {}.".format(
                "; ".join(
                    f"{when} {', '.join(f'{p:.2f}' for p in chances)}"
                    for when, chances in zip(("before:", "after:"), found)
                )
            )
        )
        return (
            "Five drawings, one of each class, a new drawing below them, and a bar for each"
            f" class's probability. {self.message(images, found)}{said}"
        )

    def figure(self):
        """The same as on the page, as a picture: what the net sees, and its answer."""
        from matplotlib.figure import Figure

        fig = Figure(figsize=(7.0, 3.3), dpi=100, facecolor=GROUND, layout="constrained")
        # of two rows it makes an array; the stub says one figure or an array
        top, bottom = fig.subfigures(  # pyright: ignore[reportGeneralTypeIssues]
            2, 1, height_ratios=(1, 1.15)
        )
        top.set_facecolor(GROUND)
        bottom.set_facecolor(GROUND)
        places = [*top.subplots(1, WAY), *bottom.subplots(1, 3, width_ratios=(1, 1.5, 1.5))]
        self.title, self.places, self.bars = headline(fig), [], []
        for i, ax in enumerate(places[: WAY + 1]):
            style(ax)
            ax.grid(False)
            ax.spines[:].set_visible(True)
            ax.set(xticks=[], yticks=[], xlabel=f"class {i + 1}" if i < WAY else "new drawing")
            self.places.append(ax.imshow([[0] * SIZE] * SIZE, cmap="gray_r", vmin=0, vmax=1))
        looks = (
            {"facecolor": "none", "edgecolor": QUIET, "hatch": "////"},
            {"color": LOOKS["maml"].color},
        )
        for ax, look, name in zip(places[WAY + 1 :], looks, ("before", "after")):
            style(ax)
            ax.set(
                xlim=(0, 1.2),
                ylim=(WAY + 0.5, 0.5),
                xticks=[0, 0.5, 1],
                yticks=range(1, WAY + 1),
                xlabel=f"probability {name}",
                ylabel="class",
            )
            bars = ax.barh(range(1, WAY + 1), [0] * WAY, height=0.7, **look)
            number = lambda i, ax=ax: ax.text(0, i, "", va="center", fontsize=9, color=INK)
            self.bars.append([(bar, number(i)) for i, bar in enumerate(bars, 1)])
        return fig, []


@cache
def _page():
    """The widget class of the page's side: `ink` comes from there, the rest is what it shows."""
    import anywidget
    import traitlets

    here = Path(__file__).parent

    class Pads(anywidget.AnyWidget):
        _esm = (here / "drawing.js").read_text(encoding="utf-8")
        _css = (here / "drawing.css").read_text(encoding="utf-8")
        colours = dict(ground=GROUND, ink=INK, quiet=QUIET, accent=LOOKS["maml"].color)
        look = traitlets.Dict(colours | {"pen": PEN / SIZE}).tag(sync=True)
        # For each pad its strokes, or None for the ready-made character.
        ink = traitlets.List([None] * (WAY + 1)).tag(sync=True)
        # Six images of 28 x 28 bytes; only ever sent from here.
        seen = traitlets.Bytes().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

    return Pads


def _after(steps) -> str:
    return f"after {steps} step{'s' * (steps != 1)}"

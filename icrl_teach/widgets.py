"""Widgets: the browser's own controls round a pure draw function.

The draw functions live in `icrl_teach.views`, one module a lesson. Each takes its dials' values and returns a View.
`explore(draw, ...)` shows the dials above the view and redraws when one moves. The stored notebook also carries the
default view as a plain picture, so it reads as a page where no widget can run. What the browser does stands in
`web/dials.js`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from icrl_teach.figures import PICTURE_CSS, View, as_picture
from icrl_teach.web import read


@dataclass(frozen=True)
class Dial:
    """What can be set: kind "range", "log" or "choice"; `value` is where it begins.

    A range goes from `least` to `most` by `step`; a log dial in `step` equal ratios; a choice is among `options`.
    """

    label: str
    kind: str
    value: Any
    least: float = 0.0
    most: float = 1.0
    step: float = 1.0
    options: tuple[Any, ...] = ()

    @property
    def position(self) -> Any:
        """The value as the browser holds it: a choice is the number of its option."""
        return self.options.index(self.value) if self.kind == "choice" else self.value

    def value_at(self, position: Any) -> Any:
        """The value that a draw function gets: an option, a whole number on a dial of whole numbers, else decimals."""
        if self.kind == "choice":
            return self.options[int(position)]
        whole = self.kind == "range" and all(float(x).is_integer() for x in (self.least, self.most, self.step))
        return round(position) if whole else float(position)

    def settings(self) -> dict[str, Any]:
        """As plain data, for the browser."""
        scale = {"least": self.least, "most": self.most, "step": self.step}
        return {"label": self.label, "kind": self.kind, **scale, "options": [str(option) for option in self.options]}


def dial(label: str, least: float, most: float, start: float, step: float | None = None) -> Dial:
    """A slider on a linear scale: whole numbers if all of its bounds are, else decimals, in 20 steps if not given."""
    whole = all(float(x).is_integer() for x in (least, most, start, step or 1))
    return Dial(label, "range", start, least, most, step or (1 if whole else (most - least) / 20))


def log_dial(label: str, least: float, most: float, start: float, steps: int = 40) -> Dial:
    """A slider on a log scale, from `least` to `most` (both positive), in `steps` equal ratios."""
    return Dial(label, "log", start, least, most, steps)


def choice(label: str, options: list[Any], start: Any) -> Dial:
    """Options of which one is chosen, with the arrow keys or a click."""
    return Dial(label, "choice", start, options=tuple(options))


class Screen(anywidget.AnyWidget):
    """Dials above a picture with its numbers, in the browser. `on_move(values)` hears of each position that is asked.

    Traits: dials and values (by name), asked and pressed (counters that the browser raises), view (the picture, its
    size and cuts, its alternative text, its numbers, an error, and which position it answers), button, status (texts).
    """

    _esm = read("dials.js")
    _css = read("dials.css") + PICTURE_CSS
    dials = traitlets.Dict().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)
    pressed = traitlets.Int(0).tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    button = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)

    def __init__(self, dials: dict[str, Dial], first: View) -> None:
        self._dials = dials
        settings = {name: each.settings() for name, each in dials.items()}
        super().__init__(dials=settings, values={name: each.position for name, each in dials.items()})
        self.show(first)

    def chosen(self) -> dict[str, Any]:
        """The dials' values as a draw function gets them."""
        return {name: each.value_at(self.values[name]) for name, each in self._dials.items()}

    def show(self, view: View) -> None:
        """Put a view on the screen."""
        self.shown = as_picture(view.figure, view.alt, dpi=80)
        size, cuts = [self.shown.width, self.shown.height], list(self.shown.cuts)
        self._put(picture=self.shown.uri, size=size, cuts=cuts, alt=view.alt, numbers=view.numbers)

    def fail(self, error: Exception) -> None:
        """Say what went wrong in place of the picture, so that a dial never goes silently dead."""
        self._put(error=f"{type(error).__name__}: {error}")

    def _put(self, **said: Any) -> None:
        self.view = {"picture": "", "alt": "", "numbers": "", "error": "", **said, "asked": self.asked}


def explore(draw: Callable[..., View], **dials: Dial) -> None:
    """Show the dials and the view that `draw(**values)` returns; redraw when a dial moves.

    An exception in `draw` is shown in place of the picture.
    """
    first = draw(**{name: each.value for name, each in dials.items()})
    screen = Screen(dials, first)

    def redraw(_change: Any) -> None:
        try:
            screen.show(draw(**screen.chosen()))
        except Exception as error:  # the notebook would swallow it: callbacks have no cell to print in
            screen.fail(error)

    screen.observe(redraw, names="asked")
    show(screen)


def show(screen: Screen) -> None:
    """Display a screen, with what it shows now as picture and text for readers without a running kernel."""
    bundle = {
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2, "version_minor": 0, "model_id": screen.model_id,
        },
        "text/html": screen.shown.html(),
        "text/plain": screen.view["numbers"],
    }  # fmt: skip
    display(bundle, raw=True)


class TrainingControl:
    """One button, Start or Stop, for a real training run; the picture is redrawn as the run goes.

    run(watch, **values) trains with the dials' values, calls watch(result) now and then, and ends soon after watch
    returns True. It works in a thread of its own, so the notebook stays alive. draw(result) returns a View; `first` is
    the result shown before Start is pressed. An exception of either is shown in place of the picture.
    """

    def __init__(self, run: Callable[..., Any], draw: Callable[[Any], View], first: Any, **dials: Dial) -> None:
        self.run, self.draw = run, draw
        self.screen = Screen(dials, draw(first))
        self.thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._say("Start", "Press Start to train anew.")
        self.screen.observe(lambda _: self._press(), names="pressed")
        # A dial waits for Start, and the browser for an answer: what is shown stays.
        self.screen.observe(
            lambda _: setattr(self.screen, "view", {**self.screen.view, "asked": self.screen.asked}), names="asked"
        )

    def _say(self, button: str, status: str) -> None:
        self.screen.button, self.screen.status = button, status

    def _press(self) -> None:
        if self.thread is not None and self.thread.is_alive():
            self._stopped.set()
            self._say("Stop", "Stopping.")
            return
        self._stopped.clear()
        self._say("Stop", "Training. Press Stop to end it.")
        self.thread = threading.Thread(target=self._work, args=(self.screen.chosen(),), daemon=True)
        self.thread.start()

    def _watch(self, result: Any) -> bool:
        self.screen.show(self.draw(result))
        return self._stopped.is_set()

    def _work(self, values: dict[str, Any]) -> None:
        end = "Finished. Press Start to train anew."
        try:
            self.run(self._watch, **values)
        except Exception as error:  # a thread has no cell to print in
            self.screen.fail(error)
            end = "The run failed; the message is below."
        self._say("Start", "Stopped. Press Start to train anew." if self._stopped.is_set() else end)


def training_widget(run: Callable[..., Any], draw: Callable[[Any], View], first: Any, **dials: Dial) -> None:
    """Show a TrainingControl; without a running kernel, the picture of `first` stands in its place."""
    control = TrainingControl(run, draw, first, **dials)
    show(control.screen)

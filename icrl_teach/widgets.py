"""Widgets: thin ipywidgets controls round a pure draw function.

The draw functions live in `icrl_teach.views`, one module a lesson. Each takes its dials' values and returns a View.
`explore(draw, ...)` shows the dials above the view and redraws when one moves. The stored notebook also carries the
default view as a plain picture, so it reads as a page where no widget can run.
"""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Callable
from math import log10
from typing import Any

import ipywidgets
from IPython.display import display

from icrl_teach.figures import View, png_bytes


def dial(label: str, least: float, most: float, start: float, step: float | None = None) -> ipywidgets.Widget:
    """A slider on a linear scale: whole numbers if all of its bounds are, else decimals."""
    whole = all(float(x).is_integer() for x in (least, most, start, step or 1))
    make = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return make(value=start, min=least, max=most, step=step or (1 if whole else (most - least) / 20), **_look(label))


def log_dial(label: str, least: float, most: float, start: float, steps: int = 40) -> ipywidgets.FloatLogSlider:
    """A slider on a log scale, from `least` to `most` (both positive), in `steps` equal ratios."""
    low, high = log10(least), log10(most)
    return ipywidgets.FloatLogSlider(
        value=start, min=low, max=high, step=(high - low) / steps, readout_format=".3g", **_look(label)
    )


def choice(label: str, options: list[Any], start: Any) -> ipywidgets.ToggleButtons:
    """A row of buttons of which one is on; reachable with Tab, changed with the arrow keys."""
    return ipywidgets.ToggleButtons(options=options, value=start, description=label, tooltips=[str(o) for o in options])


def _look(label: str) -> dict[str, Any]:
    wide, name = ipywidgets.Layout(width="min(34em, 95%)"), {"description_width": "11em"}
    return {"description": label, "layout": wide, "style": name, "continuous_update": True}


def render(view: View) -> str:
    """The view as HTML: the picture with its alternative text, and the numbers, announced to screen readers."""
    data = base64.b64encode(png_bytes(view.figure, dpi=80)).decode()
    return (
        f'<img alt="{html.escape(view.alt)}" src="data:image/png;base64,{data}" style="max-width:100%">'
        f'<pre aria-live="polite" style="font-size:1em">{html.escape(view.numbers)}</pre>'
    )


def _alert(error: Exception) -> str:
    return f'<pre role="alert">{html.escape(f"{type(error).__name__}: {error}")}</pre>'


def explore(draw: Callable[..., View], **dials: ipywidgets.Widget) -> None:
    """Show the dials and the view that `draw(**values)` returns; redraw when a dial moves.

    An exception in `draw` is shown in place of the picture, so that a dial never goes silently dead.
    """
    screen = ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        try:
            screen.value = render(draw(**{name: control.value for name, control in dials.items()}))
        except Exception as error:  # the notebook would swallow it: callbacks have no cell to print in
            screen.value = _alert(error)

    for control in dials.values():
        control.observe(redraw, names="value")
    first = draw(**{name: control.value for name, control in dials.items()})
    screen.value = render(first)
    show(ipywidgets.VBox([*dials.values(), screen]), first)


def show(box: ipywidgets.Widget, view: View) -> None:
    """Display a widget, with `view` as picture and text for readers without a running kernel."""
    bundle = {
        "application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": box.model_id},
        "image/png": base64.b64encode(png_bytes(view.figure, dpi=80)).decode(),
        "text/plain": view.numbers,
    }
    display(bundle, metadata={"image/png": {"alt": view.alt}}, raw=True)


class TrainingControl:
    """A Start and a Stop button round a real training run; the picture is redrawn as the run goes.

    run(watch, **values) trains with the dials' values, calls watch(result) now and then, and ends soon after watch
    returns True. It works in a thread of its own, so the notebook stays alive. draw(result) returns a View; `first` is
    the result shown before Start is pressed. An exception of either is shown in place of the picture.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        draw: Callable[[Any], View],
        first: Any,
        **dials: ipywidgets.Widget,
    ) -> None:
        self.run, self.draw, self.dials = run, draw, dials
        self.start = ipywidgets.Button(description="Start", icon="play", tooltip="Train anew, from noise")
        self.stop = ipywidgets.Button(description="Stop", icon="stop", tooltip="Stop the training", disabled=True)
        self.status = ipywidgets.HTML()
        self.screen = ipywidgets.HTML()
        self.start.on_click(self._begin)
        self.stop.on_click(self._halt)
        self.thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self.first_view = draw(first)
        self.screen.value = render(self.first_view)
        self._say("Press Start to train anew.")
        self.box = ipywidgets.VBox(
            [*dials.values(), ipywidgets.HBox([self.start, self.stop]), self.status, self.screen]
        )

    def _say(self, text: str) -> None:
        self.status.value = f'<span role="status">{html.escape(text)}</span>'

    def _begin(self, _button: Any) -> None:
        if self.thread is not None and self.thread.is_alive():
            return
        self._stopped.clear()
        self.start.disabled, self.stop.disabled = True, False
        self._say("Training. Press Stop to end it.")
        values = {name: control.value for name, control in self.dials.items()}
        self.thread = threading.Thread(target=self._work, args=(values,), daemon=True)
        self.thread.start()

    def _halt(self, _button: Any) -> None:
        self._stopped.set()
        self.stop.disabled = True
        self._say("Stopping.")

    def _watch(self, result: Any) -> bool:
        self.screen.value = render(self.draw(result))
        return self._stopped.is_set()

    def _work(self, values: dict[str, Any]) -> None:
        end = "Finished. Press Start to train anew."
        try:
            self.run(self._watch, **values)
        except Exception as error:  # a thread has no cell to print in
            self.screen.value = _alert(error)
            end = "The run failed; the message is below."
        self._say("Stopped. Press Start to train anew." if self._stopped.is_set() else end)
        self.start.disabled, self.stop.disabled = False, True


def training_widget(
    run: Callable[..., Any], draw: Callable[[Any], View], first: Any, **dials: ipywidgets.Widget
) -> None:
    """Show a TrainingControl; without a running kernel, the picture of `first` stands in its place."""
    control = TrainingControl(run, draw, first, **dials)
    show(control.box, control.first_view)

"""Widgets: thin ipywidgets controls round a pure draw function.

The draw functions live in `icrl_teach.views`, one module a lesson. Each takes its dials' values and returns a View.
`explore(draw, ...)` shows the dials above the view and redraws when one moves. The stored notebook also carries the
default view as a plain picture, so it reads as a page where no widget can run.
"""

from __future__ import annotations

import base64
import html
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


def explore(draw: Callable[..., View], **dials: ipywidgets.Widget) -> None:
    """Show the dials and the view that `draw(**values)` returns; redraw when a dial moves.

    An exception in `draw` is shown in place of the picture, so that a dial never goes silently dead.
    """
    screen = ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        try:
            screen.value = render(draw(**{name: control.value for name, control in dials.items()}))
        except Exception as error:  # the notebook would swallow it: callbacks have no cell to print in
            screen.value = f'<pre role="alert">{html.escape(f"{type(error).__name__}: {error}")}</pre>'

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

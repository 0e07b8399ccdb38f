"""How a figure becomes a notebook's output: one picture with its alternative text, for light and for dark themes.

JupyterLab and the export to HTML ignore an alternative text in an output's metadata; so the picture is HTML, whose
`<img alt>` a screen reader meets. It is stored once, as a PNG without background. Where no style sheet reaches it (a
notebook that is not trusted yet), it lies on white; in a dark theme, `web/picture.css` turns it dark: lightness is
inverted, hues stay. Paper is always white.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from icrl_teach.figures.style import STYLE
from icrl_teach.web import read

PICTURE_CSS = read("picture.css")


@dataclass(frozen=True)
class Picture:
    """A picture as a notebook's output. uri: `data:image/…`; alt: what it shows; width and height in pixels."""

    uri: str
    alt: str
    width: int
    height: int

    def html(self) -> str:
        """The picture as an element with its own style: it needs nothing else on the page."""
        size = f'width="{self.width}" height="{self.height}" style="background:#fff;max-width:100%;height:auto"'
        element = f'<img class="icrl-picture" alt="{html.escape(self.alt)}" {size} src="{self.uri}">'
        return f"<style>{' '.join(PICTURE_CSS.split())}</style>\n{element}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}


def png_bytes(figure: Figure, dpi: int = 100, transparent: bool = False) -> bytes:
    """The figure as PNG on white, or without background; the same bytes for the same figure (no time, no version)."""
    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, transparent=transparent, metadata={"Software": None})
    return buffer.getvalue()


def as_picture(figure: Figure, alt: str, dpi: int) -> Picture:
    """The figure as a picture without background."""
    data = base64.b64encode(png_bytes(figure, dpi, transparent=True)).decode()
    width, height = (round(dpi * inches) for inches in figure.get_size_inches())
    return Picture(f"data:image/png;base64,{data}", alt, width, height)


def picture(figure: Figure, alt: str, dpi: int = 100) -> Picture:
    """The figure as a notebook's output, with alternative text for those who cannot see it.

    Raises ValueError for an alternative text of fewer than 20 characters: say what the picture shows.
    """
    if len(alt.strip()) < 20:
        raise ValueError(f"alt is {alt!r}; say in a sentence what the picture shows, for those who cannot see it")
    return as_picture(figure, alt, dpi)

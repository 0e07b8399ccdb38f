"""How a figure becomes a notebook's output: one picture with its alternative text, for light and for dark themes.

JupyterLab and the export to HTML ignore an alternative text in an output's metadata; so the picture is HTML, whose
`<img alt>` a screen reader meets. It is stored once, as a PNG without background. Where no style sheet reaches it (a
notebook that is not trusted yet), it lies on white; in a dark theme, `web/picture.css` turns it dark: lightness is
inverted, hues stay. Paper is always white. A picture of several panels is cut between them: where there is no room
for them side by side, they stand one below the other.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from icrl_teach.figures.style import STYLE
from icrl_teach.web import read

PICTURE_CSS = read("picture.css")


NARROW = 720  # pixels: in less room, panels stand below each other


@dataclass(frozen=True)
class Picture:
    """A picture as a notebook's output. uri: `data:image/…`; alt: what it shows; width and height in pixels.

    cuts: the columns of pixels, from left to right, before which a new panel begins.
    """

    uri: str
    alt: str
    width: int
    height: int
    cuts: tuple[int, ...] = ()

    def html(self) -> str:
        """The picture as elements with their own style: it needs nothing else on the page."""
        element = self._panels() if self.cuts else self._element(self.uri, self.alt, self.width, "max-width:100%")
        return f"<style>{' '.join(PICTURE_CSS.split())}</style>\n{element}"

    def _panels(self) -> str:
        """The panels side by side, where a line has NARROW pixels for them; none is drawn larger than it is."""
        ends = list(pairwise((0, *self.cuts, self.width)))
        images = []
        for number, ((left, right), uri) in enumerate(zip(ends, _pieces(self.uri, ends), strict=True), 1):
            alt = self.alt if number == 1 else f"Part {number} of {len(ends)} of the same picture."
            width = right - left
            least = min(width, round(NARROW * width / self.width))
            room = f"flex:{width} 1 {least}px;min-width:0;max-width:min(100%,{width}px)"
            images.append(self._element(uri, alt, width, room))
        return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{"".join(images)}</div>'

    def _element(self, uri: str, alt: str, width: int, room: str) -> str:
        size = f'width="{width}" height="{self.height}" style="background:#fff;{room};height:auto"'
        return f'<img class="icrl-picture" alt="{html.escape(alt)}" {size} src="{uri}">'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}


def _pieces(uri: str, ends: list[tuple[int, int]]) -> list[str]:
    """A PNG cut into panels, from their left to their right ends."""
    whole = Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
    found = []
    for left, right in ends:
        buffer = BytesIO()
        whole.crop((left, 0, right, whole.height)).save(buffer, format="png")
        found.append(_png_uri(buffer.getvalue()))
    return found


def _png_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def cuts(figure: Figure, width: int) -> tuple[int, ...]:
    """Before which columns of pixels a drawn figure can be cut between its panels, when it is `width` pixels wide.

    A panel begins with what stands furthest left in its column, such as a label. Where something reaches over, none is.
    """
    specs = {ax: spec.get_topmost_subplotspec() for ax in figure.axes if (spec := ax.get_subplotspec())}
    if len({spec.colspan.start for spec in specs.values()}) < 2:
        return ()  # before the boxes are measured, which takes a third as long as drawing
    boxes = {ax: box for ax in figure.axes if (box := ax.get_tightbbox())}
    lefts: dict[int, float] = {}
    for ax, spec in specs.items():
        if box := boxes.get(ax):
            lefts[spec.colspan.start] = min(box.x0, lefts.get(spec.colspan.start, box.x0))
    drawn = [*boxes.values(), *(each.get_window_extent() for each in (*figure.texts, *figure.legends))]
    rights = {left: max(box.x1 for box in drawn if box.x0 < left) for left in sorted(lefts.values())[1:]}
    middles = [(left + right) / 2 for left, right in rights.items() if right < left]
    return tuple(round(width * middle / figure.bbox.width) for middle in middles)


def png_bytes(figure: Figure, dpi: int = 100, transparent: bool = False) -> bytes:
    """The figure as PNG on white, or without background; the same bytes for the same figure (no time, no version)."""
    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, transparent=transparent, metadata={"Software": None})
    return buffer.getvalue()


def as_picture(figure: Figure, alt: str, dpi: int) -> Picture:
    """The figure as a picture without background."""
    uri = _png_uri(png_bytes(figure, dpi, transparent=True))
    width, height = (round(dpi * inches) for inches in figure.get_size_inches())
    return Picture(uri, alt, width, height, cuts(figure, width))


def picture(figure: Figure, alt: str, dpi: int = 100) -> Picture:
    """The figure as a notebook's output, with alternative text for those who cannot see it.

    Raises ValueError for an alternative text of fewer than 20 characters: say what the picture shows.
    """
    if len(alt.strip()) < 20:
        raise ValueError(f"alt is {alt!r}; say in a sentence what the picture shows, for those who cannot see it")
    return as_picture(figure, alt, dpi)

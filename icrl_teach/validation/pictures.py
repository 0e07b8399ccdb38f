"""Pictures are compared too: nbval passes over them, whatever they show.

The measure, stated in every report: both pictures are laid on white and blurred by a Gaussian of 2 pixels; the
difference is the largest one at any pixel and colour, in per cent of full scale. The blur forgives what another
rasteriser rounds differently at an edge, the largest difference, unlike a mean, sees one changed digit in a large
figure. Measured on matplotlib figures at 100 dots per inch: a line moved by a tenth of a pixel 0.8, by half a pixel
3.1, by one 5.5; one changed digit in a label of 10 points 11 to 20, another colour of a line 34. Pictures of different
sizes differ by 100.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from icrl_teach.validation.findings import PictureChange

BLUR = 2.0  # pixels
MEASURE = (
    "largest difference at any pixel and colour after a Gaussian blur of 2 pixels on white, in per cent of full scale"
)


@dataclass(frozen=True)
class Picture:
    """One picture as stored: its MIME type and its base64 data without line breaks."""

    kind: str
    data: str

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:{self.kind};base64,{self.data}"


@dataclass(frozen=True)
class Difference:
    """How far two pictures are apart: `percent` by the measure above, `words` for a reader, the three pictures, and
    which picture of its cell it is."""

    percent: float
    words: str
    change: PictureChange
    number: int = 1


def picture(kind: str, data: str) -> Picture:
    """A picture from base64 text as notebooks hold it."""
    return Picture(kind, re.sub(r"\s+", "", data))


def compare(old: Picture, new: Picture) -> Difference:
    """The difference between two pictures; 100 % where their sizes differ or one cannot be decoded."""
    if old.data == new.data:
        return Difference(0.0, "the same", PictureChange(old.uri, new.uri, ""))
    try:
        a, b = _pixels(old), _pixels(new)
    except Exception as error:  # Pillow meets damaged files with many kinds of exceptions
        return Difference(100.0, f"one cannot be decoded ({type(error).__name__})", PictureChange(old.uri, new.uri, ""))
    if a.size != b.size:
        words = f"{a.width} x {a.height} pixels, now {b.width} x {b.height}"
        return Difference(100.0, words, PictureChange(old.uri, new.uri, ""))
    gap = np.abs(_blurred(a) - _blurred(b)).max(axis=2)
    percent = 100.0 * float(gap.max())
    place = np.unravel_index(int(gap.argmax()), gap.shape)
    words = f"{percent:.1f} % of full scale at worst, near x {place[1]}, y {place[0]} of {a.width} x {a.height}"
    return Difference(percent, words, PictureChange(old.uri, new.uri, _shown(gap)))


def _pixels(item: Picture) -> Image.Image:
    try:
        raw = base64.b64decode(item.data, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(raw)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _blurred(image: Image.Image) -> np.ndarray:
    return np.asarray(image.filter(ImageFilter.GaussianBlur(BLUR)), dtype=np.float32) / 255.0


def _shown(gap: np.ndarray) -> str:
    """The difference as a picture: white where nothing changed, dark where much did, stretched to be seen."""
    strength = gap / max(float(gap.max()), 1e-9)
    image = Image.fromarray((255 * (1 - np.sqrt(strength))).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

"""What a reader sees of a colour: WCAG's contrast, three kinds of colour blindness, and the filter of dark themes."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Text

PAGES = ("#111111", "#14181e", "#222832")  # dark backgrounds: JupyterLab, the site, a panel of the site
FEWEST_WORDS, FEWEST_GRAPHICS = 4.5, 3.0  # WCAG 2.2, success criteria 1.4.3 and 1.4.11
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
# hue-rotate(180deg), from the W3C's Filter Effects Module Level 1.
HUE_ROTATED = np.array([[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]])
# Machado, Oliveira and Fernandes (2009), A Physiologically-based Model for Simulation of Color Vision Deficiency,
# IEEE TVCG 15(6), severity 1; on linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(color) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other) -> float:
    """WCAG's ratio, 1 to 21."""
    dark, light = sorted(float(linear(color) @ LUMINANCE) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


def darkened(color) -> np.ndarray:
    """A colour under invert(1) hue-rotate(180deg)."""
    return np.clip(HUE_ROTATED @ (1.0 - np.array(to_rgb(color))), 0.0, 1.0)


def on_a_page(color) -> float:
    """The least contrast of a colour to the page: white, or dark ones after the filter."""
    return min(contrast(color, "white"), *(contrast(darkened(color), page) for page in PAGES))


def distance(one, other, sight: str) -> float:
    """CIE 1976 colour difference as such eyes see it; from about 2.3 two colours are told apart side by side."""
    return float(np.linalg.norm(_lab(SIGHT[sight] @ linear(one)) - _lab(SIGHT[sight] @ linear(other))))


def _lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x = to_xyz @ np.clip(rgb, 0.0, 1.0) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def pale_words(figure) -> list[str]:
    """The words of a figure that are too pale for a page."""
    said = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text.get_text() for text in said if on_a_page(text.get_color()) < FEWEST_WORDS]

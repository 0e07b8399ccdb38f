"""Make the README's moving picture, docs/lake.svg and docs/lake-dark.svg: `make picture`.

What lesson 00 shows of the lake, layer after layer: the same walk, the same frozen network, the same numbers. Style
inside an SVG moves it, no script. It plays three times and rests at the last layer; where a reader's system asks for
less motion it stands there from the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np

from icrl_teach._files import atomic_write
from icrl_teach.views.lesson_00 import LAKE, what_it_says

DOCS = Path(__file__).resolve().parent.parent / "docs"
DEPTHS = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64)
SECONDS, ROUNDS = 1.2, 3
SQUARE, TOP, BARS = 76, 64, (380, 700, 300)  # of the map; where the bars begin, end, and stand


@dataclass(frozen=True)
class Look:
    """Colours: of words, of what stands back, of a square from no value to the largest, of a hole, and what is lit."""

    ink: str
    quiet: str
    low: tuple[int, int, int]
    high: tuple[int, int, int]
    hole: str
    lit: str


LOOKS = {
    "lake.svg": Look("#1f2328", "#59636e", (255, 255, 255), (0, 114, 178), "#d0d7de", "#b35900"),
    "lake-dark.svg": Look("#f0f6fc", "#9198a1", (13, 17, 23), (86, 180, 233), "#3d444d", "#ffb454"),
}


def luminance(color: tuple[int, ...]) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    x = np.array(color) / 255
    return float(np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def text(x: float, y: float, words: str, fill: str, more: str = "") -> str:
    """Words whose middle, or what `more` says, stands at x."""
    return f'<text x="{x:g}" y="{y:g}" fill="{fill}" {more}>{words}</text>'


def shown(value: float) -> str:
    """Two decimals; 0 where no news has come: other squares than its own weigh a trace, which is no news."""
    return "0" if value < 0.0005 else "&lt; .01" if value < 0.005 else f"{value:.2f}"


def squares(letters: np.ndarray, values: dict[int, float], look: Look) -> str:
    """The lake, its values in the squares: the further from the background, the larger."""
    parts, (rows, columns) = [], letters.shape
    for s in range(rows * columns):
        x, y = 2 + SQUARE * (s % columns), TOP + SQUARE * (s // columns)
        share = np.sqrt(values.get(s, 0.0))  # small values would look alike
        color = tuple(round(low + share * (high - low)) for low, high in zip(look.low, look.high, strict=True))
        fill = look.hole if letters.flat[s] == "H" else "rgb({},{},{})".format(*color)
        parts.append(f'<rect x="{x}" y="{y}" width="72" height="72" rx="6" fill="{fill}" stroke="{look.quiet}"/>')
        if s in values:
            ink = "#000" if luminance(color) > 0.18 else "#fff"
            parts.append(text(x + 36, y + 43, shown(values[s]), ink, 'font-size="19"'))
    return "".join(parts)


def names(letters: np.ndarray, look: Look) -> str:
    """What is not a number: the start, the holes, the goal."""
    parts = []
    for s, letter in enumerate(letters.flat):
        x, y = 2 + SQUARE * (s % 4), TOP + SQUARE * (s // 4)
        if letter == "S":
            parts.append(text(x + 36, y + 17, "start", look.quiet, 'font-size="13"'))
        elif letter in "HG":
            word, ink = ("hole", look.ink) if letter == "H" else ("goal", look.lit)
            parts.append(text(x + 36, y + 42, word, ink, 'font-size="16" font-weight="bold"'))
    return "".join(parts)


def bar(i: int, error: np.ndarray, fill: str) -> str:
    """The error after DEPTHS[i] layers as the i-th bar."""
    first, last, foot = BARS
    step = (last - first) / len(error)
    height = 180 * error[i] / error.max()
    place = f'x="{first + i * step:.1f}" y="{foot - height:.1f}" width="{step - 5:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{fill}"/>'


def frame(i: int, letters: np.ndarray, values: dict[int, float], error: np.ndarray, look: Look) -> str:
    """What is seen after DEPTHS[i] layers."""
    depth, left = DEPTHS[i], BARS[0]
    title = f"after {depth} layer{'' if depth == 1 else 's'}"
    start = 'text-anchor="start"'
    return "".join(
        [
            text(2, 48, title, look.ink, f'{start} font-size="20" font-weight="bold"'),
            text(left, 92, f"RMS error {error[i]:.3f}", look.lit, f'{start} font-size="20" font-weight="bold"'),
            squares(letters, values, look),
            bar(i, error, look.lit),
        ]
    )


def motion(count: int) -> str:
    """Style: frame after frame, each seen for its time, and the last one whenever nothing moves."""
    rules = [".f{opacity:0}", f".f{count - 1}{{opacity:1}}", "@media (prefers-reduced-motion:no-preference){"]
    for i in range(count):
        begin, end = 100 * i / count, 100 * (i + 1) / count
        seen = f"{begin:.3g}%{{opacity:1}}" + (f"{end:.3g}%{{opacity:0}}" if i < count - 1 else "")
        rules.append(f"@keyframes k{i}{{" + ("0%{opacity:0}" if i else "") + seen + "}")
        rules.append(f".f{i}{{animation:k{i} {SECONDS * count:g}s step-end {ROUNDS}}}")
    return "".join([*rules, "}"])


def film(look: Look) -> str:
    """The whole SVG."""
    seen, values, exact = what_it_says(LAKE)
    letters = gym.make(LAKE).unwrapped.desc.astype(str)
    values = values[list(DEPTHS)]
    error = np.sqrt(((values - exact) ** 2).mean(axis=1))
    start = 'text-anchor="start" font-size="15"'
    still = [
        text(2, 20, "A frozen network reads a walk on a lake that it has never seen", look.ink, 'text-anchor="start"'),
        *(bar(i, error, look.quiet) for i in range(len(DEPTHS))),
        *(text(BARS[0] + 26.7 * i + 11, 318, str(n), look.quiet, 'font-size="13"') for i, n in enumerate(DEPTHS)),
        text(BARS[0], 340, "error of the values, by layers", look.quiet, start),
        text(BARS[0], 364, "weights changed: 0", look.ink, start + ' font-weight="bold"'),
    ]
    frames = [
        f'<g class="f f{i}">{frame(i, letters, dict(zip(seen.tolist(), row.tolist(), strict=True)), error, look)}</g>'
        for i, row in enumerate(values)
    ]
    drawn = "".join([*still, *frames]) + names(letters, look)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 704 372" width="704" height="372" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="17" text-anchor="middle">'
        f"<title>{alt(error)}</title><style>{motion(len(DEPTHS))}</style>{drawn}</svg>\n"
    )


def alt(error: np.ndarray) -> str:
    """What the picture shows, in words."""
    return (
        f"A lake of 4 by 4 squares, after {DEPTHS[0]} to {DEPTHS[-1]} layers of the frozen network: at first every "
        "value is 0; then the square beside the goal gets a value, and layer by layer the news moves back to the "
        f"start. Beside it bars of the error, which falls from {error[0]:.2f} to {error[-1]:.2f}. Weights changed: 0."
    )


def main() -> None:
    """Write both pictures."""
    for name, look in LOOKS.items():
        content = film(look)
        with atomic_write(DOCS / name) as file:
            file.write(content)
        print(f"{name}: {len(content) / 1000:.0f} kB, {len(DEPTHS)} frames")


if __name__ == "__main__":
    main()

"""What a conditional prior is shown of a training picture: random masks over luma and chroma.

Holes take a large part of the crop, more than in most photographs to be restored: what is observed teaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scoreinv.colour_space import luma
from scoreinv.imaging.colour import with_luma
from scoreinv.training.config import ObservationConfig

FINE_WITHHELD = 0.05
"""Share of the pictures whose finer luma is not shown, where a network takes it."""

Film = Callable[[np.ndarray, str, np.random.Generator], np.ndarray]
"""Gives another rendering of a picture (H, W, 3) in [0, 1], by the name of the grey weights and a generator."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&?!"


def draw_observed(config: ObservationConfig, side: int, generator: np.random.Generator) -> tuple[np.ndarray, bool]:
    """What is shown of a picture of side x side pixels.

    Returns the observed components, (3, side, side) bool, luma and two of chroma; and whether the picture is known at
    half the size.
    """
    shares = config.kinds
    total = sum(shares.values())  # numpy wants it nearer to 1 than rounded shares come
    kind = generator.choice(list(shares), p=[share / total for share in shares.values()])
    observed = np.zeros((3, side, side), dtype=bool)
    if kind in ("holes", "refined"):
        observed[:] = ~draw_hole(side, generator)
    elif kind in ("gray", "hints"):
        observed[0] = True
    elif kind == "damaged_gray":
        observed[0] = ~draw_hole(side, generator)
    if kind == "hints" or (kind == "damaged_gray" and generator.random() < 0.3):
        observed[1:] = observed[0] & _hints(side, generator)
    return observed, kind == "refined"


def on_other_film(rgb: np.ndarray, gray_weights: str, generator: np.random.Generator) -> np.ndarray:
    """A picture (H, W, 3) in [0, 1] on the luma that a random film, developed somehow, would have made of it.

    Old films were blind to red, and no film has Rec. 601's weights: those of the channels are random, and so are the
    gamma and the greys of black and white. The chroma stays, as far as it fits (`with_luma`).
    """
    sensitivity = generator.dirichlet((1.5, 2.0, 1.5)).astype(np.float32)
    gamma = np.float32(np.exp(generator.normal(0.0, 0.3)))
    black, white = np.float32(generator.uniform(0.0, 0.12)), np.float32(generator.uniform(0.88, 1.0))
    gray = black + (white - black) * (rgb @ sensitivity) ** gamma
    return with_luma(gray, rgb, gray_weights)


def on_colour_film(rgb: np.ndarray, gray_weights: str, generator: np.random.Generator) -> np.ndarray:
    """A picture (H, W, 3) in [0, 1] in the colours of a random colour film, print or scan; the luma stays.

    They are mostly paler and warmer than a digital camera's: in old slides and prints the yellow dye outlives the
    others.
    """
    saturation = np.float32(generator.uniform(0.5, 1.15))
    gains = generator.normal((0.03, 0.0, -0.1), (0.06, 0.03, 0.12))
    gray = luma(rgb, gray_weights)
    tinted = (gray[..., None] + saturation * (rgb - gray[..., None])) * np.exp(gains).astype(np.float32)
    return with_luma(gray, tinted, gray_weights)


def draw_hole(side: int, generator: np.random.Generator) -> np.ndarray:
    """A hole of a random kind: (side, side) bool, neither empty nor everything."""
    hole = _HOLES[generator.choice(len(_HOLES), p=_SHARES)](side, generator)
    if hole.all() or not hole.any():
        return _dropped(side, generator)
    return hole


def _dropped(side: int, generator: np.random.Generator) -> np.ndarray:
    """Single pixels, 10 to 95 % of them, more often many than few."""
    hole = generator.random((side, side), dtype=np.float32) < 0.1 + 0.85 * generator.random() ** 0.5
    hole[tuple(generator.integers(side, size=2))] = True
    return hole


def _scratches(side: int, generator: np.random.Generator) -> np.ndarray:
    """Long lines that bend a little, 1 to 5 pixels wide."""
    canvas, draw = _canvas(side)
    for _ in range(generator.integers(3, 14)):
        x, y = generator.uniform(-0.2 * side, 1.2 * side, 2)
        angle = generator.uniform(0, 2 * np.pi)
        points = []
        for turn in generator.normal(0, 0.25, generator.integers(4, 12)):
            points.append((x, y))
            angle += turn
            x, y = x + side / 5 * np.cos(angle), y + side / 5 * np.sin(angle)
        draw.line(points, fill=1, width=int(generator.integers(1, 6)), joint="curve")
    return np.asarray(canvas)


def _writing(side: int, generator: np.random.Generator) -> np.ndarray:
    """Lines of letters, with strokes of 1 to 6 pixels."""
    canvas, draw = _canvas(side)
    size = int(generator.integers(10, 45))
    bold = int(generator.integers(0, 2))
    y = generator.uniform(-size, 0)
    while y < side:
        letters = "".join(_LETTERS[i] for i in generator.integers(len(_LETTERS), size=1 + 3 * side // size))
        draw.text((generator.uniform(-size, 0), y), letters, fill=1, font=_font(size), stroke_width=bold)
        y += size * generator.uniform(1.0, 2.0)
    return np.asarray(canvas)


def _strokes(side: int, generator: np.random.Generator) -> np.ndarray:
    """Brush strokes 2 to 32 pixels wide with round ends."""
    canvas, draw = _canvas(side)
    width = float(np.exp(generator.uniform(np.log(2), np.log(min(32, side / 2)))))
    for _ in range(generator.integers(1, 3 + int(40 / width))):
        start = generator.uniform(0, side, 2)
        end = start + generator.normal(0, side / 2, 2)
        draw.line([tuple(start), tuple(end)], fill=1, width=round(width))
        for x, y in (start, end):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)
    return np.asarray(canvas)


def _boxes(side: int, generator: np.random.Generator) -> np.ndarray:
    """One to three boxes, of an eighth to all but an eighth of the side."""
    hole = np.zeros((side, side), dtype=bool)
    for _ in range(generator.integers(1, 4)):
        height, width = (int(n) for n in generator.integers(max(1, side // 8), side - side // 8 + 1, 2))
        top, left = generator.integers(side - height + 1), generator.integers(side - width + 1)
        hole[top : top + height, left : left + width] = True
    return hole


def _border(side: int, generator: np.random.Generator) -> np.ndarray:
    """All but a window that touches some sides: borders, halves, corners."""
    hole = np.ones((side, side), dtype=bool)
    height, width = (int(n) for n in generator.integers(max(1, side // 4), side + 1, 2))
    if generator.integers(2):  # a half
        height, width = (height, side) if generator.integers(2) else (side, width)
    top, left = generator.integers(side - height + 1), generator.integers(side - width + 1)
    hole[top : top + height, left : left + width] = False
    return hole


def _hints(side: int, generator: np.random.Generator) -> np.ndarray:
    """A few dots and strokes, as a person draws them."""
    canvas, draw = _canvas(side)
    for _ in range(generator.integers(1, 9)):
        start = generator.uniform(0, side, 2)
        end = start + generator.normal(0, side / 16, 2) * generator.integers(0, 2)
        width = int(generator.integers(1, max(2, side // 12)))
        draw.line([tuple(start), tuple(end)], fill=1, width=width)
        draw.point([tuple(start)], fill=1)
    return np.asarray(canvas)


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("1", (side, side))
    return canvas, ImageDraw.Draw(canvas)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


_HOLES: tuple[Callable[[int, np.random.Generator], np.ndarray], ...] = (
    _dropped,
    _scratches,
    _writing,
    _strokes,
    _boxes,
    _border,
)
_SHARES = (0.72, 0.06, 0.06, 0.09, 0.06, 0.01)
"""Most to single pixels: there the classical methods are nearest to what can be had."""

"""Holes of the kinds that restorers meet, as reproducible masks: HxW bool, True = hole."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "Reproduction for reference only - not for sale "


def dropped(share: float) -> object:
    """Each pixel lost with the given probability."""
    return lambda height, width, rng: rng.random((height, width)) < share


def scratches(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Long scratches 2 to 4 pixels wide over more than 5 % of the picture."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    while np.asarray(canvas).mean() < 0.05:
        x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)
        points = []
        for _ in range(int(rng.integers(4, 12))):
            points.append((x, y))
            angle += rng.normal(0, 0.25)
            x, y = x + 20 * np.cos(angle), y + 20 * np.sin(angle)
        draw.line(points, fill=1, width=int(rng.integers(2, 5)), joint="curve")
    return np.asarray(canvas).copy()


def text(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Lines of writing with strokes of about 3 pixels."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(28)
    for y in range(int(rng.integers(8, 24)), height - 28, 72):
        draw.text((int(rng.integers(-200, 0)), y), TEXT * 4, fill=1, font=font)
    return np.asarray(canvas).copy()


def boxes(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Squares of 48 pixels, well apart."""
    hole = np.zeros((height, width), dtype=bool)
    for y in range(24, height - 71, 144):
        for x in range(24, width - 71, 144):
            dy, dx = rng.integers(0, 24, 2)
            hole[y + dy : y + dy + 48, x + dx : x + dx + 48] = True
    return hole


def strokes(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Thick brush strokes, 24 pixels wide, over about 8 % of the picture."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    while np.asarray(canvas).mean() < 0.08:
        start = rng.uniform(0, (width, height))
        end = start + rng.normal(0, 60, 2)
        draw.line([tuple(start), tuple(end)], fill=1, width=24)
        for x, y in (start, end):
            draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=1)
    return np.asarray(canvas).copy()


def lines(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Straight lines 8 to 11 pixels wide, as creases and damage that was enlarged, over about 8 % of the picture."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    while np.asarray(canvas).mean() < 0.08:
        start = rng.uniform(0, (width, height))
        end = start + rng.normal(0, 80, 2)
        draw.line([tuple(start), tuple(end)], fill=1, width=int(rng.integers(8, 12)))
    return np.asarray(canvas).copy()


def strips(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A strip through the picture and one along a border, of 16, 24 or 40 pixels each."""
    hole = np.zeros((height, width), dtype=bool)
    across = int(rng.choice([16, 24, 40]))
    left = int(rng.integers(16, max(17, width - 16 - across)))
    hole[:, left : left + across] = True
    hole[: rng.choice([16, 24, 40])] = True
    return np.rot90(hole, 2 * int(rng.integers(2))).copy()


KINDS = {
    "drop50": dropped(0.5),
    "drop80": dropped(0.8),
    "scratch": scratches,
    "text": text,
    "lines": lines,
    "box48": boxes,
    "stroke24": strokes,
    "strip": strips,
}

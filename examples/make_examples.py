"""Rebuild masks/, damaged/, grey/ and hints/ from photos/: `python examples/make_examples.py`.

White in a mask is a hole. A damaged picture differs from its photograph inside the mask only, so what an inpainting
recovers can be compared with the photograph itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
GRAY = ("dog", "lake", "moose", "tulips")
CAPTION = "Reproduction for reference only"
MOOSE = [(182, 140), (190, 112), (225, 112), (240, 160), (300, 165), (330, 175), (375, 192), (395, 208), (425, 200)]
MOOSE += [(400, 130), (412, 118), (440, 108), (470, 108), (500, 130), (540, 100), (560, 62), (585, 62), (592, 95)]
MOOSE += [(622, 88), (625, 135), (600, 165), (540, 210), (480, 240), (495, 290), (535, 345), (536, 410), (505, 430)]
MOOSE += [(440, 445), (350, 460), (230, 478), (85, 485), (85, 430), (125, 370), (200, 342), (318, 340), (320, 300)]
MOOSE += [(335, 265), (255, 268), (228, 248), (205, 210)]

Line = tuple[tuple[int, int], tuple[int, int]]
STROKES: dict[str, list[tuple[str, Line]]] = {
    "dog": [
        ("#c48c46", ((200, 120), (260, 160))),
        ("#c48c46", ((180, 330), (220, 420))),
        ("#cda06a", ((300, 285), (380, 315))),
        ("#b06068", ((302, 390), (296, 460))),
        ("#3c6428", ((40, 60), (50, 260))),
        ("#5a7832", ((450, 60), (460, 220))),
    ],
}
"""Strokes of colour on grey/, as a person would dab them: fur, tongue and leaves."""


def scratches(size: tuple[int, int], coverage: float, seed: int) -> Image.Image:
    """The mask of a worn print: a crease, then scratches and dust until the share `coverage` of the area is lost."""
    rng = np.random.default_rng(seed)
    width, height = size
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    middle = rng.uniform(0.35, 0.65) * height
    draw.line(_wander(rng, (0.0, middle), 0.15, width * 1.05, wobble=0.02), fill=255, width=5, joint="curve")
    while np.asarray(mask).mean() < 255 * coverage:
        start = (rng.uniform(0, width), rng.uniform(0, height))
        length = rng.uniform(0.1, 0.8) * height
        # Film is drawn through the machine lengthwise, so most scratches run near the vertical.
        direction = rng.normal(np.pi / 2, 0.35)
        thickness = int(rng.choice([1, 2, 2, 3, 4]))
        draw.line(_wander(rng, start, direction, length, wobble=0.06), fill=255, width=thickness, joint="curve")
        for _ in range(12):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            radius = rng.exponential(0.9) + 0.5
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return mask


def _wander(
    rng: np.random.Generator, start: tuple[float, float], direction: float, length: float, wobble: float
) -> list[tuple[float, float]]:
    """Points of a line of `length` pixels, whose direction (radians) drifts by `wobble` at each step of 4 pixels."""
    x, y = start
    points = [start]
    for _ in range(max(1, int(length / 4))):
        direction += rng.normal(0.0, wobble)
        x, y = x + 4 * np.cos(direction), y + 4 * np.sin(direction)
        points.append((float(x), float(y)))
    return points


def caption(size: tuple[int, int], text: str) -> Image.Image:
    """The mask of a line of text stamped across the lower third, and once more at the top left."""
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    width, height = size
    big = ImageFont.load_default(size=width * 0.06)
    small = ImageFont.load_default(size=width * 0.032)
    draw.text((width / 2, height * 0.72), text, fill=255, font=big, anchor="mm")
    draw.text((width * 0.03, height * 0.04), "14 May 1998", fill=255, font=small)
    # Text is antialiased: every pixel that it touches counts as lost.
    return mask.point(lambda value: 255 if value > 0 else 0)


def outline(size: tuple[int, int], corners: list[tuple[int, int]]) -> Image.Image:
    """The mask of one object, given by the corners around it, (x, y) in pixels."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask


def hints(size: tuple[int, int], strokes: list[tuple[str, Line]]) -> Image.Image:
    """Strokes of colour on a transparent layer."""
    layer = Image.new("RGBA", size)
    draw = ImageDraw.Draw(layer)
    for colour, line in strokes:
        draw.line(line, fill=colour, width=12)
    return layer


def paint(photo: Image.Image, mask: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """`photo` with the holes of `mask` filled with `colour`."""
    return Image.composite(Image.new("RGB", photo.size, colour), photo, mask)


def main() -> None:
    for folder in ("masks", "damaged", "grey", "hints"):
        (HERE / folder).mkdir(exist_ok=True)
    photos = {path.stem: Image.open(path).convert("RGB") for path in sorted((HERE / "photos").glob("*.jpg"))}
    masks = {
        "astronaut": scratches(photos["astronaut"].size, coverage=0.055, seed=5),
        "facade": caption(photos["facade"].size, CAPTION),
        "moose": outline(photos["moose"].size, MOOSE),
    }
    for name, mask in masks.items():
        mask.convert("1").save(HERE / "masks" / f"{name}.png", optimize=True)
    for name, colour in {"astronaut": (243, 239, 230), "facade": (255, 255, 255)}.items():
        paint(photos[name], masks[name], colour).save(HERE / "damaged" / f"{name}.png", optimize=True)
    for name in GRAY:
        photos[name].convert("L").save(HERE / "grey" / f"{name}.jpg", quality=92, optimize=True)
    for name, strokes in STROKES.items():
        hints(photos[name].size, strokes).save(HERE / "hints" / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

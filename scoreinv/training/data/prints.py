"""Prints of photographs, and their scans: what film, paper and scanner do to a picture.

    scan = scanned(blurred(draw_print(photograph)))

All of it is healthy, the print's own edge too: its plain border, the mask of an oval portrait, the dark edge of a glass
plate. `scoreinv.training.data.synthetic_damage` damages it. A conditional prior is shown pictures on other films.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from scoreinv.colour_space import luma
from scoreinv.imaging.colour import with_luma

_EDGED = 0.15  # share of the prints whose own edge is seen

_EXTENT = 160
"""Side of the picture, in pixels, that the largest stains, torn corners, letters and faded borders are a part of."""

LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Generator = np.random.Generator

Film = Callable[[np.ndarray, str, Generator], np.ndarray]
"""Gives another rendering of a picture (H, W, 3) in [0, 1], by the name of the grey weights and a generator."""


@dataclass(frozen=True)
class Medium:
    """What a picture is printed on and scanned with.

    Attributes:
        gray: whether it is one of greys, maybe toned.
        paper, ink: (3,) colours of the bare paper and of the deepest black.
        grain: standard deviation of the grain.
        grain_size: of the grain, in pixels.
        focus: standard deviation of the scanner's blur, in pixels; 0 for none.
        quality: of the JPEG file; None for one without loss.
    """

    gray: bool
    paper: np.ndarray
    ink: np.ndarray
    grain: float
    grain_size: float
    focus: float
    quality: int | None


Cover = tuple[np.ndarray, np.ndarray]
"""How much of each pixel is covered, (H, W) in [0, 1], and by which colour, (3,) or (H, W, 3)."""


class Sheet:
    """A print that is drawn on: an edge or a kind of damage is a function of it that returns a `Cover`.

    Attributes:
        print_: (H, W, 3) in [0, 1].
        medium: what it is printed on.
        rng: of all that is drawn.
        height, width, longer: of the print, and the longer of both, in pixels.
        extent: what the sizes of areas are relative to: a training crop shows no larger ones than itself.
    """

    def __init__(self, print_: np.ndarray, medium: Medium, rng: Generator) -> None:
        self.print_, self.medium, self.rng = print_, medium, rng
        self.height, self.width = print_.shape[:2]
        self.longer, self.extent = max(self.height, self.width), min(self.height, self.width, _EXTENT)

    def place(self) -> np.ndarray:
        """A place (x, y) anywhere."""
        return self.rng.uniform(0, (self.width, self.height))

    def pixels(self) -> np.ndarray:
        """Rows and columns of all pixels, (2, H, W) float32."""
        return np.mgrid[: self.height, : self.width].astype(np.float32)

    def clouds(self, size: float) -> np.ndarray:
        """Smooth noise of unit variance, (H, W) float32, whose blots have about this size in pixels."""
        size = max(1.0, size)
        shape = (int(self.height / size) + 4, int(self.width / size) + 4)
        coarse = Image.fromarray(self.rng.standard_normal(shape, dtype=np.float32))
        left, top = self.rng.uniform(0, 1, 2)
        box = (1 + left, 1 + top, 1 + left + self.width / size, 1 + top + self.height / size)
        return 1.3 * np.asarray(coarse.resize((self.width, self.height), Image.Resampling.BICUBIC, box=box))

    def textured(self, colour: np.ndarray) -> np.ndarray:
        """The colour, uneven: (H, W, 3)."""
        waves = self.rng.uniform(0, 0.08) * self.clouds(self.rng.uniform(2, 30))
        return np.clip(colour + waves[..., None], 0, 1).astype(np.float32)

    def toned(self, colour: np.ndarray) -> np.ndarray:
        """A colour in the light of the paper's tone."""
        paper = self.medium.paper
        return np.clip(colour * paper / paper.max(), 0, 1).astype(np.float32)

    def covered(self, kind: Callable[[Sheet], Cover]) -> np.ndarray:
        """The print with an edge or with damage, (H, W, 3)."""
        cover, colour = kind(self)
        return self.print_ + cover[..., None] * (colour - self.print_)


def on_other_film(rgb: np.ndarray, gray_weights: str, generator: Generator) -> np.ndarray:
    """A picture (H, W, 3) in [0, 1] on the luma that a random film, developed somehow, would have made of it.

    Old films were blind to red, and no film has Rec. 601's weights: the weights of the channels, the gamma and the
    greys of black and white are random. The chroma stays, as far as it fits (`with_luma`).
    """
    sensitivity = generator.dirichlet((1.5, 2.0, 1.5)).astype(np.float32)
    gamma = np.float32(np.exp(generator.normal(0.0, 0.3)))
    black, white = np.float32(generator.uniform(0.0, 0.12)), np.float32(generator.uniform(0.88, 1.0))
    gray = black + (white - black) * (rgb @ sensitivity) ** gamma
    return with_luma(gray, rgb, gray_weights)


def on_colour_film(rgb: np.ndarray, gray_weights: str, generator: Generator) -> np.ndarray:
    """A picture (H, W, 3) in [0, 1] in the colours of a random colour film, print or scan; the luma stays.

    They are mostly paler and warmer than a digital camera's: in old slides and prints the yellow dye outlives the
    others.
    """
    saturation = np.float32(generator.uniform(0.5, 1.15))
    gains = generator.normal((0.03, 0.0, -0.1), (0.06, 0.03, 0.12))
    gray = luma(rgb, gray_weights)
    tinted = (gray[..., None] + saturation * (rgb - gray[..., None])) * np.exp(gains).astype(np.float32)
    return with_luma(gray, tinted, gray_weights)


def on_old_print(rgb: np.ndarray, gray_weights: str, generator: Generator) -> np.ndarray:
    """The scan of an old grey print of a picture (H, W, 3) in [0, 1], in its colours; half show their edge, in grey."""
    medium = draw_medium(generator)
    paper, ink = (np.full(3, colour.mean()) for colour in (medium.paper, medium.ink))
    medium = replace(medium, gray=True, paper=paper, ink=ink)
    print_ = with_luma(luma(on_old_film(rgb, medium, generator), gray_weights), rgb, gray_weights)
    if generator.random() < 0.5:
        print_ = _with_edge(print_, medium, generator)
    return scanned(print_, medium, generator)


def draw_medium(generator: Generator) -> Medium:
    """A random one: half of them grey or toned, some without grain or loss."""
    faded = generator.random() < 0.6
    paper = generator.uniform(0.75, 1.0) if faded else 1.0
    ink = generator.uniform(0.0, 0.25) if faded else 0.0
    gray = bool(generator.random() < 0.6)
    tone = np.zeros(3)
    if not gray or generator.random() < 0.5:
        tone = np.array([0.0, -0.06, -0.16]) * generator.uniform(0, 1.3) + generator.normal(0, 0.015, 3)
    return Medium(
        gray,
        np.clip(paper + tone, 0, 1).astype(np.float32),
        np.clip(ink + tone * 0.4, 0, 1).astype(np.float32),
        float(generator.uniform(0.005, 0.07)) if generator.random() < 0.6 else 0.0,
        float(generator.uniform(0.3, 1.2)),
        float(generator.uniform(0.3, 0.8)) if generator.random() < 0.2 else 0.0,
        int(generator.integers(45, 97)) if generator.random() < 0.6 else None,
    )


def draw_print(rgb: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    """A print of a photograph (H, W, 3) in [0, 1], with its edge or, mostly, a part from within."""
    print_ = on_old_film(rgb, medium, generator)
    return _with_edge(print_, medium, generator) if generator.random() < _EDGED else print_


def _with_edge(print_: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    kind = list(_EDGES)[generator.choice(len(_EDGES), p=list(_EDGES.values()))]
    return Sheet(print_, medium, generator).covered(kind).astype(np.float32)


def on_old_film(rgb: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    """The picture as the medium shows it, before anything damaged it: its tones, and the blur of its lens."""
    values = rgb
    if medium.gray:
        blind = np.array([generator.uniform(0, 0.3), 0.4, 0.3], np.float32)  # to red, as early plates were
        grays = luma(rgb) if generator.random() < 0.6 else rgb @ (blind / blind.sum())
        values = np.repeat(grays[..., None], 3, axis=2)
    if generator.random() < 0.3:  # hard paper: bright things are white, and dark ones black
        values = np.clip(0.5 + (values - generator.uniform(0.3, 0.6)) * generator.uniform(1.2, 2.2), 0, 1)
        values = values.astype(np.float32)
    if generator.random() < 0.5:
        values = blurred(values, float(generator.uniform(0.4, 1.8)))
    values = values ** np.float32(np.exp(generator.normal(0, 0.25)))
    return (medium.ink + (medium.paper - medium.ink) * values).astype(np.float32)


def scanned(print_: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    """The print with its grain, as its file holds it; the same generator makes the same grain."""
    height, width = print_.shape[:2]
    values = print_
    if medium.grain:
        channels = 1 if medium.gray else 3
        noise = generator.standard_normal((height, width, channels), dtype=np.float32)
        if medium.grain_size > 0.5:
            noise = ndimage.gaussian_filter(noise, (medium.grain_size, medium.grain_size, 0), truncate=2)
            noise *= np.float32(2 * np.sqrt(np.pi) * medium.grain_size)
        values = values + np.float32(medium.grain) * noise
    pixels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    if medium.quality is not None:
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=medium.quality)
        pixels = np.asarray(Image.open(file))
    return pixels.astype(np.float32) / np.float32(255)


def _plain_border(sheet: Sheet) -> Cover:
    """Bare paper around the picture, maybe with a line between, a printed name, or the ground it lies on."""
    rng, medium = sheet.rng, sheet.medium
    inside = _inside_frame(sheet, 0.02, 0.3, 0.0 if rng.random() < 0.7 else 0.1)
    soft = rng.uniform(0.7, 2)
    paper = sheet.textured(medium.paper * rng.uniform(0.88, 1))
    if rng.random() < 0.25:  # a printed line around the picture
        line = np.clip(1.5 - np.abs(inside + rng.uniform(1, 4)), 0, 1)
        paper = paper + line[..., None] * (medium.ink * rng.uniform(1, 2) - paper)
    if rng.random() < 0.3:  # the photographer's name, printed where the border is wide enough
        size = int(rng.integers(7, 17))
        rows = np.flatnonzero(inside[:, sheet.width // 2] < -1.1 * size)
        canvas = Image.new("L", (sheet.width, sheet.height))
        if rows.size:
            letters = "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=int(rng.integers(5, 25))))
            place = (rng.uniform(-0.2, 0.7) * sheet.width, float(rng.choice(rows)) - size / 2)
            ImageDraw.Draw(canvas).text(place, letters, fill=int(rng.integers(130, 256)), font=font(size))
        name = np.asarray(canvas, np.float32) / np.float32(255)
        paper = paper + name[..., None] * (medium.ink - paper)
    if rng.random() < 0.3:  # the scanner's lid, or a page of the album
        level = sheet.toned(np.full(3, rng.choice([0.03, 0.3, 1.0]), np.float32))
        lid = np.clip(0.5 - inside - rng.uniform(0.05, 0.12) * sheet.extent, 0, 1)
        paper = paper + lid[..., None] * (level - paper)
    return np.clip(0.5 - inside / soft, 0, 1), np.clip(paper, 0, 1).astype(np.float32)


def _oval_mask(sheet: Sheet) -> Cover:
    """A portrait whose corners are rounded or fade away, to white or black."""
    inside = _inside_frame(sheet, 0.0, 0.08, sheet.rng.uniform(0.15, 0.5))
    soft = np.exp(sheet.rng.uniform(0, np.log(0.2 * sheet.extent)))
    ground = sheet.medium.paper if sheet.rng.random() < 0.7 else sheet.medium.ink
    return np.clip(0.5 - inside / soft, 0, 1), ground


def _plate_edge(sheet: Sheet) -> Cover:
    """The dark edge of a glass plate, where its holder lay and the emulsion ends: straight, and hardly uneven."""
    rng = sheet.rng
    inside = _inside_frame(sheet, 0.01, 0.06, 0.03)
    inside = inside + rng.uniform(0, 1.5) * sheet.clouds(rng.uniform(5, 30))
    soft = rng.uniform(1, 8)
    dark = np.clip(sheet.medium.ink + rng.uniform(-0.1, 0.1), 0, 1).astype(np.float32)
    return np.clip(0.5 - inside / soft, 0, 1) * np.float32(rng.uniform(0.8, 1)), dark


_EDGES: dict[Callable[[Sheet], Cover], float] = {_plain_border: 0.55, _oval_mask: 0.2, _plate_edge: 0.25}
"""How often the kinds of healthy edges are drawn, where one is."""


def _inside_frame(sheet: Sheet, least: float, most: float, rounding: float) -> np.ndarray:
    """Pixels to the rim of a frame with round corners, seen on one side or more; negative outside of it: (H, W).

    The margins, from `least` to `most`, and the radius of the corners are relative to the extent. It leans a little.
    """
    height, width, size, generator = sheet.height, sheet.width, sheet.extent, sheet.rng
    seen = generator.random(4) < 0.6
    seen[generator.integers(4)] = True
    radius = rounding * size
    # A side that is not seen lies so far out that the corners are out too.
    margins = np.where(seen, size * generator.uniform(least, most, 4), -size - radius)
    middle = np.array([height - 1 + margins[0] - margins[1], width - 1 + margins[2] - margins[3]]) / 2
    half = np.array([height - margins[0] - margins[1], width - margins[2] - margins[3]]) / 2
    lean = generator.normal(0, 0.008)
    rows, columns = sheet.pixels()
    down, right = rows - middle[0], columns - middle[1]
    beyond = [
        np.abs(down + lean * right) - half[0] + radius,
        np.abs(right - lean * down) - half[1] + radius,
    ]
    outside = np.hypot(np.maximum(beyond[0], 0), np.maximum(beyond[1], 0))
    return (radius - outside - np.minimum(np.maximum(*beyond), 0)).astype(np.float32)


def blurred(values: np.ndarray, deviation: float) -> np.ndarray:
    """A picture (H, W, 3), with Gaussian blur of this deviation in pixels."""
    return ndimage.gaussian_filter(values, (deviation, deviation, 0), truncate=3)


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, of this size in pixels."""
    return ImageFont.load_default(size)

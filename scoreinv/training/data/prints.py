"""Synthetic prints of photographs and their scans: the effects of film, paper and scanner.

    scan = scanned(blurred(draw_print(photograph)))

Nothing here is damage, including the edge of a print: its plain border, the mask of an oval portrait, the dark edge of
a glass plate. `synthetic_damage` damages prints; conditional priors observe pictures on other films.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from scoreinv.imaging.colour import with_luma
from scoreinv.operators.luma import luma

_EDGED = 0.15  # share of the prints with a visible edge

_EXTENT = 160
"""Maximum in pixels of the length to which sizes of stains, torn corners, letters and faded borders are relative."""

LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Generator = np.random.Generator

Film = Callable[[np.ndarray, str, Generator], np.ndarray]
"""Returns another rendering of a picture (H, W, 3) in [0, 1], from the name of the grey weights and a generator."""


@dataclass(frozen=True)
class Medium:
    """Film, paper and scanner of a print.

    Attributes:
        gray: whether the print is grey, possibly toned.
        paper, ink: (3,) colours of the bare paper and of the deepest black.
        grain: standard deviation of the grain.
        grain_size: standard deviation of its blur, in pixels.
        focus: standard deviation of the scanner's blur, in pixels; 0 for none.
        quality: of the JPEG file; None for a lossless file.
    """

    gray: bool
    paper: np.ndarray
    ink: np.ndarray
    grain: float
    grain_size: float
    focus: float
    quality: int | None


Cover = tuple[np.ndarray, np.ndarray]
"""Opacity of each pixel, (H, W) in [0, 1], and the colour on top, (3,) or (H, W, 3)."""


class Sheet:
    """A print to draw on: edges and kinds of damage are functions of a sheet that return a `Cover`.

    Attributes:
        print_: (H, W, 3) in [0, 1].
        medium: its medium.
        rng: source of randomness.
        height, width, longer: size of the print and its longer side, in pixels.
        extent: length to which the sizes of areas are relative, at most `_EXTENT`.
    """

    def __init__(self, print_: np.ndarray, medium: Medium, rng: Generator) -> None:
        self.print_, self.medium, self.rng = print_, medium, rng
        self.height, self.width = print_.shape[:2]
        self.longer, self.extent = max(self.height, self.width), min(self.height, self.width, _EXTENT)

    def place(self) -> np.ndarray:
        """Draw a random place (x, y)."""
        return self.rng.uniform(0, (self.width, self.height))

    def pixels(self) -> np.ndarray:
        """Return the rows and columns of all pixels, (2, H, W) float32."""
        return np.mgrid[: self.height, : self.width].astype(np.float32)

    def clouds(self, size: float) -> np.ndarray:
        """Draw smooth noise of unit variance, (H, W) float32, with blots of about this size in pixels."""
        size = max(1.0, size)
        shape = (int(self.height / size) + 4, int(self.width / size) + 4)
        coarse = Image.fromarray(self.rng.standard_normal(shape, dtype=np.float32))
        left, top = self.rng.uniform(0, 1, 2)
        box = (1 + left, 1 + top, 1 + left + self.width / size, 1 + top + self.height / size)
        return 1.3 * np.asarray(coarse.resize((self.width, self.height), Image.Resampling.BICUBIC, box=box))

    def textured(self, colour: np.ndarray) -> np.ndarray:
        """Return the colour with smooth variations, (H, W, 3)."""
        waves = self.rng.uniform(0, 0.08) * self.clouds(self.rng.uniform(2, 30))
        return np.clip(colour + waves[..., None], 0, 1).astype(np.float32)

    def toned(self, colour: np.ndarray) -> np.ndarray:
        """Return a colour tinted by the paper."""
        paper = self.medium.paper
        return np.clip(colour * paper / paper.max(), 0, 1).astype(np.float32)

    def covered(self, kind: Callable[[Sheet], Cover]) -> np.ndarray:
        """Return the print with an edge or with damage, (H, W, 3)."""
        cover, colour = kind(self)
        return self.print_ + cover[..., None] * (colour - self.print_)


def on_other_film(rgb: np.ndarray, gray_weights: str, generator: Generator) -> np.ndarray:
    """Return a picture (H, W, 3) in [0, 1] with the luma of a random film.

    Channel weights, gamma and the greys of black and white are random: old films were blind to red, and no film has
    the weights of Rec. 601. The chroma is kept within the gamut (`with_luma`).
    """
    sensitivity = generator.dirichlet((1.5, 2.0, 1.5)).astype(np.float32)
    gamma = np.float32(np.exp(generator.normal(0.0, 0.3)))
    black, white = np.float32(generator.uniform(0.0, 0.12)), np.float32(generator.uniform(0.88, 1.0))
    gray = black + (white - black) * (rgb @ sensitivity) ** gamma
    return with_luma(gray, rgb, gray_weights)


def on_colour_film(rgb: np.ndarray, gray_weights: str, generator: Generator) -> np.ndarray:
    """Return a picture (H, W, 3) in [0, 1] in the colours of a random colour film, with the same luma.

    Most films are paler and warmer than digital cameras: in old slides and prints the yellow dye fades last.
    """
    saturation = np.float32(generator.uniform(0.5, 1.15))
    gains = generator.normal((0.03, 0.0, -0.1), (0.06, 0.03, 0.12))
    gray = luma(rgb, gray_weights)
    tinted = (gray[..., None] + saturation * (rgb - gray[..., None])) * np.exp(gains).astype(np.float32)
    return with_luma(gray, tinted, gray_weights)


def on_old_print(rgb: np.ndarray, gray_weights: str, generator: Generator) -> np.ndarray:
    """Return a scan of an old grey print of a picture (H, W, 3) in [0, 1], with its chroma; half have a grey edge."""
    medium = draw_medium(generator)
    paper, ink = (np.full(3, colour.mean()) for colour in (medium.paper, medium.ink))
    medium = replace(medium, gray=True, paper=paper, ink=ink)
    print_ = with_luma(luma(on_old_film(rgb, medium, generator), gray_weights), rgb, gray_weights)
    if generator.random() < 0.5:
        print_ = _with_edge(print_, medium, generator)
    return scanned(print_, medium, generator)


def draw_medium(generator: Generator) -> Medium:
    """Draw a medium: 60 % are grey, half of these toned; some have no grain or a lossless file."""
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
    """Draw a print of a photograph (H, W, 3) in [0, 1], with an edge in `_EDGED` of the cases."""
    print_ = on_old_film(rgb, medium, generator)
    return _with_edge(print_, medium, generator) if generator.random() < _EDGED else print_


def _with_edge(print_: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    kind = list(EDGES)[generator.choice(len(EDGES), p=list(EDGES.values()))]
    return Sheet(print_, medium, generator).covered(kind).astype(np.float32)


def on_old_film(rgb: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    """Return the picture in the tones of the medium, with the blur of an old lens."""
    values = rgb
    if medium.gray:
        blind = np.array([generator.uniform(0, 0.3), 0.4, 0.3], np.float32)  # early plates were blind to red
        grays = luma(rgb) if generator.random() < 0.6 else rgb @ (blind / blind.sum())
        values = np.repeat(grays[..., None], 3, axis=2)
    if generator.random() < 0.3:  # hard paper clips highlights and shadows
        values = np.clip(0.5 + (values - generator.uniform(0.3, 0.6)) * generator.uniform(1.2, 2.2), 0, 1)
        values = values.astype(np.float32)
    if generator.random() < 0.5:
        values = blurred(values, float(generator.uniform(0.4, 1.8)))
    values = values ** np.float32(np.exp(generator.normal(0, 0.25)))
    return (medium.ink + (medium.paper - medium.ink) * values).astype(np.float32)


def scanned(print_: np.ndarray, medium: Medium, generator: Generator) -> np.ndarray:
    """Add grain to a print and store it in its file format; the same generator makes the same grain."""
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


def plain_border(sheet: Sheet) -> Cover:
    """Draw a border of bare paper, possibly with a line, a printed name, or the background of the scan."""
    rng, medium = sheet.rng, sheet.medium
    inside = _inside_frame(sheet, 0.02, 0.3, 0.0 if rng.random() < 0.7 else 0.1)
    soft = rng.uniform(0.7, 2)
    paper = sheet.textured(medium.paper * rng.uniform(0.88, 1))
    if rng.random() < 0.25:  # a printed line around the picture
        line = np.clip(1.5 - np.abs(inside + rng.uniform(1, 4)), 0, 1)
        paper = paper + line[..., None] * (medium.ink * rng.uniform(1, 2) - paper)
    if rng.random() < 0.3:  # the photographer's name, if the border is wide enough
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


def oval_mask(sheet: Sheet) -> Cover:
    """Round the corners, sharply or gradually, to white or black."""
    inside = _inside_frame(sheet, 0.0, 0.08, sheet.rng.uniform(0.15, 0.5))
    soft = np.exp(sheet.rng.uniform(0, np.log(0.2 * sheet.extent)))
    ground = sheet.medium.paper if sheet.rng.random() < 0.7 else sheet.medium.ink
    return np.clip(0.5 - inside / soft, 0, 1), ground


def plate_edge(sheet: Sheet) -> Cover:
    """Draw the dark, nearly straight edge of a glass plate, where its holder covered the emulsion."""
    rng = sheet.rng
    inside = _inside_frame(sheet, 0.01, 0.06, 0.03)
    inside = inside + rng.uniform(0, 1.5) * sheet.clouds(rng.uniform(5, 30))
    soft = rng.uniform(1, 8)
    dark = np.clip(sheet.medium.ink + rng.uniform(-0.1, 0.1), 0, 1).astype(np.float32)
    return np.clip(0.5 - inside / soft, 0, 1) * np.float32(rng.uniform(0.8, 1)), dark


EDGES: dict[Callable[[Sheet], Cover], float] = {plain_border: 0.55, oval_mask: 0.2, plate_edge: 0.25}
"""Probabilities of the kinds of edges."""


def _inside_frame(sheet: Sheet, least: float, most: float, rounding: float) -> np.ndarray:
    """Return the signed distance to a slightly tilted frame with round corners, in pixels; negative outside: (H, W).

    It is visible on at least one side. `least` and `most` bound the margins; these and the `rounding` of the corners
    are relative to the extent.
    """
    height, width, size, generator = sheet.height, sheet.width, sheet.extent, sheet.rng
    visible = generator.random(4) < 0.6
    visible[generator.integers(4)] = True
    radius = rounding * size
    # Invisible sides are so far outside that their corners are, too.
    margins = np.where(visible, size * generator.uniform(least, most, 4), -size - radius)
    middle = np.array([height - 1 + margins[0] - margins[1], width - 1 + margins[2] - margins[3]]) / 2
    half = np.array([height - margins[0] - margins[1], width - margins[2] - margins[3]]) / 2
    tilt = generator.normal(0, 0.008)
    rows, columns = sheet.pixels()
    down, right = rows - middle[0], columns - middle[1]
    beyond = [
        np.abs(down + tilt * right) - half[0] + radius,
        np.abs(right - tilt * down) - half[1] + radius,
    ]
    outside = np.hypot(np.maximum(beyond[0], 0), np.maximum(beyond[1], 0))
    return (radius - outside - np.minimum(np.maximum(*beyond), 0)).astype(np.float32)


def blurred(values: np.ndarray, deviation: float) -> np.ndarray:
    """Return a picture (H, W, 3) with Gaussian blur of this standard deviation in pixels."""
    return ndimage.gaussian_filter(values, (deviation, deviation, 0), truncate=3)


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's default font in this size in pixels."""
    return ImageFont.load_default(size)

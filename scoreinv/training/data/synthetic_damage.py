"""Synthetic damage of training pictures: scans of damaged prints, and holes.

    scan = scanned(damaged(blurred(damaged(draw_print(photograph)))))     # for the damage detector
    hole = draw_hole(side, generator)                                     # for conditional priors

A pixel counts as damaged if its value changes by more than the grain hides, and as faint if it changes by less. Many
pictures have no damage, to teach the detector wires, masts, whiskers, the letters of signs, and the edges of prints
(`prints`).

Damage is drawn at three times the resolution, for soft edges. Widths and areas are in pixels; lines become longer with
the picture. Holes have hard edges and cover more of a training crop than of most photographs, because a prior learns
nothing from observed pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from scoreinv.system.options import Number, Whole, check, check_settings, require
from scoreinv.training.data.prints import (
    LETTERS,
    Cover,
    Generator,
    Medium,
    Sheet,
    blurred,
    draw_medium,
    draw_print,
    font,
    scanned,
)

VISIBLE = 0.08
"""Smallest change of a damaged value on [0, 1], in addition to the grain's standard deviation."""

HEALTHY = 0.02
"""Largest change of a healthy value."""

_HOLE_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&?!"

_FINE = 3
"""Resolution of the canvas relative to the picture."""


@dataclass(frozen=True)
class DamageDrawing:
    """Synthetic damage for training a damage detector.

    Attributes:
        undamaged: share of the pictures without damage.
        often: factors on the probabilities of kinds of damage: ((kind, factor), ...).
        most: largest number of kinds in a picture.
    """

    undamaged: Annotated[float, Number(0, 1)] = 0.3
    often: tuple[tuple[str, float], ...] = ()
    most: Annotated[int, Whole(1, 4)] = 4

    def __post_init__(self) -> None:
        check_settings(self, "damage.")
        for kind, times in self.often:
            check("a kind of damage.often", kind, tuple(KINDS))
            require(0 <= times <= 1000, f"damage.often of {kind} must lie in [0, 1000]")
        require(len(dict(self.often)) == len(self.often), "damage.often names a kind twice")
        drawn = sum(share > 0 for share in self.shares.values())
        require(drawn >= self.most, f"damage.often leaves {drawn} kinds: damage.most must be no more")

    @property
    def shares(self) -> dict[str, float]:
        """Return the probability of each kind."""
        factors = dict(self.often)
        weights = {kind: share * factors.get(kind, 1.0) for kind, (share, _) in KINDS.items()}
        return {kind: weight / (sum(weights.values()) or 1) for kind, weight in weights.items()}


@dataclass(frozen=True)
class Scan:
    """A scan of a photograph.

    Attributes:
        damaged: (H, W, 3) float32 in [0, 1], the scan.
        mask, faint: (H, W) bool, visible and faint damage.
        print, medium, seed: the print before the damage, its medium, and the seed of its grain.
    """

    damaged: np.ndarray
    mask: np.ndarray
    faint: np.ndarray
    print: np.ndarray
    medium: Medium
    seed: int

    def undamaged(self) -> np.ndarray:
        """Return the same scan without the damage, with the same grain: (H, W, 3) float32 in [0, 1]."""
        return scanned(self.print, self.medium, np.random.default_rng(self.seed))


def draw_scan(rgb: np.ndarray, config: DamageDrawing, generator: Generator) -> Scan:
    """Draw a scan of a print of a photograph (H, W, 3) in [0, 1], with random damage."""
    medium = draw_medium(generator)
    print_ = draw_print(rgb, medium, generator)
    kinds: list[str] = []
    if generator.random() >= config.undamaged:
        kinds = draw_kinds(config, generator)
    changed = damaged(print_, medium, generator, [kind for kind in kinds if kind not in SHARP])
    print_, changed = blurred(print_, medium.focus), blurred(changed, medium.focus)
    changed = damaged(changed, medium, generator, [kind for kind in kinds if kind in SHARP])
    change = np.abs(changed - print_).max(axis=2)
    mask = change > VISIBLE + medium.grain
    seed = int(generator.integers(2**63))
    scan = scanned(changed, medium, np.random.default_rng(seed))
    return Scan(scan, mask, (change > HEALTHY) & ~mask, print_, medium, seed)


def draw_kinds(config: DamageDrawing, generator: Generator) -> list[str]:
    """Draw one to `config.most` kinds of damage."""
    count = int(generator.integers(1, config.most + 1))
    return list(generator.choice(list(config.shares), size=count, replace=False, p=list(config.shares.values())))


def damaged(print_: np.ndarray, medium: Medium, generator: Generator, kinds: list[str]) -> np.ndarray:
    """Return the print with damage of these kinds."""
    values = print_
    for kind in kinds:
        values = Sheet(values, medium, generator).covered(KINDS[kind][1])
    return np.clip(values, 0, 1).astype(np.float32)


def _scratches(sheet: Sheet) -> Cover:
    """Draw slightly bent lines, 1 to 8 pixels wide and of any length; some fade in and out."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    parallel = rng.uniform(0, np.pi) if rng.random() < 0.4 else None
    for _ in range(_several(sheet, 2.5)):
        angle = rng.uniform(0, np.pi) if parallel is None else parallel + rng.normal(0, 0.03)
        length = sheet.longer * 1.5 * _log_uniform(rng, 0.06, 1)
        points = _path(rng, sheet.place(), angle, length, rng.uniform(0, 0.06))
        canvas.line(points, _width(rng, 8), int(255 * rng.uniform(0.4, 1)))
    cover = canvas.cover()
    if rng.random() < 0.5:
        cover = cover * np.clip(0.6 + 1.5 * sheet.clouds(rng.uniform(6, 40)), 0, 1)
    return cover, _bright_or_dark(sheet, 0.75)


def _creases(sheet: Sheet) -> Cover:
    """Draw folds across the picture with broken emulsion: ragged lines with cracks branching off."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    for _ in range(_several(sheet, 0.4)):
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]) + rng.normal(0, 0.08)
        start = np.array([sheet.width, sheet.height]) * rng.uniform(0, 1, 2)
        way = 2 * sheet.longer * np.array([np.cos(angle), np.sin(angle)])
        points = _path(rng, start - way / 2, angle, 2 * sheet.longer, 0.02, every=6, shake=0.7)
        thick = _width(rng, 6)
        for first, second in pairwise(points):
            if rng.random() < 0.93:
                canvas.line(np.stack([first, second]), thick * rng.uniform(0.3, 1.4), 255)
            if rng.random() < 0.04:
                crack = _path(rng, first, rng.uniform(0, 2 * np.pi), rng.uniform(6, 50), 0.3)
                canvas.line(crack, rng.uniform(0.8, 1.8), 230)
    return canvas.cover() * np.float32(rng.uniform(0.5, 1)), _bright_or_dark(sheet, 0.85)


def _folds(sheet: Sheet) -> Cover:
    """Draw folds with intact emulsion, which reflect the light: a lighter line, a darker one, or both."""
    rng, lit, shade = sheet.rng, _Canvas(sheet), _Canvas(sheet)
    thick = _width(rng, 5)
    apart = thick * rng.uniform(0.5, 1.2)
    for _ in range(_several(sheet, 0.8)):
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]) + rng.normal(0, 0.1)
        length = sheet.longer * _log_uniform(rng, 0.2, 2)
        along = np.array([np.cos(angle), np.sin(angle)])
        start = sheet.place() - along * length / 2
        points = _path(rng, start, angle, length, rng.uniform(0, 0.08), every=8, shake=0.4)
        aside = apart / 2 * np.array([-along[1], along[0]])
        lit.line(points + aside, thick * rng.uniform(0.6, 1.2), 255)
        shade.line(points - aside, thick * rng.uniform(0.6, 1.2), 255)
    lift, drop = rng.uniform(0.12, 0.5, 2) * [(1, 1), (1, 0), (0, 1)][rng.choice(3, p=(0.45, 0.4, 0.15))]
    relief = lift * lit.cover() - drop * shade.cover()
    relief = ndimage.gaussian_filter(relief, rng.uniform(0.1, 1.0), truncate=3)
    if rng.random() < 0.6:  # parts of the fold are flatter
        relief = relief * np.clip(0.8 + 0.8 * sheet.clouds(rng.uniform(10, 50)), 0, 1)
    return _lighter_or_darker(sheet.print_, relief)


def _cracks(sheet: Sheet) -> Cover:
    """Draw a net of thin crooked lines in a part of the picture."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    ends = [(sheet.place(), rng.uniform(0, 2 * np.pi))]
    for _ in range(int(rng.integers(4, 30))):
        start, angle = ends[rng.integers(len(ends))]
        points = _path(rng, start, angle, rng.uniform(10, 90), 0.5, every=5)
        canvas.line(points, rng.uniform(0.8, 2.2), 255)
        turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.6)
        ends += [(points[-1], angle + rng.normal(0, 0.4)), (points[len(points) // 2], angle + turn)]
    return canvas.cover() * np.float32(rng.uniform(0.5, 1)), _bright_or_dark(sheet, 0.7)


def _dust(sheet: Sheet) -> Cover:
    """Draw specks: many small ones and a few with a radius of about 8 pixels at most, round or angular."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    largest = _log_uniform(rng, 1.2, 8)
    for _ in range(2 + _several(sheet, 25, 0.8)):
        radius = 0.6 + (largest - 0.6) * rng.random() ** 3
        canvas.speck(sheet.place(), radius, int(255 * rng.uniform(0.5, 1)), rng)
    return canvas.cover(), _bright_or_dark(sheet, 0.7)


def _rubbed(sheet: Sheet) -> Cover:
    """Draw areas of many fine scratches and specks, slightly lighter or darker than the print."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    angle, spread_of_angles = rng.uniform(0, np.pi), rng.choice([0.15, 2.0])
    specks = rng.random()
    for _ in range(_several(sheet, 1)):
        centre = sheet.place()
        spread = _log_uniform(rng, 5, 0.4 * sheet.extent + 6)
        for place in rng.normal(centre, spread, (5 + rng.poisson(0.5 * spread), 2)):
            value = int(255 * rng.uniform(0.5, 1))
            if rng.random() < specks:
                canvas.speck(place, rng.uniform(0.6, 1.6), value, rng)
            else:
                direction = angle + spread_of_angles * rng.normal()
                points = _path(rng, place, direction, rng.uniform(4, 50), 0.08)
                canvas.line(points, rng.uniform(0.6, 1.4), value)
    contrast = rng.uniform(0.15, 0.45) * rng.choice([1, -1], p=(0.75, 0.25))
    return _lighter_or_darker(sheet.print_, contrast * canvas.cover())


def _hairs(sheet: Sheet) -> Cover:
    """Draw fibres: thin curled lines."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    for _ in range(_several(sheet, 1.5)):
        start, angle, length = sheet.place(), rng.uniform(0, 2 * np.pi), _log_uniform(rng, 12, 160)
        points = _path(rng, start, angle, length, rng.uniform(0.1, 0.35), every=4, curl=rng.normal(0, 0.12))
        canvas.line(points, rng.uniform(0.9, 2.5), int(255 * rng.uniform(0.6, 1)))
    return canvas.cover(), _bright_or_dark(sheet, 0.5)


def _stains(sheet: Sheet) -> Cover:
    """Draw blots with ragged rims, from transparent water marks to opaque mould."""
    rng, medium = sheet.rng, sheet.medium
    rows, columns = sheet.pixels()
    cover = np.zeros((sheet.height, sheet.width), np.float32)
    for _ in range(_several(sheet, 0.8)):
        radius = _log_uniform(rng, 3, 0.22 * sheet.extent)
        centre = rng.uniform(0, (sheet.height, sheet.width))
        squeeze = np.exp(rng.normal(0, 0.3))
        away = np.hypot((rows - centre[0]) * squeeze, (columns - centre[1]) / squeeze) / radius
        ragged = rng.uniform(0.25, 0.8) * radius
        away = away + rng.uniform(0.2, 0.7) * sheet.clouds(ragged)
        edge = max(1.0, rng.uniform(0.5, 2.5)) / radius
        blot = np.clip((1 - away) / edge + 0.5, 0, 1)
        if rng.random() < 0.25:  # liquid dries with a rim
            blot *= np.clip((away - 0.8) / 0.1, 0.2, 1)
        cover = np.maximum(cover, blot * np.float32(rng.uniform(0.5, 1)))
    brown = medium.paper * np.array([0.75, 0.6, 0.4], np.float32) * np.float32(rng.uniform(0.4, 1.2))
    colour = np.clip(brown, 0, 1) if rng.random() < 0.4 else _bright_or_dark(sheet, 0.6)
    return cover, sheet.textured(colour)


def _torn(sheet: Sheet) -> Cover:
    """Tear off corners or edges, with a white rim of torn paper and the background behind it."""
    rng, medium = sheet.rng, sheet.medium
    rows, columns = sheet.pixels()
    inside = np.full((sheet.height, sheet.width), 1e3, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        reach = sheet.extent * _log_uniform(rng, 0.06, 0.3)
        corner = np.array([rng.choice([0, sheet.height - 1]), rng.choice([0, sheet.width - 1])])
        if rng.random() < 0.25:  # from the middle of an edge
            corner[rng.integers(2)] *= rng.uniform(0.1, 0.9)
            reach *= 0.5
        slope = rng.uniform(0.5, 2)
        away = (np.abs(rows - corner[0]) * slope + np.abs(columns - corner[1]) / slope) / 1.5
        rough = rng.uniform(2, 12) * sheet.clouds(rng.uniform(4, 20))
        rough = rough + rng.uniform(0, 2) * sheet.clouds(2)
        inside = np.minimum(inside, away - reach + rough)
    rim = np.float32(rng.uniform(0, 8))
    darkest, brightest = ((0, 0.15), (0.85, 1), (0, 1))[rng.integers(3)]
    below = np.float32(rng.uniform(darkest, brightest))
    paper = np.clip(medium.paper * np.float32(rng.uniform(0.9, 1.1)), 0, 1)
    shown = np.clip(inside + 0.5, 0, 1)[..., None] * (paper - below) + below
    return np.clip(rim - inside + 0.5, 0, 1), shown.astype(np.float32)


def _rips(sheet: Sheet) -> Cover:
    """Draw tears into the picture or across it, up to 30 pixels wide, with rims of paper fibre and the background."""
    rng, whole, gap = sheet.rng, _Canvas(sheet), _Canvas(sheet)
    for _ in range(1 + rng.poisson(0.3)):
        centre = np.array([sheet.width, sheet.height]) * rng.uniform(0.2, 0.8, 2)
        angle = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(angle), np.sin(angle)])
        start = centre - along * 0.75 * sheet.longer
        length = sheet.longer * rng.uniform(0.6, 1.6)
        points = _path(rng, start, angle, length, 0.12, every=5, shake=0.6)
        t = np.linspace(0, 1, len(points))
        taper = ((1 - t) ** rng.uniform(0.5, 1), np.sqrt(np.sin(np.pi * t).clip(0)), np.ones_like(t))
        widest = sheet.extent * _log_uniform(rng, 0.04, 0.19)
        half = widest / 2 * taper[rng.choice(3, p=(0.5, 0.3, 0.2))]
        fibre = rng.uniform(0.1, 0.6)
        rims, edges = [], []  # of the paper and of the gap, on both sides
        for sign in (-1, 1):
            waves = ndimage.gaussian_filter1d(rng.standard_normal(len(points)), 2)
            rough = half * (1 + 0.5 * waves + 0.12 * rng.standard_normal(len(points))).clip(0.2) + 0.4
            aside = sign * np.array([-along[1], along[0]])
            inner = rough * (1 - fibre * rng.uniform(0.2, 1, len(points)))
            rims.append(points + rough[:, None] * aside)
            edges.append(points + inner[:, None] * aside)
        whole.area(np.concatenate([rims[0], rims[1][::-1]]), 255)
        gap.area(np.concatenate([edges[0], edges[1][::-1]]), 255)
    paper = np.clip(sheet.medium.paper * np.float32(rng.uniform(0.8, 1.1)), 0, 1)
    below = _bright_or_dark(sheet, 0.55)
    shown = sheet.textured(paper)
    return whole.cover(), shown + gap.cover()[..., None] * (sheet.textured(below) - shown)


def _writing(sheet: Sheet) -> Cover:
    """Write a few words by hand, a camera's date stamp, or scribbles."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    kind = rng.random()
    size = _log_uniform(rng, 10, 0.25 * sheet.extent + 12)
    place = rng.uniform(0, (0.8 * sheet.width, 0.95 * sheet.height))
    if kind < 0.25:
        text = f"{rng.integers(1, 32)} {rng.integers(1, 13)} '{rng.integers(10, 99)}"
        canvas.text(place, text, min(size, 30))
        colour = np.array([1.0, rng.uniform(0.3, 0.8), 0.1], np.float32)
        return canvas.cover() * np.float32(rng.uniform(0.7, 1)), colour
    if kind < 0.4:
        text = "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=int(rng.integers(2, 12))))
        canvas.text(place, text, size, turn=float(rng.normal(0, 15)))
    else:
        thick = max(1.0, size * rng.uniform(0.06, 0.16))
        for stroke in _handwriting(place, size, int(rng.integers(2, 14)), rng):
            canvas.line(stroke, thick, 255)
    inks = [(0.05, 0.05, 0.08), (0.1, 0.15, 0.5), (0.95, 0.95, 0.92), (0.7, 0.1, 0.1), (0.15, 0.1, 0.05)]
    ink = np.array(inks[rng.choice(len(inks), p=(0.35, 0.25, 0.2, 0.1, 0.1))], np.float32)
    return canvas.cover() * np.float32(rng.uniform(0.6, 1)), sheet.toned(ink)


def _faded_border(sheet: Sheet) -> Cover:
    """Bleach or darken the edges of the print."""
    rng = sheet.rng
    rows, columns = sheet.pixels()
    distances = [rows, sheet.height - 1 - rows, columns, sheet.width - 1 - columns]
    inside: np.ndarray = np.full((sheet.height, sheet.width), 1e3, np.float32)
    for edge in rng.choice(4, size=int(rng.integers(1, 5)), replace=False):
        inside = np.minimum(inside, distances[edge] - rng.uniform(0.01, 0.1) * sheet.extent)
    inside = inside + rng.uniform(2.5, 10) * sheet.clouds(rng.uniform(6, 40))
    soft = np.float32(_log_uniform(rng, 1, 10))
    cover = np.clip(0.5 - inside / soft, 0, 1) * np.float32(rng.uniform(0.75, 1))
    return cover, sheet.textured(_bright_or_dark(sheet, 0.85))


def _film(sheet: Sheet) -> Cover:
    """Draw straight scratches of a film gate or roller, parallel to a border, across the whole picture."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    angle = rng.choice([0, np.pi / 2], p=(0.3, 0.7)) + rng.normal(0, 0.004)
    way = 1.1 * sheet.longer * np.array([np.cos(angle), np.sin(angle)])
    whole = rng.choice([1.0, 0.85])
    for _ in range(_several(sheet, 1)):
        start, thick, value = sheet.place() - way, _log_uniform(rng, 0.5, 3.5), int(255 * rng.uniform(0.4, 1))
        for line in pairwise(_path(rng, start, angle, 2.2 * sheet.longer, 0.003)):
            if rng.random() < whole:
                canvas.line(np.stack(line), thick, value)
    return canvas.cover(), _bright_or_dark(sheet, 0.3) if rng.random() < 0.5 else _black_or_white(sheet, 0.65)


def _specks(sheet: Sheet) -> Cover:
    """Draw dust on a scanner's glass: small specks, blacker than ink or whiter than paper, mostly dark."""
    rng, canvas = sheet.rng, _Canvas(sheet)
    for _ in range(4 + _several(sheet, 15, 0.8)):
        canvas.speck(sheet.place(), 0.5 + 3 * rng.random() ** 2, int(255 * rng.uniform(0.6, 1)), rng)
    return canvas.cover(), _black_or_white(sheet, 0.8)


KINDS: dict[str, tuple[float, Callable[[Sheet], Cover]]] = {
    "scratches": (0.19, _scratches),
    "creases": (0.10, _creases),
    "folds": (0.11, _folds),
    "cracks": (0.08, _cracks),
    "dust": (0.13, _dust),
    "rubbed": (0.08, _rubbed),
    "hairs": (0.06, _hairs),
    "stains": (0.07, _stains),
    "torn": (0.05, _torn),
    "rips": (0.05, _rips),
    "writing": (0.04, _writing),
    "faded_border": (0.04, _faded_border),
    "film": (0.05, _film),
    "specks": (0.05, _specks),
}
"""Kinds of damage: their default probabilities, and the functions that draw them."""
SHARP = ("film", "specks")
"""Kinds without the blur of a print: those on a scanned film or on the scanner's glass."""


def _several(sheet: Sheet, rate: float, power: float = 0.5) -> int:
    """Draw a number of objects, at least 1: few on most prints, many on some.

    It grows with the print's area to the given power: 0.5 for lines, nearly 1 for specks.
    """
    relative = sheet.height * sheet.width / 192**2
    return 1 + int(sheet.rng.poisson(rate * float(np.exp(sheet.rng.normal(-0.3, 0.8))) * relative**power))


def _log_uniform(rng: Generator, least: float, most: float) -> np.float64:
    return np.exp(rng.uniform(np.log(least), np.log(most)))


def _bright_or_dark(sheet: Sheet, bright: float) -> np.ndarray:
    """Draw the colour (3,) of bare paper or a highlight, with this probability, else of dirt or lost silver."""
    rng, medium = sheet.rng, sheet.medium
    if rng.random() < bright:
        level = rng.uniform(0.8, 1.05)
        colour = medium.paper * level if rng.random() < 0.6 else np.full(3, level)
    else:
        colour = medium.ink + rng.uniform(-0.1, 0.2)
    if not medium.gray and rng.random() < 0.25:  # one layer of a colour film
        colour = colour * rng.uniform(0.3, 1.2, 3)
    return np.clip(colour, 0, 1).astype(np.float32)


def _black_or_white(sheet: Sheet, black: float) -> np.ndarray:
    """Draw the colour (3,) of dust on glass or of a scratch in a film, dark with this probability."""
    level = sheet.rng.uniform(0, 0.2) if sheet.rng.random() < black else sheet.rng.uniform(0.8, 1)
    return np.full(3, level, np.float32)


def _lighter_or_darker(print_: np.ndarray, relief: np.ndarray) -> Cover:
    """Return the cover that adds `relief` (H, W) to the print, clipped to [0, 1]."""
    strength = max(float(np.abs(relief).max()), 1e-6)
    colour = print_ + np.sign(relief)[..., None] * strength
    return (np.abs(relief) / strength).astype(np.float32), np.clip(colour, 0, 1).astype(np.float32)


def _width(rng: Generator, most: float) -> float:
    """Draw a width from 0.8 to `most` pixels, mostly thin."""
    return float(np.exp(np.log(0.8) + (np.log(most) - np.log(0.8)) * rng.random() ** 1.5))


def _path(
    rng: Generator,
    start: np.ndarray,
    angle: float,
    length: float,
    turns: float,
    every: float = 12.0,
    shake: float = 0.0,
    curl: float = 0.0,
) -> np.ndarray:
    """Return points (N, 2) of a curve: each step turns by `curl` plus noise of standard deviation `turns`."""
    count = max(2, min(400, round(length / every)))
    step = length / count
    angles = angle + np.cumsum(curl + turns * rng.standard_normal(count))
    steps = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([[start], start + np.cumsum(steps, axis=0)])
    return points + shake * rng.standard_normal(points.shape)


def _handwriting(start: np.ndarray, size: float, letters: int, rng: Generator) -> list[np.ndarray]:
    """Return strokes of connected loops like joined letters, (N, 2) each."""
    tilt, slant = rng.normal(0, 0.15), rng.uniform(-0.1, 0.5)
    strokes, x = [], 0.0
    while letters > 0:
        word = min(letters, int(rng.integers(2, 8)))
        letters -= word
        along = np.linspace(0, word, 14 * word)
        heights = np.repeat(rng.choice([0.5, 0.6, 1.0, -0.8], word), 14)
        heights = ndimage.gaussian_filter1d(heights.astype(np.float64), 4)
        ups = heights * 0.5 * size * np.sin(2 * np.pi * along * rng.uniform(0.8, 1.3) + rng.uniform(0, 6))
        runs = size * (0.55 * along + 0.22 * np.cos(2 * np.pi * along + rng.uniform(0, 6)))
        strokes.append(np.stack([x + runs - slant * ups, ups], axis=1))
        x += 0.55 * size * (word + 1)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    return [start + stroke @ turn for stroke in strokes]


class _Canvas:
    """A canvas at `_FINE` times the resolution; places and sizes are in pixels of the picture, values 0 to 255."""

    def __init__(self, sheet: Sheet) -> None:
        self._image = Image.new("L", (_FINE * sheet.width, _FINE * sheet.height))
        self._draw = ImageDraw.Draw(self._image)

    def cover(self) -> np.ndarray:
        """Return the opacity of each pixel, (H, W) float32 in [0, 1]."""
        return np.asarray(self._image.reduce(_FINE), np.float32) / np.float32(255)

    def line(self, points: np.ndarray, width: float, value: int) -> None:
        thick = max(1, round(_FINE * width))
        joint = "curve" if thick > 4 else None
        self._draw.line([tuple(point) for point in _FINE * points], fill=value, width=thick, joint=joint)

    def area(self, rim: np.ndarray, value: int) -> None:
        self._draw.polygon([tuple(point) for point in _FINE * rim], fill=value)

    def speck(self, centre: np.ndarray, radius: float, value: int, rng: Generator) -> None:
        corners = int(rng.integers(5, 10))
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        radii = radius * rng.uniform(0.5, 1.2, corners)
        self.area(centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), value)

    def text(self, place: np.ndarray, text: str, size: float, turn: float = 0.0) -> None:
        """Draw text; then rotate the whole canvas about the place by `turn` degrees."""
        corner = tuple(_FINE * place)
        self._draw.text(corner, text, fill=255, font=font(int(_FINE * size)))
        if turn:
            self._image = self._image.rotate(turn, Image.Resampling.BILINEAR, center=corner)


def draw_hole(side: int, generator: Generator) -> np.ndarray:
    """Draw a hole of a random kind, (side, side) bool; it is neither empty nor everything."""
    hole = list(HOLES)[generator.choice(len(HOLES), p=list(HOLES.values()))](side, generator)
    if hole.all() or not hole.any():
        return lost_pixels(side, generator)
    return hole


def lost_pixels(side: int, generator: Generator) -> np.ndarray:
    """Draw single pixels, 10 to 95 % of them, mostly many."""
    hole = generator.random((side, side), dtype=np.float32) < 0.1 + 0.85 * generator.random() ** 0.5
    hole[tuple(generator.integers(side, size=2))] = True
    return hole


def bent_lines(side: int, generator: Generator) -> np.ndarray:
    """Draw long, slightly bent lines, 1 to 5 pixels wide."""
    canvas, draw = _bitmap(side)
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


def lines_of_letters(side: int, generator: Generator) -> np.ndarray:
    """Draw lines of letters, with strokes of 1 to 6 pixels."""
    canvas, draw = _bitmap(side)
    size = int(generator.integers(10, 45))
    bold = int(generator.integers(0, 2))
    y = generator.uniform(-size, 0)
    while y < side:
        letters = "".join(_HOLE_LETTERS[i] for i in generator.integers(len(_HOLE_LETTERS), size=1 + 3 * side // size))
        draw.text((generator.uniform(-size, 0), y), letters, fill=1, font=font(size), stroke_width=bold)
        y += size * generator.uniform(1.0, 2.0)
    return np.asarray(canvas)


def brush_strokes(side: int, generator: Generator) -> np.ndarray:
    """Draw brush strokes, 2 to 32 pixels wide, with round ends."""
    canvas, draw = _bitmap(side)
    width = float(_log_uniform(generator, 2, min(32, side / 2)))
    for _ in range(generator.integers(1, 3 + int(40 / width))):
        start = generator.uniform(0, side, 2)
        end = start + generator.normal(0, side / 2, 2)
        draw.line([tuple(start), tuple(end)], fill=1, width=round(width))
        for x, y in (start, end):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)
    return np.asarray(canvas)


def boxes(side: int, generator: Generator) -> np.ndarray:
    """Draw one to three boxes, with sides of 1/8 to 7/8 of the picture's."""
    hole = np.zeros((side, side), dtype=bool)
    for _ in range(generator.integers(1, 4)):
        height, width = (int(n) for n in generator.integers(max(1, side // 8), side - side // 8 + 1, 2))
        top, left = generator.integers(side - height + 1), generator.integers(side - width + 1)
        hole[top : top + height, left : left + width] = True
    return hole


def all_but_a_window(side: int, generator: Generator) -> np.ndarray:
    """Draw everything except a window at some sides: borders, halves, corners."""
    hole = np.ones((side, side), dtype=bool)
    height, width = (int(n) for n in generator.integers(max(1, side // 4), side + 1, 2))
    if generator.integers(2):  # a half
        height, width = (height, side) if generator.integers(2) else (side, width)
    top, left = generator.integers(side - height + 1), generator.integers(side - width + 1)
    hole[top : top + height, left : left + width] = False
    return hole


def draw_hints(side: int, generator: Generator) -> np.ndarray:
    """Draw a few dots and strokes like a person's colour hints, (side, side) bool."""
    canvas, draw = _bitmap(side)
    for _ in range(generator.integers(1, 9)):
        start = generator.uniform(0, side, 2)
        end = start + generator.normal(0, side / 16, 2) * generator.integers(0, 2)
        width = int(generator.integers(1, max(2, side // 12)))
        draw.line([tuple(start), tuple(end)], fill=1, width=width)
        draw.point([tuple(start)], fill=1)
    return np.asarray(canvas)


def _bitmap(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("1", (side, side))
    return canvas, ImageDraw.Draw(canvas)


HOLES: dict[Callable[[int, Generator], np.ndarray], float] = {
    lost_pixels: 0.72,
    bent_lines: 0.06,
    lines_of_letters: 0.06,
    brush_strokes: 0.09,
    boxes: 0.06,
    all_but_a_window: 0.01,
}
"""Probabilities of the kinds. Most are single pixels, for which classical methods are nearly optimal."""

"""How well marks of films and scanners are found, light and dark, as no training draws them.

    python tests/benchmarks/scan_marks.py PHOTOS [PHOTOS ...] [--side 384] [--sensitivity 0.5] [--sheet FILE.png]

Each photograph becomes a print, as for `damage.py`, and gets marks of one kind: straight scratches along a film, which
a projector or a roller made; hairs and dust on the scanner's glass, sharp whatever the print's focus. Told are
recall, precision and the share of the healthy pixels that are marked, as there.
"""

import argparse
from pathlib import Path

import numpy as np
from damage import Counts, count, files_of, row
from PIL import Image, ImageDraw

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.training.data.prints import Generator, blurred, draw_medium, draw_print, scanned
from scoreinv.training.data.synthetic_damage import HEALTHY, VISIBLE, Scan

SEED = 2026
FINE = 4
"""Pixels that marks are drawn with to one of the scan, on each side."""


def film(height: int, width: int, rng: Generator) -> np.ndarray:
    """Lines of a half to three pixels from border to border, parallel to it, which waver by a pixel and are broken."""
    canvas, draw = blank(height, width)
    for _ in range(int(rng.integers(1, 5))):
        across, wide, gaps = rng.uniform(0, width), rng.uniform(0.5, 3), rng.choice([0, 0.15])
        ends = np.arange(0, height + 12, 12)
        places = across + 0.4 * np.cumsum(rng.normal(0, 0.3, len(ends)))
        strength = int(255 * rng.uniform(0.5, 1))
        for first in range(len(ends) - 1):
            if rng.random() >= gaps:
                line = [(FINE * places[at], FINE * ends[at]) for at in (first, first + 1)]
                draw.line(line, fill=strength, width=max(1, round(FINE * wide)))
    return covers(canvas)


def hairs(height: int, width: int, rng: Generator) -> np.ndarray:
    """Three to seven fibres that curl, of one to two pixels."""
    canvas, draw = blank(height, width)
    for _ in range(int(rng.integers(3, 8))):
        place, angle, curl = rng.uniform(0, (width, height)), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.12)
        points = [place]
        for _ in range(int(rng.integers(6, 40))):
            angle += curl + rng.normal(0, 0.15)
            points.append(points[-1] + 4 * np.array([np.cos(angle), np.sin(angle)]))
        thick = round(FINE * rng.uniform(0.8, 2))
        draw.line([tuple(FINE * point) for point in points], fill=int(255 * rng.uniform(0.6, 1)), width=thick)
    return covers(canvas)


def dust(height: int, width: int, rng: Generator) -> np.ndarray:
    """20 to 80 specks of one to six pixels."""
    canvas, draw = blank(height, width)
    for _ in range(int(rng.integers(20, 80))):
        (x, y), radius = FINE * rng.uniform(0, (width, height)), FINE * (0.5 + 2.5 * rng.random() ** 3)
        flat = rng.uniform(0.6, 1)
        draw.ellipse(
            (x - radius, y - flat * radius, x + radius, y + flat * radius), fill=int(255 * rng.uniform(0.6, 1))
        )
    return covers(canvas)


KINDS = {"film": film, "hairs": hairs, "dust": dust}


def blank(height: int, width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("L", (FINE * width, FINE * height))
    return canvas, ImageDraw.Draw(canvas)


def covers(canvas: Image.Image) -> np.ndarray:
    """HxWx1 in [0, 1]."""
    return np.asarray(canvas.reduce(FINE), np.float32)[..., None] / 255


def marked_scan(rgb: np.ndarray, kind: str, *, light: bool, rng: Generator) -> Scan:
    """A print of a photograph with marks of a kind, as it is scanned."""
    medium = draw_medium(rng)
    print_ = blurred(draw_print(rgb, medium, rng), medium.focus)
    while True:
        height, width = print_.shape[:2]
        turned = kind == "film" and rng.random() < 0.3
        cover = KINDS[kind](*((width, height) if turned else (height, width)), rng)
        cover = cover.transpose(1, 0, 2) if turned else cover
        colour = rng.uniform(0.85, 1) if light else rng.uniform(0, 0.15)
        change = (cover * np.abs(colour - print_)).max(axis=2)
        mask = change > VISIBLE + medium.grain
        if mask.any():
            break
    seed = int(rng.integers(2**63))
    scan = scanned(print_ + cover * (colour - print_), medium, np.random.default_rng(seed))
    return Scan(scan, mask, (change > HEALTHY) & ~mask, print_, medium, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path, help="folders or files")
    parser.add_argument("--model", default="damage")
    parser.add_argument("--sensitivity", type=float, default=0.5)
    parser.add_argument("--side", type=int, default=384, help="longer side of the scans, in pixels")
    parser.add_argument("--sheet", type=Path, help="of one kind after the other the first scan, and what is found")
    options = parser.parse_args()
    detector = load_damage_detector(options.model)
    paths, sheet = files_of(options.photos), []
    for at, (kind, light) in enumerate((kind, light) for kind in KINDS for light in (True, False)):
        counts: list[Counts] = []
        for number, path in enumerate(paths):
            picture = read_picture(path)
            scale = min(1.0, options.side / max(picture.size))
            rgb = picture.resized_rgb(*(round(scale * side) for side in picture.size))
            scan = marked_scan(rgb, kind, light=light, rng=np.random.default_rng([SEED, at, number]))
            found = scoreinv.find_damage(scan.damaged, sensitivity=options.sensitivity, grow=0, model=detector)
            counts.append(count(scan, found, 0.0))
            if not number:
                sheet.append(
                    np.concatenate([scan.damaged, np.where(found[..., None], (1, 0, 0), scan.damaged)], axis=1)
                )
        print(row(f"{kind}, {'light' if light else 'dark'}", counts), flush=True)
    if options.sheet is not None:
        Image.fromarray(np.rint(255 * np.concatenate(sheet)).astype(np.uint8)).save(options.sheet)


if __name__ == "__main__":
    main()

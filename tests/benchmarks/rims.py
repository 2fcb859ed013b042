"""Masks that are too small: how often they grow to the rim of an object, and how often where there is none.

    python tests/benchmarks/rims.py FOLDER [--photos 24]

Photographs are reduced to a shorter side of 512 pixels. Into each a blob of the next one is put, 96 pixels wide and
with an edge as soft as a lens makes it. Masks of the blob are 6, 4 and 2 pixels too small, or 4 too large; some of the
latter miss two slivers within its outline, 4 to 10 pixels wide. Masks of nothing are squares and blobs of 64, 96 and
160 pixels, two of each in each photograph, and blobs with slivers left out; an object with two gaps, through which the
scene is seen, has a mask with such gaps too.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from deep_holes import SHORTER, draw_hole
from photographs import pictures_in, reduced
from scipy import ndimage

from scoreinv.analysis.fragments import find_fragments
from scoreinv.analysis.rims import with_visible_rim
from scoreinv.imaging.picture import Picture

SIDE = 96
SOFT = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=24)
    options = parser.parse_args()
    photos = [reduced(picture, SHORTER) for picture in pictures_in(options.folder, options.photos)]
    found: dict[str, list[tuple[int, int]]] = {}
    for number, photo in enumerate(photos):
        for name, rgb, hole in masks(photo, photos[(number + 1) % len(photos)], number):
            grown, pixels = with_visible_rim(Picture(rgb), hole)
            found.setdefault(name, []).append((pixels, len(find_fragments(Picture(rgb), grown))))
    print("| mask | grown | pixels, median | fragments noted |\n|---|---|---|---|")
    for name, pairs in found.items():
        widths = [pixels for pixels, _ in pairs if pixels]
        median, noted = np.median(widths) if widths else "-", sum(count > 0 for _, count in pairs)
        print(f"| {name} | {len(widths)} of {len(pairs)} | {median} | {noted} |")


def masks(photo: np.ndarray, other: np.ndarray, number: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """What a mask leaves of an object, the picture and the mask."""
    rng = np.random.default_rng(1000 + number)
    size = tuple(min(sides) for sides in zip(photo.shape[:2], other.shape[:2], strict=True))
    blob = draw_hole((size[0], size[1]), "blob", SIDE, rng)
    blob = np.pad(blob, [(0, whole - part) for whole, part in zip(photo.shape[:2], size, strict=True)])
    scene, inside = pasted(photo, other, blob), depth(blob)
    for left in (6, 4, 2, -4):
        yield f"an object, {abs(left)} pixels too {'small' if left > 0 else 'large'}", scene, inside > left
    cuts = slivers(blob, np.random.default_rng(2000 + number))
    yield "an object, two slivers missed", scene, (inside > -4) & ~cuts
    yield "an object with two gaps", pasted(photo, other, blob & ~cuts), depth(blob & ~cuts) > -1.5
    yield "of nothing, with two slivers left out", photo, (inside > -4) & ~cuts
    for kind in ("square", "blob"):
        for side in (64, 96, 160):
            for _ in range(2):
                yield "of nothing", photo, draw_hole(photo.shape[:2], kind, side, rng)


def pasted(photo: np.ndarray, other: np.ndarray, blob: np.ndarray) -> np.ndarray:
    """The photograph with what another has in the blob, in 8 bits."""
    part = tuple(slice(min(sides)) for sides in zip(photo.shape[:2], other.shape[:2], strict=True))
    scene, share = photo.copy(), ndimage.gaussian_filter(blob.astype(np.float32), SOFT)[part][..., None]
    scene[part] = share * other[part] + (1 - share) * scene[part]
    return (np.rint(255 * scene) / 255).astype(np.float32)


def depth(hole: np.ndarray) -> np.ndarray:
    """Pixels into a hole, negative outside."""
    return ndimage.distance_transform_edt(hole) - ndimage.distance_transform_edt(~hole)


def slivers(blob: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two straight cuts from beyond the border of a blob towards its middle, HxW bool."""
    middle, (down, across) = np.argwhere(blob).mean(0), np.indices(blob.shape)
    cuts = np.zeros_like(blob)
    for angle in rng.uniform(0, 2 * np.pi) + np.array([0.0, rng.uniform(1, 5)]):
        along = (down - middle[0]) * np.sin(angle) + (across - middle[1]) * np.cos(angle)
        beside = (down - middle[0]) * np.cos(angle) - (across - middle[1]) * np.sin(angle)
        cuts |= (along > SIDE / 6) & (np.abs(beside) < rng.uniform(2, 5))
    return cuts


if __name__ == "__main__":
    main()

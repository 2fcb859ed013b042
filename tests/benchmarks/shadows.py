"""Shadows that are proposed: how often if there is one, how well, and how often if there is none.

    python tests/benchmarks/shadows.py FOLDER

Photographs with ground below are reduced to a shorter side of 512 pixels. On each an upright oval of the next one
stands, 90 pixels wide and 130 high. It has a shadow that falls to one side and takes 30, 50 or 70 % of the light, with
an edge of 2 pixels; or no shadow. Printed are how often a shadow is proposed, and the median intersection over union
with the drawn one.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from deep_holes import SHORTER
from photographs import reduced
from scipy import ndimage

from scoreinv.analysis.shadows import propose_shadow
from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture

WIDE, HIGH = 90, 130
GROUNDS = (
    *("elm-rock_01", "elm-rock_02", "elm-plant_01", "elm-mystrale_2", "tuxpaint-mudstone", "tuxpaint-mossy_bark"),
    *("tuxpaint-burnt_bark", "mate-GreenMeadow", "gcompris-erase-penguin", "avatar-Astronaut", "gcompris-erase-horse"),
    *("gcompris-erase-camels", "tuxpaint-sheep", "avatar-Cocktail", "lomiri2004-Kleiber_by_Lukas_Baubkus"),
    "gcompris-monuments-greatPyramidOfGiza",
)
"""Stones, leaves, grass, moss, sand, tiles, water, by the stem of the photograph."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    paths = {path.stem: path for path in options.folder.iterdir()}
    photos = [reduced(read_picture(paths[stem]), SHORTER) for stem in GROUNDS]
    found: dict[str, list[float]] = {}
    for number, photo in enumerate(photos):
        for name, rgb, own, drawn in scenes(photo, photos[(number + 1) % len(photos)], number):
            proposed = propose_shadow(Picture(rgb), own)
            overlap = np.nan
            if proposed is not None:
                overlap = (proposed & drawn).sum() / (proposed | drawn).sum()
            found.setdefault(name, []).append(overlap)
    print("| what there is | proposed | overlap, median |\n|---|---|---|")
    for name, overlaps in found.items():
        told = [overlap for overlap in overlaps if not np.isnan(overlap)]
        print(f"| {name} | {len(told)} of {len(overlaps)} | {f'{np.median(told):.2f}' if told else '-'} |")


def scenes(
    photo: np.ndarray, other: np.ndarray, number: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield a name, the picture, the object and its shadow."""
    rng = np.random.default_rng(number)
    height, width = photo.shape[:2]
    down, across = np.indices((height, width))
    foot, middle = height - int(rng.integers(HIGH // 2, HIGH)), int(rng.integers(2 * WIDE, width - 2 * WIDE))
    top, half = foot - HIGH, HIGH / 2
    own = ((down - top - half) / half) ** 2 + ((across - middle) / WIDE * 2) ** 2 <= 1
    sheared = across - middle - rng.choice([-1, 1]) * 1.2 * (foot - down)  # the sun is low, and before the object
    shadow = (((foot - down) / HIGH / 0.35 - 1) ** 2 + (sheared / WIDE * 2) ** 2 <= 1) & ~own
    texture = np.resize(other[: height // 2, : width // 2], (height // 2, width // 2, 3))
    texture = np.pad(texture, [(0, height - height // 2), (0, width - width // 2), (0, 0)], mode="reflect")
    share = ndimage.gaussian_filter(own.astype(float), 0.7)[..., None]

    def standing(ground: np.ndarray) -> np.ndarray:
        scene = share * texture + (1 - share) * ground
        return (np.rint(255 * scene) / 255).astype(np.float32)

    yield "nothing", standing(photo), own, np.zeros_like(own)
    for taken in (0.3, 0.5, 0.7):
        light = 1 - taken * ndimage.gaussian_filter(shadow.astype(float), 2)[..., None]
        yield f"a shadow, {taken:.0%} of the light", standing(photo * light), own, shadow


if __name__ == "__main__":
    main()

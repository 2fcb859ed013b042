"""Make the pictures of photographs that `scene` was trained on: each one whole, and square parts of it.

    python examples/scene_pictures.py PHOTOS/ PICTURES/photos

A whole picture is reduced to a shorter side of 128 pixels. 24 square parts, of half to all of the shorter side, are
reduced to 64x64. Photographs that were held out from training (pretrained/photo/training.json) give no parts.
"""

from __future__ import annotations

import argparse
import json
import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

CONFIGURATION = Path(__file__).parents[1] / "pretrained" / "photo" / "training.json"
WHOLE, PART, PARTS = 128, 64, 24


def reduced(path: Path, out: Path, held_out: frozenset[str]) -> None:
    """Write the whole picture, and its parts unless it is held out."""
    image = Image.open(path).convert("RGB")
    scale = WHOLE / min(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    image.resize(size, Image.Resampling.LANCZOS).save(out / f"{path.stem}.png")
    if path.stem in held_out:
        return
    draw = random.Random(path.stem)
    for number in range(PARTS):
        side = int(min(image.size) * draw.uniform(0.5, 1))
        left, top = draw.randint(0, image.width - side), draw.randint(0, image.height - side)
        part = image.crop((left, top, left + side, top + side))
        part.resize((PART, PART), Image.Resampling.LANCZOS).save(out / f"{path.stem}-part{number}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("out", type=Path, help="folder for the pictures; created if it does not exist")
    options = parser.parse_args()
    held_out = frozenset(json.loads(CONFIGURATION.read_text())["data"]["holdout"])
    paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(reduced, out=options.out, held_out=held_out), paths, chunksize=8))
    print(f"{len(list(options.out.glob('*.png')))} pictures of {len(paths)} photographs in {options.out}")


if __name__ == "__main__":
    main()

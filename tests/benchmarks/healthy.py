"""What `restore` does to photographs without damage: it should leave them.

    python tests/benchmarks/healthy.py FOLDER [FOLDER ...] [--photos 100] [--side 640]

Photographs as they are, in colours and grey (their luma), go through `restore` without `colorize`. Told of each kind
are how many have at most `MOST` of their pixels changed, and by each step how many it changed at all; and the detail of
what comes out, its power above a quarter of the sampling rate, to that of what went in.
"""

import argparse
import logging
from collections import Counter
from pathlib import Path

import numpy as np
from models import load_fast
from PIL import Image, ImageOps

from scoreinv.imaging.picture import Picture
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.models.loading import Models
from scoreinv.operators.luma import luma
from scoreinv.tasks.requests import Inputs, RestoreRequest
from scoreinv.tasks.restore import restore_picture

MOST = 0.001
"""Share of a photograph's pixels that may change."""
MOST_DETAIL = 0.02
"""By how much of itself its detail may."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--side", type=int, default=640, help="longer side at most, in pixels")
    options = parser.parse_args()
    logging.getLogger("scoreinv").setLevel(logging.ERROR)
    models = Models(load_damage_detector("damage"), load_fast("photo"), load_fast("denoiser"))
    paths = [path for folder in options.folders for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    paths = paths[:: max(1, len(paths) // options.photos)][: options.photos]
    for mode in ("RGB", "L"):
        changed, detail, steps = [], [], Counter[str]()
        for path in paths:
            image = ImageOps.exif_transpose(Image.open(path)).convert("RGB").convert(mode)
            image.thumbnail((options.side, options.side), Image.Resampling.LANCZOS)
            pixels = np.asarray(image)
            restored = restore_picture(Inputs(Picture(pixels)), RestoreRequest(colorize=False), models)
            after = restored.image.pixels
            different = after != pixels
            changed.append(float((different.any(axis=2) if different.ndim == 3 else different).mean()))
            detail.append(fine_power(after) / max(fine_power(pixels), 1e-9))
            steps.update(step.name for step in restored.steps if step.changed)
            print(f"{mode:4}{path.stem[:44]:45}{100 * changed[-1]:9.3f} %{detail[-1]:8.3f}", flush=True)
        left = sum(share <= MOST for share in changed)
        kept = sum(abs(ratio - 1) <= MOST_DETAIL for ratio in detail)
        print(f"{mode}: {left} of {len(paths)} are left, {kept} keep their detail; changed by {dict(steps)}")


def fine_power(pixels: np.ndarray) -> float:
    """Power of the luma above a quarter of the sampling rate, either way."""
    gray = luma(pixels.astype(np.float64)) if pixels.ndim == 3 else pixels.astype(np.float64)
    power = np.abs(np.fft.rfft2(gray)) ** 2
    down, across = np.fft.fftfreq(gray.shape[0])[:, None], np.fft.rfftfreq(gray.shape[1])
    return float(power[(np.abs(down) > 0.25) | (across > 0.25)].sum() / gray.size**2)


if __name__ == "__main__":
    main()

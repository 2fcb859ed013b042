"""Fill the scratches of a photograph four times, and show where the four results disagree.

`python examples/inpaint_api.py` writes inpaint_1.png to inpaint_4.png, inpaint_mean.png and inpaint_std.png here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import scoreinv

HERE = Path(__file__).resolve().parent


def main() -> None:
    photo = Image.open(HERE / "damaged" / "astronaut.png")
    mask = Image.open(HERE / "masks" / "astronaut.png")
    prior = scoreinv.load("photo")
    result = scoreinv.inpaint(photo, mask, prior=prior, samples=4, seed=0, estimate="mean")
    for number, sample in enumerate(result.samples, start=1):
        sample.save(f"inpaint_{number}.png")
    result.image.save("inpaint_mean.png")
    # The standard deviation is a fraction of the picture's range; four times as much shows well in grey.
    std = np.asarray(result.std, dtype=np.float32)
    Image.fromarray((255 * np.clip(4 * std, 0, 1)).astype(np.uint8)).save("inpaint_std.png")


if __name__ == "__main__":
    main()

"""Colour a grey photograph given as an array, as a pipeline would give it.

`python examples/colorize_api.py` writes colorize_1.png and colorize_2.png, two possible colourings, here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import scoreinv

HERE = Path(__file__).resolve().parent


def main() -> None:
    gray = np.asarray(Image.open(HERE / "grey" / "lake.jpg"))  # HxW, uint8
    prior = scoreinv.load("scene")
    result = scoreinv.colorize(gray, prior=prior, samples=2, seed=0)
    for number, sample in enumerate(result.samples, start=1):
        Image.fromarray(sample).save(f"colorize_{number}.png")


if __name__ == "__main__":
    main()

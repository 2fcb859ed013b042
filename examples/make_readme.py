"""Rebuild readme/, the before-and-after pictures of README and guide, with the options that these show.

Run `python examples/make_readme.py` after make_examples.py. Neither prior was trained on these photographs.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import scoreinv
from scoreinv.prior import ScorePrior

HERE = Path(__file__).resolve().parent
GAP = 8
SEEN_GRAY = ("astronaut", "dog", "facade", "lake", "moose", "tulips")
"""What the page of colours shows, successes and failures: chosen by what they show, before any was coloured."""


def beside(*pictures: Image.Image) -> Image.Image:
    """The pictures in a row, on white."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def marked(photo: Image.Image, mask: Image.Image) -> Image.Image:
    """The photograph, with what is to be removed marked in red."""
    red = Image.blend(photo, Image.new("RGB", photo.size, (230, 0, 60)), 0.5)
    return Image.composite(red, photo, mask)


def small(picture: Image.Image, width: int) -> Image.Image:
    """The picture at this width."""
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def above(*rows: Image.Image) -> Image.Image:
    """The rows below each other, on white."""
    turned = beside(*(row.transpose(Image.Transpose.TRANSPOSE) for row in rows))
    return turned.transpose(Image.Transpose.TRANSPOSE)


def colours(photo: Image.Image, prior: ScorePrior) -> Image.Image:
    """A photograph's middle square: grey, the default sample, the posterior mean, the photograph."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    square = photo.crop((left, top, left + side, top + side))
    gray = square.convert("L")
    estimates = [scoreinv.colorize(gray, prior=prior, estimate=estimate).image for estimate in ("sample", "mean")]
    return beside(*(small(picture.convert("RGB"), 240) for picture in (gray, *estimates, square)))


def main() -> None:
    (HERE / "readme").mkdir(exist_ok=True)
    prior = scoreinv.load("photo")
    for name in ("astronaut", "facade", "moonwalk", "moose", "tulips"):
        mask = Image.open(HERE / "masks" / f"{name}.png")
        damaged = HERE / "damaged" / f"{name}.png"
        photo = Image.open(damaged if damaged.exists() else HERE / "photos" / f"{name}.jpg")
        result = scoreinv.inpaint(photo, mask, prior=prior)
        before = photo if damaged.exists() else marked(photo, mask)
        beside(before, result.image).save(HERE / "readme" / f"inpaint_{name}.jpg", quality=90)
    prior = scoreinv.load("scene")
    for name in ("lake", "moose"):
        gray = Image.open(HERE / "grey" / f"{name}.jpg")
        result = scoreinv.colorize(gray, prior=prior, samples=2)
        small(beside(gray, *result.samples), 1200).save(HERE / "readme" / f"colorize_{name}.jpg", quality=90)
    gray, hints = Image.open(HERE / "grey" / "dog.jpg").convert("RGB"), Image.open(HERE / "hints" / "dog.png")
    result = scoreinv.colorize(gray, prior=prior, hints=hints, estimate="mean")
    gray.paste(hints, mask=hints)
    small(beside(gray, result.image), 800).save(HERE / "readme" / "colorize_dog.jpg", quality=90)
    photos = [Image.open(HERE / "photos" / f"{name}.jpg") for name in SEEN_GRAY]
    above(*(colours(photo, prior) for photo in photos)).save(HERE / "readme" / "colours.jpg", quality=88)


if __name__ == "__main__":
    main()

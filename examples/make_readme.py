"""Rebuild readme/, the before-and-after pictures of README and guide, with the options that these show.

Run `python examples/make_readme.py` after make_examples.py. Neither prior was trained on these photographs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import scoreinv
from scoreinv.operators import Blur, InLight, Operator, downsampling, kernels
from scoreinv.operators.tones import srgb
from scoreinv.prior import ScorePrior

HERE = Path(__file__).resolve().parent
GAP = 8
SIDE, MARGIN = 240, 20
"""Of the squares that show restoration, and of the scene around blurred ones, in pixels."""
OLD = ("tree", "parthenon", "woman")
OLD_WIDTH = 1000
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


def commanded(*words: str) -> Image.Image:
    """What a command makes: its precision is the processor's fastest, that of the library float32."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.png"
        subprocess.run([sys.executable, "-m", "scoreinv", *words, "--quiet", "-o", str(result)], check=True)
        return Image.open(result).copy()


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
    """A photograph's middle square: grey, the default result, a sample, the photograph."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    square = photo.crop((left, top, left + side, top + side))
    gray = square.convert("L")
    results = [scoreinv.colorize(gray, prior=prior, estimate=estimate).image for estimate in (None, "sample")]
    return beside(*(small(picture.convert("RGB"), 240) for picture in (gray, *results, square)))


def like_its_half(name: str, prior: ScorePrior) -> Image.Image:
    """The left half of a photograph, the right one in grey, that without and with the left one as the reference."""
    photo = Image.open(HERE / "photos" / f"{name}.jpg")
    left, right = (photo.crop((begin, 0, begin + photo.width // 2, photo.height)) for begin in (0, photo.width // 2))
    gray = right.convert("L")
    results = [scoreinv.colorize(gray, prior=prior, like=like).image for like in (None, left)]
    return beside(*(small(picture.convert("RGB"), 240) for picture in (left, gray, *results)))


def restored(prior: ScorePrior) -> Iterator[Image.Image]:
    """Squares with noise, reduced or blurred; what the commands make of them; the squares as they were."""
    for name, corner, level in (("tulips", (250, 150), 50), ("facade", (250, 120), 25)):
        truth = square(name, corner)
        noisy = truth + level / 255 * np.random.default_rng(0).standard_normal(truth.shape)
        noisy = np.rint(255 * noisy.clip(0, 1)).astype(np.uint8)
        result = scoreinv.denoise(noisy, noise_std=level / 255, prior=prior, estimate="mean")
        yield beside(*map(as_image, (noisy, result.image, truth)))
    for name, corner, factor in (("dog", (180, 60), 2), ("astronaut", (150, 10), 4)):
        truth = square(name, corner)
        reduced = photographed(downsampling(factor, SIDE, SIDE, "area"), truth)
        result = scoreinv.upscale(reduced, factor=factor, prior=prior, estimate="mean")
        enlarged = as_image(reduced).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        yield beside(enlarged, as_image(result.image), as_image(truth))
    for name, corner, kernel in (
        ("lake", (320, 120), kernels.gaussian(2)),
        ("moose", (330, 60), kernels.motion(15, 30)),
    ):
        wide = square(name, corner, MARGIN)
        blurred = photographed(in_light(kernel, wide), wide)[MARGIN:-MARGIN, MARGIN:-MARGIN]
        result = scoreinv.deblur(blurred, kernel=kernel, noise_std=1 / 255, prior=prior, estimate="mean")
        truth = wide[MARGIN:-MARGIN, MARGIN:-MARGIN]
        yield beside(*map(as_image, (blurred, result.image, truth)))


def old_photographs() -> Image.Image:
    """A row of old photographs, above what `scoreinv restore` makes of each by its defaults."""
    photos = [Image.open(HERE / "old" / f"{name}.webp") for name in OLD]
    rows = []
    for pictures in (photos, [scoreinv.restore(photo).image for photo in photos]):
        height = min(picture.height for picture in pictures)
        row = [small(picture.convert("RGB"), round(picture.width * height / picture.height)) for picture in pictures]
        rows.append(small(beside(*row), OLD_WIDTH))
    return above(*rows)


def square(name: str, corner: tuple[int, int], margin: int = 0) -> np.ndarray:
    """A part of a photograph, HxWx3 in [0, 1], with a margin around it."""
    left, top = corner
    box = (left - margin, top - margin, left + SIDE + margin, top + SIDE + margin)
    return np.asarray(Image.open(HERE / "photos" / f"{name}.jpg").crop(box), dtype=np.float32) / 255


def in_light(kernel: np.ndarray, photo: np.ndarray) -> InLight:
    """The blur of a photograph's light."""
    return InLight(Blur(torch.from_numpy(kernel), *photo.shape[:2]), srgb())


def photographed(operator: Operator, truth: np.ndarray) -> np.ndarray:
    """What is seen of a picture, in 8 bits."""
    seen = operator(torch.from_numpy(truth).permute(2, 0, 1)[None].contiguous())[0].permute(1, 2, 0).numpy()
    return np.rint(255 * seen.clip(0, 1)).astype(np.uint8)


def as_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels if pixels.dtype == np.uint8 else np.rint(255 * pixels.clip(0, 1)).astype(np.uint8))


def moved() -> Image.Image:
    """Tulips, moved by 25 pixels at 30 and at 150 degrees; each kernel, enlarged, in a corner."""
    photo, panels = square("tulips", (250, 150)), []
    for angle in (30, 150):
        kernel = kernels.motion(25, angle)
        panel = as_image(photographed(in_light(kernel, photo), photo))
        point = as_image(kernel / kernel.max())
        panel.paste(point.resize((2 * point.width, 2 * point.height)), (0, 0))
        panels.append(panel)
    return beside(as_image(photo), *panels)


def main() -> None:
    (HERE / "readme").mkdir(exist_ok=True)
    for name in ("astronaut", "facade", "moose"):
        mask = Image.open(HERE / "masks" / f"{name}.png")
        damaged = HERE / "damaged" / f"{name}.png"
        photo = Image.open(damaged if damaged.exists() else HERE / "photos" / f"{name}.jpg")
        before = photo if damaged.exists() else marked(photo, mask)
        after = commanded("inpaint", str(photo.filename), "--mask", str(mask.filename))
        beside(before, after).save(HERE / "readme" / f"inpaint_{name}.jpg", quality=90)
    old_photographs().save(HERE / "readme" / "restore_old.jpg", quality=85, optimize=True)
    prior = scoreinv.load("scene")
    gray = Image.open(HERE / "grey" / "lake.jpg")
    result = scoreinv.colorize(gray, prior=prior, samples=2)
    small(beside(gray, *result.samples), 1200).save(HERE / "readme" / "colorize_lake.jpg", quality=90)
    like_its_half("moose", prior).save(HERE / "readme" / "colorize_like.jpg", quality=88)
    gray, hints = Image.open(HERE / "grey" / "dog.jpg").convert("RGB"), Image.open(HERE / "hints" / "dog.png")
    result = scoreinv.colorize(gray, prior=prior, hints=hints)
    gray.paste(hints, mask=hints)
    small(beside(gray, result.image), 800).save(HERE / "readme" / "colorize_dog.jpg", quality=90)
    above(*restored(scoreinv.load("denoiser"))).save(HERE / "readme" / "restored.jpg", quality=90)
    moved().save(HERE / "readme" / "moved.jpg", quality=85)
    photos = [Image.open(HERE / "photos" / f"{name}.jpg") for name in SEEN_GRAY]
    above(*(colours(photo, prior) for photo in photos)).save(HERE / "readme" / "colours.jpg", quality=88)


if __name__ == "__main__":
    main()

"""What has blurred a photograph is told, or refused, and taken away."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from independent_pixels import prior, truth
from PIL import Image
from scipy.signal import fftconvolve

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.blur import kernel_from_text
from scoreinv.operators import kernels
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import InputError, SettingError
from scoreinv.tasks.deblur import find_blur, kernel_doubts

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def photo(name: str, side: int = 320) -> np.ndarray:
    """The middle of a held-out photograph, grey."""
    image = Image.open(PHOTOS / f"{name}.jpg").convert("L")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255


def blurred(values: np.ndarray, blur: PointSpread, noise: float = 0.007) -> Picture:
    """As a file has it."""
    seen = fftconvolve(values, blur.kernel(), mode="valid")
    seen = seen + noise * np.random.default_rng(0).standard_normal(seen.shape)
    return Picture(np.rint(255 * seen.clip(0, 1)).astype(np.uint8))


@pytest.mark.parametrize(
    "truth", [PointSpread("disk", 4), PointSpread("gaussian", 2), PointSpread("motion", 12, 60)], ids=str
)
def test_a_blur_is_told(truth):
    found = find_blur(blurred(photo("facade"), truth))
    assert found.kind == truth.kind
    assert found.size == pytest.approx(truth.size, rel=0.15)
    assert abs((found.angle - truth.angle + 90) % 180 - 90) <= 8


@pytest.mark.parametrize("name", ["facade", "moose"])
@pytest.mark.parametrize("angle", [30, 150])
def test_a_movement_is_refined_by_its_likelihood(name, angle):
    found = find_blur(blurred(photo(name), PointSpread("motion", 15, angle)))
    assert found.size == pytest.approx(15, rel=0.05)
    assert abs(found.angle - angle) <= 2


def test_a_kernel_that_turns_the_wrong_way_is_doubted():
    picture = blurred(photo("lake"), PointSpread("motion", 15, 150))
    (doubt,) = kernel_doubts(picture, PointSpread("motion", 15, 30))
    better = kernel_from_text(re.findall(r"motion:[\d.,]+", doubt)[0])
    assert better.size == pytest.approx(15, rel=0.05)
    assert abs(better.angle - 150) <= 2
    (doubt,) = kernel_doubts(picture, kernels.motion(15, 30))
    assert "mirrored" in doubt or "motion:1" in doubt
    assert kernel_doubts(picture, PointSpread("motion", 15, 150)) == []
    assert kernel_doubts(picture, kernels.motion(15, 150)) == []
    (doubt,) = kernel_doubts(Picture(np.rint(255 * photo("lake")).astype(np.uint8)), PointSpread("disk", 4))
    assert "sharp" in doubt


def test_a_sharp_photograph_and_what_cannot_be_told_are_refused():
    with pytest.raises(InputError, match="it is sharp, or not blurred all over"):
        find_blur(Picture((255 * photo("facade")).astype(np.uint8)))
    with pytest.raises(InputError, match="128x128 pixels"):
        find_blur(Picture(np.zeros((127, 400), np.uint8)))
    noise = np.random.default_rng(0).normal(128, 20, (160, 160)).clip(0, 255).astype(np.uint8)
    with pytest.raises(InputError):
        find_blur(Picture(noise))


def test_a_photograph_without_the_blur_that_was_found():
    sharp, blur = photo("facade", 192), PointSpread("disk", 3)
    seen = blurred(sharp, blur, 0.004).pixels
    result = scoreinv.deblur(seen, steps=3)
    assert isinstance(result.blur, PointSpread)
    assert (result.image.shape, result.image.dtype) == (seen.shape, seen.dtype)
    inner = sharp[3:-3, 3:-3]
    errors = [np.square(values / 255 - inner).mean() for values in (seen, result.image)]
    assert errors[1] < 0.6 * errors[0]


def test_a_kernel_that_is_given_is_taken():
    seen = truth()
    result = scoreinv.deblur(seen, kernel=kernels.gaussian(0.5), prior=prior(), noise_std=0.05, samples=2, steps=2)
    assert (result.blur, result.notes, len(result.samples), result.image.shape) == (None, [], 2, seen.shape)
    with pytest.raises(InputError, match="the kernel"):
        scoreinv.deblur(seen, kernel=np.full((3, 3), -1.0))
    with pytest.raises(SettingError, match="noise_std"):
        scoreinv.deblur(seen, noise_std=2)

"""The same pixels in a JPEG file, a PNG, an array and a tensor give the same decisions and results."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from support.independent_pixels import prior

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.operators import kernels
from scoreinv.tasks.deblur import deblur_picture, deblurring_noise
from scoreinv.tasks.denoise import denoise_picture
from scoreinv.tasks.holes import inpaint_picture
from scoreinv.tasks.noise import estimate_noise
from scoreinv.tasks.requests import (
    DeblurRequest,
    DenoiseRequest,
    InpaintRequest,
    Inputs,
    RestoreRequest,
    UpscaleRequest,
)
from scoreinv.tasks.restore import restore_picture
from scoreinv.tasks.upscale import upscale_picture

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "lake.jpg"


def jpeg() -> bytes:
    """A blurred photograph with a blue scratch, at quality 85."""
    pixels = gaussian_filter(
        np.asarray(Image.open(PHOTO).convert("RGB").reduce(2))[:136, :144].astype(float), (1, 1, 0)
    )
    pixels[hole()] = (40, 60, 200)
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def hole() -> np.ndarray:
    down, across = np.mgrid[:136, :144]
    return (abs(down - across // 2 - 30) < 2) & (across < 44)


def pictures() -> list[Picture]:
    """The file, the PNG, the array and the floats."""
    file = read_picture(jpeg())
    png = io.BytesIO()
    Image.fromarray(file.pixels).save(png, "PNG")
    return [file, read_picture(png.getvalue()), Picture(file.pixels.copy()), Picture(file.pixels / np.float32(255))]


def test_estimates_of_noise() -> None:
    file, *others = (estimate_noise(picture, Models()).std for picture in pictures())
    assert others == pytest.approx([file] * 3, rel=1e-3)


def test_jpeg_counts_as_noise_under_a_blur_in_every_form_and_in_a_crop() -> None:
    pixels = read_picture(jpeg()).pixels
    levels = [deblurring_noise(picture, 0.0) for picture in (*pictures(), Picture(pixels[3:, 5:].copy()))]
    assert levels == pytest.approx([levels[0]] * 5, rel=0.05)
    assert levels[0] > 1 / 255


def test_deblurring() -> None:
    request = DeblurRequest(kernel=kernels.gaussian(1), steps=1)
    file, *others = (deblur_picture(Inputs(each), request, Models(denoise=prior())).image.rgb() for each in pictures())
    for other in others:
        assert np.abs(other - file).max() < 1.5 / 255
    pixels = read_picture(jpeg()).pixels
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255
    found = scoreinv.deblur(tensor, kernel=kernels.gaussian(1), prior=prior(), steps=1).image
    assert np.abs(found.permute(1, 2, 0).numpy() - file).max() < 1.5 / 255


@pytest.mark.opencv
def test_fills_and_the_rims_of_their_holes() -> None:
    request = InpaintRequest(method="telea")
    fills = [inpaint_picture(Inputs(each, hole()), request, Models()) for each in pictures()]
    file, *others = (fill.image.rgb() for fill in fills)
    assert np.abs(file - pictures()[0].rgb())[~hole()].max() > 3 / 255  # the smeared rim is redrawn
    for other in others:
        assert np.abs(other - file).max() < 1.5 / 255


def test_noise_and_size_and_old_photographs() -> None:
    models = Models(denoise=prior())
    for task, request in (
        (denoise_picture, lambda _: DenoiseRequest(noise_std=0.02)),
        (upscale_picture, lambda _: UpscaleRequest()),
        (restore_picture, lambda _: RestoreRequest(inpaint=False, colorize=False)),
    ):
        file, *others = (task(Inputs(each), request(each), models).image.rgb() for each in pictures())
        for other in others:
            assert np.abs(other - file).max() < 1.5 / 255

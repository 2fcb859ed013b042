"""Enlarged photographs, with priors of independent pixels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from independent_pixels import HEIGHT, STD, WIDTH, apply, prior, truth
from PIL import Image

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.operators import downsampling
from scoreinv.tasks.upscale import missing_detail

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


@pytest.mark.parametrize(
    ("kind", "sampling"),
    [("area", {}), ("bicubic", {"steps": 10, "estimate": "sample"})],
    ids=["mean", "sample"],
)
def test_an_upscaled_picture_reduces_to_the_one_that_was_given(kind, sampling):
    operator = downsampling(2, HEIGHT, WIDTH, kind)
    y = apply(operator, truth()).clip(0, 1)
    image = scoreinv.upscale(y, 2, downsampling=kind, prior=prior(), **sampling).image
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(apply(operator, image), y, atol=2e-3)


def test_samples_of_an_enlarged_picture_vary_as_the_posterior():
    """Of independent pixels of variance v with known means of 4x4: v (1 - 1/16), however smooth the initial estimate
    was.

    From a noise level of sqrt(v), where less is missing, they would begin with half of the initial estimate, and have
    0.87 of it.
    """
    assert missing_detail(4) > STD
    y = apply(downsampling(4, 48, 48), truth(48, 48))
    result = scoreinv.upscale(y, 4, prior=prior(), samples=4, steps=25)
    assert np.sqrt(np.mean(result.std**2)) == pytest.approx(STD * math.sqrt(15 / 16), rel=0.06)


@pytest.mark.slow
def test_dps_enlarges_a_photograph():
    """With the steps that it takes by itself; with a fifth of them it diverges."""
    photo = read_picture(PHOTOS / "dog.jpg").rgb()[400:448, 400:448]
    small = photo.reshape(24, 2, 24, 2, 3).mean((1, 3)).astype(np.float32)
    found = scoreinv.upscale(small, 2, method="dps").image
    assert np.sqrt(np.mean((found.reshape(24, 2, 24, 2, 3).mean((1, 3)) - small) ** 2)) < 0.03
    assert np.sqrt(np.mean((found - photo) ** 2)) < 0.1


@pytest.mark.parametrize("form", ["levels", "image", "batch"])
def test_an_enlarged_picture_comes_back_in_its_form(form):
    levels = np.rint(255 * truth()).astype(np.uint8)
    batch = torch.from_numpy(levels).permute(2, 0, 1).expand(2, -1, -1, -1) / 255
    given = {"levels": levels, "image": Image.fromarray(levels), "batch": batch}[form]
    result = scoreinv.upscale(given, 3, noise_std=0.02, prior=prior(), samples=2, steps=2)
    wanted = (2, 3, 3 * HEIGHT, 3 * WIDTH) if form == "batch" else (3 * HEIGHT, 3 * WIDTH, 3)
    for sample in result.samples:
        assert type(sample) is type(given)
        assert np.shape(sample) == wanted
    assert result.std.shape == ((2, 1, *wanted[2:]) if form == "batch" else wanted[:2])
    each = [[0.02] * 2, [3] * 2, [[]] * 2] if form == "batch" else [0.02, 3, []]
    assert [result.noise_std, result.factor, result.notes] == each

"""Colorization by hints and by the colours that a photo has."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from support.analytic import gaussian_colour_prior

import scoreinv
from scoreinv.system.errors import InputError
from scoreinv.tasks.colorize import colorize


def prior():
    covariance = 0.04 * torch.eye(3, dtype=torch.float64) + 0.01
    return gaussian_colour_prior(torch.full((3,), 0.5, dtype=torch.float64), covariance)


def gray(height: int = 48, width: int = 64) -> np.ndarray:
    ramp = np.linspace(0.3, 0.7, width)[None] + 0.1 * np.random.default_rng(0).random((height, width))
    return np.rint(255 * ramp).astype(np.uint8)


def hints(height: int = 48, width: int = 64) -> np.ndarray:
    layer = np.zeros((height, width, 4), np.uint8)
    layer[10:13, 8:30] = (190, 110, 100, 255)
    layer[30:42, 40:52] = (100, 120, 170, 255)
    layer[0:5, 0:5] = (255, 255, 0, 60)  # nearly transparent: no hint
    return layer


def test_hints_are_the_colours_at_their_pixels_on_the_photos_luma() -> None:
    photo, layer = gray(), hints()
    result = colorize(photo, prior=prior(), steps=4, hints=layer).image
    assert (np.rint(result @ np.array([0.299, 0.587, 0.114])) == photo).all()
    where = layer[..., 3] > 128
    chroma = layer[..., :3] / 255 - (layer[..., :3] @ np.array([0.299, 0.587, 0.114]) / 255)[..., None]
    wanted = (photo[..., None] / 255 + chroma).clip(0, 1)
    assert deltaE_ciede2000(rgb2lab(result / 255), rgb2lab(wanted))[where].max() < 3
    without = colorize(photo, prior=prior(), steps=4).image
    assert np.abs(result.astype(int) - without)[~where].mean() < 3  # a prior of separate pixels spreads nothing


def test_kept_colours_are_bit_identical_and_the_rest_is_drawn() -> None:
    photo = np.repeat(gray()[..., None], 3, 2)
    photo[20:40, 10:30] = (photo[20:40, 10:30] * np.array([1.2, 0.9, 0.6])).astype(np.uint8)
    result = colorize(photo, prior=prior(), steps=4, keep_color=True).image
    assert (result[22:38, 12:28] == photo[22:38, 12:28]).all()
    assert (result[:, 40:] != photo[:, 40:]).any()
    replaced = colorize(photo, prior=prior(), steps=4).image
    assert (replaced[22:38, 12:28] != photo[22:38, 12:28]).any()


def test_a_photo_that_keeps_all_its_colours_comes_back_unless_it_has_hints() -> None:
    photo = (gray()[..., None] * np.array([1.0, 0.8, 0.5]) + np.array([0, 0, 90])).astype(np.uint8)
    photo[:, :32] = photo[:, :32, ::-1]
    kept = colorize(photo, prior=prior(), keep_color=True, samples=2)
    assert [(sample == photo).all() for sample in kept.samples] == [True, True]
    assert (kept.kind, kept.nfe, kept.method, kept.std.any()) == ("coloured", 0, "exact", False)
    assert colorize(photo, prior=prior(), keep_color=True).std is None
    hinted = colorize(photo, prior=prior(), steps=2, keep_color=True, hints=hints())
    where = hints()[..., 3] > 128
    assert (hinted.image != photo)[where].any(-1).all()
    assert (hinted.image == photo)[~where].all()


def test_saturation_leaves_the_colours_that_are_given():
    """Also at a pixel without a hint among them, which is coloured by what is drawn at a smaller size."""
    layer = np.zeros((32, 32, 4), np.uint8)
    layer[4:28, 4:28] = (150, 120, 110, 255)
    layer[16, 16, 3] = 0
    once, twice = (
        colorize(np.full((32, 32), 125, np.uint8), prior=prior(), steps=2, hints=layer, saturation=factor).image
        for factor in (1.0, 2.0)
    )
    assert abs(once[16, 16].astype(int) - twice[16, 16]).max() <= 1
    assert abs(once[:, :4].astype(int) - twice[:, :4]).max() > 1


def test_hints_have_the_size_of_the_photo() -> None:
    with pytest.raises(InputError, match="64x48"):
        colorize(gray(40, 64), prior=prior(), steps=2, hints=hints())


@pytest.mark.slow
def test_a_stroke_colours_its_own_side_of_an_edge():
    """As a user paints it, with the bundled model: the share of what it changes beyond the edge was 0.45."""
    gray = np.full((160, 160), 90, np.uint8)
    gray[:, 83:] = 165
    hints = np.zeros((160, 160, 4), np.uint8)
    hints[40:120, 50:62] = (190, 40, 40, 255)
    prior = scoreinv.load("scene")
    with_it = scoreinv.colorize(gray, prior=prior, hints=hints, estimate="mean").image.astype(float)
    without = scoreinv.colorize(gray, prior=prior, estimate="mean").image.astype(float)
    changed = np.abs(with_it - without).mean(-1)
    assert changed[:, :75].mean() > 20
    assert changed[:, 83:].sum() < 0.05 * changed.sum()

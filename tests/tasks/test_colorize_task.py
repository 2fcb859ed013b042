import math

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior

import scoreinv
from scoreinv.analysis.kind import untinted
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.models.loading import Models
from scoreinv.operators.luma import colour_basis, luma
from scoreinv.system.errors import InputError
from scoreinv.tasks.colorize import colorize, colorize_picture, work_size
from scoreinv.tasks.notes import warning
from scoreinv.tasks.requests import ColorizeRequest, Inputs

pytestmark = pytest.mark.portable

MEAN = torch.tensor([0.55, 0.45, 0.4])
SPREAD = (0.2, 0.03, 0.02)


def prior(weights: str):
    """Luma and the two chroma axes are independent, so the exact conditional is the prior of the chroma."""
    basis = torch.from_numpy(colour_basis(weights)).float()
    return gaussian_colour_prior(MEAN, basis.T @ torch.diag(torch.tensor(SPREAD) ** 2) @ basis)


@pytest.mark.parametrize(("weights", "start"), [("rec601", 1.0), ("average", math.inf)])
def test_chroma_is_a_sample_of_the_conditional(weights, start):
    gray = np.random.default_rng(1).uniform(0.35, 0.6, (16, 24)).astype(np.float32)
    result = colorize(gray, prior=prior(weights), gray_weights=weights, samples=12, steps=25, start=start)
    colours = np.stack(result.samples)
    np.testing.assert_allclose(luma(colours, weights), np.broadcast_to(gray, colours.shape[:3]), atol=1e-5)
    chroma = colours @ colour_basis(weights)[1:].T
    expected = colour_basis(weights)[1:] @ MEAN.numpy()
    assert result.image.shape == (16, 24, 3)
    assert result.std.shape == (16, 24)
    assert result.std.flags.writeable
    # Raising chroma along the luma's edges smooths it, here over 5 x 5 pixels, but does not move its mean.
    count = colours.shape[0] * gray.size / 25
    for axis in (0, 1):
        assert abs(chroma[..., axis].mean() - expected[axis]) < 5 * SPREAD[1 + axis] / math.sqrt(count)


def test_the_samples_of_a_pair_average_to_the_posterior_mean():
    """For Gaussian pictures every step is linear in the noise, so a pair's mean has none of it; one sample has."""
    basis = colour_basis("rec601")
    gray = np.random.default_rng(3).uniform(0.35, 0.6, (16, 24)).astype(np.float32)
    result = colorize(gray, prior=prior("rec601"), samples=4, steps=30)
    samples = np.stack(result.samples) @ basis[1:].T
    expected = basis[1:] @ MEAN.numpy()
    for pair in (samples[:2], samples[2:]):
        assert abs(pair.mean(0) - expected).max() < 0.1 * SPREAD[2]
    assert abs(samples[0] - expected).std(axis=(0, 1)).min() > 0.1 * SPREAD[2]
    assert abs(samples[0] - samples[2]).max() > 0.1 * SPREAD[2]
    alone = colorize(gray, prior=prior("rec601"), steps=30)
    np.testing.assert_allclose(alone.image, result.samples[0], atol=1e-5)


def test_each_picture_of_a_batch_has_its_hints():
    gray = torch.full((2, 1, 16, 16), 0.5)
    hints = torch.zeros(2, 4, 16, 16)
    hints[:, 3, 4:12, 4:12] = 1
    hints[0, 0], hints[1, 2] = 1.0, 1.0  # red and blue
    red, blue = colorize(gray, prior=prior("rec601"), hints=hints, steps=2).image[:, :, 8, 8]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    both = colorize(gray, prior=prior("rec601"), hints=hints[:1], steps=2).image[:, :, 8, 8]
    torch.testing.assert_close(both[0], both[1], atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="2 hints for 1 pictures"):
        colorize(gray[:1], prior=prior("rec601"), hints=hints, steps=2)


@pytest.mark.parametrize("size", [(50, 40000), (40000, 50), (1, 2_000_000), (100, 20000), (141, 14142)])
def test_a_long_picture_is_drawn_in_no_more_windows_than_a_panorama(size):
    height, width = work_size(size, 32, 8)
    assert max(height, 8) * max(width, 8) <= 4 * 32 * 32 + max(height, width)  # and a rounding of the shorter side
    assert max(height, width) >= 4 * 32


def test_a_tint_is_no_colour_to_keep():
    gray = np.random.default_rng(5).uniform(0.3, 0.6, (16, 24))
    sepia = (255 * gray[..., None] * np.array([1.0, 0.85, 0.65])).astype(np.uint8)
    kept, drawn = (colorize(sepia, prior=prior("rec601"), steps=2, keep_color=keep).image for keep in (True, False))
    assert (kept != sepia).any()
    np.testing.assert_array_equal(kept, drawn)


def test_a_print_that_is_whitened_has_the_colours_of_the_grey_picture_that_it_becomes():
    gray = np.random.default_rng(5).uniform(0.2, 0.7, (16, 24))
    (print_,) = pictures_from_api((gray[..., None] * np.array([1.0, 0.85, 0.65])).astype(np.float32))[0]
    models = Models(colorize=prior("rec601"))
    whitened = colorize_picture(Inputs(print_), ColorizeRequest(steps=2, whiten=True), models)
    expected = colorize_picture(Inputs(Picture(untinted(print_).pixels[..., 0])), ColorizeRequest(steps=2), models)
    np.testing.assert_allclose(whitened.image.pixels, expected.image.pixels, atol=1e-5)


def test_grey_that_the_model_does_not_know_is_coloured_by_pc_with_a_note():
    gray, model = np.full((20, 20), 0.5, np.float32), scoreinv.load("scene")
    found = colorize(gray, prior=model, gray_weights="average", steps=2)
    assert found.method == "pc"
    assert found.notes == [warning("gray_weights_unknown", given="average", known="rec601")]
    for decided in ({"method": "pc"}, {"start": 0.5}):
        assert colorize(gray, prior=model, gray_weights="average", steps=2, **decided).notes == []

"""Bits per dimension of pictures, against Gaussians in closed form."""

import math
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior
from support.small_conditional import SMALL

from scoreinv.imaging.picture import Picture
from scoreinv.models.config import ModelConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VE
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.tasks.bits_per_dim import (
    PictureDensity,
    check_picture,
    pictures_bits_per_dim,
    standard_error,
)
from scoreinv.tasks.sampling_settings import LikelihoodSettings

STD = 0.1


def picture_bits_per_dim(picture: Picture, model: object, **settings: object) -> PictureDensity:
    (density,) = pictures_bits_per_dim([picture], model, LikelihoodSettings(**settings))
    return density


def prior(sde):
    return gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * STD**2, sde=sde)


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_bits_per_dim_of_a_gaussian(probe):
    levels = np.random.default_rng(0).integers(60, 200, (4, 4, 3)).astype(np.uint8)
    result = picture_bits_per_dim(Picture(levels), prior(VE(0.001, 20.0)), repeats=20, rtol=1e-5, probe=probe)
    # A Rademacher probe is exact for a Jacobian that is a multiple of the identity; a Gaussian one is not.
    tolerance = 0.01 if probe == "rademacher" else 1.0
    assert result.bits_per_dim == pytest.approx(gaussian_bits(levels), abs=tolerance)


def gaussian_bits(levels: np.ndarray) -> float:
    """Of a picture under the Gaussian, in closed form, the mean over its dequantisations (k + u) / 256."""
    square = ((levels + 0.5) / 256 - 0.5) ** 2 + 1 / (12 * 256**2)
    return ((square / (2 * STD**2)).mean() + 0.5 * math.log(2 * math.pi * STD**2)) / math.log(2) + 8


def test_pictures_are_dequantised() -> None:
    """One level of a Gaussian as fine as levels are, in closed form: E (k + u)^2 is not E k^2, nor one u for all."""
    level = np.full((4, 4, 3), 128, np.uint8)
    std = 1 / 256
    narrow = gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * std**2, sde=VE(1e-5, 20.0))
    result = picture_bits_per_dim(Picture(level), narrow, repeats=30, steps=40)
    nats = 1 / 3 / 2 + 0.5 * math.log(2 * math.pi * std**2)  # E u^2 = 1/3, in units of a level
    assert result.bits_per_dim == pytest.approx(nats / math.log(2) + 8, abs=4 * result.standard_error + 0.01)
    # The spread of the mean over 48 values of u^2 / 2, which is 0.149: they are independent.
    expected = 0.149 / math.sqrt(48) / math.log(2) / math.sqrt(30)
    assert result.standard_error == pytest.approx(expected, rel=0.4)


def test_errors_of_different_pictures_are_independent():
    levels = np.random.default_rng(0).integers(60, 200, (24, 4, 4, 3)).astype(np.uint8)
    densities = pictures_bits_per_dim(
        list(map(Picture, levels)), prior(VE(0.001, 20.0)), LikelihoodSettings(rtol=1e-3, probe="gaussian")
    )
    errors = np.array([density.bits_per_dim for density in densities]) - [gaussian_bits(item) for item in levels]
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(len(errors))  # as no shared draw would leave it


def test_pictures_together_are_as_alone(limit):
    limit(pixels_at_once=48)  # batches across pictures and repeats
    levels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    pictures = [Picture(item) for item in levels]
    together = pictures_bits_per_dim(
        pictures, prior(VE()), LikelihoodSettings(repeats=2, steps=8)
    )  # adaptive steps differ by rounding
    alone = [picture_bits_per_dim(picture, prior(VE()), repeats=2, steps=8) for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        assert one.bits_per_dim == pytest.approx(other.bits_per_dim, abs=1e-4)
        assert one.standard_error == pytest.approx(other.standard_error, abs=1e-4)


def test_likelihood_needs_8_bits_and_fitting_sides():
    with pytest.raises(InputError, match="8-bit"):
        check_picture(Picture(np.zeros((4, 4, 3), np.uint16)), prior(VE()))
    with pytest.raises(InputError, match="multiples of 4"):
        check_picture(Picture(np.zeros((4, 5, 3), np.uint8)), prior(VE()))


def test_a_picture_too_big_for_the_memory_is_refused(limit):
    limit(pixels_at_once=8)
    model = ModelConfig(replace(SMALL, condition_channels=0), VE(0.01, 20.0), EDM(), (-1.0, 1.0), 16).build()
    picture = Picture(np.full((16, 16, 3), 128, np.uint8))
    assert math.isfinite(picture_bits_per_dim(picture, model, steps=2).bits_per_dim)
    limit(memory=10)
    with pytest.raises(InputError, match=r"16x16 pixels needs about .* GB .* reduce or crop"):
        picture_bits_per_dim(picture, model, steps=2)


def test_a_likelihood_that_is_not_finite_is_an_error(monkeypatch):
    broken = gaussian_colour_prior(torch.full((3,), math.nan), torch.eye(3), sde=VE())
    picture = Picture(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ScoreinvError, match="not finite"):
        picture_bits_per_dim(picture, broken, steps=1)
    infinite = types.SimpleNamespace(bits_per_dim=torch.tensor([math.inf]), nfe=torch.tensor([1]))
    monkeypatch.setattr("scoreinv.tasks.bits_per_dim.flow_likelihood", lambda *_, **__: infinite)
    whole = gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3), sde=VE())
    with pytest.raises(ScoreinvError, match="not finite"):
        picture_bits_per_dim(picture, whole, steps=1)


def test_the_standard_error_of_a_mean():
    assert standard_error([3.0]) is None
    assert standard_error([1.0, 3.0]) == pytest.approx(1)
    assert standard_error([1.0, 2.0, 3.0, 4.0]) == pytest.approx(math.sqrt(5 / 3) / 2)

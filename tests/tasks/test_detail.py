"""The estimate `detail`: chroma and coarse luma of the mean, fine luma of a sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_conditional import conditional_prior

from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.operators.luma import luma
from scoreinv.tasks.detail import COARSE_SHARE, with_detail
from scoreinv.tasks.holes import inpaint_picture
from scoreinv.tasks.requests import InpaintRequest, Inputs

pytestmark = pytest.mark.portable


def deviating(pattern: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Luma of the estimate over a grey mean, for a sample that deviates by a pattern (H, W) in the hole."""
    mean = torch.full((1, 3, *pattern.shape), 0.5)
    sample = mean + 0.1 * pattern * (1 - known)
    return (with_detail(mean, sample, known[None, None]) - mean)[0, 0] / 0.1


def hole(height: int = 24, width: int = 24) -> torch.Tensor:
    known = torch.ones(height, width)
    known[4:20, 4:20] = 0
    return known


def test_a_constant_deviation_is_coarse_and_a_checkerboard_fine():
    """Of a constant the hole's border is no edge: the average is over the hole alone."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    inside = (slice(4, 20), slice(4, 20))
    constant = deviating(torch.ones(24, 24), hole())
    torch.testing.assert_close(constant[inside], torch.full((16, 16), COARSE_SHARE), atol=1e-5, rtol=0)
    board = 1.0 - 2.0 * ((rows + columns) % 2)
    response = deviating(board, hole())[7:17, 7:17] / board[7:17, 7:17]
    taps = torch.exp(-0.5 * (torch.arange(-3, 4) / 0.7) ** 2)
    passed = float((taps * torch.tensor([-1, 1, -1, 1, -1, 1, -1])).sum() / taps.sum()) ** 2  # by the blur, 3 %
    expected = 1 - (1 - COARSE_SHARE) * passed
    torch.testing.assert_close(response, torch.full_like(response, expected), atol=1e-5, rtol=0)


def test_the_chroma_is_the_means_and_known_pixels_stay():
    generator = torch.Generator().manual_seed(0)
    mean, noise = (torch.rand(2, 3, 24, 24, generator=generator) for _ in range(2))
    known = hole().expand(2, 1, 24, 24)
    sample = mean + noise * (1 - known)
    change = with_detail(mean, sample, known) - mean
    torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-6, rtol=0)
    assert (change[:, :, known[0, 0] == 1] == 0).all()
    assert change.abs().amax() > 0.1


@pytest.mark.parametrize(("width", "evaluations"), [(3, 2), (8, 3), (12, 1 + 10)], ids=["narrow", "wider", "wide"])
def test_one_fill_has_the_chroma_of_the_mean_whatever_the_seed(width, evaluations):
    inside = np.zeros((40, 56), bool)
    inside[10 : 10 + width, 5:50] = True
    pixels = np.random.default_rng(0).random((40, 56, 3)).astype(np.float32)
    inputs, models = Inputs(Picture(pixels), inside), Models(inpaint=conditional_prior(image_size=64))
    spread = {}
    for estimate in ("detail", "sample"):
        fills = [inpaint_picture(inputs, InpaintRequest(seed=n, estimate=estimate), models) for n in (0, 1)]
        first, second = (fill.image.pixels[inside] for fill in fills)
        spread[estimate] = np.abs((first - luma(first)[:, None]) - (second - luma(second)[:, None])).mean()
    default = inpaint_picture(inputs, InpaintRequest(), models)
    assert default.nfe == evaluations
    assert spread["detail"] < spread["sample"] / 2  # a random network's mean follows its noise a little

"""The tone recipe: its colour difference is CIEDE2000, and photographs fade by as much and as often as it says."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from pretrained.tone import make as recipe
from scoreinv.models.tone_estimator import PARTS
from scoreinv.networks.chroma import DECODER_FEATURES


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def gray(values: list[float], count: int) -> Tensor:
    """Pixels (count, N, 3) of these greys."""
    return torch.tensor(values)[None, :, None].repeat(count, 1, 3)


def test_cielab_is_skimages() -> None:
    rgb = torch.cat([torch.rand(500, 3), torch.rand(500, 3) ** 4, gray(np.linspace(0, 0.2, 400).tolist(), 1)[0]])
    np.testing.assert_allclose(recipe.lab(rgb), rgb2lab(rgb.numpy()), atol=0.025)


@pytest.mark.parametrize("lightness", [20.0, 50.0, 90.0])
@pytest.mark.parametrize("radius", [3.0, 25.0, 70.0])
def test_differences_are_ciede2000_but_for_the_rotation_of_blues(lightness: float, radius: float) -> None:
    hue = np.radians(np.setdiff1d(np.arange(0, 360, 10), np.arange(190, 360)))
    one = np.stack([np.full(len(hue), lightness), radius * np.cos(hue), radius * np.sin(hue)], axis=1)
    further = hue + 0.03
    turned = np.stack([one[:, 0], radius * np.cos(further), radius * np.sin(further)], axis=1)
    for other in (one + np.array([3, 0, 0]), one * [1, 1.1, 1.1], turned, turned + np.array([2, 0, 0])):
        found = recipe.distance(*(torch.from_numpy(colours) for colours in (one, other)))
        np.testing.assert_allclose((found**2 - 1e-4).sqrt(), deltaE_ciede2000(one, other), rtol=2e-3)


def test_the_square_radius_is_1_in_the_corners() -> None:
    places = torch.tensor([[[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 0.0]]])
    assert recipe.square_radius(places)[0, :, 0].tolist() == [0, 1, 1, 0.5]


# --- what a step draws ------------------------------------------------------------------------------------------------


def test_extremes_of_parts() -> None:
    seen = torch.rand(3, 3, 2 * PARTS, 3 * PARTS)
    parts = seen.unfold(2, 2, 2).unfold(3, 3, 3).flatten(4).flatten(2, 3)  # (B, 3, PARTS^2, 6)
    expected = torch.stack([parts.amin(3), parts.amax(3)], dim=1).transpose(2, 3)
    pixels = recipe.extremes(seen)
    torch.testing.assert_close(recipe.ends_of(pixels.flatten(1, 2)), expected)
    colours = {tuple(colour) for colour in parts.movedim(1, -1).flatten(0, 2).tolist()}
    assert {tuple(colour) for colour in pixels.flatten(0, 2).tolist()} <= colours


@pytest.mark.parametrize("odds", [2.0, -1.0])
def test_the_loss_of_a_correction(monkeypatch: pytest.MonkeyPatch, odds: float) -> None:
    """Of three pictures: one is corrected exactly, one made worse, and one neither faded nor changed."""
    for name, value in {"BATCH": 3, "PIXELS": 8, "DRAWN": 16, "SPECKED": 1.0}.items():
        monkeypatch.setattr(recipe, name, value)
    truth = 0.2 + 0.6 * torch.rand(3, 16 + 6 * PARTS**2, 3)
    scan = torch.cat([truth[:1].square(), truth[1:]])
    power = torch.tensor([0.5, 2.0, 1.0]).log()
    curves = torch.stack([torch.zeros(3, 3), torch.ones(3, 3), power[:, None].expand(3, 3)], dim=1)
    seen: list[Tensor] = []

    def network(rgb: Tensor, known: Tensor, quantiles: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        seen.extend([rgb, known, quantiles, ends])
        return curves, torch.full((3,), odds)

    monkeypatch.setattr(recipe, "faded_by_drawing", lambda *_: (truth, scan, torch.tensor([1.0, 1.0, 0.0])))
    guess = torch.rand(3, 8, 3 + DECODER_FEATURES)
    found = recipe.loss_of(network, truth, guess, torch.zeros(3, 16 + 6 * PARTS**2, 2), 0.0)
    wanted, given, worse = (recipe.lab(one[:, :8]) for one in (truth, scan, truth.square()))
    none, far = 0.01, recipe.distance(given, wanted).mean(1)[0]
    bad = recipe.distance(worse, wanted).mean(1)[1]
    decided = (far - none) * F.softplus(torch.tensor(-odds)) + recipe.AVERSION * (bad - none) * math.log1p(
        math.exp(odds)
    )
    expected = (none + bad) / 2 + (bad - none) / 4 + decided / recipe.AT_STAKE / 3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    rgb, known, quantiles, ends = seen
    torch.testing.assert_close(rgb, scan[:, :8])
    assert torch.equal(known, guess)
    assert (quantiles[:, 0] < ends[:, 0].amin(1)).all()  # by specks
    assert (quantiles[:, -1] > ends[:, 1].amax(1)).all()

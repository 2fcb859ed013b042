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


# --- fading -----------------------------------------------------------------------------------------------------------

COUNT = 2000
STRONG, NONE = torch.ones(COUNT, 1, 1), torch.zeros(COUNT, 1, 1)
FAMILIES = {
    "dyes": recipe.by_dyes,
    "levels": lambda truth, far, place: recipe.by_levels(truth, far),
    "light": recipe.by_light,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_fading(family: str) -> None:
    """No strength leaves colours; greys stay in order in the middle, where pixels of a colour stay alike."""
    fade = FAMILIES[family]
    truth, place = 0.01 + 0.98 * torch.rand(COUNT, 5, 3), 2 * torch.rand(COUNT, 5, 2) - 1
    torch.testing.assert_close(fade(truth, NONE, place), truth, atol=1e-4, rtol=0)
    middle = torch.zeros(COUNT, 4, 2)
    greys = fade(gray([0.1, 0.4, 0.4, 0.9], COUNT), STRONG, middle)
    assert (greys.diff(dim=1)[:, ::2] > 0).float().mean() > 0.99
    torch.testing.assert_close(greys[:, 1], greys[:, 2])
    assert (greys - gray([0.1, 0.4, 0.4, 0.9], COUNT)).abs().mean() > 0.05
    half = fade(gray([0.1, 0.4, 0.4, 0.9], COUNT), STRONG / 2, middle)
    assert (half - gray([0.1, 0.4, 0.4, 0.9], COUNT)).abs().mean() > 0.02
    assert greys.std(0).min() > 0.02


def test_levels_shift_black_and_white_by_stray_light_and_exposure() -> None:
    black, white = recipe.by_levels(gray([0.0, 1.0], COUNT), STRONG).unbind(1)
    assert float(black.mean()) == pytest.approx(0.09 + 0.1, abs=0.01)
    assert float(white.mean()) == pytest.approx(1 - 0.05 - 0.06, abs=0.01)
    assert black.max() <= 0.38 + 0.01
    assert white.min() >= 0.78
    # Part of a shift is of the whole print, part of each channel.
    assert 0.03 < float((black - black.mean(1, keepdim=True)).std()) < float(black.std())


def test_light_veils_shadows_and_casts_a_colour_that_varies_over_the_print() -> None:
    middle = torch.zeros(COUNT, 2, 2)
    black, white = recipe.by_light(gray([0.0, 1.0], COUNT), STRONG, middle).unbind(1)
    assert float(black.mean()) == pytest.approx(0.1 + 0.04, abs=0.012)
    assert black.max() <= 0.35 + 0.01
    cast = -((white - black) / (1 - black)).log()
    assert float(cast.mean()) == pytest.approx(0.075, abs=0.03)  # clipped at white
    assert float((cast - cast.mean(1, keepdim=True)).std()) == pytest.approx(0.1, abs=0.03)
    places = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.9, 0.9], [-0.9, 0.9]]).repeat(COUNT, 1, 1)
    varied = recipe.by_light(gray([0.5] * 4, COUNT), STRONG, places)
    for pair in ((0, 2), (0, 3), (2, 3)):
        assert (varied[:, pair[0]] - varied[:, pair[1]]).abs().mean() > 0.02


def test_dyes_fade_more_at_the_borders_and_stain_yellow() -> None:
    place = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(COUNT, 1, 1)
    change = (recipe.by_dyes(gray([0.6, 0.6], COUNT), STRONG, place) - 0.6).abs()
    assert (change[:, 1] >= change[:, 0] - 1e-6).all()
    assert 0.2 < (change[:, 1] > 1.01 * change[:, 0]).any(1).float().mean() < 0.4
    white = recipe.by_dyes(gray([1.0], COUNT), STRONG, place[:, :1])[:, 0].mean(0)
    assert 0.75 < white[0] < 0.87  # by fog, a filter and the scanner
    assert white[0] > white[1] + 0.01 > white[2] + 0.06
    black = recipe.by_dyes(gray([0.0], COUNT), STRONG, place[:, :1])
    assert black.min() >= 0
    assert float(black.mean()) > 0.1
    # Densities of one dye are a part of another's light.
    red = torch.tensor([[[1.0, 0.05, 0.05]]]).repeat(COUNT, 1, 1)
    clear, mixed = (recipe.by_dyes(one, STRONG, place[:, :1])[:, 0, 0] for one in (gray([1.0], COUNT), red))
    assert float(mixed.std()) > float(clear.std())


def test_shares_of_the_drawn_pictures() -> None:
    given = torch.tensor([[0.0] * 3, [0.8, 0.5, 0.2], [0.3, 0.6, 0.7]]).repeat(3000, 1, 1)
    truth, scan, faded = recipe.faded_by_drawing(given, torch.zeros(3000, 3, 2))
    assert float(faded.mean()) == pytest.approx(1 - recipe.HEALTHY, abs=0.03)
    torch.testing.assert_close(scan[faded == 0], truth[faded == 0], atol=6e-3, rtol=0)
    assert (scan - truth)[faded == 1].abs().amax((1, 2)).min() > 1e-3
    assert ((scan >= 0) & (scan <= 1)).all()
    colourless = np.ptp(truth.numpy(), axis=2).max(1) < 1e-6
    assert colourless.mean() == pytest.approx(recipe.GRAY, abs=0.025)
    assert np.ptp(scan.numpy(), axis=2)[colourless].max() < 1e-6
    hazy = truth[:, 0].amin(1) > 0.01
    assert float(hazy.float().mean()) == pytest.approx(recipe.HAZY * 0.95, abs=0.02)
    assert truth[:, 0].max() <= 0.21
    # Luma stays, for the strength of colours, and varies by a power near 1.
    plain = torch.from_numpy(~colourless) & ~hazy
    weights = torch.tensor([0.299, 0.587, 0.114])
    strength = (truth[plain][:, 1] - (truth[plain][:, 1] @ weights)[:, None]).norm(dim=1)
    assert 0.7 < float(strength.mean() / (given[0, 1] - given[0, 1] @ weights).norm()) < 1.1
    assert float((truth[plain][:, 1] @ weights).mean()) == pytest.approx(float(given[0, 1] @ weights), abs=0.02)


def test_mist_thickens_upwards_and_spares_pictures_without_a_black_part() -> None:
    bright = torch.full((50, 3, 8, 8), 0.5)
    assert torch.equal(recipe.in_mist(bright), bright)
    mist = recipe.in_mist(torch.zeros(200, 3, 8, 8))
    rows = mist.mean((0, 1, 3))
    assert (rows.diff() < 0).all()
    changed = mist.amax((1, 2, 3)) > 0
    assert 0.2 < changed.float().mean() < 1
    assert (mist.amin((2, 3)).amax(1) < recipe.BLACK).all()
    assert mist.max() <= 1
    # Light of things gets through in part: mist lies between it and the colour of the air.
    picture = torch.rand(200, 3, 8, 8) * (torch.arange(8) > 3)[:, None]
    air = recipe.in_mist(picture)
    shown = (air != picture).flatten(1).any(1)
    assert 0.2 < (air[shown][:, :, 4:].std() / picture[shown][:, :, 4:].std()) < 1


# --- what a step draws ------------------------------------------------------------------------------------------------


def test_extremes_of_parts() -> None:
    seen = torch.rand(3, 3, 2 * PARTS, 3 * PARTS)
    parts = seen.unfold(2, 2, 2).unfold(3, 3, 3).flatten(4).flatten(2, 3)  # (B, 3, PARTS^2, 6)
    expected = torch.stack([parts.amin(3), parts.amax(3)], dim=1).transpose(2, 3)
    pixels = recipe.extremes(seen)
    torch.testing.assert_close(recipe.ends_of(pixels.flatten(1, 2)), expected)
    colours = {tuple(colour) for colour in parts.movedim(1, -1).flatten(0, 2).tolist()}
    assert {tuple(colour) for colour in pixels.flatten(0, 2).tolist()} <= colours


def test_crops_know_the_place_of_each_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red counts columns and green rows, from -1 to 1: a crop maps its own places to these."""
    count, side = 60, 56
    monkeypatch.setattr(recipe, "DRAWN", 300)
    monkeypatch.setattr(recipe, "PIXELS", 40)

    def ramps(size: int) -> Tensor:
        line = (2 * torch.arange(size) + 1) / size / 2
        return torch.stack([line.expand(size, size), line[:, None].expand(size, size), 0 * line.expand(size, size)])

    photos = (255 * ramps(side)).repeat(count, 1, 1, 1)
    ends = torch.randint(256, (count, PARTS**2, 6, 3))
    pixels, guess, place = recipe.cropped(photos, ramps(14).repeat(count, 1, 1, 1), ends)
    torch.testing.assert_close(pixels[:, 300:], ends.flatten(1, 2) / 255)
    assert (pixels.shape, guess.shape, place.shape) == ((count, 396, 3), (count, 40, 3), (count, 396, 2))
    mirrored = 0
    for one, where, guessed in zip(pixels[:, :300], place, guess, strict=True):
        slopes = []
        for axis in (0, 1):
            own, there = where[:300, axis].numpy(), 2 * one[:, axis].numpy() - 1
            inner = np.abs(there) < 0.9
            slope, middle = np.polyfit(own[inner], there[inner], 1)
            np.testing.assert_allclose(there[inner], slope * own[inner] + middle, atol=1e-3)
            assert 0.85 - 1e-3 <= abs(slope) <= 1
            assert abs(slope) + abs(middle) <= 1 + 1e-3
            inner = np.abs(there[:40]) < 0.9
            np.testing.assert_allclose(2 * guessed[:, axis].numpy()[inner] - 1, there[:40][inner], atol=1e-3)
            slopes.append(slope)
        assert slopes[1] > 0
        mirrored += slopes[0] < 0
        line = np.array([-0.75, -0.25, 0.25, 0.75])
        parts = np.stack([np.tile(line * np.sign(slopes[0]), 4), np.repeat(line, 4)], axis=1).repeat(6, axis=0)
        np.testing.assert_allclose(where[300:], parts, atol=1e-6)
    assert 0.25 < mirrored / count < 0.75
    assert place[:, :300].min() < -0.95 < 0.95 < place[:, :300].max()


def test_mats_cover_a_share_of_the_area_from_the_corners_on() -> None:
    count = 300
    place = 2 * torch.rand(count, recipe.DRAWN + 96, 2) - 1
    truth, scan = torch.full((count, recipe.DRAWN + 96, 3), 0.5), torch.full((count, recipe.DRAWN + 96, 3), 0.4)
    same = recipe.in_mats(truth, scan, place, 0.0)
    assert torch.equal(same[0], truth)
    assert torch.equal(same[1], scan)
    mats, both = recipe.in_mats(truth, scan, place, 1.0)
    within = (both != 0.4).any(2)
    assert torch.equal(within, (mats != 0.5).any(2))
    torch.testing.assert_close(mats[within], both[within])
    drawn = within[:, : recipe.DRAWN]
    shares = drawn.float().mean(1)
    assert 0.05 <= shares.min() < 0.08
    assert 0.37 < shares.max() <= 0.41
    far = recipe.square_radius(place)[:, : recipe.DRAWN, 0]
    assert (far.masked_fill(~drawn, 9).amin(1) >= far.masked_fill(drawn, -9).amax(1)).all()
    black, white = (both < 0.06).all(2) & within, (both > 0.93).all(2) & within
    assert torch.equal(black | white, within)
    assert float(black.any(1).float().mean()) == pytest.approx(0.7, abs=0.08)
    assert not (black.any(1) & white.any(1)).any()
    assert 0.02 < within[:, recipe.DRAWN :].float().mean() < 0.5
    half = recipe.in_mats(truth, scan, place, 0.5)[1]
    assert float((half != 0.4).flatten(1).any(1).float().mean()) == pytest.approx(0.5, abs=0.1)


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

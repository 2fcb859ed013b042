"""Damage found: windows and sizes, and the forms of pictures."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.formula_detector import FormulaDetector, whites
from torch import Tensor

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.config import DetectorConfig
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.loading import Models
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.system.errors import Cancelled, InputError
from scoreinv.system.options import FOUND_GROW
from scoreinv.tasks.damage import (
    WORKING_SIDE,
    DamageOdds,
    damage_logits,
    damage_picture,
    found_note,
    kind_of,
    working_sizes,
)
from scoreinv.tasks.notes import info
from scoreinv.tasks.requests import DamageRequest, Inputs

SMALL = DetectorConfig(DetectorNetworkConfig(widths=(4, 4, 8, 8), coarse_width=8, regions=3), image_size=32)


class Bright(DamageDetector):
    """Finds what is brighter than 0.6, in whatever window it sees."""

    def __init__(self) -> None:
        small = SMALL.build()
        super().__init__(small.network, small.image_size, small.encoder)
        self.seen: list[tuple[int, ...]] = []

    def logits(self, pictures: Tensor) -> Tensor:
        self.seen.append(tuple(pictures.shape))
        assert pictures.shape[-1] % 32 == pictures.shape[-2] % 32 == 0
        return 10 * (pictures.mean(1, keepdim=True) - 0.6)


@pytest.fixture(scope="module")
def bright() -> Bright:
    return Bright()


def test_windows_cover_a_picture_once_and_leave_no_seam(bright):
    pixels = np.random.default_rng(0).random((901, 470)).astype(np.float32)
    logits = damage_logits(np.repeat(pixels[..., None], 3, axis=2), bright)
    np.testing.assert_allclose(logits, 10 * (pixels - 0.6), atol=1e-5)
    assert max(max(shape) for shape in bright.seen) <= 640


def test_the_last_row_and_column_are_repeated_to_the_sides_that_a_network_takes():
    class Seeing(Bright):
        def logits(self, pictures: Tensor) -> Tensor:
            assert pictures.shape[-2:] == (32, 64)
            assert (pictures[..., 20:, :] == pictures[..., 19:20, :]).all()
            assert (pictures[..., 40:] == pictures[..., 39:40]).all()
            return super().logits(pictures) - 10

    pixels = np.random.default_rng(0).random((20, 40, 3)).astype(np.float32)
    assert damage_logits(pixels, Seeing()).shape == (20, 40)


def test_a_window_is_seen_mirrored_too():
    class Sided(Bright):
        """Takes what is on the right for damage, whatever it is."""

        def logits(self, pictures: Tensor) -> Tensor:
            return torch.linspace(-4, 4, pictures.shape[-1]).expand(len(pictures), 1, *pictures.shape[-2:])

    np.testing.assert_allclose(damage_logits(np.zeros((32, 64, 3), np.float32), Sided()), 0, atol=1e-5)


def shades(odds: np.ndarray) -> np.ndarray:
    """Shades to which `Bright` gives these odds; the least is black."""
    return np.clip(0.6 + np.log(odds) / 10, 0, 1).astype(np.float32)


def test_a_mark_is_one_where_it_is_sure_somewhere(bright):
    odds = np.full((120, 180), 1e-3)
    odds[10, 10:50] = 1 / 15
    odds[10, 30] = 1.1  # of this line
    odds[20, 10:50] = 0.9  # nowhere sure
    odds[30, 10:50] = 1 / 17
    odds[30, 30] = 1.1  # not beyond this pixel
    steps = np.arange(40, 55)
    odds[steps, steps] = 1 / 15
    odds[54, 54] = 1.1  # along corners
    expected = np.zeros(odds.shape, bool)
    expected[10, 10:50] = expected[30, 30] = expected[steps, steps] = True
    np.testing.assert_array_equal(scoreinv.find_damage(shades(odds), model=bright, grow=0), expected)


@pytest.mark.parametrize("sensitivity", [0.3, 0.5, 0.9])
def test_sensitivity_moves_both_thresholds(bright, sensitivity):
    """Pairs of pixels are marked whose odds are more than those of the sensitivity, and than a sixteenth of these."""
    threshold = (1 - sensitivity) / sensitivity
    pairs = [(1 / 17, 0.95), (1 / 15, 0.95), (1 / 17, 1.05), (1 / 15, 1.05)]
    given = np.full((40, 90), 1e-4)
    for number, pair in enumerate(pairs, 1):
        given[20, 15 * number : 15 * number + 2] = threshold * np.array(pair)
    mask = scoreinv.find_damage(shades(given), model=bright, sensitivity=sensitivity, grow=0)
    np.testing.assert_array_equal(np.argwhere(mask), [[20, 46], [20, 60], [20, 61]])


def test_the_ends_of_sensitivity(bright):
    pixels = np.random.default_rng(1).random((40, 50)).astype(np.float32)
    assert not scoreinv.find_damage(pixels, model=bright, sensitivity=0).any()
    assert scoreinv.find_damage(pixels, model=bright, sensitivity=1).all()


def test_evidence_is_of_what_is_sure_and_of_all_around(bright):
    pixels = np.full((60, 90), 40, np.uint8)
    assert DamageOdds.of(Picture(pixels), bright).evidence(0.2) == -np.inf
    pixels[10, 10:50] = 230  # of log odds 3.0
    pixels[20:22, 10:15] = 205  # 2.0
    pixels[30, 10:50] = 160  # marked, and not sure
    weighed = 10 * ((40 * 230 + 10 * 205) / 50 / 255 - 0.6)
    around = 10 * (40 / 255 - 0.6)
    expected = weighed + np.log(40) + np.log1p(np.exp(-around))
    assert DamageOdds.of(Picture(pixels), bright).evidence(0.2) == pytest.approx(expected, abs=1e-3)
    assert DamageOdds.of(Picture(np.full((60, 90), 255, np.uint8)), bright).evidence(0.2) < 16  # and nothing around


def test_odds_at_smaller_sizes_are_a_seventh(bright):
    small, large = DamageOdds.of(Picture(np.full((400, 800), 140, np.uint8)), bright).logits
    assert (small.shape, large.shape) == ((200, 400), (400, 800))
    np.testing.assert_allclose(large.mean() - small, np.log(7), atol=1e-3)


def test_a_large_scan_is_looked_at_reduced_and_marked_at_its_own_size(bright):
    pixels = np.zeros((2 * WORKING_SIDE, 300), np.uint8)
    pixels[1000:1040, 100:140] = 255
    bright.seen.clear()
    mask = damage_picture(Inputs(Picture(pixels)), DamageRequest(), Models(damage=bright)).damage
    assert working_sizes(pixels.shape) == [(WORKING_SIDE, 150), (WORKING_SIDE // 2, 75), (WORKING_SIDE // 4, 37)]
    assert sum(shape[-1] > 192 for shape in bright.seen) == 0  # 150 wide, not 300
    assert mask.shape == pixels.shape
    np.testing.assert_array_equal(mask[1002:1038, 102:138], True)
    mask[992:1048, 92:148] = False  # a pixel of the smallest size around it
    assert not mask.any()


def test_masks_are_given_back_in_the_form_of_the_picture(bright):
    gray = np.zeros((40, 50), np.uint8)
    gray[10:20, 10:30] = 255
    expected = dilate(gray > 0, FOUND_GROW)
    colour = np.repeat(gray[..., None], 3, axis=2)
    for pixels in (gray, colour, gray.astype(np.float32) / 255, colour.astype(np.uint16) * 257):
        mask = scoreinv.find_damage(pixels, model=bright)
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, expected)
    image = scoreinv.find_damage(Image.fromarray(colour), model=bright)
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), np.where(expected, 255, 0))
    batch = torch.from_numpy(colour / 255.0).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    masks = scoreinv.find_damage(batch, model=bright)
    assert (masks.shape, masks.dtype) == ((2, 1, 40, 50), batch.dtype)
    np.testing.assert_array_equal(masks[1, 0].numpy(), expected)
    assert scoreinv.find_damage(batch[0], model=bright).shape == (1, 40, 50)


def test_refusals_of_damage(bright):
    pixels = np.zeros((40, 50), np.uint8)
    with pytest.raises(InputError, match="sensitivity must"):
        scoreinv.find_damage(pixels, model=bright, sensitivity=1.5)
    with pytest.raises(InputError, match="grow must"):
        scoreinv.find_damage(pixels, model=bright, grow=-1)
    with pytest.raises(InputError, match="model must be one from"):
        scoreinv.find_damage(pixels, model=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="callback"):
        scoreinv.find_damage(pixels, model=bright, callback=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"supports .*, not torch\.float16"):
        bright.to(torch.half)
    assert {value.dtype for value in bright.encoder.parameters()} <= {torch.float32}  # as before
    with pytest.raises(Cancelled):
        scoreinv.find_damage(pixels, model=bright, callback=lambda _: False)


def test_a_picture_of_one_pixel_is_looked_at(bright):
    assert not scoreinv.find_damage(np.zeros((1, 1), np.uint8), model=bright).any()


def test_notes_tell_the_share_and_the_corners_of_damage(bright):
    pixels = np.zeros((40, 50), np.uint8)
    clean = damage_picture(Inputs(Picture(pixels)), DamageRequest(sensitivity=0.4), Models(damage=bright))
    (note,) = clean.notes
    assert (note.code, note.level, note.values) == ("damage_none", "warning", {"sensitivity": 0.4})
    assert not clean.image.pixels.any()
    pixels[:10, :30] = pixels[-5:, -5:] = 255
    marked = damage_picture(Inputs(Picture(pixels)), DamageRequest(grow=0), Models(damage=bright))
    (note,) = marked.notes
    share = pytest.approx((pixels > 0).mean())
    assert (note.code, note.level) == ("damage_found", "info")
    assert note.values == {"share": share, "sensitivity": 0.5, "corners": 2}
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        alone = np.zeros((4, 5), bool)
        alone[corner] = True
        assert found_note(alone, sensitivity=0.5) == info("damage_found", share=0.05, sensitivity=0.5, corners=1)
    np.testing.assert_array_equal(marked.image.pixels, pixels)
    assert marked.figures() == {"damaged": pytest.approx((pixels > 0).mean(), abs=1e-6)}


def test_the_rim_of_damage_of_an_enlarged_picture_is_as_wide_as_it_is_soft():
    """At twice the size a coloured rim of twice the width belongs to the scratch of a grey picture."""
    tones = 120 + 80 * np.sin(np.arange(800) / 60)
    pixels = np.repeat(np.tile(tones, (96, 1))[..., None], 3, axis=2).astype(np.uint8)
    pixels[44 - 2 * FOUND_GROW : 48 + 2 * FOUND_GROW, :, 2] //= 2
    pixels[44:48] = 255
    assert kind_of(Picture(pixels), Models(damage=FormulaDetector(whites))) == "grey"

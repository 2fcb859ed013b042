"""Scans finer than what they show: how many times, and that a hole's values come back from the smaller size."""

import numpy as np
import pytest
from PIL import Image

from scoreinv.analysis.effective_resolution import enlarged_fills, oversampling, reduced
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.resizing import touched_blocks
from scoreinv.training.data.pictures import BUILTIN

PHOTO = Image.open(sorted(BUILTIN.glob("*.jpg"))[3]).convert("RGB").resize((130, 100))


@pytest.mark.parametrize("factor", [1, 2])
def test_a_scan_is_told_from_a_photograph_that_was_enlarged(factor):
    pixels = np.asarray(PHOTO.resize((factor * 400 + 3, factor * 300 + 1), Image.Resampling.BICUBIC)).copy()
    hole = np.zeros(pixels.shape[:2], bool)
    hole[40:43, 10:340] = True
    pixels[hole] = 255  # what lies in the hole does not count
    assert oversampling(Picture(pixels), hole) == factor
    grainy = pixels + np.random.default_rng(0).integers(-6, 7, pixels.shape)
    assert oversampling(Picture(grainy.clip(0, 255).astype(np.uint8)), hole) == 1


@pytest.mark.parametrize(("side", "factor"), [(767, 1), (768, 2), (1535, 2), (1536, 4), (3072, 8), (6144, 8)])
def test_the_longer_side_limits_the_reduction(side, factor):
    flat, hole = np.full((40, side), 99, np.uint8), np.zeros((40, side), bool)
    for pixels, holes in ((flat, hole), (flat.T, hole.T)):
        assert oversampling(Picture(pixels), holes) == factor
        assert oversampling(Picture(pixels), ~holes) == 1


def test_the_ends_of_strips_are_not_detail() -> None:
    """Steep there, where each strip is enlarged without the next one."""
    waves = 128 + 100 * np.sin((np.arange(520) - 256) / 8)
    picture = Picture(np.rint(waves).astype(np.uint8)[:, None].repeat(800, 1))
    assert oversampling(picture, np.zeros(picture.size, bool)) == 2


@pytest.mark.parametrize("shape", [(300, 41), (300, 41, 3)])
def test_a_reduced_fill_comes_back_in_its_hole(shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    smooth = 0.5 + 0.3 * np.sin(rows / 40) * np.cos(columns / 30)
    picture = Picture((smooth if len(shape) == 2 else np.repeat(smooth[..., None], 3, 2)).astype(np.float32))
    hole = np.zeros(shape[:2], bool)
    hole[251:262, 7:30] = hole[290:, 39:] = True
    small = reduced(picture, 4)
    assert (small.size, small.mode) == ((75, 11), picture.mode)
    blocks = touched_blocks(hole, 4)
    assert blocks.shape == small.size
    assert (blocks.repeat(4, 0).repeat(4, 1)[:300, :41] >= hole).all()
    assert blocks.sum() == 4 * 7 + 3 * 2
    broken = Picture(np.where(hole if len(shape) == 2 else hole[..., None], np.float32(0), picture.pixels))
    again = broken.with_fills(enlarged_fills(small, broken, hole, 4)).pixels
    assert abs(again - picture.pixels).max() < 0.01
    assert (again == picture.pixels)[~hole].all()

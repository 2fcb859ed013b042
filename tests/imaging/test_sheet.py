"""Words under a picture, and the map of a standard deviation with its scale."""

import numpy as np
import pytest

from scoreinv.imaging.opencv import viridis
from scoreinv.imaging.sheet import captioned, contact_sheet, deviation_map, sheet_size


@pytest.mark.parametrize("shape", [(20, 300, 3), (20, 300), (5, 3, 3), (5, 3)])
def test_a_caption_leaves_the_picture_as_it_is(shape):
    pixels = np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)
    shown = captioned(pixels, "cifar10, horse, seed 0")
    assert (shown[: shape[0], : shape[1]] == pixels).all()
    assert shown.shape[2:] == pixels.shape[2:]
    assert (shown[: shape[0], shape[1] :] == 0).all()
    words = shown[shape[0] :]
    assert words.max() > 200  # letters
    assert (words[0] == 0).all()  # all of them: none is cut at the edges
    assert (words[-1] == 0).all()
    assert (words[:, -1] == 0).all()
    assert shape[1] >= 300 or shown.shape[1] < 200  # no wider than they need


@pytest.mark.opencv
def test_a_map_of_few_pixels_is_scaled_to_their_largest_deviation():
    std = np.zeros((30, 40))
    std[3, 5], std[4, 6] = 0.1, 0.05
    shown = deviation_map(std)
    assert (shown[0, 0] == viridis(np.array(0.0))).all()
    assert (shown[3, 5] == viridis(np.array(1.0))).all()
    assert (shown[4, 6] == viridis(np.array(0.5))).all()
    assert (shown[30, [0, 39]] == viridis(np.array([0.0, 1.0]))).all()  # the scale below
    assert (deviation_map(2 * std)[:41, :40] == shown[:41, :40]).all()


def test_a_sheet_has_its_pictures_row_by_row():
    rng = np.random.default_rng(0)
    for _ in range(30):
        count, (height, width), channels = int(rng.integers(1, 12)), rng.integers(1, 6, 2).tolist(), rng.choice((1, 3))
        columns = [None, int(rng.integers(1, 6))][rng.integers(2)]
        pictures = rng.integers(1, 255, (count, height, width, channels), dtype=np.uint8)
        sheet = contact_sheet(pictures, columns)
        assert sheet.shape[:2] == sheet_size(count, (height, width), columns)
        across = sheet.shape[1] // width
        assert across == columns if columns else 0 <= across**2 - count < 2 * across
        for number, picture in enumerate(pictures):
            top, left = number // across * height, number % across * width
            np.testing.assert_array_equal(np.atleast_3d(sheet)[top : top + height, left : left + width], picture)
        assert np.count_nonzero(sheet) == pictures.size

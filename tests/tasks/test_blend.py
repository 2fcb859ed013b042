"""Opacity of a result, and the soft edge of a fill."""

import numpy as np
import pytest
from support.client import hole, pixels

from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError, SettingError
from scoreinv.tasks.blend import blend_result


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opacity_weights_the_result(dtype: type) -> None:
    before, after = Picture(pixels(dtype=dtype)), Picture(pixels(dtype=dtype)[::-1].copy())
    half = blend_result(before, after, 0.5).pixels.astype(float)
    mean = (before.pixels.astype(float) + after.pixels) / 2
    assert half.dtype == float
    assert abs(half - mean).max() <= 0.51
    assert (blend_result(before, after, 1.0).pixels == after.pixels).all()
    assert (blend_result(before, after, 0.0).pixels == before.pixels).all()


def test_a_soft_edge_lies_within_the_hole() -> None:
    before, after = Picture(np.zeros((24, 40, 3), np.uint8)), np.zeros((24, 40, 3), np.uint8)
    after[hole()] = 250
    after[0, 0] = 99  # redrawn beside the hole
    soft = blend_result(before, Picture(after), 1.0, hole(), 1).pixels
    assert (soft[~hole()] == after[~hole()]).all()
    assert (soft[8, 10:17] == 125).all()  # the edge has half of the result
    assert (soft[9:12, 11:16] == 250).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_coloured_result_of_a_grey_photograph(channels: int) -> None:
    before, after = Picture(pixels(channels)), Picture(pixels(channels + 2))
    blended, planes = blend_result(before, after, 0.0).pixels, np.atleast_3d(before.pixels)
    assert (blended[..., :3] == planes[..., :1]).all()
    assert (blended[..., 3:] == planes[..., 1:]).all()


def test_other_sizes_and_settings_are_refused() -> None:
    before, after = Picture(pixels()), Picture(pixels(height=48))
    with pytest.raises(InputError):
        blend_result(before, after, 0.5)
    for settings in ({"opacity": 1.1}, {"feather": -1}):
        with pytest.raises(SettingError):
            blend_result(before, before, **settings)

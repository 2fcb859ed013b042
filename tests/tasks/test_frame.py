"""Turning, straightening and cropping."""

import numpy as np
import pytest
from client import pixels

from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError, SettingError
from scoreinv.tasks.frame import crop_picture, cut_border, straighten_picture, turn_picture


@pytest.mark.parametrize("channels", [1, 4])
def test_quarter_turns_keep_all_pixels(channels: int) -> None:
    picture = Picture(pixels(channels))
    turned = turn_picture(picture, 1)
    assert (turned.pixels[0, -1] == picture.pixels[0, 0]).all()  # clockwise
    assert (turn_picture(turned, -1).pixels == picture.pixels).all()
    assert (turn_picture(picture, 4).pixels == picture.pixels).all()


@pytest.mark.opencv
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("degrees", [-7.0, 3.0])
def test_straightening_turns_a_slope_level(dtype: type, degrees: float) -> None:
    """A horizon that rises to the right by some degrees is level after as many degrees clockwise, without corners."""
    y, x = np.mgrid[:120, :160] - np.array([59.5, 79.5])[:, None, None]
    below = y + np.tan(np.radians(degrees)) * x > 0
    peak = np.iinfo(dtype).max
    picture = Picture(np.where(below, peak, peak // 3).astype(dtype))
    level = straighten_picture(picture, degrees).pixels
    half = level.shape[0] / 2
    assert level.shape[0] / level.shape[1] == pytest.approx(120 / 160, abs=0.01)
    assert (level[: int(half) - 2] == peak // 3).all()
    assert (level[int(half) + 3 :] == peak).all()
    assert straighten_picture(picture, 0) is picture
    with pytest.raises(SettingError):
        straighten_picture(picture, 46)


def test_a_crop_is_clipped_to_the_picture() -> None:
    picture = Picture(pixels())
    assert (crop_picture(picture, (3.6, 2.2, 10, 5)).pixels == picture.pixels[2:7, 4:14]).all()
    assert (crop_picture(picture, (-5, -5, 10, 10)).pixels == picture.pixels[:5, :5]).all()
    with pytest.raises(SettingError):
        crop_picture(picture, (100, 0, 10, 10))


def test_a_paper_border_is_cut_off() -> None:
    array = np.full((200, 300), 240, np.uint8)
    array[12:-12, 12:-12] = np.random.default_rng(0).integers(0, 200, (176, 276))
    assert abs(np.subtract(cut_border(Picture(array)).size, (176, 276))).max() <= 6
    with pytest.raises(InputError):
        cut_border(Picture(array[20:-20, 20:-20].copy()))

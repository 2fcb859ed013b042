"""Turning, straightening and cropping."""

import numpy as np
import pytest
from scipy import ndimage
from support.client import pixels

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


@pytest.mark.opencv
@pytest.mark.parametrize("degrees", [-45.0, 8.0, 30.0])
def test_straightening_turns_about_the_middle(degrees: float) -> None:
    """A picture that stands on its head gives the result that stands on its head."""
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 81)), 2)
    values = np.rint(128 + 400 * grain.clip(-0.3, 0.3)).astype(np.uint8)
    one, other = (straighten_picture(Picture(each.copy()), degrees).pixels for each in (values, values[::-1, ::-1]))
    assert abs(one.astype(int) - other[::-1, ::-1]).max() <= 3


@pytest.mark.opencv
@pytest.mark.parametrize("turns", [0, 1])
def test_straightening_of_a_long_strip(turns: int) -> None:
    """OpenCV 4 refuses sides above 32,766 pixels."""
    degrees, (height, width) = 0.05, (60, 33_000)
    y, x = np.mgrid[:height, :width]
    picture = turn_picture(Picture(np.rint(128 + 60 * np.sin(x / 40) + y / 2).astype(np.uint8)), turns)
    level = turn_picture(straighten_picture(picture, degrees), -turns).pixels
    high, wide = level.shape
    assert wide > 16_384
    y, x = np.mgrid[:high, :wide] - np.array([(high - 1) / 2, (wide - 1) / 2])[:, None, None]
    angle = np.radians(degrees)
    across = (width - 1) / 2 + x * np.cos(angle) + y * np.sin(angle)
    down = (height - 1) / 2 - x * np.sin(angle) + y * np.cos(angle)
    assert abs(128 + 60 * np.sin(across / 40) + down / 2 - level).max() <= 2


def test_a_crop_is_clipped_to_the_picture() -> None:
    picture = Picture(pixels())
    assert (crop_picture(picture, (3.6, 2.2, 10, 5)).pixels == picture.pixels[2:7, 4:14]).all()
    assert (crop_picture(picture, (-5, -5, 10, 10)).pixels == picture.pixels[:5, :5]).all()
    for box in ((3, 2, 1, 5), (3, 2, 5, 1)):
        assert crop_picture(picture, box).size == box[:1:-1]
    for box in ((100, 0, 10, 10), (0, 40, 10, 10), (float("nan"), 0, 10, 10)):
        with pytest.raises(SettingError):
            crop_picture(picture, box)


def test_a_paper_border_is_cut_off() -> None:
    array = np.full((200, 300), 240, np.uint8)
    array[12:-12, 12:-12] = np.random.default_rng(0).integers(0, 200, (176, 276))
    assert abs(np.subtract(cut_border(Picture(array)).size, (176, 276))).max() <= 6
    with pytest.raises(InputError):
        cut_border(Picture(array[20:-20, 20:-20].copy()))

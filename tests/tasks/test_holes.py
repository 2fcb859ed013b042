"""Classical fills: known pixels, the libraries' own results, blocks, and what does not go with them."""

import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.system.errors import SettingError
from scoreinv.tasks.holes import inpaint_picture
from scoreinv.tasks.outcome import InpaintOutcome
from scoreinv.tasks.requests import InpaintRequest, Inputs

pytestmark = pytest.mark.opencv

METHODS = ("telea", "navier-stokes", "biharmonic")


def fill_classically(picture: Picture, hole: np.ndarray, method: str) -> InpaintOutcome[Picture]:
    return inpaint_picture(Inputs(picture, hole), InpaintRequest(method=method), Models())


def smooth(height: int, width: int) -> np.ndarray:
    """A smooth picture in colour, float in [0, 1]."""
    y, x = np.mgrid[:height, :width] / 20
    return np.stack([0.5 + 0.4 * np.sin(x + k) * np.cos(y - k) for k in range(3)], axis=-1)


def spots(height: int, width: int) -> np.ndarray:
    """Holes: scratches, a box, corners."""
    hole = np.zeros((height, width), bool)
    hole[height // 2, 3:-3] = hole[5:-5, width // 3] = True
    hole[height // 4 :, width // 2 :][:9, :12] = True
    hole[:3, :4] = hole[-2:, -5:] = True
    return hole


def in_mode(mode: str, dtype: np.dtype) -> np.ndarray:
    rgb = smooth(60, 70)
    colours = rgb[..., :1] if mode in ("L", "LA") else rgb
    alpha = np.random.default_rng(0).random((60, 70, 1))
    values = np.concatenate([colours, alpha], -1) if mode.endswith("A") else colours
    values = values[..., 0] if mode == "L" else values
    return np.rint(values * np.iinfo(dtype).max).astype(dtype) if dtype.kind == "u" else values.astype(dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("mode", "dtype"), [("L", "u1"), ("LA", "f4"), ("RGB", "f8"), ("RGBA", "u2")])
def test_known_pixels_are_bit_identical_in_every_mode_and_type(method, mode, dtype):
    before, hole = in_mode(mode, np.dtype(dtype)), spots(60, 70)
    kept = before.copy()
    before[hole] = 0  # what stands in a hole is not looked at
    result = fill_classically(Picture(before), hole, method)
    after = result.image.pixels
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    assert (after[~hole] == before[~hole]).all()
    peak = np.iinfo(dtype).max if dtype[0] == "u" else 1
    off = np.abs(after[hole].astype(float) - kept[hole]) / peak
    if mode.endswith("A"):
        assert (after[..., -1] == before[..., -1]).all()
        off = off[..., :-1]
    assert off.mean() < 0.02  # it is a smooth picture
    assert (result.nfe, result.method, result.std, len(result.samples)) == (0, method, None, 1)


@pytest.mark.parametrize(("method", "flag"), [("telea", "INPAINT_TELEA"), ("navier-stokes", "INPAINT_NS")])
def test_fills_are_those_of_opencv(method, flag):
    import cv2

    picture = np.random.default_rng(0).integers(0, 256, (120, 150, 3)).astype(np.uint8)
    hole = spots(120, 150)
    filled = scoreinv.inpaint(picture, hole, method=method).image
    for c in range(3):  # of 16 bits, channel by channel
        levels = cv2.inpaint(picture[..., c].astype(np.uint16) * 257, hole.astype(np.uint8), 3, getattr(cv2, flag))
        assert (filled[..., c] == np.rint(levels / 257)).all()


def test_biharmonic_fills_are_those_of_scikit_image():
    picture = np.random.default_rng(0).integers(0, 65536, (120, 150, 3)).astype(np.uint16)
    hole = spots(120, 150)
    filled = scoreinv.inpaint(picture, hole, method="biharmonic").image
    expected = inpaint_biharmonic(picture.astype(float), hole, channel_axis=-1)
    assert np.abs(filled - expected)[hole].max() < 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (3, 3)])
def test_the_smallest_pictures(method, size):
    before, hole = np.full(size, 90, np.uint8), np.zeros(size, bool)
    hole[0, 0] = True
    assert abs(int(fill_classically(Picture(before), hole, method).image.pixels[0, 0]) - 90) <= 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("samples", 2), ("steps", 10), ("estimate", "mean"), ("start", 1.0), ("prior", object()), ("prior", "photo")],
)
def test_settings_of_models_are_refused(setting, value):
    with pytest.raises(SettingError, match="telea") as caught:
        scoreinv.inpaint(smooth(9, 9), spots(9, 9), method="telea", **{setting: value})
    assert caught.value.setting == setting


def test_other_methods_need_a_model():
    with pytest.raises(SettingError, match=r"prior must be one from scoreinv\.load, or its name, not 5"):
        scoreinv.inpaint(smooth(9, 9), spots(9, 9), prior=5, method="pc")
    with pytest.raises(SettingError, match="method must be conditioned, pc, telea, navier-stokes or biharmonic"):
        scoreinv.inpaint(smooth(9, 9), spots(9, 9), method="magic")
    with pytest.raises(SettingError, match="method must be conditioned or pc"):
        scoreinv.colorize(smooth(9, 9), prior=None, method="telea")

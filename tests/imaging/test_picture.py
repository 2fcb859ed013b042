"""Results written into a picture: known samples untouched, luma kept."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Fill, Picture, check_megapixels
from scoreinv.imaging.resizing import scaled
from scoreinv.operators.luma import GRAY_WEIGHTS, luma_weights
from scoreinv.system.errors import InputError

MODES = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}
TYPES = [np.uint8, np.uint16, np.float32]


def picture(mode: str, dtype: type, height: int = 40, width: int = 30) -> Picture:
    rng = np.random.default_rng(3)
    values = rng.random((height, width, *MODES[mode]))
    peak = 1 if dtype == np.float32 else np.iinfo(dtype).max
    return Picture((values * peak).astype(dtype), Metadata(icc=b"profile"))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode", MODES)
def test_a_fill_changes_only_its_holes(mode, dtype):
    given = picture(mode, dtype)
    before = given.pixels.copy()
    rng = np.random.default_rng(0)
    box = (10, 4, 16, 20)
    hole = rng.random((16, 20)) < 0.4
    rgb = rng.random((16, 20, 3)).astype(np.float32) * 1.2 - 0.1  # values outside are clipped
    filled = given.with_fills([Fill(box, hole, rgb)])
    assert_array_equal(given.pixels, before)
    assert filled.pixels.dtype == dtype
    whole = np.zeros(given.size, dtype=bool)
    whole[10:26, 4:24] = hole
    assert_array_equal(filled.pixels[~whole], before[~whole])
    if given.has_alpha:
        assert_array_equal(filled.pixels[..., -1], before[..., -1])
    values = rgb[hole]
    written = filled.pixels[10:26, 4:24][hole].astype(np.float64) / given.peak
    half_level = 0.5 / given.peak if dtype != np.float32 else 0
    if given.is_gray_mode:
        gray = written if mode == "L" else written[:, 0]
        assert_allclose(gray, np.clip(values @ [0.299, 0.587, 0.114], 0, 1), atol=half_level + 1e-6)
    else:
        assert_allclose(written[:, :3], np.clip(values, 0, 1), atol=half_level + 1e-6)
    assert filled.metadata is given.metadata


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", GRAY_WEIGHTS)
def test_colorized_keeps_the_luma_exactly_and_alpha(mode, dtype, weights):
    given = picture(mode, dtype, 300, 40)
    rgb = np.random.default_rng(1).random((300, 40, 3)).astype(np.float32)
    coloured = given.colorized(rgb, weights)
    assert coloured.mode == ("RGBA" if given.has_alpha else "RGB")
    assert coloured.pixels.dtype == dtype
    levels = coloured.pixels[..., :3].astype(np.float64) @ luma_weights(weights)
    if given.is_gray_mode:
        gray = given.pixels if mode == "L" else given.pixels[..., 0]
        if dtype == np.float32:
            assert_allclose(levels, gray, atol=1e-6)
        else:
            assert_array_equal(np.rint(levels), gray)
    else:
        own = given.pixels[..., :3].astype(np.float64) @ luma_weights(weights)
        assert np.abs(levels - own).max() < (0.51 if dtype != np.float32 else 1e-6)
    if given.has_alpha:
        assert_array_equal(coloured.pixels[..., -1], given.pixels[..., -1])
    assert coloured.metadata.icc == (None if given.is_gray_mode else b"profile")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(31, 17), (1, 1), (900, 40)])
def test_resizing_in_bands_is_resizing(mode, size):
    given = picture(mode, np.uint16, 701, 40)
    expected = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], Image.HAMMING))
        for plane in np.moveaxis(given.rgb(), -1, 0)
    ]
    assert_allclose(given.resized_rgb(*size), np.stack(expected, axis=-1), atol=1e-5)
    assert Picture(np.full((9, 7), 1 + 5e-7, np.float32)).resized_rgb(3, 4).max() == 1  # arrays may have such values


@pytest.mark.parametrize("shape", [(0, 4), (4,), (4, 4, 1), (4, 4, 5), (1, 4, 4, 3)])
def test_other_shapes_are_no_pictures(shape):
    with pytest.raises(InputError):
        Picture(np.zeros(shape, np.uint8))


def test_other_samples_are_refused():
    with pytest.raises(InputError, match="samples must be uint8, uint16 or float"):
        Picture(np.zeros((4, 4), np.int32))


def test_is_gray():
    gray = np.random.default_rng(0).integers(0, 245, (600, 8, 1), dtype=np.uint8)
    rgb = np.repeat(gray, 3, axis=2)
    assert Picture(rgb).is_gray()
    assert Picture(np.dstack([rgb, gray[::-1]])).is_gray()  # alpha does not matter
    assert Picture(gray[..., 0]).is_gray()
    assert Picture(np.dstack([gray, gray[::-1]])).is_gray()
    rgb[599, 7, 2] += 5  # as a JPEG leaves
    assert Picture(rgb).is_gray()
    rgb[599, 7, 2] += 1
    assert not Picture(rgb).is_gray()
    assert not Picture((rgb / 255).astype(np.float32)).is_gray()
    assert Picture(rgb).is_gray(np.ones((600, 8), bool) & ~(np.arange(8) == 7))


@pytest.mark.parametrize("dtype", TYPES)
def test_an_enlarged_picture_is_black_with_interpolated_alpha(dtype):
    peak = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = np.full((6, 8, 2), peak, dtype)
    pixels[:, :4, 1] = 0
    large = Picture(pixels, Metadata(icc=b"profile", dpi=(300.0, 200.0))).blank_enlarged(3)
    assert (large.size, large.mode, large.pixels.dtype) == ((18, 24), "LA", dtype)
    assert (large.metadata.icc, large.metadata.dpi) == (b"profile", (900.0, 600.0))
    assert not large.pixels[..., 0].any()
    alpha = large.pixels[..., 1].astype(np.float64) / peak
    assert_array_equal(alpha[:, :11], 0)  # the cubic's overshoots are clipped
    assert_allclose(alpha[:, 11:13], [[8 / 27, 19 / 27]] * 18, atol=0.5 / 255)
    assert_array_equal(alpha[:, 13:], 1)
    assert Picture(pixels[..., 0]).blank_enlarged(2).metadata.dpi is None


def test_pictures_have_at_most_400_megapixels():
    check_megapixels(20_000, 20_000, "large")
    with pytest.raises(InputError, match="larger: 20001x20000 is 400 megapixels, the limit is 400"):
        check_megapixels(20_001, 20_000, "larger")
    with pytest.raises(InputError, match="the picture, enlarged 20001 times"):
        Picture(np.zeros((1, 1), np.uint8)).blank_enlarged(20_001)
    assert (scaled((30, 50), 0.5), scaled((3, 500), 0.1)) == ((15, 25), (1, 50))

"""What a scratch does to a JPEG beside it is taken out, in whatever orientation and sampling."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from scoreinv.analysis.jpeg import RIM, without_smears
from scoreinv.files.read import read_picture
from scoreinv.imaging.metadata import orient
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tone_curves import ToneCurves, with_tones

HEIGHT, WIDTH = 100, 148  # no multiple of a unit of blocks
LUMA = np.array([0.299, 0.587, 0.114])


def scratched() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene of shades and an edge, the same with a blue scratch, and where that is."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)), 1)
    shade = 140 + 40 * np.sin(across / 30) + 20 * np.cos(down / 11) + 30 * grain - 50 * (across > 90)
    truth = np.clip(np.stack([1.1 * shade, shade, 0.7 * shade], axis=-1), 0, 255).astype(np.uint8)
    line = Image.new("1", (WIDTH, HEIGHT))
    ImageDraw.Draw(line).line((5, 20, 140, 85), fill=1, width=3)
    hole = np.asarray(line)
    damaged = truth.copy()
    damaged[hole] = (40, 60, 200)
    return truth, damaged, hole


def as_jpeg(pixels: np.ndarray, *, quality: int = 80, subsampling: int = 2, orientation: int = 1) -> bytes:
    """A JPEG that shows these pixels when it is oriented."""
    exif = Image.Exif()
    exif[274] = orientation
    stored = orient(pixels, {6: 8, 8: 6}.get(orientation, orientation))
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "JPEG", quality=quality, subsampling=subsampling, exif=exif)
    return file.getvalue()


def ring(hole: np.ndarray, least: int, most: int) -> np.ndarray:
    """The pixels from `least` to `most` beside a hole."""
    return ndimage.maximum_filter(hole, 2 * most + 1) & ~ndimage.maximum_filter(hole, 2 * least - 1)


def error(pixels: np.ndarray, truth: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Rms in levels, of luma and of the colours beyond it."""
    wrong = (pixels.astype(float) - truth)[where]
    luma = wrong @ LUMA
    return float(np.sqrt(np.mean(luma**2))), float(np.sqrt(np.mean((wrong - luma[:, None]) ** 2)))


@pytest.mark.parametrize(
    ("orientation", "subsampling"),
    [(1, 1), (1, 2), (6, 2), *(pytest.param(each, 2, marks=pytest.mark.slow) for each in (2, 3, 4, 5, 7, 8))],
)
def test_a_rim_has_half_the_error_or_less_in_every_orientation(orientation: int, subsampling: int) -> None:
    truth, damaged, hole = scratched()
    picture = read_picture(as_jpeg(damaged, subsampling=subsampling, orientation=orientation))
    shown, kept = without_smears(picture, hole)
    rim = ring(hole, 1, 2)
    luma, chroma = error(picture.pixels, truth, rim)
    assert error(shown.pixels, truth, rim)[0] < 0.8 * luma
    assert error(shown.pixels, truth, rim)[1] < 0.5 * chroma
    assert error(kept.pixels, truth, rim)[0] < 0.8 * luma
    assert error(kept.pixels, truth, rim)[1] < 0.5 * chroma
    known_otherwise = ~hole & ~ring(hole, 1, RIM)
    for each in (shown, kept):
        assert (each.pixels[known_otherwise] == picture.pixels[known_otherwise]).all()
        assert (each.pixels[hole] == picture.pixels[hole]).all()


def test_a_scratch_on_a_textured_scene_is_found() -> None:
    truth, _, hole = scratched()
    grain = np.random.default_rng(1).normal(0, 25, (HEIGHT, WIDTH, 1))
    truth = np.clip(truth + grain, 1, 254).astype(np.uint8)
    damaged = truth.copy()
    damaged[hole] = (60, 60, 220)
    picture = read_picture(as_jpeg(damaged))
    _, kept = without_smears(picture, hole)
    rim = ring(hole, 1, 2)
    assert error(kept.pixels, truth, rim)[1] < 0.5 * error(picture.pixels, truth, rim)[1]


def test_pictures_without_a_smear_stay() -> None:
    truth, damaged, hole = scratched()
    fine = read_picture(as_jpeg(damaged, quality=95, subsampling=0))
    healthy = read_picture(as_jpeg(truth))
    gray = read_picture(as_jpeg(np.rint(truth @ LUMA).astype(np.uint8)))
    for picture in (fine, healthy, gray):
        assert without_smears(picture, hole)[1] is picture
    smeared = read_picture(as_jpeg(damaged))
    assert without_smears(smeared, hole)[1] is not smeared


def test_gray_pictures_lose_the_ringing_of_a_scratch() -> None:
    truth, damaged, hole = scratched()
    truth, damaged = (np.rint(rgb @ LUMA).astype(np.uint8) for rgb in (truth, damaged))
    damaged[hole] = 255
    picture = read_picture(as_jpeg(damaged, quality=75))
    before, *redrawn = (
        np.sqrt(np.mean((each.pixels.astype(float) - truth)[ring(hole, 1, 2)] ** 2))
        for each in (picture, *without_smears(picture, hole))
    )
    assert max(redrawn) < 0.8 * before


def test_changed_tones_and_damage_painted_after_decompression_have_no_smears() -> None:
    truth, damaged, hole = scratched()
    picture = read_picture(as_jpeg(damaged))
    painted = read_picture(as_jpeg(truth)).pixels.copy()
    painted[hole] = (40, 60, 255)
    ends = np.array([0.1, 0.9])[:, None].repeat(3, axis=1)
    curves = ToneCurves(np.full(3, 0.05), np.full(3, 0.95), np.full(3, 0.7), *ends)
    for changed in (Picture(painted), with_tones(picture, curves), picture.covered(hole)):
        shown, kept = without_smears(changed, hole)
        assert (shown.pixels == changed.pixels).all()
        assert kept is changed


def test_a_picture_that_no_jpeg_quantised_stays() -> None:
    _, damaged, hole = scratched()
    picture = Picture(damaged)
    assert without_smears(picture, hole) == (picture, picture)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (5, 11)])
def test_a_former_jpeg_is_treated_as_the_file_is(top: int, left: int) -> None:
    _, damaged, hole = scratched()
    picture = read_picture(as_jpeg(damaged))
    hole = hole[top:, left:]
    shown, kept = without_smears(picture, np.pad(hole, ((top, 0), (left, 0))))
    for pixels in (picture.pixels, picture.pixels / np.float32(255)):
        found = without_smears(Picture(np.ascontiguousarray(pixels[top:, left:])), hole)
        inside = np.s_[8:, 8:]  # a crop lacks what lies beyond its border
        for one, other in zip(found, (shown, kept), strict=True):
            apart = one.rgb()[inside] - other.rgb()[top:, left:][inside]
            assert np.abs(apart[~hole[inside]]).mean() < 0.2 / 255

"""Noise of cameras: its estimate, its removal, and the share that is kept."""

import numpy as np
import pytest
from PIL import Image

import scoreinv
from pretrained.noise.synthetic_noise import camera, draw_noisy
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.system.errors import SettingError
from scoreinv.system.files import PRETRAINED
from scoreinv.tasks.noise import estimate_noise, std_of_white

PHOTO = PRETRAINED.parent / "examples" / "photos" / "tulips.jpg"
SIDE = 128


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    return -10 * np.log10(np.square(image / 255 - clean).mean())


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A photograph with the noise of a camera, about 11 grey levels, and the same without."""
    photo = Image.open(PHOTO).convert("RGB").resize((300, 300), Image.Resampling.BOX)
    picture = np.asarray(photo, np.float32) / 255
    for seed in range(100):
        noisy, clean = draw_noisy(picture, SIDE, np.random.default_rng(seed), camera)
        if 27 < psnr(noisy, clean) < 29:
            return noisy, clean
    raise AssertionError("no such noise was drawn")


@pytest.mark.opencv
def test_noise_of_a_camera_is_removed(pair):
    noisy, clean = pair
    outcome = scoreinv.denoise(noisy)
    assert psnr(outcome.image, clean) > psnr(noisy, clean) + 2
    assert (outcome.nfe, outcome.method) == (3, "exact")
    assert outcome.noise_std == pytest.approx(np.std(noisy / 255 - clean), rel=0.5)
    (note,) = outcome.notes
    assert (note.code, "noise" in note.values["kind"]) == ("noise_estimated", True)


@pytest.mark.opencv
def test_a_share_of_the_noise_is_kept(pair):
    noisy, _ = pair
    noisy = noisy[:61, :75]
    none, half, all_ = (scoreinv.denoise(noisy, keep_grain=share).image for share in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(all_, noisy)
    assert np.abs(none - noisy.astype(float)).mean() > 3
    assert abs(half - (none / 2 + noisy / 2)).max() <= 1.5
    with pytest.raises(SettingError):
        scoreinv.denoise(noisy, keep_grain=1.5)


@pytest.mark.opencv
def test_samples_vary_by_less_than_the_noise(pair):
    noisy, _ = pair
    outcome = scoreinv.denoise(noisy[:64, :64], samples=2, steps=3)
    difference = (outcome.samples[0] / 255 - outcome.samples[1] / 255).std() / 2**0.5
    assert 0 < difference < outcome.noise_std


@pytest.mark.opencv
def test_windows_have_the_result_of_the_whole(pair):
    """A part of a large picture, away from its borders, is what it is in another division into windows."""
    wide = np.tile(pair[0], (1, 4, 1))  # wider than a window
    first, moved = (scoreinv.denoise(part, keep_grain=0.0).image for part in (wide, wide[:, 16:]))
    difference = np.abs(first[:, 80:-64].astype(int) - moved[:, 64:-64])
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) <= 1


def test_a_picture_without_noise_comes_back():
    y, x = np.mgrid[:57, :83] / 30
    smooth = np.stack([0.5 + 0.2 * np.sin(x), 0.5 + 0.2 * np.cos(y), 0.5 + 0.1 * np.sin(x + y)], -1)
    pixels = np.rint(255 * smooth).astype(np.uint8)
    outcome = scoreinv.denoise(pixels)
    assert ([note.code for note in outcome.notes], outcome.nfe) == (["noise_low"], 0)
    np.testing.assert_array_equal(outcome.image, pixels)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A photograph without noise, float in [0, 1]."""
    return np.asarray(Image.open(PHOTO).convert("RGB").resize((192, 192), Image.Resampling.BOX), np.float32) / 255


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def stored(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values.clip(0, 1)).astype(np.float32) / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("level", "darkest"), [(5, 0.0), (15, 0.0), (40, 0.0), (15, 0.75)])
def test_the_level_of_white_noise_is_found(photo, channels, level, darkest):
    """Also if half of the values are clipped at white."""
    clean, std = darkest + photo[..., :channels] / 2, level / 255
    found = std_of_white(stored(clean + std * drawn(clean.shape)), std)
    assert found == pytest.approx(std, rel=0.06)


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_that_is_not_white_is_recognized(photo, channels):
    clean = photo[..., :channels]
    noise = drawn((193, 193, channels))
    blurred = (noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]) / 2
    assert std_of_white(stored(clean + 0.06 * blurred), 0.06) is None
    assert std_of_white(stored(clean), 0.01) is None
    assert std_of_white(np.full_like(clean, 0.5), 0.01) is None
    assert std_of_white(clean[:9], 0.01) is None


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_white_noise_is_removed_as_by_its_level(photo, mode):
    clean = np.asarray(Image.fromarray(np.rint(255 * photo).astype(np.uint8)).convert(mode)) / 255
    noisy = np.rint(255 * stored(clean + 0.06 * drawn(clean.shape))).astype(np.uint8)
    estimated, given = scoreinv.denoise(noisy), scoreinv.denoise(noisy, noise_std=0.06)
    assert (estimated.nfe, estimated.noise_std) == (1, pytest.approx(0.06, rel=0.04))
    assert psnr(estimated.image, clean) > psnr(given.image, clean) - 0.1


def test_uneven_white_noise_keeps_its_levels(photo):
    noise = 0.03 * drawn(photo.shape)
    noise[:, 96:] *= 3
    found = estimate_noise(Picture(stored(photo + noise)), Models())
    assert not found.white
    assert found.levels.std() > 0


def test_the_words_say_where_noise_is():
    generator = np.random.default_rng(0)
    ramp = np.linspace(0.1, 0.9, 160)[None, :, None].repeat(96, 0)
    noise = 0.08 * (1 - ramp) ** 3 * generator.standard_normal((96, 160, 3))
    words = estimate_noise(Picture((ramp + noise).astype(np.float32)), Models()).words
    assert words.endswith("strongest in the shadows")

"""The estimate of a photograph's noise, on pictures whose noise is known."""

import numpy as np
import pytest

from scoreinv.analysis.noise import estimate_noise, white_noise
from scoreinv.imaging.picture import Picture


def scene(height=300, width=211):
    """Slopes, waves and an edge, in [0.2, 0.8], without noise."""
    y, x = np.mgrid[:height, :width]
    values = 0.5 + 0.1 * np.sin(x / 15) + 0.1 * np.cos(y / 21) + 0.1 * (x > width // 2)
    return np.stack([values, values * 0.9, values * 0.8], axis=-1)


def noisy(std, seed=0, channels=3):
    clean = scene()[..., :channels]
    return clean + std * np.random.default_rng(seed).standard_normal(clean.shape)


@pytest.mark.parametrize("std", [0.01, 0.03, 0.08])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_noise_is_told(std, channels, dtype):
    peak = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    values = noisy(std, channels=channels) * peak
    pixels = (np.rint(values) if peak > 1 else values).clip(0, peak).astype(dtype)
    assert estimate_noise(Picture(pixels[..., 0] if channels == 1 else pixels)) == pytest.approx(std, rel=0.05)


def test_grey_in_three_channels_and_alpha():
    values = noisy(0.03, channels=1).astype(np.float32)
    alone = estimate_noise(Picture(values[..., 0]))
    three = np.repeat(values, 3, axis=2)
    assert estimate_noise(Picture(three)) == pytest.approx(alone, rel=1e-5)
    alpha = np.random.default_rng(1).random(values.shape).astype(np.float32)
    assert estimate_noise(Picture(np.concatenate([three, alpha], axis=2))) == pytest.approx(alone, rel=1e-5)


def test_the_estimate_is_the_mean_over_channels():
    grain = np.random.default_rng(3).standard_normal((300, 211, 3)) * np.array([0.01, 0.04, 0.07])
    assert estimate_noise(Picture((scene() + grain).astype(np.float32))) == pytest.approx(0.04, rel=0.05)


def test_what_has_none():
    assert estimate_noise(Picture(np.full((40, 50, 3), 77, np.uint8))) < 1e-6
    assert estimate_noise(Picture(np.full((3, 50), 77, np.uint8))) == 0
    assert estimate_noise(Picture(scene().astype(np.float32))) < 5e-4


def test_the_smallest_pictures_of_noise():
    values = np.random.default_rng(0).random((4, 5), np.float32)
    assert estimate_noise(Picture(values)) > 0
    assert estimate_noise(Picture(values[:3])) == estimate_noise(Picture(values[:, :3].copy())) == 0


@pytest.mark.parametrize("std", [0.01, 0.03])
def test_texture_in_most_of_a_picture_is_no_noise_where_it_is_quiet(std):
    values = noisy(std)
    y, x = np.mgrid[:300, :211]
    texture = 0.15 * np.sin(2.2 * x) * np.sin(2.0 * y) * (y > 130)  # of the finest scale, as gravel is
    picture = Picture(np.clip(values + texture[..., None], 0, 1).astype(np.float32))
    assert white_noise(picture) == pytest.approx(std, rel=0.06, abs=0.002)
    assert estimate_noise(picture) > 1.8 * std + 0.005


def test_texture_everywhere_is_no_white_noise():
    """Its spectrum falls with the frequency, as that of photographs does."""
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    noise = np.fft.fft2(np.random.default_rng(2).standard_normal((256, 256)))
    fur = np.fft.ifft2(noise / np.maximum(frequency, 1 / 256)).real
    picture = Picture((0.5 + 0.1 * fur / fur.std()).clip(0, 1).astype(np.float32))
    assert estimate_noise(picture) > 5 / 255
    assert white_noise(picture) == 0


def test_white_noise_looks_beyond_a_black_frame():
    values = np.pad(noisy(0.03), ((100, 100), (100, 100), (0, 0)))
    assert white_noise(Picture(values.clip(0, 1).astype(np.float32))) == pytest.approx(0.03, rel=0.1)
    small = noisy(0.03)[:60, :100].clip(0, 1).astype(np.float32)  # of less than a block
    assert white_noise(Picture(small)) == pytest.approx(0.03, rel=0.1)
    assert white_noise(Picture(np.zeros((200, 200), np.uint8))) == 0
    assert white_noise(Picture(np.zeros((3, 200), np.uint8))) == 0

"""Synthetic noise: sizes and types, equal draws, and statistics that are known."""

import numpy as np
import pytest

from pretrained.noise.synthetic_noise import KINDS, camera, draw_kind, draw_noisy, film, needed_side, white

pytestmark = pytest.mark.opencv
SIDE = 48


def picture(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / 20
    return np.stack([0.5 + 0.2 * np.sin(x), 0.4 + 0.2 * np.cos(y), 0.5 + 0.1 * np.sin(x + y)], -1).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_pair_of_each_kind(kind):
    pairs = []
    for _ in range(2):
        generator = np.random.default_rng(3)
        pairs.append(draw_noisy(picture(needed_side(SIDE, kind)), SIDE, generator, kind))
    noisy, clean = pairs[0]
    assert (noisy.shape, noisy.dtype, clean.shape, clean.dtype) == (
        (SIDE, SIDE, 3),
        np.uint8,
        (SIDE, SIDE, 3),
        np.float32,
    )
    assert 0 <= clean.min() <= clean.max() <= 1
    for first, second in zip(*pairs, strict=True):
        np.testing.assert_array_equal(first, second)


def test_kinds_are_drawn_by_their_shares():
    generator = np.random.default_rng(0)
    drawn = [draw_kind(generator) for _ in range(2000)]
    for kind, share in KINDS.items():
        assert drawn.count(kind) / len(drawn) == pytest.approx(share, abs=0.04)


def test_white_noise_is_white_and_of_the_drawn_level():
    levels = []
    for seed in range(40):
        noisy, clean = white(picture(96), np.random.default_rng(seed))
        noise = 255 * (noisy - clean)
        levels.append(noise.std() / (0.6 * (75 / 0.6) ** np.random.default_rng(seed).random()))
        for other in (noise[:-1, :-1], noise[:-1, 1:]):
            assert abs(np.corrcoef(noise[1:, :-1].ravel(), other.ravel())[0, 1]) < 0.05
    np.testing.assert_allclose(levels, 1, rtol=0.04)


def test_noise_of_cameras_is_correlated_and_has_no_mean():
    correlations, means = [], []
    for seed in range(20):
        noisy, clean = camera(picture(96), np.random.default_rng(seed))
        noise = (noisy - clean)[12:-12, 12:-12]
        correlations.append(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])
        means.append(noise.mean() / noise.std())
    assert np.median(correlations) > 0.2
    assert abs(np.median(means)) < 0.15


def test_grain_is_drawn_on_pictures_beyond_white():
    """The filter that reduces photographs overshoots."""
    noisy, _ = film(np.full((16, 16, 3), 1.01, np.float32), np.random.default_rng(0))
    assert np.isfinite(noisy).all()
